//! What happens at a call: before the real one, in its place, and behind it.
#![allow(unsafe_code)]

use crate::{control::Action, give_up, log, output::Output, real, state};
use cryptoki_sys::{
    CK_GCM_PARAMS, CK_MECHANISM, CK_RV, CK_SLOT_INFO, CK_TOKEN_INFO, CKF_TOKEN_PRESENT, CKM_AES_GCM,
    CKR_MECHANISM_INVALID, CKR_OK, CKR_TOKEN_NOT_PRESENT,
};
use std::{fs::File, io::Read as _, ptr, slice, thread};

/// One call: which function, and those of its arguments that faults are about.
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) mechanism: *mut CK_MECHANISM,
    pub(crate) output: Output,
    /// `C_GetSlotList`: whether only slots with a token are asked for.
    pub(crate) with_token: bool,
    pub(crate) slot_info: *mut CK_SLOT_INFO,
    pub(crate) token_info: *mut CK_TOKEN_INFO,
}

impl Call {
    pub(crate) const fn of(name: &'static str) -> Self {
        Self {
            name,
            mechanism: ptr::null_mut(),
            output: Output::None,
            with_token: false,
            slot_info: ptr::null_mut(),
            token_info: ptr::null_mut(),
        }
    }
}

/// The call with what is due at it, and its line in the log.
pub(crate) fn logged(call: &Call, real: impl FnOnce() -> CK_RV) -> CK_RV {
    let rv = with_faults(call, real);
    log::call(call.name, rv);
    rv
}

fn with_faults(call: &Call, real: impl FnOnce() -> CK_RV) -> CK_RV {
    let due = state::due(call.name);
    for action in &due {
        before(action);
    }
    let returned = due.iter().find_map(|action| match action {
        Action::Return(rv) => Some(*rv),
        _ => None,
    });
    if let Some(rv) = returned.or_else(|| while_removed(call)) {
        return rv;
    }
    let mut asked_for = None;
    for action in &due {
        match *action {
            Action::Mechanism { vendor, standard } => {
                // SAFETY: the caller's mechanism, which the standard has it give as one that may be written.
                let Some(mechanism) = (unsafe { call.mechanism.as_mut() }) else {
                    give_up(&format!("{} has no mechanism", call.name))
                };
                if mechanism.mechanism == standard {
                    return CKR_MECHANISM_INVALID;
                }
                if mechanism.mechanism == vendor {
                    asked_for = Some(vendor);
                    mechanism.mechanism = standard;
                }
            }
            Action::OwnIv => own_iv(call),
            _ => {}
        }
    }
    let rv = real();
    if let Some(vendor) = asked_for {
        // SAFETY: as above.
        unsafe { (*call.mechanism).mechanism = vendor };
    }
    if rv == CKR_OK {
        hide_token(call);
        for action in &due {
            behind(call, action);
        }
    }
    let after = due.iter().find_map(|action| match action {
        Action::After(rv) => Some(*rv),
        _ => None,
    });
    after.unwrap_or(rv)
}

fn before(action: &Action) {
    match *action {
        Action::Delay(time) => thread::sleep(time),
        Action::Abort => std::process::abort(),
        Action::Segv => {
            // SAFETY: none; it is the crash that was asked for. (Not address 0, at which Rust's own checks look.)
            unsafe { ptr::without_provenance_mut::<u8>(1).write_volatile(0) };
        }
        Action::Intrude => crate::intrude::intrude(),
        Action::Logout => real::log_out(),
        Action::CloseSessions => real::close_sessions(),
        Action::Finalize => real::finalize(),
        Action::Reinitialize => real::reinitialize(),
        Action::Remove(rv) => {
            real::close_sessions();
            state::remove(rv);
        }
        _ => {}
    }
}

/// What is answered for a token that is away; `None` where the real module can answer.
fn while_removed(call: &Call) -> Option<CK_RV> {
    let of_sessions = state::removed()?;
    match call.name {
        "C_GetFunctionList" | "C_Initialize" | "C_Finalize" | "C_GetInfo" | "C_GetSlotList"
        | "C_GetSlotInfo" | "C_WaitForSlotEvent" => None,
        "C_GetTokenInfo" | "C_GetMechanismList" | "C_GetMechanismInfo" | "C_InitToken" | "C_OpenSession"
        | "C_CloseAllSessions" => Some(CKR_TOKEN_NOT_PRESENT),
        _ => Some(of_sessions),
    }
}

/// The slots of a token that is away are still there, but empty.
fn hide_token(call: &Call) {
    if state::removed().is_none() {
        return;
    }
    if call.with_token {
        call.output.set_length(call.name, 0);
    }
    // SAFETY: the caller's own, which the real call has just written.
    if let Some(info) = unsafe { call.slot_info.as_mut() } {
        info.flags &= !CKF_TOKEN_PRESENT;
    }
}

fn behind(call: &Call, action: &Action) {
    match *action {
        Action::Length(length) => call.output.set_length(call.name, length),
        Action::Flip(bit) => call.output.flip(call.name, bit),
        Action::Flags { set, clear } => {
            // SAFETY: the caller's own, which the real call has just written.
            let Some(info) = (unsafe { call.token_info.as_mut() }) else {
                give_up(&format!("{} has no flags", call.name))
            };
            info.flags = info.flags & !clear | set;
        }
        _ => {}
    }
}

/// Puts random bytes in the place of the caller's IV, as modules do that let nobody choose it.
fn own_iv(call: &Call) {
    // SAFETY: the caller's mechanism.
    let Some(mechanism) = (unsafe { call.mechanism.as_ref() }).filter(|_| call.name == "C_EncryptInit")
    else {
        give_up(&format!("{} encrypts nothing", call.name))
    };
    if mechanism.mechanism != CKM_AES_GCM {
        return;
    }
    let parameters: *const CK_GCM_PARAMS = mechanism.pParameter.cast();
    // SAFETY: this mechanism's parameters are of this type, and they and their IV are the caller's to be written.
    let iv = unsafe {
        slice::from_raw_parts_mut(
            (*parameters).pIv,
            usize::try_from((*parameters).ulIvLen).unwrap_or_default(),
        )
    };
    if let Err(error) = File::open("/dev/urandom").and_then(|mut random| random.read_exact(iv)) {
        give_up(&format!("/dev/urandom: {error}"));
    }
}
