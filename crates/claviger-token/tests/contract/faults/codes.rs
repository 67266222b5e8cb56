//! The return values of the standard, and what the caller may be told when a function gives one.

use super::bench::Work;
use claviger_token::TokenError;
use cryptoki_sys::*;

/// A return value by its name in the standard; those of a vendor's, and unknown ones, have none.
pub(super) type Code = (&'static str, CK_RV);

macro_rules! codes {
    ($($name:ident),+) => { &[$((stringify!($name), $name)),+] };
}

/// All but `CKR_OK`, one of a vendor's, and one that nobody has.
pub(super) const ALL: &[Code] = codes! {
    CKR_CANCEL, CKR_HOST_MEMORY, CKR_SLOT_ID_INVALID, CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED,
    CKR_ARGUMENTS_BAD, CKR_NO_EVENT, CKR_NEED_TO_CREATE_THREADS, CKR_CANT_LOCK, CKR_ATTRIBUTE_READ_ONLY,
    CKR_ATTRIBUTE_SENSITIVE, CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_VALUE_INVALID, CKR_ACTION_PROHIBITED,
    CKR_DATA_INVALID, CKR_DATA_LEN_RANGE, CKR_DEVICE_ERROR, CKR_DEVICE_MEMORY, CKR_DEVICE_REMOVED,
    CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_AEAD_DECRYPT_FAILED,
    CKR_FUNCTION_CANCELED, CKR_FUNCTION_NOT_PARALLEL, CKR_FUNCTION_NOT_SUPPORTED, CKR_KEY_HANDLE_INVALID,
    CKR_KEY_SIZE_RANGE, CKR_KEY_TYPE_INCONSISTENT, CKR_KEY_NOT_NEEDED, CKR_KEY_CHANGED, CKR_KEY_NEEDED,
    CKR_KEY_INDIGESTIBLE, CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_KEY_NOT_WRAPPABLE, CKR_KEY_UNEXTRACTABLE,
    CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID, CKR_OBJECT_HANDLE_INVALID, CKR_OPERATION_ACTIVE,
    CKR_OPERATION_NOT_INITIALIZED, CKR_PIN_INCORRECT, CKR_PIN_INVALID, CKR_PIN_LEN_RANGE, CKR_PIN_EXPIRED,
    CKR_PIN_LOCKED, CKR_SESSION_CLOSED, CKR_SESSION_COUNT, CKR_SESSION_HANDLE_INVALID,
    CKR_SESSION_PARALLEL_NOT_SUPPORTED, CKR_SESSION_READ_ONLY, CKR_SESSION_EXISTS,
    CKR_SESSION_READ_ONLY_EXISTS, CKR_SESSION_READ_WRITE_SO_EXISTS, CKR_SIGNATURE_INVALID,
    CKR_SIGNATURE_LEN_RANGE, CKR_TEMPLATE_INCOMPLETE, CKR_TEMPLATE_INCONSISTENT, CKR_TOKEN_NOT_PRESENT,
    CKR_TOKEN_NOT_RECOGNIZED, CKR_TOKEN_WRITE_PROTECTED, CKR_UNWRAPPING_KEY_HANDLE_INVALID,
    CKR_UNWRAPPING_KEY_SIZE_RANGE, CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT, CKR_USER_ALREADY_LOGGED_IN,
    CKR_USER_NOT_LOGGED_IN, CKR_USER_PIN_NOT_INITIALIZED, CKR_USER_TYPE_INVALID,
    CKR_USER_ANOTHER_ALREADY_LOGGED_IN, CKR_USER_TOO_MANY_TYPES, CKR_WRAPPED_KEY_INVALID,
    CKR_WRAPPED_KEY_LEN_RANGE, CKR_WRAPPING_KEY_HANDLE_INVALID, CKR_WRAPPING_KEY_SIZE_RANGE,
    CKR_WRAPPING_KEY_TYPE_INCONSISTENT, CKR_RANDOM_SEED_NOT_SUPPORTED, CKR_RANDOM_NO_RNG,
    CKR_DOMAIN_PARAMS_INVALID, CKR_CURVE_NOT_SUPPORTED, CKR_BUFFER_TOO_SMALL, CKR_SAVED_STATE_INVALID,
    CKR_INFORMATION_SENSITIVE, CKR_STATE_UNSAVEABLE, CKR_CRYPTOKI_NOT_INITIALIZED,
    CKR_CRYPTOKI_ALREADY_INITIALIZED, CKR_MUTEX_BAD, CKR_MUTEX_NOT_LOCKED, CKR_NEW_PIN_MODE, CKR_NEXT_OTP,
    CKR_EXCEEDED_MAX_ITERATIONS, CKR_FIPS_SELF_TEST_FAILED, CKR_LIBRARY_LOAD_FAILED, CKR_PIN_TOO_WEAK,
    CKR_PUBLIC_KEY_INVALID, CKR_FUNCTION_REJECTED, CKR_TOKEN_RESOURCE_EXCEEDED, CKR_OPERATION_CANCEL_FAILED,
    CKR_KEY_EXHAUSTED, CKR_PENDING, CKR_SESSION_ASYNC_NOT_SUPPORTED, CKR_SEED_RANDOM_REQUIRED,
    CKR_OPERATION_NOT_VALIDATED, CKR_TOKEN_NOT_INITIALIZED, CKR_PARAMETER_SET_NOT_SUPPORTED, VENDOR, UNKNOWN
};

const VENDOR: CK_RV = 0x8000_0001;
const UNKNOWN: CK_RV = 0x7777;

/// One of each kind that the driver tells apart.
pub(super) const SOME: &[Code] = codes! {
    CKR_GENERAL_ERROR, CKR_ARGUMENTS_BAD, CKR_ATTRIBUTE_SENSITIVE, CKR_DEVICE_MEMORY, CKR_DEVICE_REMOVED,
    CKR_KEY_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID, CKR_MECHANISM_INVALID, CKR_PIN_INCORRECT,
    CKR_SESSION_HANDLE_INVALID, CKR_TOKEN_NOT_PRESENT, CKR_USER_NOT_LOGGED_IN, CKR_CRYPTOKI_NOT_INITIALIZED,
    VENDOR
};

/// Fewer still.
pub(super) const FEW: &[Code] = codes! {
    CKR_GENERAL_ERROR, CKR_DEVICE_REMOVED, CKR_TOKEN_NOT_PRESENT, CKR_CRYPTOKI_NOT_INITIALIZED
};

/// What goes away under a call: it works at the second try, on what was set up anew.
const LOSSES: &[Code] = codes! {
    CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED, CKR_USER_NOT_LOGGED_IN, CKR_TOKEN_NOT_PRESENT,
    CKR_TOKEN_NOT_RECOGNIZED, CKR_DEVICE_REMOVED, CKR_SLOT_ID_INVALID, CKR_CRYPTOKI_NOT_INITIALIZED,
    CKR_KEY_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID, CKR_WRAPPING_KEY_HANDLE_INVALID,
    CKR_UNWRAPPING_KEY_HANDLE_INVALID, CKR_OPERATION_ACTIVE, CKR_OPERATION_NOT_INITIALIZED
};

/// What modules answer to a bad blob and for a sick device: an unwrap that fails so once gives the key.
const DOUBTFUL: &[Code] = codes! {
    CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED, CKR_DEVICE_ERROR, CKR_DATA_INVALID, CKR_DATA_LEN_RANGE,
    CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_AEAD_DECRYPT_FAILED,
    CKR_WRAPPED_KEY_INVALID, CKR_WRAPPED_KEY_LEN_RANGE, CKR_ARGUMENTS_BAD, CKR_MECHANISM_PARAM_INVALID,
    VENDOR, UNKNOWN
};

/// What may be gone a moment later; some modules also cannot name a loss better.
const PASSING: &[Code] = codes! {
    CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED, CKR_DEVICE_ERROR, CKR_DEVICE_MEMORY, CKR_HOST_MEMORY
};

/// Whether this work goes well although one call of this function gives this once.
pub(super) fn is_survived(work: Work, code: Code) -> bool {
    match work {
        Work::ReadAnchor | Work::WriteAnchor => LOSSES.contains(&code),
        Work::Unwrap(_) => LOSSES.contains(&code) || DOUBTFUL.contains(&code),
        Work::Wrap(_) | Work::Sign => LOSSES.contains(&code) || PASSING.contains(&code),
        _ => false,
    }
}

/// Whether the error says what happened: the function, and what it answered.
pub(super) fn says(error: &TokenError, function: &str, code: Code) -> bool {
    match error {
        TokenError::ModuleFailed { function: named, ckr } => named == function && is_named(ckr, code),
        TokenError::ModuleUnusable { reason, .. } => reason.contains(function) && is_named(reason, code),
        TokenError::NoScheme { tried } => {
            tried.iter().any(|line| line.contains(function) && is_named(line, code))
        }
        _ => false,
    }
}

fn is_named(text: &str, (name, number): Code) -> bool {
    text.ends_with(name) || text.ends_with(&format!("{number:#010X}"))
}

/// What else an error may be where it does not repeat the answer, because the answer means more, or because the driver asks
/// on.
pub(super) fn means(error: &TokenError, work: Work, function: &str, (_, code): Code) -> bool {
    match (function, code) {
        ("C_Login", CKR_PIN_INCORRECT | CKR_PIN_INVALID | CKR_PIN_LEN_RANGE) => {
            matches!(error, TokenError::PinIncorrect { .. })
        }
        ("C_Login", CKR_PIN_LOCKED) => matches!(error, TokenError::PinLocked),
        ("C_Login", CKR_PIN_EXPIRED) => matches!(error, TokenError::PinUnavailable { .. }),
        // A module that says so without a login shows no key.
        ("C_Login", CKR_USER_ALREADY_LOGGED_IN) => says(error, "C_GetSessionInfo", NOT_LOGGED_IN),
        // Somebody else has initialised it, says the module, and then that nobody has.
        ("C_Initialize", CKR_CRYPTOKI_ALREADY_INITIALIZED) => says(error, "C_GetSlotList", NOT_INITIALIZED),
        // What cannot say who it is, is not the token that is looked for.
        ("C_GetTokenInfo" | "C_GetSlotInfo", _) => matches!(error, TokenError::TokenAbsent { .. }),
        // A new key without an attribute that was asked for.
        ("C_GetAttributeValue", CKR_ATTRIBUTE_SENSITIVE) => {
            matches!(work, Work::Generate(_) | Work::GenerateSigner)
                && matches!(error, TokenError::Refused { .. })
        }
        ("C_CreateObject", CKR_DEVICE_MEMORY) => {
            work == Work::WriteAnchor && matches!(error, TokenError::TokenFull)
        }
        _ => false,
    }
}

const NOT_LOGGED_IN: Code = ("CKR_USER_NOT_LOGGED_IN", CKR_USER_NOT_LOGGED_IN);
const NOT_INITIALIZED: Code = ("CKR_CRYPTOKI_NOT_INITIALIZED", CKR_CRYPTOKI_NOT_INITIALIZED);
