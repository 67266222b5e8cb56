//! Stands between PC/SC clients and pcscd and fails as a test says.
//!
//! `claviger-pcsc-proxy --listen SOCKET --pcscd SOCKET --control SOCKET`: clients are pointed to the first by
//! `PCSCLITE_CSOCK_NAME`. It knows the client protocol of pcsc-lite 1.9 ([`protocol`]). The control socket understands
//!
//! - `inject COMMAND AT CODE`: the answer is this PC/SC code, in hexadecimal, and pcscd is not asked;
//! - `inject COMMAND AT after CODE`: the same after pcscd did it;
//! - `inject COMMAND AT drop`: the client's connection is closed instead;
//! - `clear`: nothing goes wrong any more;
//! - `counts`, `counts reset`: how many of each command came.
//!
//! COMMAND is one of [`protocol::Command::ALL`] or `any`, AT is `N` (the Nth from now on), `every` or `from N`. The table of
//! readers comes without a code, so `readers` with whatever code is a table without readers.

#[path = "../at.rs"]
mod at;
mod faults;
#[path = "../lines.rs"]
mod lines;
mod protocol;
mod relay;

use faults::Faults;
use std::{
    env,
    error::Error,
    os::unix::net::{UnixListener, UnixStream},
    sync::{Arc, Mutex},
    thread,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let wanted = |name: &str| {
        let mut pairs = arguments.chunks_exact(2);
        let value = pairs.find_map(|pair| (pair[0] == name).then(|| pair[1].clone()));
        value.ok_or_else(|| format!("{name} is missing"))
    };
    let pcscd = wanted("--pcscd")?;
    let control = UnixListener::bind(wanted("--control")?)?;
    let listener = UnixListener::bind(wanted("--listen")?)?;

    let faults = Arc::new(Mutex::new(Faults::default()));
    let controlled = Arc::clone(&faults);
    thread::spawn(move || lines::serve(&control, move |words| faults::obey(words, &controlled)));
    for client in listener.incoming() {
        let client = client?;
        let (faults, pcscd) = (Arc::clone(&faults), pcscd.clone());
        thread::spawn(move || {
            if let Ok(server) = UnixStream::connect(pcscd) {
                // It ends when either side does.
                let _ = relay::relay(client, server, &faults);
            }
        });
    }
    Ok(())
}
