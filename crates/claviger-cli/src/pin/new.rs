//! PINs that an administrator gives: new ones, asked for twice, and the security officer's.

use super::{Person, name, unavailable};
use crate::prompt;
use claviger_token::{PinFd, PinOwner, PinPrompt, PinSource, PinTries, TokenError};
use claviger_types::{Pin, SecretBytes};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A PIN that is asked for once, however often it is needed; and once more where only its last try is left meanwhile.
pub(crate) struct Once {
    source: Box<dyn PinSource>,
    // And what whoever gave it was told of its tries.
    given: Mutex<Option<(PinTries, Pin)>>,
}

impl Once {
    fn new(source: impl PinSource + 'static) -> Self {
        Self { source: Box::new(source), given: Mutex::new(None) }
    }

    /// Whether this is that PIN; no, where it was not asked for.
    pub(crate) fn is(&self, other: &Pin) -> bool {
        self.given().as_ref().is_some_and(|(_, pin)| {
            SecretBytes::copy_of(pin.expose()).same_as(&SecretBytes::copy_of(other.expose()))
        })
    }

    fn given(&self) -> MutexGuard<'_, Option<(PinTries, Pin)>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PinSource for Once {
    fn pin(&self, prompt: &PinPrompt) -> Result<Pin, TokenError> {
        let mut given = self.given();
        let (told, pin) = match given.take() {
            Some((told, pin)) if told == PinTries::Final || prompt.tries != PinTries::Final => (told, pin),
            // The last try is spent by a person's yes alone, which was not given with the others'.
            _ => (prompt.tries, self.source.pin(prompt)?),
        };
        let copy = SecretBytes::copy_of(pin.expose());
        *given = Some((told, pin));
        Ok(Pin::new(copy))
    }
}

/// The security officer's PIN as it is now.
pub(crate) fn so_pin(fd: Option<u32>) -> Once {
    match fd {
        Some(fd) => Once::new(PinFd::new(fd)),
        None => Once::new(Person(PinOwner::SecurityOfficer)),
    }
}

/// A PIN that is to be set. `lengths` is how long it may be, in words.
pub(crate) fn new_pin(fd: Option<u32>, whose: PinOwner, lengths: String) -> Once {
    match fd {
        Some(fd) => Once::new(PinFd::new(fd)),
        None => Once::new(Inventor { whose, lengths }),
    }
}

/// Whoever sits at the terminal and thinks of a PIN.
struct Inventor {
    whose: PinOwner,
    lengths: String,
}

impl PinSource for Inventor {
    fn pin(&self, token: &PinPrompt) -> Result<Pin, TokenError> {
        if !prompt::possible() {
            return Err(unavailable("there is no terminal to ask at"));
        }
        let failed = |error: crate::error::CliError| unavailable(&error.to_string());
        let what = format!("new {} ({})", name(self.whose, token.kind), self.lengths);
        let first = prompt::secret(&what).map_err(failed)?;
        if first.is_empty() {
            return Err(unavailable("it is empty"));
        }
        if first.same_as(&prompt::secret("the same again").map_err(failed)?) {
            return Ok(Pin::new(first));
        }
        Err(unavailable("the two answers differ; nothing was changed"))
    }
}
