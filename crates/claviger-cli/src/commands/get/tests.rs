use super::*;
use claviger_types::{CredentialName, FieldValue, Fields, Kind, ServiceName, Timestamp, Value};

fn credential(value: Value) -> Credential {
    Credential {
        service: ServiceName::new("openai").unwrap(),
        name: CredentialName::new("main").unwrap(),
        version: 2,
        created: Timestamp::from_millis(0),
        value,
    }
}

fn oauth() -> Credential {
    let json = |text: &str| FieldValue::Json(SecretBytes::copy_of(text.as_bytes()));
    let fields = Fields::from([
        ("access_token".to_owned(), json(r#""to\u006ben""#)),
        ("expires_at".to_owned(), json("1700000000.50")),
    ]);
    credential(Value { kind: Kind::Oauth2, fields })
}

fn text(shown: Result<(SecretBytes, bool), CliError>) -> (String, bool) {
    let (secret, whole_line) = shown.unwrap();
    (String::from_utf8(secret.expose().to_vec()).unwrap(), whole_line)
}

#[test]
fn a_single_value_is_its_bytes_and_nothing_else() {
    let key = credential(Value::single(Kind::ApiKey, SecretBytes::copy_of(&[0, 0xff, b'\n'])));
    let (secret, whole_line) = shown(key, None, false).unwrap();
    assert_eq!((secret.expose(), whole_line), (&[0, 0xff, b'\n'][..], false));
}

#[test]
fn a_field_is_its_text_or_its_json_to_the_letter() {
    assert_eq!(text(shown(oauth(), Some("access_token"), false)), ("token".to_owned(), false));
    assert_eq!(text(shown(oauth(), Some("expires_at"), false)), ("1700000000.50".to_owned(), false));
}

#[test]
fn several_fields_are_json() {
    let all = r#"{"access_token":"to\u006ben","expires_at":1700000000.50}"#;
    assert_eq!(text(shown(oauth(), None, false)), (format!("{all}\n"), true));
    let head = r#"{"service":"openai","name":"main","kind":"oauth2","version":2,"value":"#;
    assert_eq!(text(shown(oauth(), None, true)), (format!("{head}{all}}}\n"), true));
    assert_eq!(
        text(shown(oauth(), Some("expires_at"), true)),
        (format!("{head}{{\"expires_at\":1700000000.50}}}}\n"), true)
    );
}

#[test]
fn a_field_that_is_not_there_names_those_that_are() {
    match shown(oauth(), Some("password"), false) {
        Err(CliError::NoField { field, present }) => {
            assert_eq!(
                (field.as_str(), present),
                ("password", vec!["access_token".into(), "expires_at".into()])
            );
        }
        other => panic!("{other:?}"),
    }
}
