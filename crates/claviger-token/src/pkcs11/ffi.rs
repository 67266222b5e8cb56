//! The C calls that go around `cryptoki`: those that carry secrets, so that a key is read into and written from a buffer of
//! ours that is wiped; `C_WrapKey`, whose length must be the one it returns, not the one it announces; and `C_GetTokenInfo`,
//! whose clock some modules leave in a state that `cryptoki` refuses.
//!
//! The only unsafe code of the crate. What makes each block sound is the same everywhere: the pointer comes from the
//! module's own function list, which lives as long as [`Raw`] keeps the library loaded; every buffer outlives the call and is
//! passed with its true length; a module that writes past it, or whose functions have other signatures than the standard's,
//! is outside what any caller can defend against in its own process.
#![allow(unsafe_code)]

use super::fault::Fault;
use crate::TokenError;
use cryptoki::{
    error::{Rv, RvError},
    mechanism::Mechanism,
    object::Attribute,
};
use cryptoki_sys::{
    CK_ATTRIBUTE, CK_FUNCTION_LIST, CK_MECHANISM, CK_MECHANISM_TYPE, CK_OBJECT_HANDLE, CK_RV,
    CK_SESSION_HANDLE, CK_SLOT_ID, CK_TOKEN_INFO, CK_ULONG, CKA_VALUE, CKU_USER,
};
use std::{path::Path, ptr};

/// A module's functions, called directly.
pub(super) struct Raw {
    functions: CK_FUNCTION_LIST,
    // Keeps the code that `functions` points into loaded.
    _library: cryptoki_sys::Pkcs11,
}

impl Raw {
    /// The functions of the module at this path, which `cryptoki` has loaded already.
    pub(super) fn load(path: &Path) -> Result<Self, TokenError> {
        let unusable =
            |reason: String| TokenError::ModuleUnusable { module: path.display().to_string(), reason };
        // SAFETY: loading runs the library's initialisers; it is loaded already, so they ran.
        let library =
            unsafe { cryptoki_sys::Pkcs11::new(path) }.map_err(|error| unusable(error.to_string()))?;
        if let Err(error) = &library.C_GetFunctionList {
            return Err(unusable(error.to_string()));
        }
        let mut list = ptr::null_mut();
        // SAFETY: `list` is a place for one pointer; the symbol is there, as was just checked.
        let rv = unsafe { library.C_GetFunctionList(&raw mut list) };
        check("C_GetFunctionList", rv)?;
        if list.is_null() {
            return Err(unusable("it has no function list".to_owned()));
        }
        // SAFETY: not null, and the module promises a CK_FUNCTION_LIST there (PKCS#11 v2.40, section 5.4).
        let functions = unsafe { *list };
        Ok(Self { functions, _library: library })
    }

    /// Ends the module's work in this process.
    pub(super) fn finalize(&self) -> Result<(), Fault> {
        let function = present("C_Finalize", self.functions.C_Finalize)?;
        // SAFETY: see the module's documentation.
        check("C_Finalize", unsafe { function(ptr::null_mut()) })
    }

    /// What the token says about itself.
    pub(super) fn token_info(&self, slot: CK_SLOT_ID) -> Result<CK_TOKEN_INFO, Fault> {
        let function = present("C_GetTokenInfo", self.functions.C_GetTokenInfo)?;
        let mut info = CK_TOKEN_INFO::default();
        // SAFETY: see the module's documentation.
        check("C_GetTokenInfo", unsafe { function(slot, &raw mut info) })?;
        Ok(info)
    }

    /// Logs the user in; `None` where the reader has a PIN pad of its own.
    pub(super) fn login(&self, session: CK_SESSION_HANDLE, pin: Option<&[u8]>) -> Result<(), Fault> {
        let function = present("C_Login", self.functions.C_Login)?;
        let (pin, length) = pin.map_or((ptr::null(), 0), |pin| (pin.as_ptr(), length(pin)));
        // SAFETY: see the module's documentation; C_Login only reads the PIN.
        check("C_Login", unsafe { function(session, CKU_USER, pin.cast_mut(), length) })
    }

    /// Makes an object of this template with this `CKA_VALUE`.
    pub(super) fn create_with_value(
        &self,
        session: CK_SESSION_HANDLE,
        template: &[Attribute],
        value: &[u8],
    ) -> Result<CK_OBJECT_HANDLE, Fault> {
        let function = present("C_CreateObject", self.functions.C_CreateObject)?;
        let mut attributes = attributes(template);
        attributes.push(CK_ATTRIBUTE {
            type_: CKA_VALUE,
            pValue: value.as_ptr().cast_mut().cast(),
            ulValueLen: length(value),
        });
        let mut object = 0;
        // SAFETY: see the module's documentation; C_CreateObject only reads the template.
        let rv = unsafe { function(session, attributes.as_mut_ptr(), length(&attributes), &raw mut object) };
        check("C_CreateObject", rv).map(|()| object)
    }

    /// Destroys an object.
    pub(super) fn destroy(&self, session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> Result<(), Fault> {
        let function = present("C_DestroyObject", self.functions.C_DestroyObject)?;
        // SAFETY: see the module's documentation.
        check("C_DestroyObject", unsafe { function(session, object) })
    }

    /// Reads an object's `CKA_VALUE` into `out`; the number of bytes it has.
    pub(super) fn read_value(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
        out: &mut [u8],
    ) -> Result<usize, Fault> {
        let function = present("C_GetAttributeValue", self.functions.C_GetAttributeValue)?;
        let mut attribute =
            CK_ATTRIBUTE { type_: CKA_VALUE, pValue: out.as_mut_ptr().cast(), ulValueLen: length(out) };
        // SAFETY: see the module's documentation.
        check("C_GetAttributeValue", unsafe { function(session, object, &raw mut attribute, 1) })?;
        written("C_GetAttributeValue", attribute.ulValueLen, out)
    }

    /// Wraps `key` under `kek` into `out`; the number of bytes written.
    ///
    /// One call with a buffer that is large enough: asking for the length first is where modules answer wrongly.
    pub(super) fn wrap(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: &Mechanism<'_>,
        kek: CK_OBJECT_HANDLE,
        key: CK_OBJECT_HANDLE,
        out: &mut [u8],
    ) -> Result<usize, Fault> {
        self.wrap_by(session, mechanism.into(), kek, key, out)
    }

    /// The same by a mechanism's number, for those that `cryptoki` does not know; `parameter` is its IV or nothing.
    pub(super) fn wrap_by_number(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: CK_MECHANISM_TYPE,
        parameter: &[u8],
        kek: CK_OBJECT_HANDLE,
        key: CK_OBJECT_HANDLE,
        out: &mut [u8],
    ) -> Result<usize, Fault> {
        let start = if parameter.is_empty() { ptr::null() } else { parameter.as_ptr() };
        let mechanism = CK_MECHANISM {
            mechanism,
            pParameter: start.cast_mut().cast(),
            ulParameterLen: length(parameter),
        };
        self.wrap_by(session, mechanism, kek, key, out)
    }

    fn wrap_by(
        &self,
        session: CK_SESSION_HANDLE,
        mut mechanism: CK_MECHANISM,
        kek: CK_OBJECT_HANDLE,
        key: CK_OBJECT_HANDLE,
        out: &mut [u8],
    ) -> Result<usize, Fault> {
        let function = present("C_WrapKey", self.functions.C_WrapKey)?;
        let mut count = length(out);
        // SAFETY: see the module's documentation; the mechanism's parameters outlive the call by its borrow.
        let rv = unsafe { function(session, &raw mut mechanism, kek, key, out.as_mut_ptr(), &raw mut count) };
        check("C_WrapKey", rv)?;
        written("C_WrapKey", count, out)
    }

    /// Unwraps into a new object of this template.
    pub(super) fn unwrap(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: &Mechanism<'_>,
        kek: CK_OBJECT_HANDLE,
        wrapped: &[u8],
        template: &[Attribute],
    ) -> Result<CK_OBJECT_HANDLE, Fault> {
        let function = present("C_UnwrapKey", self.functions.C_UnwrapKey)?;
        let mut mechanism: CK_MECHANISM = mechanism.into();
        let mut attributes = attributes(template);
        let mut object = 0;
        // SAFETY: see the module's documentation; C_UnwrapKey only reads `wrapped` and the template.
        let rv = unsafe {
            function(
                session,
                &raw mut mechanism,
                kek,
                wrapped.as_ptr().cast_mut(),
                length(wrapped),
                attributes.as_mut_ptr(),
                length(&attributes),
                &raw mut object,
            )
        };
        check("C_UnwrapKey", rv).map(|()| object)
    }

    /// Derives a new object of this template.
    pub(super) fn derive(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: &Mechanism<'_>,
        key: CK_OBJECT_HANDLE,
        template: &[Attribute],
    ) -> Result<CK_OBJECT_HANDLE, Fault> {
        let function = present("C_DeriveKey", self.functions.C_DeriveKey)?;
        let mut mechanism: CK_MECHANISM = mechanism.into();
        let mut attributes = attributes(template);
        let mut object = 0;
        // SAFETY: see the module's documentation; C_DeriveKey only reads the template.
        let rv = unsafe {
            function(
                session,
                &raw mut mechanism,
                key,
                attributes.as_mut_ptr(),
                length(&attributes),
                &raw mut object,
            )
        };
        check("C_DeriveKey", rv).map(|()| object)
    }

    /// Encrypts in one part into `out`; the number of bytes written.
    pub(super) fn encrypt(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: &Mechanism<'_>,
        key: CK_OBJECT_HANDLE,
        plain: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Fault> {
        let init = present("C_EncryptInit", self.functions.C_EncryptInit)?;
        let function = present("C_Encrypt", self.functions.C_Encrypt)?;
        let mut mechanism: CK_MECHANISM = mechanism.into();
        // SAFETY: see the module's documentation; the mechanism's parameters outlive both calls by its borrow.
        check("C_EncryptInit", unsafe { init(session, &raw mut mechanism, key) })?;
        let mut count = length(out);
        // SAFETY: see the module's documentation; C_Encrypt only reads `plain`.
        let rv = unsafe {
            function(session, plain.as_ptr().cast_mut(), length(plain), out.as_mut_ptr(), &raw mut count)
        };
        check("C_Encrypt", rv)?;
        written("C_Encrypt", count, out)
    }

    /// Decrypts in one part into `out`; the number of bytes written.
    pub(super) fn decrypt(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: &Mechanism<'_>,
        key: CK_OBJECT_HANDLE,
        encrypted: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Fault> {
        let init = present("C_DecryptInit", self.functions.C_DecryptInit)?;
        let function = present("C_Decrypt", self.functions.C_Decrypt)?;
        let mut mechanism: CK_MECHANISM = mechanism.into();
        // SAFETY: see the module's documentation; the mechanism's parameters outlive both calls by its borrow.
        check("C_DecryptInit", unsafe { init(session, &raw mut mechanism, key) })?;
        let mut count = length(out);
        // SAFETY: see the module's documentation; C_Decrypt only reads `encrypted`.
        let rv = unsafe {
            function(
                session,
                encrypted.as_ptr().cast_mut(),
                length(encrypted),
                out.as_mut_ptr(),
                &raw mut count,
            )
        };
        check("C_Decrypt", rv)?;
        written("C_Decrypt", count, out)
    }

    /// Signs in one part into `out`; the number of bytes written.
    pub(super) fn sign(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: &Mechanism<'_>,
        key: CK_OBJECT_HANDLE,
        digest: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Fault> {
        let init = present("C_SignInit", self.functions.C_SignInit)?;
        let function = present("C_Sign", self.functions.C_Sign)?;
        let mut mechanism: CK_MECHANISM = mechanism.into();
        // SAFETY: see the module's documentation; the mechanism has no parameters.
        check("C_SignInit", unsafe { init(session, &raw mut mechanism, key) })?;
        let mut count = length(out);
        // SAFETY: see the module's documentation; C_Sign only reads `digest`.
        let rv = unsafe {
            function(session, digest.as_ptr().cast_mut(), length(digest), out.as_mut_ptr(), &raw mut count)
        };
        check("C_Sign", rv)?;
        written("C_Sign", count, out)
    }
}

fn present<F>(name: &'static str, function: Option<F>) -> Result<F, Fault> {
    function.ok_or(Fault { function: name, rv: RvError::FunctionNotSupported })
}

fn check(function: &'static str, rv: CK_RV) -> Result<(), Fault> {
    match Rv::from(rv) {
        Rv::Ok => Ok(()),
        Rv::Error(rv) => Err(Fault { function, rv }),
    }
}

/// A count that the module gave back; one beyond the buffer is a broken module, not a reason to read there.
fn written(function: &'static str, count: CK_ULONG, out: &[u8]) -> Result<usize, Fault> {
    usize::try_from(count)
        .ok()
        .filter(|count| *count <= out.len())
        .ok_or(Fault { function, rv: RvError::GeneralError })
}

fn length<T>(items: &[T]) -> CK_ULONG {
    // Every buffer here is at most a few KiB; a CK_ULONG has at least 32 bits.
    CK_ULONG::try_from(items.len()).unwrap_or(CK_ULONG::MAX)
}

/// Valid only while `template` is: each element points into it.
fn attributes(template: &[Attribute]) -> Vec<CK_ATTRIBUTE> {
    let mut attributes = Vec::with_capacity(template.len() + 1);
    attributes.extend(template.iter().map(CK_ATTRIBUTE::from));
    attributes
}
