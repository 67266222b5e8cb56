//! Disks that are full or cannot be written, for which one must be root.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

/// A file system of its own.
pub(crate) struct Disk {
    pub(crate) directory: tempfile::TempDir,
}

impl Disk {
    pub(crate) fn of_bytes(size: u32) -> Self {
        Self::mounted(&["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "tmpfs"])
    }

    /// A directory once more, where nothing can be written.
    pub(crate) fn view_of(directory: &Path) -> Self {
        let view = Self::mounted(&["--bind", directory.to_str().unwrap()]);
        mount(&["-o", "remount,ro,bind"], view.directory.path());
        view
    }

    /// From now on nothing can be written; no file may be open for writing.
    pub(crate) fn make_read_only(&self) {
        mount(&["-o", "remount,ro"], self.directory.path());
    }

    fn mounted(arguments: &[&str]) -> Self {
        let private = fs::Permissions::from_mode(0o700);
        let directory = tempfile::Builder::new().permissions(private).tempdir().unwrap();
        mount(arguments, directory.path());
        Self { directory }
    }
}

fn mount(arguments: &[&str], on: &Path) {
    let status = Command::new("mount").args(arguments).arg(on).status().unwrap();
    assert!(status.success(), "mount {arguments:?}");
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.directory.path()).status();
    }
}

/// A command that runs what it is given with the right to make no file larger than 200 KiB, and without the signal for
/// that: the nearest to a full disk that one has who is not root.
pub(crate) fn with_small_files_only() -> Command {
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 400; exec \"$0\" \"$@\""]);
    limited.arg(std::env::current_exe().unwrap());
    limited
}
