use super::*;
use aes::Aes128;
use base64::{Engine as _, engine::general_purpose::URL_SAFE};
use cbc::cipher::{BlockModeEncrypt as _, KeyIvInit as _, block_padding::Pkcs7};
use claviger_types::{FieldValue, Kind};
use hmac::{Hmac, KeyInit as _, Mac as _};
use proptest::prelude::*;
use serde_json::{Map, Value as Json, value::RawValue};
use std::collections::BTreeMap;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn key(text: &str) -> Result<LegacyKey, LegacyError> {
    LegacyKey::parse(&SecretBytes::copy_of(text.as_bytes()))
}

fn sidecar(name: &str) -> (LegacyKey, Map<String, Json>) {
    let json: Json = serde_json::from_slice(&fixture(&format!("{name}.json"))).unwrap();
    (key(json["key"].as_str().unwrap()).unwrap(), json["contents"].as_object().unwrap().clone())
}

fn entries(file: &[u8], key: &LegacyKey) -> Vec<LegacyEntry> {
    match read(file, key).unwrap() {
        Contents::Entries(entries) => entries,
        Contents::NeverWritten => panic!("never written"),
    }
}

#[test]
fn every_file_of_the_old_program_is_read_exactly() {
    for (name, count) in [("typical", 0), ("odd", 0), ("only_oauth", 0), ("emptied", 0), ("thousand", 1000)] {
        let (key, contents) = sidecar(name);
        let read = entries(&fixture(&format!("{name}.enc")), &key);
        let part = |part: &str| contents.get(part).and_then(Json::as_object).cloned().unwrap_or_default();
        let (keys, tokens) = (part("api_keys"), part("oauth_tokens"));
        assert_eq!(read.len(), keys.len() + tokens.len(), "{name}");
        assert!(read.len() >= count, "{name}");
        for LegacyEntry { service, name, value } in read {
            if name.as_str() == API_KEY {
                assert_eq!(value.kind, Kind::ApiKey);
                let expected = keys[service.as_str()].as_str().unwrap();
                assert_eq!(value.fields["value"].stored().expose(), expected.as_bytes());
            } else {
                assert_eq!((name.as_str(), value.kind), (OAUTH_TOKEN, Kind::Oauth2));
                let expected = tokens[service.as_str()].as_object().unwrap();
                assert_eq!(value.fields.len(), expected.len());
                for (field, content) in &value.fields {
                    let FieldValue::Json(text) = content else { panic!("not JSON") };
                    assert_eq!(serde_json::from_slice::<Json>(text.expose()).unwrap(), expected[field]);
                }
            }
        }
    }
}

#[test]
fn numbers_and_nesting_keep_their_very_text() {
    let text = r#"{"oauth_tokens": {"s": {"expires_at": 1700000000.50, "n": 12345678901234567890123,
        "x": {"b": [1,  2], "a": 1e2}}}}"#;
    let read = entries(&write(text), &test_key());
    let field =
        |name: &str| String::from_utf8(read[0].value.fields[name].stored().expose().to_vec()).unwrap();
    assert_eq!(field("expires_at"), "1700000000.50");
    assert_eq!(field("n"), "12345678901234567890123");
    assert_eq!(field("x"), r#"{"b": [1,  2], "a": 1e2}"#);
}

#[test]
fn a_wrong_key_or_a_changed_file_is_never_empty() {
    let (typical, _) = sidecar("typical");
    let wrong = key(std::str::from_utf8(&fixture("wrong.key")).unwrap()).unwrap();
    assert!(matches!(read(&fixture("typical.enc"), &wrong), Err(LegacyError::Unopened)));
    assert!(matches!(read(&fixture("flipped.enc"), &typical), Err(LegacyError::Unopened)));
    let truncated = read(&fixture("truncated.enc"), &typical);
    assert!(matches!(truncated, Err(LegacyError::Damaged(_) | LegacyError::Unopened)), "{truncated:?}");
    assert!(matches!(read(&fixture("zero_bytes.enc"), &typical), Ok(Contents::NeverWritten)));
    assert!(matches!(read(b"not a token at all", &typical), Err(LegacyError::Damaged(_))));
    assert!(matches!(read(b"AAAA", &typical), Err(LegacyError::Damaged(_))));
    assert!(matches!(read(b"\n", &typical), Err(LegacyError::Damaged(_))));
}

#[test]
fn a_file_cut_at_any_byte_or_changed_at_any_byte_is_refused() {
    let file = fixture("only_oauth.enc");
    let (key, _) = sidecar("only_oauth");
    for cut in 1..file.len() {
        assert!(read(&file[..cut], &key).is_err(), "cut at {cut}");
    }
    for position in 0..file.len() {
        let mut changed = file.clone();
        changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
        if changed != file {
            assert!(read(&changed, &key).is_err(), "changed at {position}");
        }
    }
}

#[test]
fn keys_are_read_as_people_stored_them() {
    let plain = "ms63Fmsp-JlpnZvusCquWxOf58qjpv31--G68CMmjgs=";
    let standard = plain.replace('-', "+").replace('_', "/");
    let twice = URL_SAFE.encode(plain);
    let file = fixture("odd.enc");
    for text in [
        plain.to_owned(),
        format!("  {plain}\n"),
        format!("\"{plain}\""),
        format!("'{plain}'\r\n"),
        standard,
        twice,
        plain.trim_end_matches('=').to_owned(),
        // The last character's two lowest bits mean nothing.
        plain.replace("gs=", "gv="),
    ] {
        assert!(read(&file, &key(&text).unwrap()).is_ok(), "{text:?}");
    }
    for text in ["", "short", "!!!!", &"A".repeat(44), &plain[4..], &"A".repeat(10_000)] {
        let outcome = key(text).and_then(|key| read(&file, &key));
        assert!(outcome.is_err(), "{text:?}");
    }
}

#[test]
fn json_of_another_shape_is_named_and_never_lost() {
    for (text, expected) in [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("{\"api_keys\": {}} x", "not JSON"),
        ("{\"oauth_tokens\": {\"s\": {\"expires_at\": nan}}}", "not JSON"),
        ("[]", "outermost"),
        ("{\"api_keys\": []}", "`api_keys`"),
        ("{\"api_keys\": {\"s\": 1}}", "the API key of `s`"),
        ("{\"oauth_tokens\": {\"s\": \"t\"}}", "the OAuth token of `s`"),
        ("{\"passwords\": {}}", "`passwords`"),
        (
            "{\"api_keys\": {\"s\": \"1\", \"s\": \"2\"}}",
            "`api_keys` is not what the old manager wrote: a name stands",
        ),
        ("{\"api_keys\": {\"s\": \"1\", \"\\u0073\": \"2\"}}", "twice"),
        (
            "{\"api_keys\": {}, \"api_keys\": {}}",
            "the outermost value is not what the old manager wrote: a name stands",
        ),
        (
            "{\"oauth_tokens\": {\"s\": {\"a\": 1, \"a\": 2}}}",
            "the OAuth token of `s` is not what the old manager wrote: a name",
        ),
        ("{\"oauth_tokens\": null}", "`oauth_tokens`"),
        ("{\"api_keys\": {\"line\\nbreak\": null}}", "the API key of `line\\nbreak`"),
    ] {
        let error = read(&write(text), &test_key()).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let long = format!("{{\"api_keys\": {{\"{}\": \"secret-value\"}}}}", "x".repeat(1025));
    let error = read(&write(&long), &test_key()).unwrap_err();
    assert!(matches!(error, LegacyError::Name { .. }));
    assert!(!error.to_string().contains("secret"));
}

#[test]
fn what_json_cannot_hold_is_named_and_refused() {
    for (text, expected) in [
        (r#"{"oauth_tokens": {"a": {}, "s": {"expires_at": NaN}}}"#, "the OAuth token of `s`"),
        (r#"{"oauth_tokens": {"s": {"x": [1, {"y": Infinity}]}}}"#, "the OAuth token of `s`"),
        (r#"{"oauth_tokens": {"s": {"expires_at":-Infinity}}}"#, "the OAuth token of `s`"),
        ("{\n \"api_keys\": {\n  \"s\": NaN}}", "the API key of `s`"),
        (r#"{"api_keys": {"a": "1", "s": "secret\ud800"}}"#, "the API key of `s`"),
        (r#"{"api_keys": {"\ud800": "secret"}}"#, "`api_keys`"),
        (r#"{"oauth_tokens": {"s": {"x": ["secret", {"y": "\udc00\ud800"}]}}}"#, "the OAuth token of `s`"),
        (r#"{"oauth_tokens": {"s": {"x": {"\ud800": "secret"}}}}"#, "the OAuth token of `s`"),
        (r#"{"oauth_tokens": {"s": {"\ud800": "secret"}}}"#, "the OAuth token of `s`"),
    ] {
        let error = read(&write(text), &test_key()).unwrap_err();
        assert!(matches!(error, LegacyError::Entry { .. }), "{text}: {error}");
        assert!(
            error.to_string().starts_with(&format!("{expected} cannot be taken over")),
            "{text}: {error}"
        );
        assert!(!error.to_string().contains("secret") && !format!("{error:?}").contains("`s`"), "{error:?}");
    }
    // A whole pair is text, and what only looks like one of these words is left alone.
    let good = r#"{"api_keys": {"NaN": "\ud83d\udd11"}, "oauth_tokens": {"s": {"x": "\\ud800 Infinity"}}}"#;
    let read = entries(&write(good), &test_key());
    assert_eq!(read[0].value.fields["value"].stored().expose(), "🔑".as_bytes());
    assert_eq!(read[1].value.fields["x"].stored().expose(), br#""\\ud800 Infinity""#);
}

fn test_key() -> LegacyKey {
    key(&URL_SAFE.encode([7; 32])).unwrap()
}

/// What the old program would have written.
fn write(plain: &str) -> Vec<u8> {
    let key = test_key();
    let mut token = vec![0x80];
    token.extend([0; 8]);
    token.extend([9; 16]);
    let cipher = cbc::Encryptor::<Aes128>::new_from_slices(key.encryption(), &[9; 16]).unwrap();
    let mut buffer = plain.as_bytes().to_vec();
    buffer.resize(plain.len() / 16 * 16 + 16, 0);
    token.extend_from_slice(cipher.encrypt_padded::<Pkcs7>(&mut buffer, plain.len()).unwrap());
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.signing()).unwrap();
    mac.update(&token);
    token.extend(mac.finalize().into_bytes());
    URL_SAFE.encode(token).into_bytes()
}

proptest! {
    #[test]
    fn what_the_old_program_would_write_comes_back(
        keys in prop::collection::btree_map(any::<String>(), any::<String>(), 0..8),
        tokens in prop::collection::btree_map(any::<String>(), any::<i64>(), 0..8),
    ) {
        let oauth: BTreeMap<_, _> = tokens.iter().map(|(s, n)| (s, serde_json::json!({"expires_at": n}))).collect();
        let text = serde_json::json!({"api_keys": keys, "oauth_tokens": oauth}).to_string();
        let read = entries(&write(&text), &test_key());
        prop_assert_eq!(read.len(), keys.len() + tokens.len());
        for entry in read {
            let service = entry.service.as_str();
            if entry.name.as_str() == API_KEY {
                prop_assert_eq!(entry.value.fields["value"].stored().expose(), keys[service].as_bytes());
            } else {
                let raw: &RawValue = serde_json::from_slice(entry.value.fields["expires_at"].stored().expose()).unwrap();
                prop_assert_eq!(raw.get(), tokens[service].to_string());
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(file in any::<Vec<u8>>(), text in ".{0,60}") {
        let _ = read(&file, &test_key());
        let _ = read(&write(&text), &test_key());
        let _ = key(&text);
    }
}
