//! Taking turns at the token. Some modules (SoftHSM) write the token's file when somebody logs in, and a process that
//! starts in that moment does not see the token at all. Among our own processes that need not happen.

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Whoever holds the lock longer than this hangs; then it is no help to wait.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(1);

/// Waits for this process's turn, which ends when the answer is dropped. `None` where there is no place for a lock, or
/// its holder hangs: going on without a turn is better than not at all.
pub(crate) fn take(lock: &Path) -> Option<File> {
    if let Some(directory) = lock.parent() {
        fs::create_dir_all(directory).ok()?;
    }
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(lock).ok()?;
    let started = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(file),
            Err(Errno::WOULDBLOCK | Errno::INTR) if started.elapsed() < PATIENCE => thread::sleep(PAUSE),
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_and_the_next_waits_for_the_end() {
        let home = tempfile::tempdir().unwrap();
        let lock = home.path().join("new/lock");
        let first = take(&lock).unwrap();
        let waiting = thread::spawn({
            let lock = lock.clone();
            move || take(&lock).map(|_| Instant::now())
        });
        let dropped = Instant::now();
        drop(first);
        assert!(waiting.join().unwrap().unwrap() >= dropped);
    }

    #[test]
    fn without_a_place_for_it_there_is_no_lock_and_no_error() {
        assert!(take(Path::new("/dev/null/lock")).is_none());
    }
}
