//! What a module might try that was taken over, each attempt named by a line of the file `CONTROL.targets`: `exec PATH`,
//! `read PATH`, `write PATH`, `chmod PATH`, `connect PORT` and `datagram PORT` (on the loopback), `signal PID`, `fork ONCE`.
//! How each ended is a line of `CONTROL.intruded`: the same with `: done` or `: ` and the system's refusal.

use crate::{give_up, state::control_file};
use std::{
    fs::{self, File, OpenOptions},
    io,
    net::{Ipv4Addr, TcpStream, UdpSocket},
    os::unix::fs::PermissionsExt as _,
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
        Some(("chmod", path)) => fs::set_permissions(path, fs::Permissions::from_mode(0o666)),
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
        Some(("fork", _)) => fork(),
        _ => give_up(&format!("no such attempt: {line}")),
    }
}

/// A child that only ends.
#[allow(unsafe_code)]
fn fork() -> io::Result<()> {
    unsafe extern "C" {
        fn fork() -> i32;
        fn _exit(status: i32) -> !;
        fn waitpid(id: i32, status: *mut i32, options: i32) -> i32;
    }
    // SAFETY: the C library's functions of these signatures; the child calls nothing but `_exit`, which may be called there.
    unsafe {
        match fork() {
            0 => _exit(0),
            id if id > 0 => {
                waitpid(id, std::ptr::null_mut(), 0);
                Ok(())
            }
            _ => Err(io::Error::last_os_error()),
        }
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
