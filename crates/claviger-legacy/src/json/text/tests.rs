use super::*;
use proptest::prelude::*;

fn meaning(json: &str) -> Option<String> {
    unescape(json).map(|text| text.as_str().to_owned())
}

#[test]
fn every_escape_is_read() {
    assert_eq!(
        meaning(r#"a\"\\\/\b\f\n\r\t\u0041\u00fc\u20AC\ud83d\udd11z"#).unwrap(),
        "a\"\\/\u{8}\u{c}\n\r\tAü€🔑z"
    );
    assert_eq!(meaning("").unwrap(), "");
    assert_eq!(meaning("ü 🔑").unwrap(), "ü 🔑");
}

#[test]
fn half_a_pair_is_no_text() {
    for half in
        [r"\ud83d", r"\udd11", r"\udd11\ud83d", r"\ud83dx", r"\ud83d\n", r"\ud83d\u0041", r"\ud83d\ud83d"]
    {
        assert_eq!(meaning(half), None, "{half}");
    }
}

#[test]
fn an_escape_that_is_none_is_no_text() {
    for broken in ["\\", "\\u", "\\u12", "\\u12g4", "\\u1ü", "\\ud83d\\u"] {
        assert_eq!(meaning(broken), None, "{broken}");
    }
}

proptest! {
    #[test]
    fn what_serde_writes_is_read_back(text in any::<String>()) {
        let json = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(meaning(&json[1..json.len() - 1]), Some(text));
    }

    #[test]
    fn what_python_writes_is_read_back(text in any::<String>()) {
        // Python escapes all that is not ASCII.
        let json: Vec<String> = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        prop_assert_eq!(meaning(&json.concat()), Some(text));
    }
}
