//! Whoever sits beside a token: told to touch it, and asked for what only its administrator has.

use crate::{output::text::plain, prompt, report};
use claviger_token::{Attendant, TokenError, TokenName};
use claviger_types::SecretBytes;
use std::{fs::File, sync::OnceLock};

/// The longest management key in digits, and a newline.
const MOST_DIGITS: usize = 128;

/// The person at the terminal, and a file descriptor in their place.
pub(crate) struct Beside {
    fd: Option<u32>,
    key: OnceLock<SecretBytes>,
}

impl Beside {
    /// Where the management key is read from this descriptor, or asked for.
    pub(crate) const fn new(fd: Option<u32>) -> Self {
        Self { fd, key: OnceLock::new() }
    }

    fn read(&self, token: &TokenName) -> Result<SecretBytes, TokenError> {
        let unavailable = |reason: String| TokenError::ManagementKeyUnavailable { reason };
        let Some(fd) = self.fd else {
            if !prompt::possible() {
                return Err(unavailable("there is no terminal to ask at".to_owned()));
            }
            let question = format!("Management key of {} (hexadecimal digits)", plain(&token.label));
            return prompt::secret(&question).map_err(|error| unavailable(error.to_string()));
        };
        let path = format!("/dev/fd/{fd}");
        let failed = |why: &str| unavailable(format!("file descriptor {fd}: {why}"));
        let key = File::open(path).and_then(|mut file| SecretBytes::read_from(&mut file, MOST_DIGITS));
        let key = key.map_err(|error| failed(&error.to_string()))?;
        let mut key = key.ok_or_else(|| failed("longer than any management key"))?;
        key.trim_newline();
        Ok(key)
    }
}

impl Attendant for Beside {
    fn touch(&self, token: &TokenName) {
        report::note(&format!("touch {} when it blinks", token.label));
    }

    /// Asked for once, however many keys are made.
    fn management_key(&self, token: &TokenName) -> Result<SecretBytes, TokenError> {
        if self.key.get().is_none() {
            let _ = self.key.set(self.read(token)?);
        }
        let key = self.key.get().map(|key| SecretBytes::copy_of(key.expose()));
        key.ok_or_else(|| TokenError::ManagementKeyUnavailable { reason: "it was not kept".to_owned() })
    }
}
