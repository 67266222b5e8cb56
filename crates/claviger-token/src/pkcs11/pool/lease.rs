//! Working sessions: lent to one thread at a time, and kept for the next.

use super::{
    super::{
        fault::Fault,
        ffi::{ObjectHandle, Session},
    },
    Pool,
};
use crate::TokenError;
use cryptoki::error::RvError;
use cryptoki_sys::CK_SLOT_ID as Slot;
use std::{
    mem, process,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

/// How often one lease has things put back, of which other threads may lose some again meanwhile. The anchor may stand while
/// no other session can be opened: that would go on for ever.
const MOST_REBUILDS: usize = 3;
/// Idle sessions that are kept; more are closed when they come back.
const MAX_IDLE: usize = 16;

/// A pool's sessions, under its lock.
pub(super) struct State {
    // Whose sessions these are.
    pub(super) process: u32,
    pub(super) live: Option<Live>,
    pub(super) idle: Vec<Session>,
    pub(super) lent: usize,
    // Threads that wait for `returned`: without any, a lease ends without a system call.
    waiting: usize,
    // Counts what was rebuilt, so that of many threads that saw one loss only the first rebuilds.
    pub(super) version: u64,
    // Counts how often every session was lost: a session of an earlier generation no longer exists, and its number may be
    // another session's by now.
    pub(super) generation: u64,
}

impl State {
    /// Without any session, and counting from here.
    pub(super) fn of_this_process(count: u64) -> Self {
        Self {
            process: process::id(),
            live: None,
            idle: Vec::new(),
            lent: 0,
            waiting: 0,
            version: count,
            generation: count,
        }
    }

    /// Whether the token's other end is gone, whatever the call said that met it.
    pub(super) fn has_lost_its_anchor(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.anchor.info().is_err())
    }
}

/// What stands: the anchor session, and the key's handle.
pub(super) struct Live {
    pub(super) anchor: Session,
    pub(super) slot: Slot,
    pub(super) key: Option<ObjectHandle>,
}

/// A session lent to one thread, with the key's handle.
pub(in crate::pkcs11) struct Lease<'a> {
    pool: &'a Pool,
    session: Option<Session>,
    generation: u64,
    pub(in crate::pkcs11) version: u64,
    key: Option<ObjectHandle>,
}

impl Pool {
    /// A session of its own for this thread.
    pub(in crate::pkcs11) fn lease(&self) -> Result<Lease<'_>, TokenError> {
        let mut rebuilds = 0;
        loop {
            let mut state = self.state();
            if state.process != process::id() {
                drop(state);
                self.notice_fork()?;
                continue;
            }
            let Some(live) = &state.live else {
                let version = state.version;
                drop(state);
                self.rebuild(version, None)?;
                continue;
            };
            let (slot, key) = (live.slot, live.key);
            let (generation, version) = (state.generation, state.version);
            let lend = |session| Lease { pool: self, session: Some(session), generation, version, key };
            state.lent += 1;
            if let Some(session) = state.idle.pop() {
                return Ok(lend(session));
            }
            drop(state);

            let fault = match Session::open(&self.module.raw, slot, false) {
                Ok(session) => return Ok(lend(session)),
                Err(fault) => fault,
            };
            let mut state = self.state();
            state.lent -= 1;
            if matches!(fault.rv, RvError::SessionCount) && (state.lent > 0 || !state.idle.is_empty()) {
                // The token has no more: wait for one that another thread brings back.
                drop(self.wait_while(state, None, |state| state.lent > 0 && state.idle.is_empty()));
            } else if rebuilds < MOST_REBUILDS
                && (fault.is_loss() || fault.may_pass() && state.has_lost_its_anchor())
            {
                drop(state);
                self.rebuild(version, Some(fault))?;
                rebuilds += 1;
            } else {
                return Err(fault.into());
            }
        }
    }

    pub(super) fn wait_while<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        patience: Option<Duration>,
        condition: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        state.waiting += 1;
        let waits = |state: &mut State| condition(state);
        let mut state = match patience {
            None => self.returned.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner),
            Some(limit) => {
                let waited = self.returned.wait_timeout_while(state, limit, waits);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.waiting -= 1;
        state
    }

    /// One lease less.
    fn ended(&self, mut state: MutexGuard<'_, State>) {
        // In a forked child, one that its parent gave out is not counted.
        state.lent = state.lent.saturating_sub(1);
        let waited_for = state.waiting > 0;
        drop(state);
        if waited_for {
            // All, because one who waits for a session and one who waits for quiet look alike.
            self.returned.notify_all();
        }
    }
}

impl Lease<'_> {
    /// The session.
    pub(in crate::pkcs11) fn session(&self) -> Result<&Session, TokenError> {
        self.session.as_ref().ok_or_else(|| self.pool.absent())
    }

    /// The key.
    pub(in crate::pkcs11) fn key(&self) -> Result<ObjectHandle, TokenError> {
        self.key.ok_or_else(|| TokenError::KeyMissing { key: "that was asked for".to_owned() })
    }

    /// Ends the lease after a failed call: closes the session, because some modules leave an operation active after an
    /// error; or forgets it, where it does not exist.
    pub(in crate::pkcs11) fn end(mut self, fault: &Fault) {
        if fault.is_loss_of_sessions()
            && let Some(session) = self.session.take()
        {
            session.forget();
        }
    }

    /// Brings the session back for others; without this it is closed.
    pub(in crate::pkcs11) fn give_back(mut self) {
        let Some(session) = self.session.take() else { return };
        let pool = self.pool;
        let mut state = pool.state();
        if self.generation == state.generation && state.idle.len() < MAX_IDLE {
            state.idle.push(session);
            // All is done under one lock; nothing is left for the end of the lease.
            mem::forget(self);
            pool.ended(state);
        } else {
            drop(state);
            self.session = Some(session);
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            let lost = self.generation != self.pool.state().generation;
            if lost { session.forget() } else { drop(session) }
        }
        self.pool.ended(self.pool.state());
    }
}
