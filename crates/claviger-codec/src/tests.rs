use super::*;

#[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
struct Pair {
    number: u64,
    text: Option<String>,
}

#[test]
fn structs_are_maps_with_integer_labels() {
    let pair = Pair { number: 24, text: None };
    let bytes = to_vec(&pair).unwrap();
    assert_eq!(bytes, [0xa2, 0x00, 0x18, 24, 0x01, 0xf6]);
    assert_eq!(from_slice::<Pair>(&bytes).unwrap(), pair);
}

#[test]
fn refuses_every_other_spelling_of_the_same_value() {
    for (what, bytes) in [
        ("trailing byte", vec![0xa2, 0x00, 0x18, 24, 0x01, 0xf6, 0x00]),
        ("long integer", vec![0xa2, 0x00, 0x19, 0, 24, 0x01, 0xf6]),
        ("indefinite map", vec![0xbf, 0x00, 0x18, 24, 0x01, 0xf6, 0xff]),
        ("unsorted keys", vec![0xa2, 0x01, 0xf6, 0x00, 0x18, 24]),
        ("doubled key", vec![0xa3, 0x00, 0x18, 24, 0x00, 0x18, 24, 0x01, 0xf6]),
        ("unknown label", vec![0xa3, 0x00, 0x18, 24, 0x01, 0xf6, 0x02, 0x00]),
        ("text label", vec![0xa2, 0x66, b'n', b'u', b'm', b'b', b'e', b'r', 0x18, 24, 0x01, 0xf6]),
        ("truncated", vec![0xa2, 0x00, 0x18, 24, 0x01]),
        ("nothing", vec![]),
    ] {
        assert_eq!(from_slice::<Pair>(&bytes), Err(CodecError), "{what}");
    }
}

#[test]
fn map_keys_of_values_come_in_bytewise_order() {
    let value = Value::Map(
        [(-1, 1), (1, 2), (10_000, 3)].map(|(k, v)| (Value::Integer(k), Value::Integer(v))).into(),
    );
    assert_eq!(to_vec(&value).unwrap(), [0xa3, 0x01, 0x02, 0x19, 0x27, 0x10, 0x03, 0x20, 0x01]);
}

#[test]
fn a_secret_is_written_once_into_room_of_its_size() {
    let pair = Pair { number: 1 << 40, text: Some("secret".repeat(50)) };
    let bytes = to_secret_vec(&pair).unwrap();
    assert_eq!(*bytes, to_vec(&pair).unwrap());
    assert_eq!(bytes.capacity(), bytes.len());
}
