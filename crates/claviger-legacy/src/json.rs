//! The plaintext: `{"api_keys": {service: string}, "oauth_tokens": {service: object}}`, either part missing or not.
//!
//! Members of OAuth objects keep the text that they had, to the letter: a number that is read and printed again may be
//! another number.

use crate::{API_KEY, LegacyEntry, LegacyError, OAUTH_TOKEN};
use claviger_types::{CredentialName, FieldValue, Fields, Kind, SecretBytes, ServiceName, Value};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::fmt;
use zeroize::Zeroizing;

/// An object's members in order; the same name twice is refused, since one of the two would be lost.
struct Members<'a>(Vec<(Zeroizing<String>, &'a RawValue)>);

const TWICE: &str = "a name stands there twice";

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                let mut names = std::collections::HashSet::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(TWICE));
                    }
                    members.push((Zeroizing::new(name), value));
                }
                Ok(Members(members))
            }
        }

        from.deserialize_map(Collect)
    }
}

/// Every entry, in order.
pub fn entries(plain: &[u8]) -> Result<Vec<LegacyEntry>, LegacyError> {
    let text = std::str::from_utf8(plain).map_err(|_| shape("the contents", "they are not UTF-8 text"))?;
    let whole: &RawValue = serde_json::from_str(text)
        .map_err(|error| LegacyError::NotJson { line: error.line(), column: error.column() })?;
    let mut entries = Vec::new();
    for (part, value) in members(whole, "the outermost value")? {
        match part.as_str() {
            "api_keys" => {
                for (service, value) in members(value, "`api_keys`")? {
                    entries.push(api_key(&service, value)?);
                }
            }
            "oauth_tokens" => {
                for (service, value) in members(value, "`oauth_tokens`")? {
                    entries.push(oauth_token(&service, value)?);
                }
            }
            _ => {
                return Err(shape(
                    &format!("the member `{}`", part.as_str()),
                    "there are only api_keys and oauth_tokens",
                ));
            }
        }
    }
    Ok(entries)
}

fn members<'a>(
    value: &'a RawValue,
    place: &str,
) -> Result<Vec<(Zeroizing<String>, &'a RawValue)>, LegacyError> {
    serde_json::from_str::<Members<'a>>(value.get()).map(|members| members.0).map_err(|error| {
        let twice = error.to_string().starts_with(TWICE);
        shape(place, if twice { TWICE } else { "it is not an object" })
    })
}

fn api_key(service: &str, value: &RawValue) -> Result<LegacyEntry, LegacyError> {
    let place = || format!("the API key of `{}`", service.escape_debug());
    let text: Zeroizing<String> = serde_json::from_str(value.get())
        .map(Zeroizing::new)
        .map_err(|_| shape(&place(), "it is not a string"))?;
    let value = Value::single(Kind::ApiKey, SecretBytes::copy_of(text.as_bytes()));
    entry(service, API_KEY, value)
}

fn oauth_token(service: &str, value: &RawValue) -> Result<LegacyEntry, LegacyError> {
    let place = format!("the OAuth token of `{}`", service.escape_debug());
    let mut fields = Fields::new();
    for (name, value) in members(value, &place)? {
        fields
            .insert(name.as_str().to_owned(), FieldValue::Json(SecretBytes::copy_of(value.get().as_bytes())));
    }
    entry(service, OAUTH_TOKEN, Value { kind: Kind::Oauth2, fields })
}

fn entry(service: &str, name: &'static str, value: Value) -> Result<LegacyEntry, LegacyError> {
    let named = |source| LegacyError::Name {
        beginning: service.chars().take(40).flat_map(char::escape_debug).collect(),
        source,
    };
    let name = CredentialName::new(name).map_err(named)?;
    Ok(LegacyEntry { service: ServiceName::new(service).map_err(named)?, name, value })
}

fn shape(place: &str, problem: &'static str) -> LegacyError {
    LegacyError::Shape { place: place.to_owned(), problem }
}
