//! References: `SERVICE[/NAME]`, the text by which people and programs name a credential.
//!
//! The text is split at the first raw `/`. In a part `/` and `%` are written `%2F` and `%25`, the leading dot of the
//! parts `.` and `..` is `%2E`, and an empty part is a lone `%`. Any `%XX` is read.

use crate::{CredentialName, NameError, ServiceName};
use std::{fmt, str::FromStr};

/// A service, or one credential of it. A service's only credential may be named by the service alone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Reference {
    /// The service.
    pub service: ServiceName,
    /// The credential, where one is named.
    pub name: Option<CredentialName>,
}

/// Why a text is no reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The text is empty.
    #[error("a reference is SERVICE or SERVICE/NAME; an empty name is written `%`")]
    Empty,
    /// A part is empty; the escape for that is a lone `%`.
    #[error("an empty service or credential name is written `%`")]
    EmptyPart,
    /// A `%` without two hexadecimal digits.
    #[error("`%` stands before two hexadecimal digits; write a literal `%` as `%25`")]
    Escape,
    /// The escapes do not spell UTF-8.
    #[error("the escapes do not spell UTF-8 text")]
    NotUtf8,
    /// A part is too long.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl Reference {
    /// Whether `text` is the canonical spelling of this reference: what [`fmt::Display`] would write.
    pub fn is_canonical(&self, text: &str) -> bool {
        self.to_string() == text
    }

    /// The canonical spelling of one part.
    pub fn escape(part: &str) -> String {
        match part {
            "" => "%".to_owned(),
            "." => "%2E".to_owned(),
            ".." => "%2E.".to_owned(),
            _ => part.replace('%', "%25").replace('/', "%2F"),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Self::escape(self.service.as_str()))?;
        match &self.name {
            Some(name) => write!(f, "/{}", Self::escape(name.as_str())),
            None => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let (service, name) = match text.split_once('/') {
            Some((service, name)) => (service, Some(name)),
            None => (text, None),
        };
        Ok(Self {
            service: ServiceName::new(unescape(service)?)?,
            name: name
                .map(|name| Ok::<_, ReferenceError>(CredentialName::new(unescape(name)?)?))
                .transpose()?,
        })
    }
}

fn unescape(part: &str) -> Result<String, ReferenceError> {
    match part {
        "" => return Err(ReferenceError::EmptyPart),
        "%" => return Ok(String::new()),
        _ => {}
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit =
            || rest.next().and_then(|digit| char::from(digit).to_digit(16)).ok_or(ReferenceError::Escape);
        let value = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(value).map_err(|_| ReferenceError::Escape)?);
    }
    String::from_utf8(bytes).map_err(|_| ReferenceError::NotUtf8)
}

#[cfg(test)]
mod tests;
