//! One virtual YubiKey, in a reader of vpcd's.
//!
//! `claviger-yubikey --port PORT --serial NUMBER --control SOCKET [--firmware 5.4.3] [--management CIPHER]
//! [--attestation DIRECTORY]`: PORT is that of vpcd's reader on this machine; CIPHER is `3des` (below firmware 5.7 what a
//! key comes with), `aes128`, `aes192` (from 5.7) or `aes256`; DIRECTORY keeps the test's root of attestation, without
//! which no key is attested. What SOCKET understands is described in [`control`].
//!
//! Keys are made and used by a PIV card of others ([`inner`]). In front of it stands what makes it a YubiKey: its own
//! commands, policies, retry counters, management key, objects. All of that lives as long as the process.

mod apdu;
mod at;
mod attestation;
mod card;
mod control;
mod faults;
mod inner;
mod lines;
mod management;
mod metadata;
mod pin;
mod piv;
mod slots;
mod vpcd;
mod world;

use attestation::Attestation;
use card::{Card, Identity};
use management::{Cipher, ManagementKey};
use std::{env, error::Error, os::unix::net::UnixListener, path::Path, sync::Arc, thread};
use world::World;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let option = |name: &str| {
        let mut pairs = arguments.chunks_exact(2);
        pairs.find_map(|pair| (pair[0] == name).then_some(pair[1].as_str()))
    };
    let wanted = |name: &'static str| option(name).ok_or_else(|| format!("{name} is missing"));

    let port: u16 = wanted("--port")?.parse()?;
    let attestation = option("--attestation").map(|path| Attestation::at(Path::new(path))).transpose()?;
    let firmware = firmware(option("--firmware").unwrap_or("5.4.3")).ok_or("--firmware is no version")?;
    let usual = if firmware >= [5, 7, 0] { Cipher::Aes192 } else { Cipher::Tdes };
    let cipher = match option("--management") {
        None => usual,
        Some(name) => {
            let known = Cipher::ALL.into_iter().find(|(known, _)| *known == name);
            known.ok_or("--management is no cipher")?.1
        }
    };
    let identity = Identity {
        serial: wanted("--serial")?.parse()?,
        firmware,
        management: ManagementKey::factory(cipher),
    };

    let world = Arc::new(World::new());
    // Whoever waits for the socket finds the root of attestation, too.
    let listener = UnixListener::bind(wanted("--control")?)?;
    let controlled = Arc::clone(&world);
    thread::spawn(move || lines::serve(&listener, move |words| control::obey(words, &controlled)));
    inner::run(|inner| vpcd::serve(port, &mut Card::new(identity, inner, attestation), &world))
}

fn firmware(text: &str) -> Option<[u8; 3]> {
    let parts: Vec<u8> = text.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    parts.try_into().ok()
}
