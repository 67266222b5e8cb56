//! What went away is put back: sessions, login, key handle, token, module, and all of them in a forked child.

use super::{
    super::{
        fault::{Fault, is_two_objects, two_objects},
        ffi::{ObjectHandle, Session},
        kek, login,
        module::{BACKOFF, with_patience},
        slots, template,
    },
    Pool,
    lease::{Live, State},
};
use crate::TokenError;
use cryptoki_sys::CK_SLOT_ID as Slot;
use std::{mem, process, sync::PoisonError, thread, time::Duration};

/// How long a login, or a restart of the module, waits for other threads' calls to end.
const PATIENCE: Duration = Duration::from_secs(2);
impl Pool {
    /// Puts back what went away since `seen`, the version of the lease that met the loss.
    ///
    /// What still stands is kept, and with it the login; unless the loss was one of sessions.
    pub(in crate::pkcs11) fn rebuild(&self, seen: u64, loss: Option<Fault>) -> Result<(), TokenError> {
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
    pub(in crate::pkcs11) fn revive(&self) -> Result<bool, TokenError> {
        let lease = self.lease()?;
        let answer = lease.session()?.make_random();
        lease.give_back();
        if answer.is_err_and(|fault| fault.may_pass()) { self.restart() } else { Ok(false) }
    }

    /// Sets up everything anew, with the module, if nobody else uses it.
    pub(super) fn restart(&self) -> Result<bool, TokenError> {
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

    /// In a forked child the sessions are the parent's: none of them is used here, nor closed, and no thread that had one
    /// lives here.
    pub(super) fn notice_fork(&self) -> Result<(), TokenError> {
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
