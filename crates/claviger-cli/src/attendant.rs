//! Whoever sits beside a token: told to touch it, and asked for what only its administrator has.

use crate::{output::text::plain, prompt, report};
use claviger_token::{Attendant, TokenError, TokenName};
use claviger_types::SecretBytes;
use std::{
    collections::BTreeMap,
    fs::File,
    sync::{Mutex, PoisonError},
};

/// The longest management key in digits, and a newline.
const MOST_DIGITS: usize = 128;

/// The person at the terminal, and a file descriptor in their place.
pub(crate) struct Beside {
    fd: Option<u32>,
    /// By the serial numbers of the tokens whose they are.
    keys: Mutex<BTreeMap<String, SecretBytes>>,
}

impl Beside {
    /// Where the management key is read from this descriptor, or asked for.
    pub(crate) const fn new(fd: Option<u32>) -> Self {
        Self { fd, keys: Mutex::new(BTreeMap::new()) }
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

    /// Asked for once of each token, however many keys are made.
    fn management_key(&self, token: &TokenName) -> Result<SecretBytes, TokenError> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.get(&token.serial) {
            return Ok(SecretBytes::copy_of(key.expose()));
        }
        // One key was given: it is the first token's that asked.
        if let (Some(fd), Some((serial, _))) = (self.fd, keys.first_key_value()) {
            let reason = format!(
                "the one of file descriptor {fd} is that of the token with serial {}, and is not tried on {}",
                plain(serial),
                plain(&token.label)
            );
            return Err(TokenError::ManagementKeyUnavailable { reason });
        }
        let key = self.read(token)?;
        keys.insert(token.serial.clone(), SecretBytes::copy_of(key.expose()));
        Ok(key)
    }

    fn stayed(&self, token: &TokenName, slot: &str) {
        report::warning(&format!(
            "the key that was made in slot {} of {} stayed there: it opens nothing, and takes up the slot",
            plain(slot),
            plain(&token.label)
        ));
    }
}
