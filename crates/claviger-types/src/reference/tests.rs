use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> (String, Option<String>) {
    let reference: Reference = text.parse().unwrap();
    (reference.service.as_str().to_owned(), reference.name.map(|name| name.as_str().to_owned()))
}

#[test]
fn splits_at_the_first_raw_slash() {
    assert_eq!(parse("openai"), ("openai".into(), None));
    assert_eq!(parse("openai/api_key"), ("openai".into(), Some("api_key".into())));
    assert_eq!(parse("a%2Fb/c"), ("a/b".into(), Some("c".into())));
    assert_eq!(parse("a/b/c"), ("a".into(), Some("b/c".into())));
}

#[test]
fn reads_the_escapes_of_the_odd_names() {
    assert_eq!(parse("%"), (String::new(), None));
    assert_eq!(parse("%/%"), (String::new(), Some(String::new())));
    assert_eq!(parse("%2E/%2E."), (".".into(), Some("..".into())));
    assert_eq!(parse("100%25"), ("100%".into(), None));
    assert_eq!(parse("%41%c3%9c"), ("AÜ".into(), None));
}

#[test]
fn refuses_what_is_no_reference() {
    for (text, why) in [
        ("", ReferenceError::Empty),
        ("/name", ReferenceError::EmptyPart),
        ("service/", ReferenceError::EmptyPart),
        ("50%", ReferenceError::Escape),
        ("a%2", ReferenceError::Escape),
        ("a%zz", ReferenceError::Escape),
        ("a%+1", ReferenceError::Escape),
        ("%ff", ReferenceError::NotUtf8),
    ] {
        assert_eq!(text.parse::<Reference>(), Err(why), "{text:?}");
    }
    let long = "x".repeat(1025);
    assert_eq!(long.parse::<Reference>(), Err(ReferenceError::Name(NameError { length: 1025 })));
}

proptest! {
    #[test]
    fn every_pair_of_names_survives_its_spelling(service in any::<String>(), name in any::<Option<String>>()) {
        let reference = Reference {
            service: ServiceName::new(service).unwrap(),
            name: name.map(|name| CredentialName::new(name).unwrap()),
        };
        let text = reference.to_string();
        prop_assert_eq!(&text.parse::<Reference>().unwrap(), &reference);
        prop_assert!(reference.is_canonical(&text));
    }
}
