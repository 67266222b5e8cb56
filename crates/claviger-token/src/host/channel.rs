//! The parent's end of the socket: many threads ask at once, each gets its own replies.
//!
//! There is no reading thread, so that a lone caller waits for nobody but the child: of those who wait, one reads, and keeps
//! for the others what is theirs.

use super::{
    eager::Eager,
    frame::{self, Frames},
    wire::{Ask, Reply, Request, Told},
};
use claviger_codec as codec;
use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, ErrorKind},
    os::unix::net::UnixStream,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// Requests that are under way at once; more wait. The child has a thread for each.
const MOST_AT_ONCE: usize = 32;

/// Why no reply came. What was asked may or may not have been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// The child's end is closed: it ended.
    Ended,
    /// It did not answer in time.
    Late,
    /// It sent what is no reply.
    Nonsense,
}

pub(super) struct Channel {
    // Reading and writing go on at the same time, each by one thread.
    reader: Mutex<Reader>,
    writer: Mutex<UnixStream>,
    inbox: Mutex<Inbox>,
    changed: Condvar,
}

struct Reader {
    frames: Frames<Eager>,
    // What the stream was last told to wait for.
    patience: Option<Duration>,
}

#[derive(Default)]
struct Inbox {
    // By the number of the request; an entry is made with it and goes with it.
    waiting: BTreeMap<u64, VecDeque<Told>>,
    next: u64,
    // Whether one of those who wait reads.
    read: bool,
    // Those who answer a question of the child's, as by asking a person, and when the last of them had done so. Others may
    // wait in the child for that, and are not late meanwhile.
    answering: usize,
    answered: Option<Instant>,
    closed: Option<Closed>,
}

impl Channel {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        Ok(Self {
            writer: Mutex::new(stream.try_clone()?),
            reader: Mutex::new(Reader { frames: Frames::new(Eager(stream, None)), patience: None }),
            inbox: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Begins a request; its replies are had from [`Exchange::told`].
    pub(super) fn ask(&self, ask: Ask) -> Result<Exchange<'_>, Closed> {
        let mut inbox = self.inbox();
        while inbox.closed.is_none() && inbox.waiting.len() >= MOST_AT_ONCE {
            inbox = self.changed.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(closed) = inbox.closed {
            return Err(closed);
        }
        let number = inbox.next;
        inbox.next += 1;
        inbox.waiting.insert(number, VecDeque::new());
        drop(inbox);
        let exchange = Exchange { channel: self, number };
        exchange.say(ask)?;
        Ok(exchange)
    }

    /// Says what is not answered.
    pub(super) fn tell(&self, ask: Ask) {
        // Whether it arrives matters to nobody: where it does not, the child is gone.
        let _ = self.send(u64::MAX, ask);
    }

    fn send(&self, number: u64, ask: Ask) -> Result<(), Closed> {
        let body = codec::to_secret_vec(&Request { number, ask }).map_err(|_| Closed::Nonsense)?;
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        frame::write(&mut *writer, &body).map_err(|error| self.close(reason(&error)))
    }

    /// Reads one frame and keeps it for whom it is.
    fn read_one(&self, within: Duration) -> Result<(), Closed> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let read = reader.read(within);
        drop(reader);
        let body = read.map_err(|error| reason(&error))?.ok_or(Closed::Ended)?;
        let Reply { number, told } = codec::from_slice(&body).map_err(|_| Closed::Nonsense)?;
        // A reply that nobody waits for is one too many.
        let mut inbox = self.inbox();
        let waiting = inbox.waiting.get_mut(&number).filter(|waiting| waiting.len() < MOST_AT_ONCE);
        waiting.ok_or(Closed::Nonsense)?.push_back(told);
        Ok(())
    }

    fn close(&self, closed: Closed) -> Closed {
        let first = *self.inbox().closed.get_or_insert(closed);
        self.changed.notify_all();
        first
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // Every change to it is a whole one.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    fn read(&mut self, within: Duration) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        // Told anew only where it matters: a little more patience than is wanted spares a call each time.
        let near = |patience: Duration| (within..within.saturating_add(within / 4)).contains(&patience);
        if !self.patience.is_some_and(near) {
            // Zero would mean for ever.
            let patience = within.saturating_add(within / 8).max(Duration::from_millis(1));
            self.frames.stream.0.set_read_timeout(Some(patience))?;
            self.patience = Some(patience);
        }
        // All of the frame, however slowly it trickles.
        self.frames.stream.1 = Some(Instant::now() + within);
        self.frames.next()
    }
}

fn reason(error: &io::Error) -> Closed {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Closed::Late,
        ErrorKind::InvalidData | ErrorKind::InvalidInput => Closed::Nonsense,
        _ => Closed::Ended,
    }
}

/// One request and its replies.
pub(super) struct Exchange<'a> {
    channel: &'a Channel,
    number: u64,
}

impl Exchange<'_> {
    /// Says more under the same number.
    pub(super) fn say(&self, ask: Ask) -> Result<(), Closed> {
        self.channel.send(self.number, ask)
    }

    /// Finds the answer to a question of the child's, for which nobody is late.
    pub(super) fn answering<T>(&self, find: impl FnOnce() -> T) -> T {
        struct Answering<'a>(&'a Channel);

        impl Drop for Answering<'_> {
            fn drop(&mut self) {
                let mut inbox = self.0.inbox();
                inbox.answering -= 1;
                inbox.answered = Some(Instant::now());
                drop(inbox);
                self.0.changed.notify_all();
            }
        }

        self.channel.inbox().answering += 1;
        let _answering = Answering(self.channel);
        find()
    }

    /// The next reply. One that does not come in time closes the channel for all.
    pub(super) fn told(&self, within: Duration) -> Result<Told, Closed> {
        let channel = self.channel;
        let begun = Instant::now();
        let mut inbox = channel.inbox();
        loop {
            if let Some(told) = inbox.waiting.get_mut(&self.number).and_then(VecDeque::pop_front) {
                return Ok(told);
            }
            if let Some(closed) = inbox.closed {
                return Err(closed);
            }
            let now = Instant::now();
            let since =
                if inbox.answering > 0 { now } else { inbox.answered.map_or(begun, |end| end.max(begun)) };
            let rest = (since + within).saturating_duration_since(now);
            if rest.is_zero() {
                drop(inbox);
                return Err(channel.close(Closed::Late));
            }
            if inbox.read {
                let waited = channel.changed.wait_timeout(inbox, rest);
                inbox = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            inbox.read = true;
            drop(inbox);
            let read = channel.read_one(rest);
            inbox = channel.inbox();
            inbox.read = false;
            match read {
                // Whether that is too late is seen above.
                Ok(()) | Err(Closed::Late) => {}
                Err(closed) => {
                    inbox.closed.get_or_insert(closed);
                }
            }
            channel.changed.notify_all();
        }
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        let mut inbox = self.channel.inbox();
        let crowded = inbox.waiting.len() >= MOST_AT_ONCE;
        inbox.waiting.remove(&self.number);
        drop(inbox);
        if crowded {
            self.channel.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests;
