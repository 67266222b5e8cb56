//! Envelopes made ahead of their commits: while one batch is committed, the token works on those after it.
//!
//! The services are shared out in portions, in the order of the index. Worker threads make the envelopes of one portion
//! after the other; whoever commits collects them in that order, and makes a portion itself rather than wait idly.

use super::batch::Made;
use crate::{Fault, Vault, VaultError, format::Leaf, index};
use claviger_types::{Digest, ObjectId};
use std::{
    collections::{BTreeMap, HashMap},
    num::NonZero,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, Scope},
};

/// The services of one portion. Whoever ends a job waits for the portions that are being made, which on a slow token
/// should be seconds at most.
const PORTION: usize = 32;

/// How many portions may be made or wait for their commit: two batches.
const MOST_AHEAD: usize = 16;

/// More threads than this only wait for the token.
const MOST_THREADS: usize = 8;

/// What was made and is not committed yet. It is never relied on: what is not here is made when its batch comes.
#[derive(Default)]
pub(super) struct Prepared<'a> {
    made: HashMap<(Digest, ObjectId), Vec<u8>>,
    /// Where more comes from.
    workshop: Option<&'a Workshop<'a>>,
    /// The place up to which it has come.
    reached: Option<Digest>,
}

impl<'a> Prepared<'a> {
    /// Has threads make the envelopes of all services that the workshop is for. They end soon after this is dropped.
    pub(super) fn ahead<'scope>(scope: &'scope Scope<'scope, '_>, workshop: &'scope Workshop<'_>) -> Self
    where
        'scope: 'a,
    {
        // Whoever commits is one of the threads that work.
        let others = thread::available_parallelism().map_or(1, NonZero::get) - 1;
        for _ in 0..others.clamp(1, MOST_THREADS) {
            scope.spawn(|| while workshop.take(true).map(Portion::make).is_some() {});
        }
        Self { made: HashMap::new(), workshop: Some(workshop), reached: None }
    }

    /// Waits until what is made ahead reaches this place.
    pub(super) fn reach(&mut self, place: &Digest) {
        let Some(workshop) = self.workshop else { return };
        while self.reached.is_none_or(|reached| reached < *place) && workshop.collect(self) {}
    }

    pub(super) fn add(&mut self, made: Made) {
        self.made.extend(made);
    }

    pub(super) fn get(&self, at: &(Digest, ObjectId)) -> Option<&Vec<u8>> {
        self.made.get(at)
    }

    /// Forgets what belongs to services up to this place: they are committed, or gone.
    pub(super) fn committed(&mut self, place: &Digest) {
        self.made.retain(|(made_for, _), _| made_for > place);
    }
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        if let Some(workshop) = self.workshop {
            workshop.close(&mut workshop.lock());
        }
    }
}

/// Where portions are taken, made and collected.
pub(super) struct Workshop<'a> {
    vault: &'a Vault,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// The place after which the next portion begins.
    after: Option<Digest>,
    /// How many portions were taken, and how many of them were collected.
    taken: usize,
    collected: usize,
    /// Those that were made and not collected, by their number, each with the place of its last service.
    done: BTreeMap<usize, (Digest, Made)>,
    /// Nothing more is to be taken: there is nothing, it cannot be made, or nobody wants it.
    closed: bool,
}

impl<'a> Workshop<'a> {
    /// One for all services after this place.
    pub(super) fn new(vault: &'a Vault, after: Option<Digest>) -> Self {
        let state = State { after, taken: 0, collected: 0, done: BTreeMap::new(), closed: false };
        Self { vault, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The next portion to make, when there is one and room for it; room may be waited for.
    fn take(&self, wait: bool) -> Option<Portion<'_>> {
        let mut state = self.lock();
        while !state.closed && state.taken - state.collected >= MOST_AHEAD {
            if !wait {
                return None;
            }
            state = self.wait(state);
        }
        if state.closed {
            return None;
        }
        let leaves = self.vault.read(|snapshot| index::after(snapshot, state.after.as_ref(), PORTION));
        // An error shows again when the turn of that batch comes.
        let leaves = leaves.unwrap_or_default();
        let Some(last) = leaves.last().map(|leaf| leaf.name) else {
            self.close(&mut state);
            return None;
        };
        state.after = Some(last);
        let number = state.taken;
        state.taken += 1;
        drop(state);
        Some(Portion { workshop: self, number, leaves, last, made: Made::new() })
    }

    /// Collects what comes next in order, after making a portion or waiting for one if it must; `false` when nothing more
    /// will come.
    fn collect(&self, prepared: &mut Prepared<'_>) -> bool {
        let mut state = self.lock();
        let next = state.collected;
        if let Some((last, made)) = state.done.remove(&next) {
            state.collected += 1;
            self.changed.notify_all();
            drop(state);
            prepared.add(made);
            prepared.reached = Some(last);
            return true;
        }
        if state.closed && state.taken == state.collected {
            return false;
        }
        if state.closed || state.taken - state.collected >= MOST_AHEAD {
            drop(self.wait(state));
            return true;
        }
        drop(state);
        if let Some(portion) = self.take(false) {
            portion.make();
        }
        true
    }

    fn close(&self, state: &mut State) {
        state.closed = true;
        self.changed.notify_all();
    }

    // What it guards is whole between any two statements.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'g>(&self, state: MutexGuard<'g, State>) -> MutexGuard<'g, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

/// A portion that somebody has taken. It is handed in when it is dropped, with what was made of it by then.
struct Portion<'a> {
    workshop: &'a Workshop<'a>,
    number: usize,
    leaves: Vec<Leaf>,
    last: Digest,
    made: Made,
}

impl Portion<'_> {
    fn make(mut self) {
        let vault = self.workshop.vault;
        match vault.fresh().and_then(|snapshot| vault.rewrapped(&snapshot, &self.leaves, |_| false)) {
            Ok(made) => self.made = made,
            // Another writer changed one of the services meanwhile.
            Err(VaultError::Object { fault: Fault::Missing, .. }) => {}
            // Whoever commits sees the same when the turn of these services comes, and says so. Until then nobody should
            // ask a token again that refused.
            Err(error) => {
                tracing::debug!(%error, "no more envelopes are made ahead");
                self.workshop.close(&mut self.workshop.lock());
            }
        }
    }
}

impl Drop for Portion<'_> {
    fn drop(&mut self) {
        let made = std::mem::take(&mut self.made);
        self.workshop.lock().done.insert(self.number, (self.last, made));
        self.workshop.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
