//! What is around the card and can be changed from outside: the reader, the finger, the faults.

use crate::faults::Faults;
use std::{
    net::{Shutdown, TcpStream},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// What happens when the card wants a touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Touch {
    /// It gets one at once.
    Auto,
    /// It gets none.
    Never,
    /// It gets one after this time, unless it has given up.
    After(Duration),
}

/// What is shared between the card and those who control it.
#[derive(Debug)]
pub(crate) struct World {
    state: Mutex<State>,
    changed: Condvar,
}

/// What can be changed.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) touch: Touch,
    /// How long the card waits for one.
    pub(crate) patience: Duration,
    /// How much longer each command takes.
    pub(crate) delay: Duration,
    /// Whether the card is in the reader.
    pub(crate) inserted: bool,
    pub(crate) faults: Faults,
    connection: Option<TcpStream>,
}

impl World {
    pub(crate) fn new() -> Self {
        let state = State {
            touch: Touch::Auto,
            patience: Duration::from_millis(300),
            delay: Duration::ZERO,
            inserted: true,
            faults: Faults::default(),
            connection: None,
        };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, which whoever waits sees at once.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = change(&mut self.state());
        self.changed.notify_all();
        result
    }

    /// Pulls the card.
    pub(crate) fn remove(&self) {
        self.change(|state| {
            state.inserted = false;
            if let Some(connection) = state.connection.take() {
                let _ = connection.shutdown(Shutdown::Both);
            }
        });
    }

    /// Waits until the card is in the reader.
    pub(crate) fn wait_for_insertion(&self) {
        let mut state = self.state();
        while !state.inserted {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Remembers the way to the reader; false when the card was pulled meanwhile.
    pub(crate) fn connected(&self, connection: &TcpStream) -> bool {
        let mut state = self.state();
        state.connection = connection.try_clone().ok();
        state.inserted
    }

    /// Whether the touch that the card wants now comes in time. A card that is pulled meanwhile gets none.
    pub(crate) fn touched(&self) -> bool {
        let begin = Instant::now();
        let mut state = self.state();
        state.faults.count_touch();
        loop {
            let waited = begin.elapsed();
            let left = match state.touch {
                Touch::Auto => return true,
                Touch::After(time) if waited >= time => return true,
                Touch::After(time) => time.min(state.patience).saturating_sub(waited),
                Touch::Never => state.patience.saturating_sub(waited),
            };
            if waited >= state.patience || !state.inserted {
                return false;
            }
            (state, _) = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
