//! A pcscd of one's own, and the proxy before it.
//!
//! Nobody has to be root for it: pcscd takes a socket that it finds open, as systemd leaves it one, and the readers of
//! vpcd's driver are TCP ports. These the driver opens on all addresses, so each instance needs its own.

use super::{INSTALL, PROXY, READERS, ids, line, program, readers};
use crate::daemon::Daemon;
use std::{
    env,
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

const PCSCD: &str = "/usr/sbin/pcscd";
const DRIVER: &str = "libifdvpcd.so";
/// By this name Yubico's tools, and others, know a YubiKey.
const READER: &str = "Yubico YubiKey OTP+FIDO+CCID";
/// Below those that the kernel gives to clients.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// How often another program may have been faster.
const ATTEMPTS: usize = 10;
const PAUSE: Duration = Duration::from_millis(50);

/// Ports in a row that no other fixture has as long as the lock is held.
pub(super) struct Ports {
    first: u16,
    lock: File,
}

impl Ports {
    /// So many.
    pub(super) fn reserve(count: usize) -> Self {
        let user = rustix::process::geteuid().as_raw();
        let locks = env::temp_dir().join(format!("claviger-vpcd-{user}"));
        fs::create_dir_all(&locks).unwrap_or_else(|error| panic!("{}: {error}", locks.display()));
        // Not all from the same one, which would ask for all that are taken each time.
        let begin = u16::try_from(std::process::id() % 5000).unwrap_or(0) * 2;
        let candidates = PORTS.step_by(count);
        let (before, after) = (candidates.clone(), candidates.skip(usize::from(begin) / count));
        for first in after.chain(before) {
            let lock = File::create(locks.join(first.to_string()));
            let lock = lock.unwrap_or_else(|error| panic!("{}: {error}", locks.display()));
            let free = |port: u16| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
            if lock.try_lock().is_ok() && (first..).take(count).all(free) {
                return Self { first, lock };
            }
        }
        panic!("no ports are free for a reader");
    }

    /// The first.
    pub(super) fn first(&self) -> u16 {
        self.first
    }

    /// What is to be held as long as they are wanted.
    pub(super) fn into_lock(self) -> OwnedFd {
        self.lock.into()
    }
}

/// Where clients find it.
pub(super) fn client_socket(home: &Path) -> PathBuf {
    home.join("pcsc")
}

/// Where it is itself.
pub(super) fn own_socket(home: &Path) -> PathBuf {
    home.join("pcscd.comm")
}

fn configuration(home: &Path) -> PathBuf {
    home.join("readers").join("vpcd")
}

/// Adds two readers, for the next time that it starts.
pub(super) fn add_entry(home: &Path, port: u16) {
    let path = configuration(home);
    let driver = ["/usr/lib/pcsc/drivers/serial", "/usr/local/lib/pcsc/drivers/serial"]
        .into_iter()
        .map(|directory| Path::new(directory).join(DRIVER))
        .find(|driver| driver.exists())
        .unwrap_or_else(|| panic!("{DRIVER} is missing: {INSTALL}"));
    // The driver keeps what it knows of readers by their number within an entry, so each entry loads a copy of its own.
    let copy = home.join(format!("vpcd-{port}.so"));
    fs::copy(&driver, &copy).unwrap_or_else(|error| panic!("{}: {error}", copy.display()));
    let before = fs::read_to_string(&path).unwrap_or_default();
    let number = entry_number(before.matches("CHANNELID").count());
    let entry = format!(
        "FRIENDLYNAME \"{READER}{number}\"\nDEVICENAME /dev/null:{port:#x}\nLIBPATH {}\nCHANNELID {port:#x}\n\n",
        copy.display()
    );
    fs::write(&path, before + &entry).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn entries(home: &Path) -> Vec<u16> {
    let text = fs::read_to_string(configuration(home)).unwrap_or_default();
    let ports = text.lines().filter_map(|line| line.strip_prefix("CHANNELID 0x"));
    ports.filter_map(|port| u16::from_str_radix(port, 16).ok()).collect()
}

/// The port of the reader that this key is for.
pub(super) fn port(home: &Path, key: usize) -> u16 {
    let entry = entries(home).get(key / READERS).copied();
    let first = entry.unwrap_or_else(|| panic!("there is no reader for key {key}"));
    first + u16::try_from(key % READERS).unwrap_or(0)
}

/// The name of the reader that this key is for.
pub(super) fn reader(key: usize) -> String {
    let (entry, slot) = (key / READERS, key % READERS);
    format!("{READER}{} 00 {slot:02}", entry_number(entry))
}

/// pcscd numbers the readers of an entry, and would give those of the next the same names.
fn entry_number(entry: usize) -> String {
    if entry == 0 { String::new() } else { format!(" {entry:02}") }
}

/// Starts it with two readers, at ports that nobody has.
pub(super) fn start_anew(home: &Path) -> (Vec<Daemon>, OwnedFd) {
    let directory = home.join("readers");
    fs::create_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for _ in 0..ATTEMPTS {
        let ports = Ports::reserve(READERS);
        add_entry(home, ports.first());
        let proxy = start_proxy(home);
        if let Some(pcscd) = start_pcscd(home) {
            note(home, &proxy, &pcscd);
            return (vec![proxy, pcscd], ports.into_lock());
        }
        remove_sockets(home);
        let _ = fs::remove_file(configuration(home));
    }
    panic!("pcscd did not get its readers in {ATTEMPTS} attempts");
}

/// Starts it again, with the readers that it had and those that were added.
pub(super) fn start(home: &Path) -> Vec<Daemon> {
    let proxy = start_proxy(home);
    for _ in 0..ATTEMPTS {
        if let Some(pcscd) = start_pcscd(home) {
            note(home, &proxy, &pcscd);
            return vec![proxy, pcscd];
        }
        let _ = fs::remove_file(own_socket(home));
        thread::sleep(PAUSE);
    }
    panic!("pcscd did not get its readers again in {ATTEMPTS} attempts");
}

/// Nothing is where it was.
pub(super) fn remove_sockets(home: &Path) {
    for socket in [client_socket(home), own_socket(home), proxy_control(home)] {
        let _ = fs::remove_file(socket);
    }
}

pub(super) fn proxy_control(home: &Path) -> PathBuf {
    line::control(&client_socket(home))
}

fn note(home: &Path, proxy: &Daemon, pcscd: &Daemon) {
    let text = format!("{}\n{}\n", proxy.id(), pcscd.id());
    fs::write(ids(home), text).unwrap_or_else(|error| panic!("{}: {error}", home.display()));
}

fn start_proxy(home: &Path) -> Daemon {
    let mut command = Command::new(program(PROXY));
    command.arg("--listen").arg(client_socket(home)).arg("--pcscd").arg(own_socket(home));
    command.arg("--control").arg(proxy_control(home));
    let mut proxy = Daemon::start(&command, INSTALL);
    proxy.wait_for_socket(&client_socket(home));
    proxy
}

/// None when another program has a port of its readers.
fn start_pcscd(home: &Path) -> Option<Daemon> {
    let socket = own_socket(home);
    let listener = UnixListener::bind(&socket);
    let listener = listener.unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
    // It takes a socket only as descriptor 3 and by its own process id, which this shell has before it.
    let mut command = Command::new("sh");
    let script =
        format!("exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec {PCSCD} --foreground --config \"$0\"");
    command.arg("-c").arg(script).arg(home.join("readers"));
    let mut pcscd = Daemon::start_with(&command, Stdio::from(OwnedFd::from(listener)), INSTALL);
    let mut found = 0;
    pcscd.wait_until(|| readers::states(home).map(|states| found = states.len()).is_some());
    (found == entries(home).len() * READERS).then_some(pcscd)
}
