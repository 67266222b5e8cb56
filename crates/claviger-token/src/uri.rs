//! PKCS#11 URIs (RFC 7512): how a token, and a key on it, is named in configuration and on the command line.
//!
//! Never by slot number, which changes when a reader is plugged in elsewhere: `slot-id` is refused. So is `pin-value`,
//! because a configuration file and a command line are no places for a PIN. An unknown attribute of the path matches
//! nothing (RFC 7512, section 2.5) and is therefore an error; one of the query is kept and ignored.

use crate::TokenError;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

const SCHEME: &str = "pkcs11:";

/// What RFC 7512 lets stand unescaped in a path (`pk11-path-res-avail`) is everything but these.
const ESCAPED_IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b';')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
/// The same for a query: `/`, `?` and `|` may stand, `&` may not.
const ESCAPED_IN_QUERY: &AsciiSet = &ESCAPED_IN_PATH.remove(b'/').remove(b'?').remove(b'|').add(b'&');

/// A PKCS#11 URI. Every attribute that is absent matches everything.
///
/// [`fmt::Display`] writes the attributes in a fixed order with the least escaping that the standard allows; parsing that
/// text gives the same value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Uri {
    /// The token's label.
    pub token: Option<String>,
    /// The token's manufacturer.
    pub manufacturer: Option<String>,
    /// The token's model.
    pub model: Option<String>,
    /// The token's serial number.
    pub serial: Option<String>,
    /// The slot's description.
    pub slot_description: Option<String>,
    /// The slot's manufacturer.
    pub slot_manufacturer: Option<String>,
    /// The library's manufacturer.
    pub library_manufacturer: Option<String>,
    /// The library's description.
    pub library_description: Option<String>,
    /// The library's version, `major[.minor]`.
    pub library_version: Option<String>,
    /// The object's label (`CKA_LABEL`).
    pub object: Option<String>,
    /// The object's class: `cert`, `data`, `private`, `public` or `secret-key`.
    pub object_type: Option<String>,
    /// The object's id (`CKA_ID`), any bytes.
    pub id: Option<Vec<u8>>,
    /// The module's path. Only a URI from local configuration may have a say in what code is loaded.
    pub module_path: Option<PathBuf>,
    /// The module's name without path and suffix.
    pub module_name: Option<String>,
    /// The file that holds the PIN, from `pin-source=file:...`.
    pub pin_file: Option<PathBuf>,
    /// Attributes of the query that this program does not know, in their order, unescaped.
    pub other: Vec<(String, String)>,
}

type Field = (&'static str, fn(&Uri) -> &Option<String>, fn(&mut Uri) -> &mut Option<String>);

macro_rules! field {
    ($name:literal, $field:ident) => {
        ($name, |uri| &uri.$field, |uri| &mut uri.$field)
    };
}

/// The path's attributes that are text, in the order in which they are written.
const PATH: [Field; 11] = [
    field!("library-manufacturer", library_manufacturer),
    field!("library-description", library_description),
    field!("library-version", library_version),
    field!("slot-manufacturer", slot_manufacturer),
    field!("slot-description", slot_description),
    field!("model", model),
    field!("manufacturer", manufacturer),
    field!("serial", serial),
    field!("token", token),
    field!("object", object),
    field!("type", object_type),
];

const TYPES: [&str; 5] = ["cert", "data", "private", "public", "secret-key"];

impl Uri {
    /// The same URI without what names a key or a PIN: what stands for the token alone.
    #[must_use]
    pub fn of_token(&self) -> Self {
        Self { object: None, object_type: None, id: None, pin_file: None, ..self.clone() }
    }

    fn set(&mut self, in_query: bool, name: &str, value: &str) -> Result<(), &'static str> {
        if !in_query {
            if name == "id" {
                let bytes = unescape(value)?;
                return once(&mut self.id, bytes);
            }
            let Some((_, _, field)) = PATH.iter().find(|(known, ..)| *known == name) else {
                return Err(match name {
                    "slot-id" => "slot-id is refused: slot numbers change; use token= or serial=",
                    _ => "its path has an attribute that is not known here, which can match nothing",
                });
            };
            let value = text(value)?;
            if name == "type" && !TYPES.contains(&value.as_str()) {
                return Err("type= is one of cert, data, private, public, secret-key");
            }
            return once(field(self), value);
        }
        match name {
            "module-path" => once(&mut self.module_path, PathBuf::from(text(value)?)),
            "module-name" => once(&mut self.module_name, text(value)?),
            "pin-source" => once(&mut self.pin_file, pin_file(&text(value)?)?),
            "pin-value" => {
                Err("pin-value is refused: a PIN does not belong in a URI; use pin-source=file:/path")
            }
            _ => {
                self.other.push((name.to_owned(), text(value)?));
                Ok(())
            }
        }
    }

    fn parse(uri: &str) -> Result<Self, &'static str> {
        let rest = match uri.split_at_checked(SCHEME.len()) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) => rest,
            _ => return Err("it does not begin with `pkcs11:`"),
        };
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let mut parsed = Self::default();
        for (in_query, part) in [(false, Some(path)), (true, query)] {
            let Some(part) = part.filter(|part| !part.is_empty()) else { continue };
            let (separator, allowed) =
                if in_query { ('&', ESCAPED_IN_QUERY) } else { (';', ESCAPED_IN_PATH) };
            for attribute in part.split(separator) {
                let (name, value) = attribute.split_once('=').ok_or("an attribute is written name=value")?;
                if name.is_empty()
                    || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                {
                    return Err("an attribute's name is letters, digits, `-` and `_`");
                }
                // What must be escaped and is not would read differently elsewhere.
                if utf8_percent_encode(value, allowed).any(|piece| piece.starts_with('%') && piece != "%25") {
                    return Err("a character in it must be written as %XX");
                }
                parsed.set(in_query, name, value)?;
            }
        }
        Ok(parsed)
    }
}

impl FromStr for Uri {
    type Err = TokenError;

    fn from_str(uri: &str) -> Result<Self, TokenError> {
        Self::parse(uri)
            .map_err(|reason| TokenError::Uri { uri: without_pin(uri), reason: reason.to_owned() })
    }
}

impl TryFrom<String> for Uri {
    type Error = TokenError;

    fn try_from(uri: String) -> Result<Self, TokenError> {
        uri.parse()
    }
}

impl From<Uri> for String {
    fn from(uri: Uri) -> Self {
        uri.to_string()
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCHEME)?;
        let mut separator = "";
        for (name, field, _) in PATH {
            if let Some(value) = field(self) {
                write!(f, "{separator}{name}={}", utf8_percent_encode(value, ESCAPED_IN_PATH))?;
                separator = ";";
            }
        }
        if let Some(id) = &self.id {
            write!(f, "{separator}id=")?;
            // RFC 7512, section 2.3: the whole value of id should be escaped.
            id.iter().try_for_each(|byte| write!(f, "%{byte:02X}"))?;
        }
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let known = [
            ("pin-source", self.pin_file.as_deref().map(|file| format!("file:{}", path(file)))),
            ("module-name", self.module_name.clone()),
            ("module-path", self.module_path.as_deref().map(path)),
        ];
        let known = known.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
        let other = self.other.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        separator = "?";
        for (name, value) in known.chain(other) {
            write!(f, "{separator}{name}={}", utf8_percent_encode(value, ESCAPED_IN_QUERY))?;
            separator = "&";
        }
        Ok(())
    }
}

/// `text` with the value of every `pin-value` replaced, for error messages.
fn without_pin(text: &str) -> String {
    let mut rest = text;
    let mut shown = String::with_capacity(text.len());
    while let Some((before, after)) = rest.split_once("pin-value=") {
        shown.push_str(before);
        shown.push_str("pin-value=...");
        rest = after.find(['&', ';']).and_then(|end| after.get(end..)).unwrap_or_default();
    }
    shown + rest
}

fn once<T>(field: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err("an attribute stands in it twice"),
    }
}

fn unescape(value: &str) -> Result<Vec<u8>, &'static str> {
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' && !(0..2).all(|_| bytes.next().is_some_and(|digit| digit.is_ascii_hexdigit())) {
            return Err("`%` stands before two hexadecimal digits");
        }
    }
    Ok(percent_decode_str(value).collect())
}

fn text(value: &str) -> Result<String, &'static str> {
    String::from_utf8(unescape(value)?).map_err(|_| "the escapes do not spell UTF-8 text")
}

/// The path in `file:/path` or `file:///path`.
fn pin_file(source: &str) -> Result<PathBuf, &'static str> {
    const KINDS: &str = "pin-source= is file: and an absolute path; commands and other kinds are refused";
    let path = source.strip_prefix("file:").ok_or(KINDS)?;
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.starts_with('/') { Ok(PathBuf::from(path)) } else { Err(KINDS) }
}

#[cfg(test)]
mod tests;
