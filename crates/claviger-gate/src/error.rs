//! Why a call was refused or failed, and the class that becomes a program's exit code.

use claviger_audit::AuditError;
use claviger_store::StoreError;
use claviger_token::TokenError;
use claviger_vault::VaultError;

/// What a caller can do about an error; each has its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorClass {
    /// Something else went wrong.
    Other,
    /// The request makes no sense.
    Usage,
    /// No such thing.
    NotFound,
    /// The policy does not allow it.
    Denied,
    /// The token is locked, or the PIN wrong or missing.
    Locked,
    /// The token, its module or its key is not there.
    TokenAbsent,
    /// The vault is damaged or was tampered with.
    Damaged,
    /// The vault was rolled back.
    RolledBack,
    /// Another writer was there first.
    Conflict,
    /// The store cannot be reached, or refused.
    StoreUnreachable,
    /// The audit log cannot be written.
    AuditUnavailable,
}

impl ErrorClass {
    /// The word for it, in JSON and in the audit log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Usage => "usage",
            Self::NotFound => "not found",
            Self::Denied => "denied",
            Self::Locked => "locked",
            Self::TokenAbsent => "token absent",
            Self::Damaged => "damaged",
            Self::RolledBack => "rolled back",
            Self::Conflict => "conflict",
            Self::StoreUnreachable => "store unreachable",
            Self::AuditUnavailable => "audit unavailable",
        }
    }

    /// The exit code.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Other => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Denied => 4,
            Self::Locked => 5,
            Self::TokenAbsent => 6,
            Self::Damaged => 7,
            Self::RolledBack => 8,
            Self::Conflict => 9,
            Self::StoreUnreachable => 10,
            Self::AuditUnavailable => 11,
        }
    }
}

/// Why a call was refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The policy does not allow it.
    #[error("the policy does not allow {principal} to {action} {resource}")]
    Denied {
        /// Who asked.
        principal: String,
        /// For what.
        action: String,
        /// On what.
        resource: String,
    },
    /// The record of the call cannot be written, so the call is refused.
    #[error("the audit log cannot be written, so nothing is answered")]
    Audit(#[source] AuditError),
    /// The audit log cannot be read.
    #[error(transparent)]
    AuditUnreadable(AuditError),
    /// The vault refused or failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl ApiError {
    /// The class of this error.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Denied { .. } => ErrorClass::Denied,
            Self::AuditUnreadable(AuditError::Damaged { .. } | AuditError::Key) => ErrorClass::Damaged,
            Self::Audit(_) | Self::AuditUnreadable(_) => ErrorClass::AuditUnavailable,
            Self::Vault(error) => class_of_vault(error),
        }
    }
}

/// The class of a vault's error.
const fn class_of_vault(error: &VaultError) -> ErrorClass {
    match error {
        VaultError::NotFound { .. } => ErrorClass::NotFound,
        VaultError::NameNeeded { .. } | VaultError::Invalid { .. } => ErrorClass::Usage,
        VaultError::CasMismatch { .. }
        | VaultError::Contended
        | VaultError::WorkUnderWay { .. }
        | VaultError::VaultExists => ErrorClass::Conflict,
        VaultError::WrongAnswer { .. } => ErrorClass::Denied,
        VaultError::Unwritable { .. } => ErrorClass::TokenAbsent,
        VaultError::ForeignVault { .. }
        | VaultError::ForeignFingerprint { .. }
        | VaultError::NotARecipient
        | VaultError::NoVault
        | VaultError::Root { .. }
        | VaultError::Damaged { .. }
        | VaultError::Object { .. }
        | VaultError::Envelope(_) => ErrorClass::Damaged,
        VaultError::RolledBack { .. } => ErrorClass::RolledBack,
        VaultError::Token(error) => class_of_token(error),
        VaultError::Store(error) => class_of_store(error),
        _ => ErrorClass::Other,
    }
}

/// The class of a token's error.
const fn class_of_token(error: &TokenError) -> ErrorClass {
    match error {
        TokenError::PinIncorrect { .. }
        | TokenError::PinLocked
        | TokenError::PinUnavailable { .. }
        | TokenError::PinFileExposed { .. }
        | TokenError::SoPinIncorrect { .. }
        | TokenError::SoPinLocked
        | TokenError::SoPinUnavailable { .. }
        | TokenError::NewPinRefused { .. }
        | TokenError::PukIncorrect { .. }
        | TokenError::PukLocked
        | TokenError::PinInDoubt { .. }
        | TokenError::ManagementKeyIncorrect
        | TokenError::ManagementKeyUnavailable { .. } => ErrorClass::Locked,
        TokenError::TokenAbsent { .. }
        | TokenError::KeyMissing { .. }
        | TokenError::ModuleUnusable { .. }
        | TokenError::CardServiceDown
        | TokenError::CardServiceDenied
        | TokenError::CardHeld { .. } => ErrorClass::TokenAbsent,
        TokenError::AmbiguousUri { .. } | TokenError::Uri { .. } | TokenError::LabelUnusable { .. } => {
            ErrorClass::Usage
        }
        TokenError::AlreadyInitialised { .. }
        | TokenError::KeysOnToken { .. }
        | TokenError::TokenBusy
        | TokenError::SlotOccupied { .. } => ErrorClass::Conflict,
        TokenError::CorruptWrappedKey => ErrorClass::Damaged,
        _ => ErrorClass::Other,
    }
}

/// The class of a store's error.
const fn class_of_store(error: &StoreError) -> ErrorClass {
    match error {
        StoreError::Absent { .. }
        | StoreError::Exposed { .. }
        | StoreError::Unreachable { .. }
        | StoreError::Ambiguous { .. } => ErrorClass::StoreUnreachable,
        StoreError::Exists { .. } => ErrorClass::Conflict,
        StoreError::Damaged { .. } => ErrorClass::Damaged,
        StoreError::Url { .. } => ErrorClass::Usage,
        _ => ErrorClass::Other,
    }
}
