//! What can go wrong in the program itself, and the class of every error.

use crate::output::json::FieldsError;
use claviger_gate::{ApiError, ErrorClass};
use claviger_legacy::LegacyError;
use claviger_store::StoreError;
use claviger_token::TokenError;
use claviger_types::Kind;
use claviger_vault::VaultError;
use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CliError {
    /// Neither the variable nor HOME says where a file belongs.
    #[error("neither {variable} nor HOME is set, so there is no place for claviger's files")]
    NoHome {
        /// The XDG variable that would do.
        variable: &'static str,
    },
    /// There is no configuration.
    #[error("there is no configuration at {}", path.display())]
    ConfigMissing {
        /// Where it was looked for last.
        path: PathBuf,
    },
    /// There is one already.
    #[error("there is a configuration at {} already", path.display())]
    ConfigExists {
        /// Where.
        path: PathBuf,
    },
    /// Someone else may change the configuration.
    #[error("{} {problem}", path.display())]
    ConfigExposed {
        /// The file or its directory.
        path: PathBuf,
        /// What is wrong with it, as the end of a sentence.
        problem: String,
        /// The command that mends it.
        mend: String,
    },
    /// The configuration makes no sense.
    #[error("the configuration {}{} is not valid: {problem}", path.display(), line_text(*line))]
    ConfigInvalid {
        /// The file.
        path: PathBuf,
        /// The line, from 1, where that is known.
        line: Option<usize>,
        /// What is wrong.
        problem: String,
    },
    /// A file cannot be used.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried: `read`, `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Standard input, output or the terminal failed.
    #[error("cannot {action}")]
    Stream {
        /// What was tried: `read standard input`.
        action: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The words given make no sense together.
    #[error("{problem}")]
    Usage {
        /// What is wrong.
        problem: String,
        /// What to do instead.
        help: String,
    },
    /// What was given does not spell the fields of this kind.
    #[error("that is no credential of the kind {kind}")]
    Fields {
        /// The kind.
        kind: Kind,
        /// Why not; never what was given.
        #[source]
        source: FieldsError,
    },
    /// The credential has no such field.
    #[error("the credential has no field `{field}`")]
    NoField {
        /// The field.
        field: String,
        /// The fields that it has.
        present: Vec<String>,
    },
    /// Somebody must be asked, and there is no terminal.
    #[error("{question} cannot be asked without a terminal")]
    NoTerminal {
        /// What would be asked.
        question: &'static str,
        /// What to give instead.
        instead: &'static str,
        /// Whether it is a PIN that is missing.
        pin: bool,
    },
    /// Whoever was asked said no.
    #[error("stopped: {what}")]
    Declined {
        /// What was not confirmed.
        what: &'static str,
    },
    /// The vault is damaged; the report has been printed.
    #[error("{count} damaged or missing object{} in the vault", plural(*count))]
    DamageFound {
        /// How many objects.
        count: usize,
    },
    /// The vault was rolled back; the report has been printed.
    #[error("the vault was rolled back: {what}")]
    RollbackFound {
        /// How that shows.
        what: String,
    },
    /// Imported credentials differ from what the vault has; they have been listed.
    #[error("{count} credential{} the vault has with another value; nothing was changed", differ(*count))]
    ImportDiffers {
        /// How many.
        count: usize,
    },
    /// The old file holds nothing to import.
    #[error("{} {what}: there are no credentials in it, the old program never wrote any", path.display())]
    NothingToImport {
        /// The file.
        path: PathBuf,
        /// `does not exist` or `is empty`.
        what: &'static str,
    },
    /// The old file could not be read.
    #[error("{} cannot be imported; nothing was changed", path.display())]
    Legacy {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: LegacyError,
    },
    /// There is something where the new store should be.
    #[error("there is something at {} already", location.display())]
    StoreExists {
        /// Where.
        location: PathBuf,
    },
    /// Somebody else fills the new store.
    #[error("another command makes or restores a vault at {url}")]
    StoreBusy {
        /// Where.
        url: String,
    },
    /// The token under which the vault should be made is not there.
    #[error("{absent}")]
    NoTokenYet {
        /// Which.
        absent: TokenError,
        /// The label it should have.
        label: Option<String>,
    },
    /// No YubiKey is there, or not the one that is meant.
    #[error("{}", no_yubikey(*serial, present))]
    NoYubiKey {
        /// Which is meant.
        serial: Option<u32>,
        /// The serial numbers of those that are there.
        present: Vec<String>,
    },
    /// No token is still to be made, and none was named.
    #[error("no token is waiting to be made{}", there_are(present))]
    NoneToMake {
        /// The tokens that are there.
        present: Vec<String>,
    },
    /// More than one is.
    #[error("more than one token may be meant: {}", choices.join(", "))]
    SeveralToMake {
        /// Which.
        choices: Vec<String>,
    },
    /// A token that was never initialised has an SO PIN already.
    #[error("the token refuses this SO PIN: it has one already, which its maker gave it")]
    MakersSoPin {
        /// How it was refused.
        #[source]
        source: TokenError,
    },
    /// What is to be the security officer's new PIN cannot be; the present one was not spent or has been right.
    #[error("the new {what} cannot be set: {reason}")]
    NewSoPinRefused {
        /// What it is called.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// No token of this host opens the vault: what became of the first, and of the others.
    #[error("{first}")]
    NoneOpens {
        /// The first one's trouble.
        first: ApiError,
        /// The others'.
        #[source]
        others: Box<Missed>,
    },
    /// A check of `doctor` failed; all of them have been printed.
    #[error("{failed} of {all} checks failed")]
    ChecksFailed {
        /// How many failed.
        failed: usize,
        /// How many there were.
        all: usize,
        /// The class of the first failure.
        class: ErrorClass,
    },
    /// A call was refused or failed.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// A token that could not be had, and those that were tried after it.
#[derive(Debug)]
pub(crate) struct Missed {
    /// Which.
    pub(crate) uri: String,
    /// Why not.
    pub(crate) error: ApiError,
    /// The next one.
    next: Option<Box<Self>>,
}

impl Missed {
    pub(crate) const fn new(uri: String, error: ApiError) -> Self {
        Self { uri, error, next: None }
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.error.to_string();
        let error = error.lines().next().unwrap_or_default();
        // Some errors name it themselves.
        if error.contains(&self.uri) { f.write_str(error) } else { write!(f, "`{}`: {error}", self.uri) }
    }
}

impl std::error::Error for Missed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.next.as_deref().map(|next| next as _)
    }
}

fn line_text(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(", line {line},"))
}

fn there_are(present: &[String]) -> String {
    if present.is_empty() { String::new() } else { format!("; there are: {}", present.join(", ")) }
}

fn no_yubikey(serial: Option<u32>, present: &[String]) -> String {
    match serial {
        Some(serial) => format!("YubiKey {serial} is not plugged in{}", there_are(present)),
        None => "no YubiKey is plugged in".to_owned(),
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn differ(count: usize) -> &'static str {
    if count == 1 { " is one that" } else { "s are ones that" }
}

impl CliError {
    /// A file that cannot be used.
    pub(crate) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { action, path: path.to_owned(), source }
    }

    /// Words that make no sense, and what to do instead.
    pub(crate) fn usage(problem: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Usage { problem: problem.into(), help: help.into() }
    }

    /// What became of every token that was tried; nothing where none was.
    pub(crate) fn none_opens(missed: Vec<Missed>) -> Option<Self> {
        let mut missed = missed.into_iter();
        let first = missed.next()?.error;
        let others = missed.rev().reduce(|next, this| Missed { next: Some(Box::new(next)), ..this });
        Some(match others {
            Some(others) => Self::NoneOpens { first, others: Box::new(others) },
            None => first.into(),
        })
    }

    /// What the caller can do; becomes the exit code.
    pub(crate) const fn class(&self) -> ErrorClass {
        match self {
            Self::NoHome { .. }
            | Self::ConfigMissing { .. }
            | Self::ConfigExposed { .. }
            | Self::ConfigInvalid { .. }
            | Self::File { .. }
            | Self::Stream { .. }
            | Self::Declined { .. } => ErrorClass::Other,
            Self::Usage { .. }
            | Self::Fields { .. }
            | Self::SeveralToMake { .. }
            | Self::NoTerminal { pin: false, .. } => ErrorClass::Usage,
            Self::NoTerminal { pin: true, .. } | Self::MakersSoPin { .. } | Self::NewSoPinRefused { .. } => {
                ErrorClass::Locked
            }
            Self::NothingToImport { .. } | Self::NoField { .. } => ErrorClass::NotFound,
            Self::ConfigExists { .. }
            | Self::StoreExists { .. }
            | Self::StoreBusy { .. }
            | Self::ImportDiffers { .. } => ErrorClass::Conflict,
            Self::DamageFound { .. } => ErrorClass::Damaged,
            Self::RollbackFound { .. } => ErrorClass::RolledBack,
            Self::ChecksFailed { class, .. } => *class,
            Self::Legacy { source, .. } => match source {
                LegacyError::Key(_) | LegacyError::TooLarge | LegacyError::Name { .. } => ErrorClass::Usage,
                _ => ErrorClass::Damaged,
            },
            Self::NoTokenYet { .. } | Self::NoYubiKey { .. } | Self::NoneToMake { .. } => {
                ErrorClass::TokenAbsent
            }
            Self::NoneOpens { first: error, .. } | Self::Api(error) => error.class(),
        }
    }
}

impl From<VaultError> for CliError {
    fn from(error: VaultError) -> Self {
        Self::Api(error.into())
    }
}

impl From<TokenError> for CliError {
    fn from(error: TokenError) -> Self {
        VaultError::from(error).into()
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        VaultError::from(error).into()
    }
}

impl From<claviger_types::EntropyError> for CliError {
    fn from(error: claviger_types::EntropyError) -> Self {
        VaultError::from(error).into()
    }
}
