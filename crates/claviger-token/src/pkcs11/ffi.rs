//! The C calls. `cryptoki` gives the types (attributes, mechanisms, return values); the calls are our own, for three reasons:
//! a key is read into and written from a buffer of ours that is wiped; lengths are the ones that come back, not the ones that
//! were announced; and all calls go through one function list. A module may hand out another instance of itself with each
//! list, as p11-kit's client does, and `cryptoki` keeps its own to itself.
//!
//! The only unsafe code of the crate. What makes each block sound is the same everywhere: the pointer comes from the
//! module's own function list, which lives as long as [`Raw`] keeps the library loaded; every buffer outlives the call and is
//! passed with its true length; a module that writes past it, or whose functions have other signatures than the standard's,
//! is outside what any caller can defend against in its own process.
#![allow(unsafe_code)]

mod admin;
mod keys;
mod session;

pub(super) use session::{ObjectHandle, Session};

use super::fault::Fault;
use crate::TokenError;
use cryptoki::{
    error::{Rv, RvError},
    mechanism::Mechanism,
    object::Attribute,
};
use cryptoki_sys::{
    CK_ATTRIBUTE, CK_C_INITIALIZE_ARGS, CK_FUNCTION_LIST, CK_MECHANISM, CK_MECHANISM_TYPE, CK_RV,
    CK_SESSION_HANDLE, CK_SLOT_ID, CK_SLOT_INFO, CK_TOKEN_INFO, CK_TRUE, CK_ULONG, CKF_OS_LOCKING_OK,
    CKU_USER,
};
use std::{ffi::CString, marker::PhantomData, path::Path, ptr};

/// More slots than any machine has; a module that says more is broken.
const MOST_SLOTS: CK_ULONG = 4096;

/// A module's functions, called directly.
pub(super) struct Raw {
    functions: CK_FUNCTION_LIST,
    // Keeps the code that `functions` points into loaded.
    _library: cryptoki_sys::Pkcs11,
}

impl Raw {
    /// Loads the module at this path; errors call it as it was given.
    pub(super) fn load(path: &Path, given: &Path) -> Result<Self, TokenError> {
        let unusable =
            |reason: String| TokenError::ModuleUnusable { module: given.display().to_string(), reason };
        // SAFETY: loading runs the library's initialisers. Which library that is, the administrator's configuration says.
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

    /// Begins the module's work in this process. It may use the system's locks; `reserved` is what some want besides.
    pub(super) fn initialize(&self, reserved: Option<&str>) -> Result<(), Fault> {
        let function = present("C_Initialize", self.functions.C_Initialize)?;
        let reserved = reserved.map(CString::new).transpose();
        let reserved = reserved.map_err(|_| Fault { function: "C_Initialize", rv: RvError::ArgumentsBad })?;
        let reserved = reserved.as_ref().map_or(ptr::null(), |text| text.as_ptr());
        let standard = CK_C_INITIALIZE_ARGS {
            flags: CKF_OS_LOCKING_OK,
            pReserved: reserved.cast_mut().cast(),
            ..CK_C_INITIALIZE_ARGS::default()
        };
        let mut arguments = InitArguments { standard, beyond: ptr::null() };
        // SAFETY: see the module's documentation; the module reads the arguments during the call.
        check("C_Initialize", unsafe { function((&raw mut arguments).cast()) })
    }

    /// Ends the module's work in this process.
    pub(super) fn finalize(&self) -> Result<(), Fault> {
        let function = present("C_Finalize", self.functions.C_Finalize)?;
        // SAFETY: see the module's documentation.
        check("C_Finalize", unsafe { function(ptr::null_mut()) })
    }

    /// The slots that have a token.
    pub(super) fn slots(&self) -> Result<Vec<CK_SLOT_ID>, Fault> {
        const NAME: &str = "C_GetSlotList";
        let function = present(NAME, self.functions.C_GetSlotList)?;
        let mut count = 0;
        // SAFETY: see the module's documentation; without a buffer the call only counts.
        check(NAME, unsafe { function(CK_TRUE, ptr::null_mut(), &raw mut count) })?;
        // Readers that were plugged in since are in the second answer.
        let room = count.saturating_add(8).min(MOST_SLOTS);
        let mut slots = vec![0; usize::try_from(room).unwrap_or_default()];
        count = length(&slots);
        // SAFETY: see the module's documentation.
        check(NAME, unsafe { function(CK_TRUE, slots.as_mut_ptr(), &raw mut count) })?;
        let count = written(NAME, count, &slots)?;
        slots.truncate(count);
        Ok(slots)
    }

    /// What the slot says about itself.
    pub(super) fn slot_info(&self, slot: CK_SLOT_ID) -> Result<CK_SLOT_INFO, Fault> {
        let function = present("C_GetSlotInfo", self.functions.C_GetSlotInfo)?;
        let mut info = CK_SLOT_INFO::default();
        // SAFETY: see the module's documentation.
        check("C_GetSlotInfo", unsafe { function(slot, &raw mut info) })?;
        Ok(info)
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
        self.login_as(session, CKU_USER, pin)
    }
}

/// The arguments of `C_Initialize`. NSS reads one null pointer more where the reserved one is not null.
#[repr(C)]
struct InitArguments {
    standard: CK_C_INITIALIZE_ARGS,
    beyond: *const u8,
}

/// A mechanism as it goes to a module: under the standard's number, or under a vendor's.
pub(super) struct Call<'a> {
    mechanism: CK_MECHANISM,
    // The parameters that it points to.
    _parameters: PhantomData<&'a ()>,
}

impl<'a> From<&'a Mechanism<'_>> for Call<'a> {
    fn from(mechanism: &'a Mechanism<'_>) -> Self {
        Self { mechanism: mechanism.into(), _parameters: PhantomData }
    }
}

impl<'a> Call<'a> {
    /// By a mechanism's number; `parameter` is its IV or nothing.
    pub(super) fn numbered(mechanism: CK_MECHANISM_TYPE, parameter: &'a [u8]) -> Self {
        let start = if parameter.is_empty() { ptr::null() } else { parameter.as_ptr() };
        let mechanism = CK_MECHANISM {
            mechanism,
            pParameter: start.cast_mut().cast(),
            ulParameterLen: length(parameter),
        };
        Self { mechanism, _parameters: PhantomData }
    }

    /// The same parameters under the vendor's number, where there is one.
    pub(super) fn or_vendors(mut self, number: Option<u32>) -> Self {
        if let Some(number) = number {
            self.mechanism.mechanism = number.into();
        }
        self
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
fn written<T>(function: &'static str, count: CK_ULONG, out: &[T]) -> Result<usize, Fault> {
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
