//! The function list: each function of the standard's, made from the real one's.
#![allow(unsafe_code, non_snake_case, clippy::too_many_arguments)]

use crate::{
    faults::{Call, logged},
    output::Output::{self, Attributes, Bytes, Filled, Numbers},
    real, state,
};
use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BBOOL, CK_BYTE, CK_FLAGS, CK_FUNCTION_LIST, CK_INFO, CK_MECHANISM, CK_MECHANISM_INFO,
    CK_MECHANISM_TYPE, CK_NOTIFY, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_SESSION_INFO, CK_SLOT_ID,
    CK_SLOT_INFO, CK_TOKEN_INFO, CK_TRUE, CK_ULONG, CK_USER_TYPE, CKR_FUNCTION_NOT_SUPPORTED, CKR_OK,
};
use std::ffi::c_void;

/// `FUNCTION(ARGUMENTS) { FIELDS OF ITS CALL }`
macro_rules! interpose {
    ($($name:ident($($argument:ident: $type:ty),*) $({ $($field:ident: $value:expr),+ })?;)+) => {
        /// Every function, as the control file names it.
        pub(crate) const NAMES: &[&str] = &["C_GetFunctionList", $(stringify!($name)),+];

        /// The real module's list with every function replaced that it has.
        fn replaced(real: &CK_FUNCTION_LIST) -> CK_FUNCTION_LIST {
            CK_FUNCTION_LIST {
                version: real.version,
                C_GetFunctionList: Some(C_GetFunctionList),
                $($name: match real.$name {
                    Some(_) if !state::is_null(stringify!($name)) => Some($name),
                    _ => None,
                },)+
            }
        }

        $(
            unsafe extern "C" fn $name($($argument: $type),*) -> CK_RV {
                let call = Call { $($($field: $value,)+)? ..Call::of(stringify!($name)) };
                logged(&call, || {
                    let function = real::functions().$name;
                    // SAFETY: the function is the real module's own, and the arguments are the caller's own.
                    function.map_or(CKR_FUNCTION_NOT_SUPPORTED, |function| unsafe { function($($argument),*) })
                })
            }
        )+
    };
}

/// The one symbol by which a module is found (PKCS#11 v2.40, section 5.4).
#[unsafe(no_mangle)]
unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    logged(&Call::of("C_GetFunctionList"), || {
        // Never freed, as a module's own never is.
        let replaced = Box::leak(Box::new(replaced(real::functions())));
        // SAFETY: the caller's place for one pointer.
        unsafe { *list = replaced };
        CKR_OK
    })
}

type Session = CK_SESSION_HANDLE;
type Object = CK_OBJECT_HANDLE;
type Mechanism = *mut CK_MECHANISM;
type Data = *mut CK_BYTE;
type Template = *mut CK_ATTRIBUTE;
type Length = CK_ULONG;
type Count = *mut CK_ULONG;

interpose! {
    C_Initialize(arguments: *mut c_void);
    C_Finalize(reserved: *mut c_void);
    C_GetInfo(info: *mut CK_INFO) { output: Output::fixed(info) };
    C_GetSlotList(with_token: CK_BBOOL, slots: *mut CK_SLOT_ID, count: Count)
        { with_token: with_token == CK_TRUE, output: Numbers(slots, count) };
    C_GetSlotInfo(slot: CK_SLOT_ID, info: *mut CK_SLOT_INFO) { slot_info: info, output: Output::fixed(info) };
    C_GetTokenInfo(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO) { token_info: info, output: Output::fixed(info) };
    C_GetMechanismList(slot: CK_SLOT_ID, list: *mut CK_MECHANISM_TYPE, count: Count)
        { output: Numbers(list, count) };
    C_GetMechanismInfo(slot: CK_SLOT_ID, kind: CK_MECHANISM_TYPE, info: *mut CK_MECHANISM_INFO)
        { output: Output::fixed(info) };
    C_InitToken(slot: CK_SLOT_ID, pin: Data, length: Length, label: Data);
    C_InitPIN(session: Session, pin: Data, length: Length);
    C_SetPIN(session: Session, old: Data, old_length: Length, new: Data, new_length: Length);
    C_OpenSession(slot: CK_SLOT_ID, flags: CK_FLAGS, application: *mut c_void, notify: CK_NOTIFY, session: *mut Session)
        { output: Output::fixed(session) };
    C_CloseSession(session: Session);
    C_CloseAllSessions(slot: CK_SLOT_ID);
    C_GetSessionInfo(session: Session, info: *mut CK_SESSION_INFO) { output: Output::fixed(info) };
    C_GetOperationState(session: Session, out: Data, count: Count) { output: Bytes(out, count) };
    C_SetOperationState(session: Session, operation: Data, length: Length, encrypts: Object, authenticates: Object);
    C_Login(session: Session, user: CK_USER_TYPE, pin: Data, length: Length);
    C_Logout(session: Session);
    C_CreateObject(session: Session, template: Template, length: Length, object: *mut Object)
        { output: Output::fixed(object) };
    C_CopyObject(session: Session, from: Object, template: Template, length: Length, object: *mut Object)
        { output: Output::fixed(object) };
    C_DestroyObject(session: Session, object: Object);
    C_GetObjectSize(session: Session, object: Object, size: Count) { output: Output::fixed(size) };
    C_GetAttributeValue(session: Session, object: Object, template: Template, length: Length)
        { output: Attributes(template, length) };
    C_SetAttributeValue(session: Session, object: Object, template: Template, length: Length);
    C_FindObjectsInit(session: Session, template: Template, length: Length);
    C_FindObjects(session: Session, objects: *mut Object, most: Length, count: Count)
        { output: Numbers(objects, count) };
    C_FindObjectsFinal(session: Session);
    C_EncryptInit(session: Session, mechanism: Mechanism, key: Object) { mechanism: mechanism };
    C_Encrypt(session: Session, data: Data, length: Length, out: Data, count: Count) { output: Bytes(out, count) };
    C_EncryptUpdate(session: Session, data: Data, length: Length, out: Data, count: Count)
        { output: Bytes(out, count) };
    C_EncryptFinal(session: Session, out: Data, count: Count) { output: Bytes(out, count) };
    C_DecryptInit(session: Session, mechanism: Mechanism, key: Object) { mechanism: mechanism };
    C_Decrypt(session: Session, data: Data, length: Length, out: Data, count: Count) { output: Bytes(out, count) };
    C_DecryptUpdate(session: Session, data: Data, length: Length, out: Data, count: Count)
        { output: Bytes(out, count) };
    C_DecryptFinal(session: Session, out: Data, count: Count) { output: Bytes(out, count) };
    C_DigestInit(session: Session, mechanism: Mechanism) { mechanism: mechanism };
    C_Digest(session: Session, data: Data, length: Length, out: Data, count: Count) { output: Bytes(out, count) };
    C_DigestUpdate(session: Session, data: Data, length: Length);
    C_DigestKey(session: Session, key: Object);
    C_DigestFinal(session: Session, out: Data, count: Count) { output: Bytes(out, count) };
    C_SignInit(session: Session, mechanism: Mechanism, key: Object) { mechanism: mechanism };
    C_Sign(session: Session, data: Data, length: Length, out: Data, count: Count) { output: Bytes(out, count) };
    C_SignUpdate(session: Session, data: Data, length: Length);
    C_SignFinal(session: Session, out: Data, count: Count) { output: Bytes(out, count) };
    C_SignRecoverInit(session: Session, mechanism: Mechanism, key: Object) { mechanism: mechanism };
    C_SignRecover(session: Session, data: Data, length: Length, out: Data, count: Count)
        { output: Bytes(out, count) };
    C_VerifyInit(session: Session, mechanism: Mechanism, key: Object) { mechanism: mechanism };
    C_Verify(session: Session, data: Data, length: Length, signature: Data, signature_length: Length);
    C_VerifyUpdate(session: Session, data: Data, length: Length);
    C_VerifyFinal(session: Session, signature: Data, length: Length);
    C_VerifyRecoverInit(session: Session, mechanism: Mechanism, key: Object) { mechanism: mechanism };
    C_VerifyRecover(session: Session, signature: Data, length: Length, out: Data, count: Count)
        { output: Bytes(out, count) };
    C_DigestEncryptUpdate(session: Session, data: Data, length: Length, out: Data, count: Count)
        { output: Bytes(out, count) };
    C_DecryptDigestUpdate(session: Session, data: Data, length: Length, out: Data, count: Count)
        { output: Bytes(out, count) };
    C_SignEncryptUpdate(session: Session, data: Data, length: Length, out: Data, count: Count)
        { output: Bytes(out, count) };
    C_DecryptVerifyUpdate(session: Session, data: Data, length: Length, out: Data, count: Count)
        { output: Bytes(out, count) };
    C_GenerateKey(session: Session, mechanism: Mechanism, template: Template, length: Length, key: *mut Object)
        { mechanism: mechanism, output: Output::fixed(key) };
    C_GenerateKeyPair(
        session: Session, mechanism: Mechanism, public: Template, public_length: Length, private: Template,
        private_length: Length, public_key: *mut Object, private_key: *mut Object
    ) { mechanism: mechanism, output: Output::fixed(private_key) };
    C_WrapKey(session: Session, mechanism: Mechanism, kek: Object, key: Object, out: Data, count: Count)
        { mechanism: mechanism, output: Bytes(out, count) };
    C_UnwrapKey(
        session: Session, mechanism: Mechanism, kek: Object, wrapped: Data, wrapped_length: Length,
        template: Template, length: Length, key: *mut Object
    ) { mechanism: mechanism, output: Output::fixed(key) };
    C_DeriveKey(
        session: Session, mechanism: Mechanism, base: Object, template: Template, length: Length, key: *mut Object
    ) { mechanism: mechanism, output: Output::fixed(key) };
    C_SeedRandom(session: Session, seed: Data, length: Length);
    C_GenerateRandom(session: Session, out: Data, length: Length) { output: Filled(out, length) };
    C_GetFunctionStatus(session: Session);
    C_CancelFunction(session: Session);
    C_WaitForSlotEvent(flags: CK_FLAGS, slot: *mut CK_SLOT_ID, reserved: *mut c_void) { output: Output::fixed(slot) };
}
