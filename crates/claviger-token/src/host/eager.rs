//! A socket that is looked at for a moment before it is waited for.
//!
//! An answer mostly comes within microseconds, and whoever sleeps until then is woken late: on a machine with nothing else to do,
//! its processor has to be woken first, which takes longer than the answer did.

use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};
use std::{
    hint,
    io::{self, Read},
    os::unix::net::UnixStream,
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

/// How long it is looked at.
const MOMENT: Duration = Duration::from_micros(100);

/// On one processor, looking would keep the other side from its work.
static MAY_LOOK: LazyLock<bool> =
    LazyLock::new(|| thread::available_parallelism().is_ok_and(|count| count.get() > 1));

/// The socket, and until when what is read must have come.
pub(super) struct Eager(pub(super) UnixStream, pub(super) Option<Instant>);

impl Read for Eager {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let begun = Instant::now();
        if self.1.is_some_and(|deadline| begun > deadline) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        while *MAY_LOOK && begun.elapsed() < MOMENT {
            match recv(&self.0, &mut *out, RecvFlags::DONTWAIT) {
                Err(Errno::AGAIN | Errno::INTR) => hint::spin_loop(),
                received => return Ok(received?.0),
            }
        }
        self.0.read(out)
    }
}
