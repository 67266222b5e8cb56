//! Virtual YubiKeys: each a process that is a card, in readers of a private pcscd, which is reached through a proxy that
//! can fail.
//!
//! Cards and proxy are the package `softhsm-fixtures/yubikey`, built on first use. All processes are reached by files and
//! sockets in the fixture's directory, so a test in a process of its own can do with them what its parent can:
//!
//! - `pcsc`: where clients find pcscd; behind it the proxy, and behind that `pcscd.comm`;
//! - `pcsc.control`: what the proxy obeys;
//! - `readers/vpcd`: pcscd's configuration, two readers an entry; `ids`: the processes of proxy and pcscd;
//! - `key-N`: `serial` and the root of attestation; `key-N.control`: what the card obeys.

mod faults;
mod key;
mod line;
mod pcscd;
mod readers;

pub use faults::{PcscFault, PcscFaults};
pub use key::{CardAction, Touch, YubiKey};

use crate::{Instance, away, built, daemon::Daemon, process};
use std::{
    env, fs,
    io::Write as _,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

const INSTALL: &str = "apt-get install -y pcscd vsmartcard-vpcd ykcs11 util-linux";
const CARD: &str = "claviger-yubikey";
const PROXY: &str = "claviger-pcsc-proxy";
const CLIENT: &str = "claviger-yubikey-client";
/// What the first key is called; the others have its multiples.
const SERIAL: u32 = 11_111_111;
/// Readers of one entry of pcscd's configuration, which the driver gives and nobody can change.
const READERS: usize = 2;
/// As many readers as pcscd can have.
const MOST: usize = 16;

/// What a key is when it is made.
#[derive(Debug, Clone, Default)]
pub struct KeySpec {
    /// Its serial number; otherwise one that no other key of the instance has.
    pub serial: Option<u32>,
    /// Its firmware, otherwise `5.4.3`. Below 5.3 there is no metadata, from 5.7 keys can be moved and deleted.
    pub firmware: Option<&'static str>,
    /// The cipher of its management key: `3des` (otherwise, below firmware 5.7), `aes128`, `aes192` (otherwise, from 5.7)
    /// or `aes256`. The key itself is Yubico's well-known one.
    pub management: Option<&'static str>,
}

impl Instance {
    /// The key that was added as this one, counted from 0.
    pub fn yubikey(&self, index: usize) -> YubiKey {
        YubiKey::of(self.home(), index)
    }

    /// Adds a key and inserts it. From the third on, each other one starts pcscd again, because that reads its
    /// configuration only then.
    pub fn add_yubikey(&self, spec: &KeySpec) -> YubiKey {
        let index = keys(self.home());
        // The first entry is there from the beginning.
        if index > 0 && index.is_multiple_of(READERS) {
            let ports = pcscd::Ports::reserve(READERS);
            pcscd::add_entry(self.home(), ports.first());
            self.hold(ports.into_lock());
            self.restart_pcscd();
        }
        let daemon = start_key(self.home(), index, spec);
        self.keep(vec![daemon]);
        let key = self.yubikey(index);
        key.wait_until_there();
        key
    }

    /// Ends pcscd, as when it crashes: its clients lose their connections, and the cards their power.
    pub fn stop_pcscd(&self) {
        let ids = fs::read_to_string(ids(self.home())).unwrap_or_default();
        ids.lines().filter_map(|id| id.parse().ok()).for_each(away::kill);
        pcscd::remove_sockets(self.home());
    }

    /// Starts it again, at the same socket and with the same readers; returns when it sees the cards that are in them.
    /// Whatever [`Self::pcsc_faults`] were injected are gone.
    pub fn start_pcscd(&self) {
        let daemons = pcscd::start(self.home());
        self.keep(daemons);
        let keys = (0..keys(self.home())).map(|index| self.yubikey(index));
        keys.filter(YubiKey::is_inserted).for_each(|key| key.wait_until_there());
    }

    /// Both.
    pub fn restart_pcscd(&self) {
        self.stop_pcscd();
        self.start_pcscd();
    }

    /// What the `yubikey` crate, another client of the same card, says of the key in this slot of the first card, and whether it
    /// could use it: a line for each.
    pub fn yubikey_client(&self, slot: &str, pin: &str) -> String {
        let mut client = self.command(program(CLIENT));
        client.args([&self.yubikey(0).serial().to_string(), slot]).env("CLAVIGER_FIXTURE_PIN", pin);
        process::run(&mut client, INSTALL)
    }

    /// What can go wrong between clients and pcscd.
    pub fn pcsc_faults(&self) -> PcscFaults {
        PcscFaults::of(self.home())
    }
}

pub(crate) fn module() -> PathBuf {
    process::installed("libykcs11.so.2", INSTALL)
}

pub(crate) fn env(home: &Path) -> Vec<(&'static str, PathBuf)> {
    vec![("PCSCLITE_CSOCK_NAME", pcscd::client_socket(home))]
}

/// pcscd with two readers and no key, and what is before it; and what has to be held as long as it is to have its ports.
pub(crate) fn start(home: &Path) -> (Vec<Daemon>, OwnedFd) {
    pcscd::start_anew(home)
}

fn ids(home: &Path) -> PathBuf {
    home.join("ids")
}

fn key_directory(home: &Path, index: usize) -> PathBuf {
    home.join(format!("key-{index}"))
}

/// How many there are.
fn keys(home: &Path) -> usize {
    (0..MOST).take_while(|index| key_directory(home, *index).exists()).count()
}

fn start_key(home: &Path, index: usize, spec: &KeySpec) -> Daemon {
    let directory = key_directory(home, index);
    let multiple = u32::try_from(index + 1).unwrap_or(u32::MAX);
    let serial = spec.serial.unwrap_or_else(|| SERIAL.wrapping_mul(multiple)).to_string();
    fs::create_dir(&directory)
        .and_then(|()| fs::write(directory.join("serial"), &serial))
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let attestation = target().join("attestation");
    let mut command = Command::new(program(CARD));
    command.args(["--port", &pcscd::port(home, index).to_string(), "--serial", &serial]);
    command.arg("--control").arg(line::control(&directory)).arg("--attestation").arg(&attestation);
    for (option, value) in [("--firmware", spec.firmware), ("--management", spec.management)] {
        command.args(value.map(|value| [option, value]).into_iter().flatten());
    }
    let mut daemon = Daemon::start(&command, INSTALL);
    daemon.wait_for_socket(&line::control(&directory));
    let (from, to) = (attestation.join("root.pem"), directory.join("attestation-root.pem"));
    fs::copy(&from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    daemon
}

/// Where the package is built, and the test's root of attestation kept.
fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| package().join("target"), |directory| PathBuf::from(directory).join("yubikey"))
}

fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("yubikey")
}

/// One of the package's programs, which are built when they are not there yet.
fn program(name: &str) -> PathBuf {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(build).join(name)
}

fn build() -> PathBuf {
    let (package, target) = (package(), target());
    let programs = target.join("debug");
    let mut sources: Vec<PathBuf> = ["Cargo.toml", "Cargo.lock"].map(|file| package.join(file)).into();
    for directory in ["src", "src/proxy", "src/client"].map(|directory| package.join(directory)) {
        let files = fs::read_dir(&directory);
        let files = files.unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        sources.extend(files.flatten().map(|file| file.path()).filter(|path| path.is_file()));
    }
    built::build(&programs.join(CARD), &sources, || {
        let _ = writeln!(std::io::stderr(), "building the virtual YubiKey (about 40 seconds, once)");
        built::cargo(&["build", "--locked"], &package, &target, "rustup");
    });
    programs
}

#[cfg(test)]
mod tests;
