use super::*;
use claviger_types::Kind;

fn field(text: &str) -> FieldValue {
    FieldValue::Bytes(SecretBytes::copy_of(text.as_bytes()))
}

#[test]
fn fields_are_written_shorter_names_first() {
    let json = FieldValue::Json(SecretBytes::copy_of(b"1.50"));
    let names = [("b", field("2")), ("aa", json), ("a", field("1")), ("", field("0"))];
    let fields = names.map(|(name, field)| (name.to_owned(), field)).into();
    let value = Value { kind: Kind::Basic, fields };
    let bytes = Plaintext::of(&value).unwrap().to_cbor();
    assert_eq!(bytes, b"\xa2\x01\x65basic\x02\xa4\x60\x410\x61a\x411\x61b\x412\x62aa\x641.50");
    assert!(read(&bytes).unwrap().same_as(&value));
}

#[test]
fn only_the_one_spelling_of_a_plaintext_is_read() {
    let good = b"\xa2\x01\x65basic\x02\xa2\x61a\x411\x61b\x412".as_slice();
    assert!(read(good).is_ok());
    for (what, bad) in [
        ("nothing", b"".as_slice()),
        ("a trailing byte", b"\xa2\x01\x65basic\x02\xa0\x00"),
        ("a byte short", &good[..good.len() - 1]),
        ("an unknown kind", b"\xa2\x01\x65other\x02\xa0"),
        ("a kind in bytes", b"\xa2\x01\x45basic\x02\xa0"),
        ("no kind", b"\xa1\x02\xa0"),
        ("a third label", b"\xa3\x01\x65basic\x02\xa0\x03\x00"),
        ("labels out of order", b"\xa2\x02\xa0\x01\x65basic"),
        ("another label", b"\xa2\x01\x65basic\x03\xa0"),
        ("fields in an array", b"\xa2\x01\x65basic\x02\x80"),
        ("a field twice", b"\xa2\x01\x65basic\x02\xa2\x61a\x411\x61a\x412"),
        ("fields out of order", b"\xa2\x01\x65basic\x02\xa2\x61b\x412\x61a\x411"),
        ("longer names first", b"\xa2\x01\x65basic\x02\xa2\x62aa\x412\x61b\x411"),
        ("a name in bytes", b"\xa2\x01\x65basic\x02\xa1\x41a\x411"),
        ("a name that is no UTF-8", b"\xa2\x01\x65basic\x02\xa1\x61\xff\x411"),
        ("a number as content", b"\xa2\x01\x65basic\x02\xa1\x61a\x01"),
        ("null as content", b"\xa2\x01\x65basic\x02\xa1\x61a\xf6"),
        ("text that is no JSON", b"\xa2\x01\x65basic\x02\xa1\x61a\x61x"),
        ("two JSON values", b"\xa2\x01\x65basic\x02\xa1\x61a\x631 2"),
        ("an indefinite map", b"\xa2\x01\x65basic\x02\xbf\xff"),
        ("a count that nothing follows", b"\xa2\x01\x65basic\x02\xbb\xff\xff\xff\xff\xff\xff\xff\xff"),
    ] {
        assert_eq!(read(bad).unwrap_err(), EnvelopeError::Unopened, "{what}");
    }
}

/// Labels, kinds and heads aside, a plaintext may not hold more than a value may.
#[test]
fn a_plaintext_is_bounded_as_values_are() {
    let plaintext = |length: usize| {
        let mut out = Writer(Vec::new());
        out.map(2).unsigned(KIND).text("file").unsigned(FIELDS).map(1).text("value").bytes(&vec![0; length]);
        out.0
    };
    assert!(read(&plaintext(MAX_VALUE_BYTES)).is_ok());
    assert_eq!(read(&plaintext(MAX_VALUE_BYTES + 1)).unwrap_err(), EnvelopeError::Unopened);
}
