//! The real module, and what is done to it under its caller.
#![allow(unsafe_code)]

use crate::give_up;
use cryptoki_sys::{
    CK_C_INITIALIZE_ARGS, CK_FUNCTION_LIST, CK_RV, CK_SLOT_ID, CK_TRUE, CKF_OS_LOCKING_OK,
    CKF_SERIAL_SESSION, CKR_CRYPTOKI_NOT_INITIALIZED, CKR_OK,
};
use std::{env, mem, ptr, sync::OnceLock};

/// Its functions. It stays loaded to the end of the process.
pub(crate) fn functions() -> &'static CK_FUNCTION_LIST {
    static FUNCTIONS: OnceLock<CK_FUNCTION_LIST> = OnceLock::new();
    FUNCTIONS.get_or_init(load)
}

fn load() -> CK_FUNCTION_LIST {
    let Some(path) = env::var_os("CLAVIGER_FAULT_MODULE") else {
        give_up("CLAVIGER_FAULT_MODULE is not set")
    };
    // SAFETY: loading runs the library's initialisers. Which library that is, the test says.
    let library = unsafe { cryptoki_sys::Pkcs11::new(&path) };
    let library = library.unwrap_or_else(|error| give_up(&format!("{}: {error}", path.display())));
    let mut list = ptr::null_mut();
    // SAFETY: `list` is a place for one pointer; the symbol is looked for first.
    let rv = library.C_GetFunctionList.as_ref().map(|_| unsafe { library.C_GetFunctionList(&raw mut list) });
    if !matches!(rv, Ok(CKR_OK)) || list.is_null() {
        give_up(&format!("{} has no function list", path.display()));
    }
    mem::forget(library);
    // SAFETY: not null, and the module promises a CK_FUNCTION_LIST there (PKCS#11 v2.40, section 5.4).
    unsafe { *list }
}

/// Calls a function of the real module; one that is missing, or fails, makes no test. A module that is finalised has
/// nothing left to lose.
macro_rules! must {
    ($name:ident($($argument:expr),*)) => {{
        let rv = functions().$name.map(|function| {
            // SAFETY: the pointer comes from the module's own list, and what the arguments point to outlives the call.
            unsafe { function($($argument),*) }
        });
        if !matches!(rv, Some(CKR_OK | CKR_CRYPTOKI_NOT_INITIALIZED)) {
            give_up(&format!("{} underneath answered {rv:x?}", stringify!($name)));
        }
    }};
}

/// Logs out of every token, on sessions beside the caller's.
pub(crate) fn log_out() {
    let Some((open, log_out)) = functions().C_OpenSession.zip(functions().C_Logout) else {
        give_up("the module has no C_Logout")
    };
    for slot in slots() {
        let mut session = 0;
        // SAFETY: as in `must`.
        let rv = unsafe { open(slot, CKF_SERIAL_SESSION, ptr::null_mut(), None, &raw mut session) };
        // No session, no login: a token that is not initialised has none.
        if rv == CKR_OK {
            // SAFETY: as in `must`. Whoever is not logged in is logged out.
            let _: CK_RV = unsafe { log_out(session) };
            must!(C_CloseSession(session));
        }
    }
}

/// Closes all sessions of the process.
pub(crate) fn close_sessions() {
    for slot in slots() {
        must!(C_CloseAllSessions(slot));
    }
}

/// Ends the module's work in this process.
pub(crate) fn finalize() {
    must!(C_Finalize(ptr::null_mut()));
}

/// Ends it and begins anew.
pub(crate) fn reinitialize() {
    finalize();
    let mut arguments = CK_C_INITIALIZE_ARGS { flags: CKF_OS_LOCKING_OK, ..CK_C_INITIALIZE_ARGS::default() };
    must!(C_Initialize((&raw mut arguments).cast()));
}

fn slots() -> Vec<CK_SLOT_ID> {
    let mut count = 0;
    must!(C_GetSlotList(CK_TRUE, ptr::null_mut(), &raw mut count));
    let mut slots = vec![0; usize::try_from(count).unwrap_or_default()];
    must!(C_GetSlotList(CK_TRUE, slots.as_mut_ptr(), &raw mut count));
    slots.truncate(usize::try_from(count).unwrap_or_default());
    slots
}
