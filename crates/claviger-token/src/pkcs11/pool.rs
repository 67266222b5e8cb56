//! Sessions on one token and the handle of one key, kept alive.
//!
//! One *anchor* session stays open, so that the login outlives the others. Working sessions are lent to one thread at a
//! time and kept for the next; one that saw an error is closed. When a call shows that session, login, key handle, token
//! or module went away, [`Pool::rebuild`] puts back what is missing: it looks at what still stands, and asks for the PIN
//! only when the login is really gone.

mod lease;
mod recovery;

use self::lease::State;
use super::{
    fault::{Failure, is_two_objects},
    ffi::{ObjectHandle, Session},
    login::Login,
    module::{Module, with_patience},
    slots, template,
};
use crate::{TokenError, TokenSummary, Uri};
use cryptoki::object::Attribute;
use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

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

    fn absent(&self) -> TokenError {
        TokenError::TokenAbsent { uri: self.uri.of_token().to_string(), present: Vec::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change to it is a whole one, so a panic elsewhere leaves it usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
