//! One failed call into a module, and what its return value means for the caller.

use crate::TokenError;
use cryptoki::error::{Error, RvError};

/// A C function that did not return `CKR_OK`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    pub(super) function: &'static str,
    pub(super) rv: RvError,
}

impl Fault {
    /// What `cryptoki` reported about a call of this function.
    pub(super) fn of(function: &'static str, error: &Error) -> Self {
        let rv = match error {
            Error::Pkcs11(rv, _) => *rv,
            Error::NullFunctionPointer | Error::NotSupported => RvError::FunctionNotSupported,
            // The rest are answers that make no sense, such as a length that fits no integer.
            _ => RvError::GeneralError,
        };
        Self { function, rv }
    }

    /// Whether the session, the login, the key's handle, the token or the whole module went away under the call, so that it
    /// may work once these are set up anew.
    pub(super) const fn is_loss(&self) -> bool {
        matches!(
            self.rv,
            RvError::SessionHandleInvalid
                | RvError::SessionClosed
                | RvError::UserNotLoggedIn
                | RvError::TokenNotPresent
                | RvError::TokenNotRecognized
                | RvError::DeviceRemoved
                | RvError::SlotIdInvalid
                | RvError::CryptokiNotInitialized
                | RvError::KeyHandleInvalid
                | RvError::ObjectHandleInvalid
                | RvError::WrappingKeyHandleInvalid
                | RvError::UnwrappingKeyHandleInvalid
                | RvError::OperationActive
                | RvError::OperationNotInitialized
        )
    }

    /// Whether the call's session does not exist. The driver closes none that it uses, so then none of its sessions does,
    /// and their numbers may be given to somebody else's.
    pub(super) const fn is_loss_of_sessions(&self) -> bool {
        matches!(
            self.rv,
            RvError::SessionHandleInvalid | RvError::SessionClosed | RvError::CryptokiNotInitialized
        )
    }

    /// Whether a module may answer so, on unwrap, when the wrapped key is bad; several do when the device is sick.
    pub(super) const fn may_be_bad_blob(&self) -> bool {
        matches!(
            self.rv,
            RvError::GeneralError
                | RvError::FunctionFailed
                | RvError::DeviceError
                | RvError::DataInvalid
                | RvError::DataLenRange
                | RvError::EncryptedDataInvalid
                | RvError::EncryptedDataLenRange
                | RvError::WrappedKeyInvalid
                | RvError::WrappedKeyLenRange
                | RvError::ArgumentsBad
                | RvError::MechanismParamInvalid
                | RvError::PublicKeyInvalid
                | RvError::VendorDefined(_)
                | RvError::UnknownErrorCode(_)
        )
    }

    /// Whether a moment later it may work: another process writes the token, or the module just starts.
    pub(super) const fn may_pass(&self) -> bool {
        matches!(
            self.rv,
            RvError::GeneralError
                | RvError::FunctionFailed
                | RvError::DeviceError
                | RvError::DeviceMemory
                | RvError::HostMemory
                | RvError::TokenNotRecognized
        )
    }
}

impl From<Fault> for TokenError {
    fn from(fault: Fault) -> Self {
        Self::ModuleFailed { function: fault.function.into(), ckr: name(fault.rv) }
    }
}

/// How calls that belong together failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// One of them did.
    Call(Fault),
    /// All calls went well, but the result does not verify.
    Unverified,
    /// The token could not be reached, or something else than a call did.
    Token(TokenError),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Call(fault)
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl From<Failure> for TokenError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Call(fault) => fault.into(),
            Failure::Unverified => Self::CorruptWrappedKey,
            Failure::Token(error) => error,
        }
    }
}

/// tpm2-pkcs11 1.9 numbers objects by how many there are, so after one was destroyed the next that is made has the number
/// of another. What is done by such a number is done to the elder: nothing is destroyed, and no key used, whose name was not
/// read just before.
pub(super) fn two_objects() -> TokenError {
    TokenError::ModuleFailed { function: "C_FindObjects".into(), ckr: TWO_OBJECTS.to_owned() }
}

/// Whether it is that.
pub(super) fn is_two_objects(error: &TokenError) -> bool {
    matches!(error, TokenError::ModuleFailed { ckr, .. } if ckr == TWO_OBJECTS)
}

const TWO_OBJECTS: &str = "CKR_OK, but two objects have one handle";

/// The return value as the standard writes it, such as `CKR_GENERAL_ERROR`; a vendor's as a number.
pub(super) fn name(rv: RvError) -> String {
    match rv {
        RvError::VendorDefined(code) | RvError::UnknownErrorCode(code) => format!("{code:#010X}"),
        known => {
            let mut name = "CKR".to_owned();
            for letter in format!("{known:?}").chars() {
                if letter.is_ascii_uppercase() {
                    name.push('_');
                }
                name.push(letter.to_ascii_uppercase());
            }
            name
        }
    }
}

#[cfg(test)]
mod tests;
