//! What a module might try that was taken over, each attempt named by a line of the file `CONTROL.targets`: `exec PATH`,
//! `read PATH`, `write PATH`, `connect PORT` and `datagram PORT` (on the loopback), `signal PID`. How each ended is a line of `CONTROL.intruded`:
//! the same with `: done` or `: ` and the system's refusal.

use crate::{give_up, state::control_file};
use std::{
    fs::{self, File, OpenOptions},
    io,
    net::{Ipv4Addr, TcpStream, UdpSocket},
    path::PathBuf,
    process::Command,
};

pub(crate) fn intrude() {
    let beside = |suffix: &str| {
        let mut path = control_file().unwrap_or_default();
        path.push(suffix);
        PathBuf::from(path)
    };
    let targets = fs::read_to_string(beside(".targets"));
    let targets = targets.unwrap_or_else(|error| give_up(&format!("the targets: {error}")));
    let told: String = targets
        .lines()
        .map(|line| match attempt(line) {
            Ok(()) => format!("{line}: done\n"),
            Err(error) => format!("{line}: {error}\n"),
        })
        .collect();
    fs::write(beside(".intruded"), told).unwrap_or_else(|error| give_up(&format!("the outcome: {error}")));
}

fn attempt(line: &str) -> io::Result<()> {
    match line.split_once(' ') {
        Some(("exec", path)) => Command::new(path).status().map(drop),
        Some(("read", path)) => File::open(path).map(drop),
        Some(("write", path)) => OpenOptions::new().create(true).append(true).open(path).map(drop),
        Some(("connect", port)) => {
            let port = port.parse().unwrap_or_else(|_| give_up(&format!("no port: {line}")));
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map(drop)
        }
        Some(("datagram", port)) => {
            let port: u16 = port.parse().unwrap_or_else(|_| give_up(&format!("no port: {line}")));
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.send_to(&[0], (Ipv4Addr::LOCALHOST, port)).map(drop)
        }
        Some(("signal", id)) => {
            signal(id.parse().unwrap_or_else(|_| give_up(&format!("no process: {line}"))))
        }
        _ => give_up(&format!("no such attempt: {line}")),
    }
}

/// Signal 0: only whether one could be sent.
#[allow(unsafe_code)]
fn signal(id: i32) -> io::Result<()> {
    unsafe extern "C" {
        fn kill(id: i32, signal: i32) -> i32;
    }
    // SAFETY: the C library's function of this signature; it touches no memory of this process.
    if unsafe { kill(id, 0) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
