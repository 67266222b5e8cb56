//! What is done with keys and their bytes.

use super::{Call, Raw, attributes, check, length, present, written};
use crate::pkcs11::fault::Fault;
use cryptoki::object::Attribute;
use cryptoki_sys::{
    CK_ATTRIBUTE, CK_MECHANISM, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_ULONG, CKA_VALUE,
};
use zeroize::Zeroizing;

/// Room for what is left of a decryption that failed: a modulus of 8192 bits.
const ROOM: usize = 1024;

impl Raw {
    /// Makes an object of this template with this `CKA_VALUE`.
    pub(in crate::pkcs11) fn create_with_value(
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
    pub(in crate::pkcs11) fn destroy(
        &self,
        session: CK_SESSION_HANDLE,
        object: CK_OBJECT_HANDLE,
    ) -> Result<(), Fault> {
        let function = present("C_DestroyObject", self.functions.C_DestroyObject)?;
        // SAFETY: see the module's documentation.
        check("C_DestroyObject", unsafe { function(session, object) })
    }

    /// Reads an object's `CKA_VALUE` into `out`; the number of bytes it has.
    pub(in crate::pkcs11) fn read_value(
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
    pub(in crate::pkcs11) fn wrap(
        &self,
        session: CK_SESSION_HANDLE,
        mut call: Call<'_>,
        kek: CK_OBJECT_HANDLE,
        key: CK_OBJECT_HANDLE,
        out: &mut [u8],
    ) -> Result<usize, Fault> {
        let function = present("C_WrapKey", self.functions.C_WrapKey)?;
        let mut count = length(out);
        // SAFETY: see the module's documentation; the mechanism's parameters outlive the call by its borrow.
        let rv =
            unsafe { function(session, &raw mut call.mechanism, kek, key, out.as_mut_ptr(), &raw mut count) };
        check("C_WrapKey", rv)?;
        written("C_WrapKey", count, out)
    }

    /// Unwraps into a new object of this template.
    pub(in crate::pkcs11) fn unwrap(
        &self,
        session: CK_SESSION_HANDLE,
        mut call: Call<'_>,
        kek: CK_OBJECT_HANDLE,
        wrapped: &[u8],
        template: &[Attribute],
    ) -> Result<CK_OBJECT_HANDLE, Fault> {
        let function = present("C_UnwrapKey", self.functions.C_UnwrapKey)?;
        let mut attributes = attributes(template);
        let mut object = 0;
        // SAFETY: see the module's documentation; C_UnwrapKey only reads `wrapped` and the template.
        let rv = unsafe {
            function(
                session,
                &raw mut call.mechanism,
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
    pub(in crate::pkcs11) fn derive(
        &self,
        session: CK_SESSION_HANDLE,
        mut call: Call<'_>,
        key: CK_OBJECT_HANDLE,
        template: &[Attribute],
    ) -> Result<CK_OBJECT_HANDLE, Fault> {
        let function = present("C_DeriveKey", self.functions.C_DeriveKey)?;
        let mut attributes = attributes(template);
        let mut object = 0;
        // SAFETY: see the module's documentation; C_DeriveKey only reads the template.
        let rv = unsafe {
            function(
                session,
                &raw mut call.mechanism,
                key,
                attributes.as_mut_ptr(),
                length(&attributes),
                &raw mut object,
            )
        };
        check("C_DeriveKey", rv).map(|()| object)
    }

    /// Encrypts in one part into `out`; the number of bytes written.
    pub(in crate::pkcs11) fn encrypt(
        &self,
        session: CK_SESSION_HANDLE,
        call: Call<'_>,
        key: CK_OBJECT_HANDLE,
        plain: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Fault> {
        let init = ("C_EncryptInit", self.functions.C_EncryptInit);
        one_part(session, call, key, init, ("C_Encrypt", self.functions.C_Encrypt), plain, out)
    }

    /// Decrypts in one part into `out`; the number of bytes written.
    pub(in crate::pkcs11) fn decrypt(
        &self,
        session: CK_SESSION_HANDLE,
        call: Call<'_>,
        key: CK_OBJECT_HANDLE,
        encrypted: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Fault> {
        let init = ("C_DecryptInit", self.functions.C_DecryptInit);
        let outcome =
            one_part(session, call, key, init, ("C_Decrypt", self.functions.C_Decrypt), encrypted, out);
        if outcome.is_err() {
            self.end_decryption(session);
        }
        outcome
    }

    /// A failed decryption is over, says the standard. In tpm2-pkcs11 it goes on, even after the session's end, and its key
    /// cannot be destroyed. To the others this is one call too many.
    fn end_decryption(&self, session: CK_SESSION_HANDLE) {
        let Some(function) = self.functions.C_DecryptFinal else { return };
        let mut rest = Zeroizing::new([0; ROOM]);
        let mut count = length(rest.as_slice());
        // SAFETY: see the module's documentation.
        let _ = unsafe { function(session, rest.as_mut_ptr(), &raw mut count) };
    }

    /// Signs in one part into `out`; the number of bytes written.
    pub(in crate::pkcs11) fn sign(
        &self,
        session: CK_SESSION_HANDLE,
        call: Call<'_>,
        key: CK_OBJECT_HANDLE,
        digest: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Fault> {
        let init = ("C_SignInit", self.functions.C_SignInit);
        one_part(session, call, key, init, ("C_Sign", self.functions.C_Sign), digest, out)
    }
}

/// A function with its name.
type Named<F> = (&'static str, Option<F>);
type Init = unsafe extern "C" fn(CK_SESSION_HANDLE, *mut CK_MECHANISM, CK_OBJECT_HANDLE) -> CK_RV;
type OnePart = unsafe extern "C" fn(CK_SESSION_HANDLE, *mut u8, CK_ULONG, *mut u8, *mut CK_ULONG) -> CK_RV;

/// Begins an operation and does all of it in one part: `input` into `out`, the number of bytes written.
fn one_part(
    session: CK_SESSION_HANDLE,
    mut call: Call<'_>,
    key: CK_OBJECT_HANDLE,
    (init_name, init): Named<Init>,
    (name, function): Named<OnePart>,
    input: &[u8],
    out: &mut [u8],
) -> Result<usize, Fault> {
    let (init, function) = (present(init_name, init)?, present(name, function)?);
    // SAFETY: see the documentation of the parent module; the mechanism's parameters outlive both calls by its borrow.
    check(init_name, unsafe { init(session, &raw mut call.mechanism, key) })?;
    let mut count = length(out);
    // SAFETY: see the documentation of the parent module; the input is only read.
    let rv = unsafe {
        function(session, input.as_ptr().cast_mut(), length(input), out.as_mut_ptr(), &raw mut count)
    };
    check(name, rv)?;
    written(name, count, out)
}
