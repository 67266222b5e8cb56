//! What a token's refusal means for whoever gave a PIN.

use super::super::{fault::Fault, module::Module, slots};
use crate::{PinOwner, PinTries, TokenError};
use cryptoki::error::RvError;
use cryptoki_sys::CK_SLOT_ID as Slot;

/// What a refusal to set a PIN means: the old one has been right by then.
pub(super) fn refused_to_set(fault: Fault, whose: PinOwner, module: &Module, slot: Slot) -> TokenError {
    let reason = match fault.rv {
        RvError::PinLenRange => "the token wants a longer or a shorter one",
        RvError::PinInvalid => "the token does not take these characters",
        RvError::PinTooWeak => "the token finds it too easy to guess",
        _ => return refused(fault, whose, module, slot),
    };
    TokenError::NewPinRefused { reason: reason.to_owned() }
}

pub(super) fn refused(fault: Fault, whose: PinOwner, module: &Module, slot: Slot) -> TokenError {
    match fault.rv {
        RvError::PinIncorrect => incorrect(whose, module, slot),
        RvError::PinLocked => locked(whose),
        RvError::TokenWriteProtected => TokenError::TokenReadOnly,
        RvError::SessionExists
        | RvError::SessionReadOnlyExists
        | RvError::SessionReadWriteSoExists
        | RvError::UserAnotherAlreadyLoggedIn
        | RvError::UserTooManyTypes => TokenError::TokenBusy,
        _ => fault.into(),
    }
}

pub(super) fn incorrect(whose: PinOwner, module: &Module, slot: Slot) -> TokenError {
    let token = slots::summary(module, slot);
    let tries = token.map(|token| match whose {
        PinOwner::User => token.tries,
        PinOwner::SecurityOfficer => token.details.so_tries,
    });
    let tries_left = matches!(tries, Ok(PinTries::Final)).then_some(1);
    match (whose, tries) {
        (_, Ok(PinTries::Locked)) => locked(whose),
        (PinOwner::User, _) => TokenError::PinIncorrect { tries_left },
        (PinOwner::SecurityOfficer, _) => TokenError::SoPinIncorrect { tries_left },
    }
}

pub(super) const fn locked(whose: PinOwner) -> TokenError {
    match whose {
        PinOwner::User => TokenError::PinLocked,
        PinOwner::SecurityOfficer => TokenError::SoPinLocked,
    }
}
