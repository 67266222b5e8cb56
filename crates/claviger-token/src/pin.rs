//! Where a PIN comes from: a file descriptor, a file, the service manager, or whatever else implements [`PinSource`].
//!
//! A source is asked once per login and never because an earlier answer was wrong. The sources here ask nobody, so they
//! refuse to spend a token's last try: that takes a person's yes.

use crate::TokenError;
use claviger_types::{Pin, SecretBytes};
use serde::{Deserialize, Serialize};
use std::{
    env,
    fs::File,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

/// The longest PIN that a source reads, in bytes; the standard's own limit is the token's.
const MAX_BYTES: usize = 1024;
/// The name of the credential in `$CREDENTIALS_DIRECTORY`.
const CREDENTIAL: &str = "claviger-pin";

/// How many tries the token says are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PinTries {
    /// No wrong PIN since the last right one, as far as the token tells.
    Normal,
    /// At least one wrong PIN (`CKF_USER_PIN_COUNT_LOW`).
    Low,
    /// One more wrong PIN locks it (`CKF_USER_PIN_FINAL_TRY`).
    Final,
    /// It is locked (`CKF_USER_PIN_LOCKED`).
    Locked,
}

/// For which token a PIN is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinPrompt {
    /// Its label.
    pub token_label: String,
    /// Its serial number.
    pub token_serial: String,
    /// The tries that are left.
    pub tries: PinTries,
    /// How many those are, where it tells.
    pub left: Option<u8>,
    /// What its owner calls it.
    pub kind: PinKind,
}

/// What a token's PINs are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PinKind {
    /// The PIN and the SO PIN of PKCS#11.
    Token,
    /// The PIN and the PUK of a PIV card, which may have other PINs besides.
    Piv,
}

/// Gives a PIN when a token has to be logged in.
pub trait PinSource: Send + Sync {
    /// The PIN, or [`TokenError::PinUnavailable`] when this source has none.
    fn pin(&self, prompt: &PinPrompt) -> Result<Pin, TokenError>;
}

/// An open file descriptor of this process (`--pin-fd N`), read once.
#[derive(Debug)]
pub struct PinFd {
    number: u32,
    read: AtomicBool,
}

impl PinFd {
    /// The descriptor with this number.
    pub const fn new(number: u32) -> Self {
        Self { number, read: AtomicBool::new(false) }
    }
}

impl PinSource for PinFd {
    fn pin(&self, prompt: &PinPrompt) -> Result<Pin, TokenError> {
        last_try_needs_a_person(prompt)?;
        let path = PathBuf::from(format!("/dev/fd/{}", self.number));
        if self.read.swap(true, Ordering::SeqCst) {
            return Err(unavailable(format!(
                "the token wants its PIN once more, because a login was lost or its key asks at each use, and file descriptor {} \
                 was read already",
                self.number
            )));
        }
        read(File::open(&path), &path)
    }
}

/// A file that only its owner can read (`pin-source=file:/path`).
#[derive(Debug)]
pub struct PinFile {
    path: PathBuf,
}

impl PinFile {
    /// The file at this path.
    pub const fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

impl PinSource for PinFile {
    fn pin(&self, prompt: &PinPrompt) -> Result<Pin, TokenError> {
        last_try_needs_a_person(prompt)?;
        // Asked of the open file, so that it cannot be exchanged between the question and the reading.
        let file = File::open(&self.path).and_then(|file| {
            let mode = file.metadata()?.permissions().mode();
            Ok((file, mode))
        });
        match file {
            Ok((_, mode)) if mode & 0o077 != 0 => {
                Err(TokenError::PinFileExposed { path: self.path.display().to_string() })
            }
            Ok((file, _)) => read(Ok(file), &self.path),
            Err(error) => read(Err(error), &self.path),
        }
    }
}

/// The credential `claviger-pin` that the service manager passes (systemd's `LoadCredential=`).
#[derive(Debug)]
pub struct PinCredential {
    path: PathBuf,
}

impl PinCredential {
    /// The credential in this directory.
    pub fn in_directory(directory: &Path) -> Self {
        Self { path: directory.join(CREDENTIAL) }
    }

    /// The credential in `$CREDENTIALS_DIRECTORY`, where the service manager set it.
    pub fn from_environment() -> Option<Self> {
        env::var_os("CREDENTIALS_DIRECTORY").map(|directory| Self::in_directory(Path::new(&directory)))
    }
}

impl PinSource for PinCredential {
    fn pin(&self, prompt: &PinPrompt) -> Result<Pin, TokenError> {
        last_try_needs_a_person(prompt)?;
        // Its mode is not judged: the service manager may grant by access list, which shows as group bits.
        read(File::open(&self.path), &self.path)
    }
}

/// Sources asked in turn until one has a PIN.
pub struct PinChain {
    sources: Vec<Box<dyn PinSource>>,
}

impl PinChain {
    /// These sources, in this order.
    pub fn new(sources: Vec<Box<dyn PinSource>>) -> Self {
        Self { sources }
    }
}

impl PinSource for PinChain {
    fn pin(&self, prompt: &PinPrompt) -> Result<Pin, TokenError> {
        let mut reasons = Vec::new();
        for source in &self.sources {
            match source.pin(prompt) {
                Err(TokenError::PinUnavailable { reason }) => reasons.push(reason),
                outcome => return outcome,
            }
        }
        if reasons.is_empty() {
            reasons.push("no source for it was named".to_owned());
        }
        Err(unavailable(reasons.join("; ")))
    }
}

fn last_try_needs_a_person(prompt: &PinPrompt) -> Result<(), TokenError> {
    match prompt.tries {
        PinTries::Normal | PinTries::Low => Ok(()),
        PinTries::Final => Err(unavailable(format!(
            "token `{}` has one try left, which only a person at a terminal may spend",
            prompt.token_label
        ))),
        PinTries::Locked => Err(TokenError::PinLocked),
    }
}

fn read(file: std::io::Result<File>, path: &Path) -> Result<Pin, TokenError> {
    let refuse = |why: &str| unavailable(format!("{}: {why}", path.display()));
    let mut file = file.map_err(|error| refuse(&error.to_string()))?;
    let pin = SecretBytes::read_from(&mut file, MAX_BYTES).map_err(|error| refuse(&error.to_string()))?;
    let mut pin = pin.ok_or_else(|| refuse("longer than any PIN"))?;
    pin.trim_newline();
    if pin.is_empty() { Err(refuse("empty")) } else { Ok(Pin::new(pin)) }
}

fn unavailable(reason: String) -> TokenError {
    TokenError::PinUnavailable { reason }
}

#[cfg(test)]
mod tests;
