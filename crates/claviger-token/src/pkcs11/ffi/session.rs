//! Sessions, and objects as they are found, described, made and changed on them.

use super::{Raw, attributes, check, length, present, written};
use crate::pkcs11::fault::Fault;
use cryptoki::{
    error::RvError,
    mechanism::Mechanism,
    object::{Attribute, AttributeType},
};
use cryptoki_sys::{
    CK_ATTRIBUTE, CK_MECHANISM, CK_OBJECT_HANDLE, CK_SESSION_HANDLE, CK_SESSION_INFO, CK_SLOT_ID, CK_ULONG,
    CK_UNAVAILABLE_INFORMATION, CKF_RW_SESSION, CKF_SERIAL_SESSION,
};
use std::{cell::Cell, marker::PhantomData, mem, process, ptr, sync::Arc};

/// The most bytes of an attribute that is read here: far more than a key's id, label or public half has.
const MOST_ATTRIBUTE_BYTES: usize = 64 << 10;

/// How many objects a search asks for at once.
const FOUND_AT_ONCE: usize = 64;

/// An object, as one session's token numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pkcs11) struct ObjectHandle(CK_OBJECT_HANDLE);

impl ObjectHandle {
    pub(in crate::pkcs11) const fn of(handle: CK_OBJECT_HANDLE) -> Self {
        Self(handle)
    }

    pub(in crate::pkcs11) const fn handle(self) -> CK_OBJECT_HANDLE {
        self.0
    }
}

/// A session, closed when it is dropped. Of one thread at a time: modules crashed when two shared one.
pub(in crate::pkcs11) struct Session {
    raw: Arc<Raw>,
    handle: CK_SESSION_HANDLE,
    // Whose it is. A forked child has a copy of this, and no session of that number or its parent's.
    process: u32,
    _of_one_thread: PhantomData<Cell<()>>,
}

impl Session {
    /// Opens one on the token in this slot, to read or also to write token objects.
    pub(in crate::pkcs11) fn open(raw: &Arc<Raw>, slot: CK_SLOT_ID, writes: bool) -> Result<Self, Fault> {
        let function = present("C_OpenSession", raw.functions.C_OpenSession)?;
        let flags = CKF_SERIAL_SESSION | if writes { CKF_RW_SESSION } else { 0 };
        let mut handle = 0;
        // SAFETY: see the documentation of the parent module; no callback is given.
        let rv = unsafe { function(slot, flags, ptr::null_mut(), None, &raw mut handle) };
        check("C_OpenSession", rv)?;
        Ok(Self { raw: Arc::clone(raw), handle, process: process::id(), _of_one_thread: PhantomData })
    }

    pub(in crate::pkcs11) const fn handle(&self) -> CK_SESSION_HANDLE {
        self.handle
    }

    /// Drops it without closing it: it is gone, and its number may be another session's by now.
    pub(in crate::pkcs11) fn forget(self) {
        let this = mem::ManuallyDrop::new(self);
        // SAFETY: read once, and `this` is never used or dropped after that; the other fields need no dropping.
        drop(unsafe { ptr::read(&raw const this.raw) });
    }

    /// Its slot and state.
    pub(in crate::pkcs11) fn info(&self) -> Result<CK_SESSION_INFO, Fault> {
        let function = present("C_GetSessionInfo", self.raw.functions.C_GetSessionInfo)?;
        let mut info = CK_SESSION_INFO::default();
        // SAFETY: see the documentation of the parent module.
        check("C_GetSessionInfo", unsafe { function(self.handle, &raw mut info) })?;
        Ok(info)
    }

    /// Has the token make randomness, of which nothing is used: no key has a part in that, and no data.
    pub(in crate::pkcs11) fn make_random(&self) -> Result<(), Fault> {
        let function = present("C_GenerateRandom", self.raw.functions.C_GenerateRandom)?;
        let mut out = [0; 8];
        // SAFETY: see the documentation of the parent module.
        check("C_GenerateRandom", unsafe { function(self.handle, out.as_mut_ptr(), length(&out)) })
    }

    /// The objects of this template, at most so many.
    pub(in crate::pkcs11) fn find(
        &self,
        template: &[Attribute],
        most: usize,
    ) -> Result<Vec<ObjectHandle>, Fault> {
        let init = present("C_FindObjectsInit", self.raw.functions.C_FindObjectsInit)?;
        let mut attributes = attributes(template);
        let mut begin = || {
            // SAFETY: see the documentation of the parent module; the template is only read.
            let rv = unsafe { init(self.handle, attributes.as_mut_ptr(), length(&attributes)) };
            check("C_FindObjectsInit", rv)
        };
        match begin() {
            // An earlier search could not be ended; why not says more than that it is still there.
            Err(active @ Fault { rv: RvError::OperationActive, .. }) => match self.end_search() {
                Err(Fault { rv: RvError::OperationNotInitialized, .. }) => return Err(active),
                ended => ended.and_then(|()| begin())?,
            },
            outcome => outcome?,
        }
        let found = self.found(most);
        let ended = self.end_search();
        found.and_then(|found| ended.map(|()| found))
    }

    fn end_search(&self) -> Result<(), Fault> {
        let function = present("C_FindObjectsFinal", self.raw.functions.C_FindObjectsFinal)?;
        // SAFETY: see the documentation of the parent module.
        check("C_FindObjectsFinal", unsafe { function(self.handle) })
    }

    fn found(&self, most: usize) -> Result<Vec<ObjectHandle>, Fault> {
        let function = present("C_FindObjects", self.raw.functions.C_FindObjects)?;
        let mut all = Vec::new();
        while all.len() < most {
            let mut some = [0; FOUND_AT_ONCE];
            let mut count = 0;
            // SAFETY: see the documentation of the parent module.
            let rv = unsafe { function(self.handle, some.as_mut_ptr(), length(&some), &raw mut count) };
            check("C_FindObjects", rv)?;
            let count = written("C_FindObjects", count, &some)?;
            if count == 0 {
                break;
            }
            all.extend(some.iter().take(count).map(|handle| ObjectHandle(*handle)));
        }
        all.truncate(most);
        Ok(all)
    }

    /// One attribute; `None` where the object has none such or does not show it.
    pub(in crate::pkcs11) fn attribute(
        &self,
        object: ObjectHandle,
        kind: AttributeType,
    ) -> Result<Option<Attribute>, Fault> {
        const NAME: &str = "C_GetAttributeValue";
        let function = present(NAME, self.raw.functions.C_GetAttributeValue)?;
        let mut attribute = CK_ATTRIBUTE { type_: kind.into(), pValue: ptr::null_mut(), ulValueLen: 0 };
        let nonsense = Fault { function: NAME, rv: RvError::GeneralError };
        let absent = |outcome: &Result<(), Fault>, length: CK_ULONG| {
            length == CK_UNAVAILABLE_INFORMATION
                || matches!(
                    outcome,
                    Err(Fault { rv: RvError::AttributeTypeInvalid | RvError::AttributeSensitive, .. })
                )
        };
        // SAFETY: see the documentation of the parent module; without a buffer the call gives the length only.
        let outcome = check(NAME, unsafe { function(self.handle, object.0, &raw mut attribute, 1) });
        if absent(&outcome, attribute.ulValueLen) {
            return Ok(None);
        }
        outcome?;
        let length = usize::try_from(attribute.ulValueLen).unwrap_or(usize::MAX);
        if length > MOST_ATTRIBUTE_BYTES {
            return Err(nonsense);
        }
        let mut value = vec![0_u8; length];
        attribute.pValue = value.as_mut_ptr().cast();
        // SAFETY: see the documentation of the parent module.
        let outcome = check(NAME, unsafe { function(self.handle, object.0, &raw mut attribute, 1) });
        if absent(&outcome, attribute.ulValueLen) {
            return Ok(None);
        }
        outcome?;
        written(NAME, attribute.ulValueLen, &value)?;
        Attribute::try_from(attribute).map(Some).map_err(|_| nonsense)
    }

    /// Changes an object's attributes.
    pub(in crate::pkcs11) fn set(&self, object: ObjectHandle, template: &[Attribute]) -> Result<(), Fault> {
        let function = present("C_SetAttributeValue", self.raw.functions.C_SetAttributeValue)?;
        let mut attributes = attributes(template);
        // SAFETY: see the documentation of the parent module; the template is only read.
        let rv = unsafe { function(self.handle, object.0, attributes.as_mut_ptr(), length(&attributes)) };
        check("C_SetAttributeValue", rv)
    }

    /// Copies an object with other attributes.
    pub(in crate::pkcs11) fn copy(
        &self,
        object: ObjectHandle,
        template: &[Attribute],
    ) -> Result<ObjectHandle, Fault> {
        let function = present("C_CopyObject", self.raw.functions.C_CopyObject)?;
        let mut attributes = attributes(template);
        let mut copy = 0;
        // SAFETY: see the documentation of the parent module; the template is only read.
        let rv = unsafe {
            function(self.handle, object.0, attributes.as_mut_ptr(), length(&attributes), &raw mut copy)
        };
        check("C_CopyObject", rv).map(|()| ObjectHandle(copy))
    }

    /// Destroys an object.
    pub(in crate::pkcs11) fn destroy(&self, object: ObjectHandle) -> Result<(), Fault> {
        self.raw.destroy(self.handle, object.0)
    }

    /// Makes a secret key.
    pub(in crate::pkcs11) fn generate_key(
        &self,
        mechanism: &Mechanism<'_>,
        template: &[Attribute],
    ) -> Result<ObjectHandle, Fault> {
        let function = present("C_GenerateKey", self.raw.functions.C_GenerateKey)?;
        let mut mechanism: CK_MECHANISM = mechanism.into();
        let mut attributes = attributes(template);
        let mut key = 0;
        // SAFETY: see the documentation of the parent module; mechanism and template are only read.
        let rv = unsafe {
            function(
                self.handle,
                &raw mut mechanism,
                attributes.as_mut_ptr(),
                length(&attributes),
                &raw mut key,
            )
        };
        check("C_GenerateKey", rv).map(|()| ObjectHandle(key))
    }

    /// Makes a key pair: the public key, then the private one.
    pub(in crate::pkcs11) fn generate_key_pair(
        &self,
        mechanism: &Mechanism<'_>,
        public: &[Attribute],
        private: &[Attribute],
    ) -> Result<(ObjectHandle, ObjectHandle), Fault> {
        let function = present("C_GenerateKeyPair", self.raw.functions.C_GenerateKeyPair)?;
        let mut mechanism: CK_MECHANISM = mechanism.into();
        let (mut public, mut private) = (attributes(public), attributes(private));
        let (mut public_key, mut private_key) = (0, 0);
        // SAFETY: see the documentation of the parent module; mechanism and templates are only read.
        let rv = unsafe {
            function(
                self.handle,
                &raw mut mechanism,
                public.as_mut_ptr(),
                length(&public),
                private.as_mut_ptr(),
                length(&private),
                &raw mut public_key,
                &raw mut private_key,
            )
        };
        check("C_GenerateKeyPair", rv).map(|()| (ObjectHandle(public_key), ObjectHandle(private_key)))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.process == process::id()
            && let Some(function) = self.raw.functions.C_CloseSession
        {
            // SAFETY: see the documentation of the parent module. Whether it can be closed matters to nobody any more.
            let _ = unsafe { function(self.handle) };
        }
    }
}
