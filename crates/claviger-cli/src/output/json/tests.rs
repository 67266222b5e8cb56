use super::*;
use claviger_types::{CredentialName, Kind, ServiceName, Timestamp, Value};

fn secret(bytes: &[u8]) -> SecretBytes {
    SecretBytes::copy_of(bytes)
}

fn text(bytes: &SecretBytes) -> String {
    String::from_utf8(bytes.expose().to_vec()).unwrap()
}

#[test]
fn members_survive_to_the_letter() {
    let json =
        r#"{"big": 12345678901234567890123, "f": 1.50, "nested": {"z":1,"a":[ 1, 2 ]}, "s": "a\u00e9\/"}"#;
    let parsed = parse_fields(&secret(json.as_bytes())).unwrap();
    assert_eq!(text(parsed["big"].stored()), "12345678901234567890123");
    assert_eq!(text(parsed["f"].stored()), "1.50");
    assert_eq!(text(parsed["nested"].stored()), r#"{"z":1,"a":[ 1, 2 ]}"#);
    assert_eq!(text(&raw_field(&parsed["s"])), "aé/");
    assert_eq!(
        text(&fields(&parsed)),
        r#"{"big":12345678901234567890123,"f":1.50,"nested":{"z":1,"a":[ 1, 2 ]},"s":"a\u00e9\/"}"#
    );
}

#[test]
fn bytes_go_out_and_come_back() {
    let binary = Fields::from([
        ("binary".to_owned(), FieldValue::Bytes(secret(&[0, 0xff, 0xfe]))),
        ("text".to_owned(), FieldValue::Bytes(secret("line\nbreak".as_bytes()))),
    ]);
    let json = fields(&binary);
    assert_eq!(text(&json), r#"{"binary":{"$base64":"AP/+"},"text":"line\nbreak"}"#);
    let back = parse_fields(&json).unwrap();
    assert!(matches!(&back["binary"], FieldValue::Bytes(bytes) if bytes.expose() == [0, 0xff, 0xfe]));
    assert_eq!(raw_field(&back["text"]).expose(), b"line\nbreak");
}

#[test]
fn what_only_looks_like_base64_stays_json() {
    let parsed = parse_fields(&secret(br#"{"a": {"$base64": "AA==", "b": 1}, "c": ["$base64"]}"#)).unwrap();
    assert_eq!(text(parsed["a"].stored()), r#"{"$base64": "AA==", "b": 1}"#);
    assert!(matches!(parsed["c"], FieldValue::Json(_)));
}

#[test]
fn what_is_no_object_of_fields_is_refused_without_quoting_it() {
    for (bad, why) in [
        (&b"[]"[..], FieldsError::NotFields),
        (b"\"hunter2\"", FieldsError::NotFields),
        (b"", FieldsError::NotJson { line: 1, column: 0 }),
        (b"{\"a\":\n 1} hunter2", FieldsError::NotJson { line: 2, column: 5 }),
        (b"{\"a\": 1, \"a\": 2}", FieldsError::NotFields),
        (b"{\"a\": {\"$base64\": \"hunter2\"}}", FieldsError::Base64),
        (b"{\"a\": {\"$base64\": 1}}", FieldsError::Base64),
        (b"{\"a\": \"\xff\"}", FieldsError::NotJson { line: 1, column: 8 }),
    ] {
        let error = parse_fields(&secret(bad)).unwrap_err();
        assert_eq!(error, why, "{}", String::from_utf8_lossy(bad));
        assert!(!error.to_string().contains("hunter2"));
    }
}

#[test]
fn a_lone_surrogate_is_shown_as_the_json_that_it_is() {
    let parsed = parse_fields(&secret(br#"{"a": "\ud800"}"#)).unwrap();
    assert_eq!(raw_field(&parsed["a"]).expose(), br#""\ud800""#);
}

#[test]
fn a_whole_credential_is_one_line_of_json() {
    let shown = credential(&Credential {
        service: ServiceName::new("new\nline").unwrap(),
        name: CredentialName::new("api_key").unwrap(),
        version: 3,
        created: Timestamp::from_millis(0),
        value: Value::single(Kind::ApiKey, secret(b"k\"y")),
    });
    assert_eq!(
        text(&shown),
        "{\"service\":\"new\\nline\",\"name\":\"api_key\",\"kind\":\"api-key\",\"version\":3,\
         \"value\":{\"value\":\"k\\\"y\"}}\n"
    );
}
