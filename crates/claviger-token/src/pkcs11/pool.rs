//! Sessions on one token and the handle of one key, kept alive.
//!
//! One *anchor* session stays open, so that the login outlives the others. Working sessions are lent to one thread at a
//! time and kept for the next; one that saw an error is closed. When a call shows that session, login, key handle, token
//! or module went away, [`Pool::rebuild`] puts back what is missing: it looks at what still stands, and asks for the PIN
//! only when the login is really gone.

use super::{
    fault::{Failure, Fault, is_two_objects, two_objects},
    ffi::{ObjectHandle, Session},
    kek,
    login::{self, Login},
    module::{BACKOFF, Module, with_patience},
    slots, template,
};
use crate::{TokenError, TokenSummary, Uri};
use cryptoki::{error::RvError, object::Attribute};
use cryptoki_sys::CK_SLOT_ID as Slot;
use std::{
    fmt, mem, process,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// How long a login, or a restart of the module, waits for other threads' calls to end.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often one lease has things put back, of which other threads may lose some again meanwhile. The anchor may stand while
/// no other session can be opened: that would go on for ever.
const MOST_REBUILDS: usize = 3;
/// Idle sessions that are kept; more are closed when they come back.
const MAX_IDLE: usize = 16;

/// What makes a search find the key.
pub(super) struct KeyQuery {
    /// Class, id and perhaps label.
    pub(super) template: Vec<Attribute>,
    /// The key's name in messages.
    pub(super) shown: String,
}

pub(super) struct Pool {
    uri: Uri,
    login: Login,
    // Absent where no key is wanted yet: the pool that makes one.
    key: Option<KeyQuery>,
    state: Mutex<State>,
    returned: Condvar,
    // Held by the one thread that rebuilds; always taken before `state`.
    rebuilding: Mutex<()>,
    // Last, because fields are dropped in order: sessions are closed before the module is finalised.
    module: Arc<Module>,
}

struct State {
    // Whose sessions these are.
    process: u32,
    live: Option<Live>,
    idle: Vec<Session>,
    lent: usize,
    // Threads that wait for `returned`: without any, a lease ends without a system call.
    waiting: usize,
    // Counts what was rebuilt, so that of many threads that saw one loss only the first rebuilds.
    version: u64,
    // Counts how often every session was lost: a session of an earlier generation no longer exists, and its number may be
    // another session's by now.
    generation: u64,
}

impl State {
    /// Without any session, and counting from here.
    fn of_this_process(count: u64) -> Self {
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
    fn has_lost_its_anchor(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.anchor.info().is_err())
    }
}

struct Live {
    anchor: Session,
    slot: Slot,
    key: Option<ObjectHandle>,
}

/// A session lent to one thread, with the key's handle.
pub(super) struct Lease<'a> {
    pool: &'a Pool,
    session: Option<Session>,
    generation: u64,
    pub(super) version: u64,
    key: Option<ObjectHandle>,
}

impl Pool {
    /// Logs in to the token that fits the URI and finds the key.
    pub(super) fn attach(
        module: Arc<Module>,
        uri: Uri,
        login: Login,
        key: Option<KeyQuery>,
    ) -> Result<Self, TokenError> {
        module.in_this_process()?;
        let pool = Self {
            module,
            uri,
            login,
            key,
            state: Mutex::new(State::of_this_process(0)),
            returned: Condvar::new(),
            rebuilding: Mutex::new(()),
        };
        pool.rebuild(0, None)?;
        Ok(pool)
    }

    /// A second pool on the token with this serial number, for another key or none. The login is the token's and stands
    /// already; where it was lost, both ask the same source.
    pub(super) fn beside(&self, serial: &str, key: Option<KeyQuery>) -> Result<Self, TokenError> {
        let serial = if serial.is_empty() { self.uri.serial.clone() } else { Some(serial.to_owned()) };
        let uri = Uri { serial, ..self.uri.of_token() };
        Self::attach(Arc::clone(&self.module), uri, self.login.clone(), key)
    }

    /// The `CKA_ID` of the key.
    pub(super) fn key_id(&self) -> Option<&[u8]> {
        self.key.as_ref().map(|query| template::id_in(&query.template))
    }

    pub(super) fn module(&self) -> &Module {
        &self.module
    }

    /// What the token says about itself now.
    pub(super) fn summary(&self) -> Result<TokenSummary, TokenError> {
        self.notice_fork()?;
        let slot = self.state().live.as_ref().map(|live| live.slot);
        match slot {
            Some(slot) => Ok(with_patience(|| slots::summary(&self.module, slot))?),
            None => Ok(slots::select(&self.module, &self.uri)?.1),
        }
    }

    /// A session of its own for this thread.
    pub(super) fn lease(&self) -> Result<Lease<'_>, TokenError> {
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

    /// Makes calls on a session of their own, with the key; once more, on a fresh one, when what they stand on went away.
    pub(super) fn run<T>(
        &self,
        calls: impl Fn(&Session, Result<ObjectHandle, TokenError>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut rebuilt = false;
        loop {
            let lease = self.lease()?;
            let fault = match calls(lease.session()?, lease.key()) {
                Ok(done) => {
                    lease.give_back();
                    return Ok(done);
                }
                Err(Failure::Call(fault)) => fault,
                // The session is closed.
                Err(failure) => return Err(failure),
            };
            let version = lease.version;
            let lost = fault.is_loss() || fault.may_pass() && lease.session()?.info().is_err();
            lease.end(&fault);
            if rebuilt || !lost {
                return Err(Failure::Call(fault));
            }
            self.rebuild(version, Some(fault))?;
            rebuilt = true;
        }
    }

    /// Does once more what failed in a way that names no loss, after it was looked at what still stands: kryoptic answers
    /// `CKR_GENERAL_ERROR` where the login or the key is gone.
    pub(super) fn retried<T>(&self, work: impl Fn() -> Result<T, Failure>) -> Result<T, Failure> {
        let version = self.version();
        match work() {
            Err(Failure::Call(fault)) if fault.may_pass() => {
                self.rebuild(version, None)?;
                match work() {
                    Err(Failure::Call(fault)) if fault.may_pass() && self.revive()? => work(),
                    outcome => outcome,
                }
            }
            outcome => outcome,
        }
    }

    /// The same as [`Self::run`] on a read-write session, for what changes the token.
    pub(super) fn run_writing<T>(
        &self,
        calls: impl Fn(&Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut rebuilt = false;
        loop {
            let version = self.version();
            let session = self.writer()?;
            let fault = match calls(&session) {
                Err(Failure::Call(fault)) => fault,
                Err(Failure::Token(error)) if !rebuilt && is_two_objects(&error) => {
                    drop(session);
                    if !self.restart()? {
                        return Err(Failure::Token(error));
                    }
                    rebuilt = true;
                    continue;
                }
                outcome => return outcome,
            };
            let lost = fault.is_loss() || fault.may_pass() && session.info().is_err();
            // Before anything is rebuilt: of a module that was initialised again it may have the anchor's number.
            if fault.is_loss_of_sessions() {
                session.forget();
            } else {
                drop(session);
            }
            if rebuilt || !lost {
                return Err(Failure::Call(fault));
            }
            self.rebuild(version, Some(fault))?;
            rebuilt = true;
        }
    }

    /// A read-write session outside the pool, for what changes the token.
    pub(super) fn writer(&self) -> Result<Session, TokenError> {
        let mut rebuilt = false;
        loop {
            let lease = self.lease()?;
            let version = lease.version;
            lease.give_back();
            let slot = self.state().live.as_ref().map(|live| live.slot).ok_or_else(|| self.absent())?;
            match with_patience(|| Session::open(&self.module.raw, slot, true)) {
                // An idle session is lent unasked, so that this may be the first call after the loss.
                Err(fault)
                    if !rebuilt
                        && (fault.is_loss() || fault.may_pass() && self.state().has_lost_its_anchor()) =>
                {
                    self.rebuild(version, Some(fault))?;
                }
                outcome => return Ok(outcome?),
            }
            rebuilt = true;
        }
    }

    /// Counts what was rebuilt: two equal answers mean that nothing was in between.
    pub(super) fn version(&self) -> u64 {
        self.state().version
    }

    /// In a forked child the sessions are the parent's: none of them is used here, nor closed, and no thread that had one
    /// lives here.
    fn notice_fork(&self) -> Result<(), TokenError> {
        if self.state().process == process::id() {
            return Ok(());
        }
        self.module.in_this_process()?;
        let mut state = self.state();
        if state.process != process::id() {
            let next = state.version.max(state.generation) + 1;
            // They are closed by nobody: a session knows its process.
            *state = State::of_this_process(next);
        }
        Ok(())
    }

    /// Puts back what went away since `seen`, the version of the lease that met the loss.
    ///
    /// What still stands is kept, and with it the login; unless the loss was one of sessions.
    pub(super) fn rebuild(&self, seen: u64, loss: Option<Fault>) -> Result<(), TokenError> {
        let _alone = self.rebuilding.lock().unwrap_or_else(PoisonError::into_inner);
        self.notice_fork()?;
        let mut state = self.state();
        if state.version != seen {
            return Ok(());
        }
        let live = state.live.take();
        drop(state);

        let sessions_lost = loss.is_some_and(|fault| fault.is_loss_of_sessions());
        let rebuilt = match live {
            Some(live) if !sessions_lost && live.anchor.info().is_ok() => {
                let slot = live.slot;
                let settled = self.settle(live.anchor, slot);
                // The session may answer with no token behind it any more.
                let finds_nothing =
                    matches!(settled, Err(TokenError::KeyMissing { .. }) | Ok(Live { key: None, .. }));
                if matches!(&settled, Err(error) if is_two_objects(error)) {
                    self.start_over(seen)
                } else if finds_nothing && with_patience(|| slots::summary(&self.module, slot)).is_err() {
                    // First, because a module that is initialised again gives its number to another session.
                    drop(settled);
                    self.start_over(seen)
                } else {
                    settled
                }
            }
            Some(live) => {
                live.anchor.forget();
                self.start_over(seen)
            }
            None => self.start_over(seen),
        };
        let mut state = self.state();
        match rebuilt {
            Ok(live) => {
                state.live = Some(live);
                state.version += 1;
                Ok(())
            }
            Err(error) => {
                // Without an anchor the next call starts over, and asks the token again.
                let idle = mem::take(&mut state.idle);
                drop(state);
                drop(idle);
                Err(error)
            }
        }
    }

    /// Sets up everything anew, with the module, where the token does not even give randomness. A TPM whose resource
    /// manager was started again is not reached through the old connection, and all that the module says is that it failed.
    /// Whether that was done; not while anybody else uses the module.
    pub(super) fn revive(&self) -> Result<bool, TokenError> {
        let lease = self.lease()?;
        let answer = lease.session()?.make_random();
        lease.give_back();
        if answer.is_err_and(|fault| fault.may_pass()) { self.restart() } else { Ok(false) }
    }

    /// Sets up everything anew, with the module, if nobody else uses it.
    fn restart(&self) -> Result<bool, TokenError> {
        if !self.module.can_restart() {
            return Ok(false);
        }
        let _alone = self.rebuilding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state();
        let (live, seen) = (state.live.take(), state.version);
        drop(state);
        drop(live);
        self.forget_sessions();
        if !self.is_idle() || !self.module.restart()? {
            return Ok(false);
        }
        let live = self.start_over(seen)?;
        let mut state = self.state();
        state.live = Some(live);
        state.version += 1;
        Ok(true)
    }

    /// From the beginning: the token, a session, the login, the key.
    ///
    /// SoftHSM 2.6.1 hides a token whose files another process changed while it was initialised, or shows half of it, until
    /// it is initialised again.
    fn start_over(&self, seen: u64) -> Result<Live, TokenError> {
        for pause in BACKOFF {
            match self.start_once(seen) {
                Err(error) if seen == 0 && is_half_read(&error) || is_two_objects(&error) => {
                    thread::sleep(pause);
                    self.module.restart()?;
                }
                outcome => return outcome,
            }
        }
        self.start_once(seen)
    }

    fn start_once(&self, seen: u64) -> Result<Live, TokenError> {
        self.forget_sessions();
        let (slot, _) = match slots::select(&self.module, &self.uri) {
            Err(TokenError::ModuleFailed { ckr, .. }) if ckr == "CKR_CRYPTOKI_NOT_INITIALIZED" => {
                self.module.initialise_again()?;
                slots::select(&self.module, &self.uri)?
            }
            // It was there before. Some modules see a token that was put back, a restarted pcscd, or a server at the other
            // end, only after they were initialised anew.
            Err(TokenError::TokenAbsent { .. } | TokenError::ModuleFailed { .. })
                if seen > 0 && self.is_idle() && self.module.restart()? =>
            {
                slots::select(&self.module, &self.uri)?
            }
            selected => selected?,
        };
        self.settle(with_patience(|| Session::open(&self.module.raw, slot, false))?, slot)
    }

    /// The login and the key, on an anchor that stands.
    fn settle(&self, anchor: Session, slot: Slot) -> Result<Live, TokenError> {
        // kryoptic 1.5.4 locks up when one thread logs in while another unwraps. Nobody begins a call while this thread
        // rebuilds, so it is enough to see out those that have begun.
        self.login.log_in(&self.module, &anchor, slot, || {
            self.is_idle();
        })?;
        let key = self.find(&anchor, slot)?;
        Ok(Live { anchor, slot, key })
    }

    /// Every session is gone. They are forgotten, not closed: their numbers may belong to others by now.
    fn forget_sessions(&self) {
        let mut state = self.state();
        state.generation += 1;
        let idle = mem::take(&mut state.idle);
        drop(state);
        idle.into_iter().for_each(Session::forget);
    }

    /// Waits, not for long, until no thread has a session.
    fn is_idle(&self) -> bool {
        self.wait_while(self.state(), Some(PATIENCE), |state| state.lent > 0).lent == 0
    }

    fn wait_while<'a>(
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

    fn find(&self, session: &Session, slot: Slot) -> Result<Option<ObjectHandle>, TokenError> {
        let Some(query) = &self.key else { return Ok(None) };
        let mut found = kek::find_all(session, &query.template)?;
        match (found.pop(), found.len()) {
            (Some(key), 0) => match template::id_in(&query.template) {
                id if !id.is_empty() && kek::is_anothers(session, key, id)? => Err(two_objects()),
                _ => Ok(Some(key)),
            },
            (None, _) => {
                // Some modules say that the login stands when it does not, and it may be gone again by now.
                login::sees_private(&self.module, session, slot)?;
                Err(TokenError::KeyMissing { key: query.shown.clone() })
            }
            (Some(_), more) => Err(TokenError::AmbiguousUri {
                uri: self.uri.of_token().to_string(),
                matches: vec![query.shown.clone(); more + 1],
            }),
        }
    }

    fn absent(&self) -> TokenError {
        TokenError::TokenAbsent { uri: self.uri.of_token().to_string(), present: Vec::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change to it is a whole one, so a panic elsewhere leaves it usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the module shows no token, or one without a name, or cannot say what it shows. All that comes before a PIN.
fn is_half_read(error: &TokenError) -> bool {
    match error {
        TokenError::TokenAbsent { present, .. } => present.iter().all(|uri| !uri.contains("token=")),
        TokenError::ModuleFailed { function, ckr } => {
            function == "C_GetTokenInfo" && ckr != "CKR_CRYPTOKI_NOT_INITIALIZED"
        }
        _ => false,
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("module", &self.module)
            .field("uri", &self.uri.of_token())
            .finish_non_exhaustive()
    }
}

impl Lease<'_> {
    /// The session.
    pub(super) fn session(&self) -> Result<&Session, TokenError> {
        self.session.as_ref().ok_or_else(|| self.pool.absent())
    }

    /// The key.
    pub(super) fn key(&self) -> Result<ObjectHandle, TokenError> {
        self.key.ok_or_else(|| TokenError::KeyMissing { key: "that was asked for".to_owned() })
    }

    /// Ends the lease after a failed call: closes the session, because some modules leave an operation active after an
    /// error; or forgets it, where it does not exist.
    pub(super) fn end(mut self, fault: &Fault) {
        if fault.is_loss_of_sessions()
            && let Some(session) = self.session.take()
        {
            session.forget();
        }
    }

    /// Brings the session back for others; without this it is closed.
    pub(super) fn give_back(mut self) {
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
