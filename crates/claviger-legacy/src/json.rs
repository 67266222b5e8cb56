//! The plaintext: `{"api_keys": {service: string}, "oauth_tokens": {service: object}}`, either part missing or not.
//!
//! Members of OAuth objects keep the text that they had, to the letter: a number that is read and printed again may be
//! another number. What cannot be kept is refused by name; nothing is passed over.

mod text;

use crate::{API_KEY, LegacyEntry, LegacyError, OAUTH_TOKEN, Place};
use claviger_types::{CredentialName, FieldValue, Fields, Kind, SecretBytes, ServiceName, Value};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::{collections::HashSet, fmt};

const TWICE: &str = "a name stands there twice";
const NAME_NO_TEXT: &str = "a name has half a surrogate pair, which is no text";
const VALUE_NO_TEXT: &str = "it has half a surrogate pair, which is no text";
const NOT_FINITE: &str = "it has NaN or Infinity, which JSON does not know";

/// Every entry, in order.
pub fn entries(plain: &[u8]) -> Result<Vec<LegacyEntry>, LegacyError> {
    let mut reading = Reading::default();
    let json = std::str::from_utf8(plain)
        .map_err(|_| LegacyError::Shape { place: reading.place(), problem: "it is not UTF-8 text" })?;
    let mut source = serde_json::Deserializer::from_str(json);
    match Object(&mut reading).deserialize(&mut source).and_then(|()| source.end()) {
        Ok(()) => Ok(reading.entries),
        Err(error) => Err(reading.refusal(json, &error)),
    }
}

/// Whoever takes the members of an object, one by one.
trait Members {
    /// Takes the value of this name out of the map.
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error>;
}

/// An object as serde reads it. The same name twice is refused, since one of the two would be lost.
struct Object<'m, M>(&'m mut M);

impl<'de, M: Members> DeserializeSeed<'de> for Object<'_, M> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de, M: Members> Visitor<'de> for Object<'_, M> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<&RawValue>()? {
            let name = string(name).ok_or_else(|| A::Error::custom(NAME_NO_TEXT))?;
            if !names.insert(name.as_str().to_owned()) {
                return Err(A::Error::custom(TWICE));
            }
            self.0.take(&name, &mut map)?;
        }
        Ok(())
    }
}

/// How far the reading has come, so that whatever goes wrong can be named.
#[derive(Default)]
struct Reading {
    entries: Vec<LegacyEntry>,
    part: Option<Part>,
    service: Option<String>,
    refused: Option<LegacyError>,
}

#[derive(Clone, Copy)]
enum Part {
    ApiKeys,
    OauthTokens,
}

/// The outermost object.
impl Members for Reading {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        let part = match name {
            "api_keys" => Part::ApiKeys,
            "oauth_tokens" => Part::OauthTokens,
            _ => {
                let place = Place::new(format!("the member `{}`", name.escape_debug()));
                let problem = "there are only api_keys and oauth_tokens";
                return self.refuse(LegacyError::Shape { place, problem });
            }
        };
        self.part = Some(part);
        map.next_value_seed(Object(&mut Services { reading: self, part }))?;
        self.part = None;
        Ok(())
    }
}

/// One part: a credential for each service.
struct Services<'r> {
    reading: &'r mut Reading,
    part: Part,
}

impl Members for Services<'_> {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        self.reading.service = Some(name.to_owned());
        let json: &RawValue = map.next_value()?;
        let entry = match self.part {
            Part::ApiKeys => {
                api_key(json, &|| self.reading.place()).and_then(|value| entry(name, API_KEY, value))
            }
            Part::OauthTokens => {
                oauth_token(json, &|| self.reading.place()).and_then(|value| entry(name, OAUTH_TOKEN, value))
            }
        };
        match entry {
            Ok(entry) => self.reading.entries.push(entry),
            Err(error) => return self.reading.refuse(error),
        }
        self.reading.service = None;
        Ok(())
    }
}

impl Reading {
    /// Stops the reading; serde's own error is only the way out.
    fn refuse<E: serde::de::Error>(&mut self, error: LegacyError) -> Result<(), E> {
        self.refused = Some(error);
        Err(E::custom("refused"))
    }

    /// Why the reading stopped.
    fn refusal(self, json: &str, error: &serde_json::Error) -> LegacyError {
        let place = self.place();
        let (line, column) = (error.line(), error.column());
        match self.refused {
            Some(refused) => refused,
            None if error.is_data() => of_object(place, error),
            None if text::is_not_finite(json, line, column) => {
                LegacyError::Entry { place, problem: NOT_FINITE }
            }
            None => LegacyError::NotJson { line, column },
        }
    }

    fn place(&self) -> Place {
        let (part, credential) = match self.part {
            None => return Place::new("the outermost value".to_owned()),
            Some(Part::ApiKeys) => ("`api_keys`", "the API key"),
            Some(Part::OauthTokens) => ("`oauth_tokens`", "the OAuth token"),
        };
        Place::new(match &self.service {
            None => part.to_owned(),
            Some(service) => format!("{credential} of `{}`", service.escape_debug()),
        })
    }
}

fn api_key(json: &RawValue, place: &dyn Fn() -> Place) -> Result<Value, LegacyError> {
    if !json.get().starts_with('"') {
        return Err(LegacyError::Shape { place: place(), problem: "it is not a string" });
    }
    let key = string(json).ok_or_else(|| LegacyError::Entry { place: place(), problem: VALUE_NO_TEXT })?;
    Ok(Value::single(Kind::ApiKey, SecretBytes::copy_of(key.as_bytes())))
}

fn oauth_token(json: &RawValue, place: &dyn Fn() -> Place) -> Result<Value, LegacyError> {
    let mut token = Token::default();
    let mut source = serde_json::Deserializer::from_str(json.get());
    Object(&mut token).deserialize(&mut source).map_err(|error| of_object(place(), &error))?;
    if token.no_text {
        return Err(LegacyError::Entry { place: place(), problem: VALUE_NO_TEXT });
    }
    Ok(Value { kind: Kind::Oauth2, fields: token.fields })
}

/// The members of an OAuth object.
#[derive(Default)]
struct Token {
    fields: Fields,
    /// Somewhere in them half a surrogate pair stands.
    no_text: bool,
}

impl Members for Token {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        let json = map.next_value::<&RawValue>()?.get();
        self.no_text |= json.contains('\\') && text::unescape(json).is_none();
        self.fields.insert(name.to_owned(), FieldValue::Json(SecretBytes::copy_of(json.as_bytes())));
        Ok(())
    }
}

fn entry(service: &str, name: &'static str, value: Value) -> Result<LegacyEntry, LegacyError> {
    let named = |source| LegacyError::Name {
        beginning: service.chars().take(40).flat_map(char::escape_debug).collect(),
        source,
    };
    let name = CredentialName::new(name).map_err(named)?;
    Ok(LegacyEntry { service: ServiceName::new(service).map_err(named)?, name, value })
}

/// The text of a JSON string; `None` where it is no text.
fn string(json: &RawValue) -> Option<zeroize::Zeroizing<String>> {
    text::unescape(json.get().strip_prefix('"')?.strip_suffix('"')?)
}

/// What is wrong with an object. Nothing of serde's message is shown: it quotes values.
fn of_object(place: Place, error: &serde_json::Error) -> LegacyError {
    let message = error.to_string();
    if message.starts_with(NAME_NO_TEXT) {
        return LegacyError::Entry { place, problem: NAME_NO_TEXT };
    }
    let problem = if message.starts_with(TWICE) { TWICE } else { "it is not an object" };
    LegacyError::Shape { place, problem }
}
