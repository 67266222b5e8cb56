//! What a module opened when it was initialised: a forked child shares it with its parent.

use std::{collections::BTreeSet, fs, path::PathBuf};

/// Devices that are the same for everybody.
const COMMON: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/// This process's sockets and devices. Files are none: both may read them. Empty where the system does not tell.
pub(super) fn open_now() -> BTreeSet<PathBuf> {
    let Ok(open) = fs::read_dir("/proc/self/fd") else { return BTreeSet::new() };
    let targets = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| is_connection(&target.to_string_lossy())).collect()
}

fn is_connection(target: &str) -> bool {
    let device = target.starts_with("/dev/")
        && !COMMON.contains(&target)
        && !["/dev/shm/", "/dev/pts/"].iter().any(|directory| target.starts_with(directory));
    device || target.starts_with("socket:")
}

#[cfg(test)]
mod tests {
    use super::is_connection;

    #[test]
    fn sockets_and_devices_are_connections() {
        for shared in ["socket:[4711]", "/dev/tpmrm0", "/dev/hidraw3", "/dev/bus/usb/001/004"] {
            assert!(is_connection(shared), "{shared}");
        }
        for own in [
            "/dev/null",
            "/dev/shm/x",
            "/dev/pts/3",
            "/var/lib/token.sql",
            "anon_inode:[eventfd]",
            "pipe:[1]",
        ] {
            assert!(!is_connection(own), "{own}");
        }
    }
}
