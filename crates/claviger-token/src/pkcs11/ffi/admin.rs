//! Logins, and what they let an administrator do. A PIN of `None` is typed at the reader.

use super::{Raw, check, length, present};
use crate::{MAX_LABEL_BYTES, pkcs11::fault::Fault};
use cryptoki_sys::{CK_SESSION_HANDLE, CK_SLOT_ID, CK_ULONG, CK_USER_TYPE};
use std::ptr;

/// A PIN as C takes it: it is only read.
fn parts(pin: Option<&[u8]>) -> (*mut u8, CK_ULONG) {
    pin.map_or((ptr::null_mut(), 0), |pin| (pin.as_ptr().cast_mut(), length(pin)))
}

impl Raw {
    /// Logs the user or the security officer in.
    pub(in crate::pkcs11) fn login_as(
        &self,
        session: CK_SESSION_HANDLE,
        user: CK_USER_TYPE,
        pin: Option<&[u8]>,
    ) -> Result<(), Fault> {
        let function = present("C_Login", self.functions.C_Login)?;
        let (pin, length) = parts(pin);
        // SAFETY: see the documentation of the parent module; C_Login only reads the PIN.
        check("C_Login", unsafe { function(session, user, pin, length) })
    }

    /// Logs out whoever is logged in.
    pub(in crate::pkcs11) fn logout(&self, session: CK_SESSION_HANDLE) -> Result<(), Fault> {
        let function = present("C_Logout", self.functions.C_Logout)?;
        // SAFETY: see the documentation of the parent module.
        check("C_Logout", unsafe { function(session) })
    }

    /// Initialises the token in this slot, and erases it by that.
    pub(in crate::pkcs11) fn init_token(
        &self,
        slot: CK_SLOT_ID,
        so_pin: Option<&[u8]>,
        label: [u8; MAX_LABEL_BYTES],
    ) -> Result<(), Fault> {
        let function = present("C_InitToken", self.functions.C_InitToken)?;
        let (pin, length) = parts(so_pin);
        // SAFETY: see the documentation of the parent module; PIN and label are only read, and a label has 32 bytes
        // (PKCS#11 v2.40, section 5.5).
        check("C_InitToken", unsafe { function(slot, pin, length, label.as_ptr().cast_mut()) })
    }

    /// Sets the user's PIN, on a session where the security officer is logged in.
    pub(in crate::pkcs11) fn init_pin(
        &self,
        session: CK_SESSION_HANDLE,
        new: Option<&[u8]>,
    ) -> Result<(), Fault> {
        let function = present("C_InitPIN", self.functions.C_InitPIN)?;
        let (pin, length) = parts(new);
        // SAFETY: see the documentation of the parent module; the PIN is only read.
        check("C_InitPIN", unsafe { function(session, pin, length) })
    }

    /// Changes the PIN of whoever is logged in.
    pub(in crate::pkcs11) fn set_pin(
        &self,
        session: CK_SESSION_HANDLE,
        old: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<(), Fault> {
        let function = present("C_SetPIN", self.functions.C_SetPIN)?;
        let ((old, old_length), (new, new_length)) = (parts(old), parts(new));
        // SAFETY: see the documentation of the parent module; both PINs are only read.
        check("C_SetPIN", unsafe { function(session, old, old_length, new, new_length) })
    }
}
