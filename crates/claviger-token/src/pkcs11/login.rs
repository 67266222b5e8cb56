//! The login to one token, shared by all that is reached through it.

use super::{
    fault::Fault,
    ffi::Session,
    module::{Module, with_patience},
    slots,
};
use crate::{PinKind, PinPrompt, PinSource, PinTries, TokenError, TokenSummary};
use claviger_types::Pin;
use cryptoki::error::RvError;
use cryptoki_sys::{CK_SLOT_ID as Slot, CKS_RO_USER_FUNCTIONS, CKS_RW_USER_FUNCTIONS};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

#[derive(Clone)]
pub(super) struct Login {
    source: Arc<dyn PinSource>,
    // The token refused the PIN: no further login is tried, whatever the source would answer, by any who share this.
    refused: Arc<AtomicBool>,
}

impl Login {
    pub(super) fn new(source: &Arc<dyn PinSource>) -> Self {
        Self { source: Arc::clone(source), refused: Arc::default() }
    }

    /// Logs in, unless the login stands or the token wants none. `quiet` waits until no other thread is in a call.
    pub(super) fn log_in(
        &self,
        module: &Module,
        session: &Session,
        slot: Slot,
        quiet: impl FnOnce(),
    ) -> Result<(), TokenError> {
        if stands(session) {
            return Ok(());
        }
        if self.refused.load(Ordering::SeqCst) {
            return Err(TokenError::PinIncorrect { tries_left: None });
        }
        if !with_patience(|| slots::wants_login(module, slot))? {
            return Ok(());
        }
        let token = with_patience(|| slots::summary(module, slot))?;
        if token.tries == PinTries::Locked {
            return Err(TokenError::PinLocked);
        }
        let given = if token.pin_pad { None } else { Some(self.ask(&token)?) };
        quiet();
        let outcome = module.raw.login(session.handle(), given.as_ref().map(Pin::expose));
        drop(given);
        match outcome {
            Ok(()) | Err(Fault { rv: RvError::UserAlreadyLoggedIn, .. }) => Ok(()),
            Err(fault) => Err(self.was_refused(fault, module, slot)),
        }
    }

    fn ask(&self, token: &TokenSummary) -> Result<Pin, TokenError> {
        if !token.pin_set {
            return Err(TokenError::PinUnavailable {
                reason: format!(
                    "token `{}` has no PIN yet; set one: claviger token pin unblock",
                    token.label
                ),
            });
        }
        self.source.pin(&PinPrompt {
            token_label: token.label.clone(),
            token_serial: token.serial.clone(),
            tries: token.tries,
            left: None,
            kind: PinKind::Token,
        })
    }

    fn was_refused(&self, fault: Fault, module: &Module, slot: Slot) -> TokenError {
        match fault.rv {
            RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange => {
                self.refused.store(true, Ordering::SeqCst);
                match slots::summary(module, slot).map(|token| token.tries) {
                    Ok(PinTries::Locked) => TokenError::PinLocked,
                    Ok(PinTries::Final) => TokenError::PinIncorrect { tries_left: Some(1) },
                    _ => TokenError::PinIncorrect { tries_left: None },
                }
            }
            RvError::PinLocked => TokenError::PinLocked,
            RvError::PinExpired => TokenError::PinUnavailable {
                reason: "it has expired; change it: claviger token pin change".to_owned(),
            },
            _ => fault.into(),
        }
    }
}

/// Whether this session's token is logged in to, as the session says.
fn stands(session: &Session) -> bool {
    session.info().is_ok_and(|info| matches!(info.state, CKS_RO_USER_FUNCTIONS | CKS_RW_USER_FUNCTIONS))
}

/// That what a search did not find is not there: without the login it would not have shown it either, and a token that was
/// pulled shows nothing.
pub(super) fn sees_all(module: &Module, session: &Session) -> Result<(), Fault> {
    let slot = session.info()?.slotID;
    if with_patience(|| slots::summary(module, slot)).is_err() {
        return Err(Fault { function: "C_GetSessionInfo", rv: RvError::TokenNotPresent });
    }
    sees_private(module, session, slot)
}

/// That the session sees what only the login shows.
pub(super) fn sees_private(module: &Module, session: &Session, slot: Slot) -> Result<(), Fault> {
    if stands(session) || !slots::wants_login(module, slot)? {
        Ok(())
    } else {
        Err(Fault { function: "C_GetSessionInfo", rv: RvError::UserNotLoggedIn })
    }
}
