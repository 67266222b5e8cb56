use super::*;
use crate::{self as codec, Writer};
use proptest::prelude::*;

/// The next item, and that there is nothing behind it.
fn whole<'a, T>(
    bytes: &'a [u8],
    read: impl Fn(&mut Reader<'a>) -> Result<T, CodecError>,
) -> Result<T, CodecError> {
    let mut reader = Reader::new(bytes);
    let item = read(&mut reader)?;
    reader.finish().map(|()| item)
}

#[test]
fn reads_what_rfc_8949_appendix_a_shows() {
    for (hex, number) in [
        ("00", 0),
        ("17", 23),
        ("1818", 24),
        ("1903e8", 1000),
        ("1a000f4240", 1_000_000),
        ("1b000000e8d4a51000", 1_000_000_000_000),
        ("20", -1),
        ("3903e7", -1000),
        ("3b7fffffffffffffff", i64::MIN),
    ] {
        assert_eq!(whole(&hex::decode(hex).unwrap(), Reader::int), Ok(number), "{hex}");
    }
    assert_eq!(whole(b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff", Reader::unsigned), Ok(u64::MAX));
    assert_eq!(whole(b"\x44\x01\x02\x03\x04", Reader::bytes), Ok(b"\x01\x02\x03\x04".as_slice()));
    assert_eq!(whole(b"\x62\xc3\xbc", Reader::text), Ok("ü"));
}

#[test]
fn refuses_numbers_that_do_not_fit() {
    assert_eq!(whole(b"\x1b\x80\0\0\0\0\0\0\0", Reader::int), Err(CodecError));
    assert_eq!(whole(b"\x3b\x80\0\0\0\0\0\0\0", Reader::int), Err(CodecError));
    assert_eq!(whole(b"\x20", Reader::unsigned), Err(CodecError));
}

#[test]
fn refuses_every_other_spelling() {
    for hex in [
        "1817",               // 23 in two bytes
        "1900ff",             // 255 in three
        "1a0000ffff",         // 65535 in five
        "1b00000000ffffffff", // 2^32 - 1 in nine
        "1c",                 // reserved
        "1f",                 // an indefinite integer
        "5801ff",             // a byte string of one byte with a long head
        "5f41ffff",           // an indefinite byte string
        "7f6161ff",           // an indefinite text string
        "61ff",               // no UTF-8
        "9fff",               // an indefinite array
        "bfff",               // an indefinite map
        "a201000100",         // a doubled key
        "a202000100",         // unsorted keys
        "a2200001 00",        // negative before positive
        "a261620061610 0",    // unsorted text keys
        "f7",                 // undefined
        "f818",               // a simple value in two bytes
        "f93c00",             // a float
        "ff",                 // a break without a beginning
    ] {
        let bytes = hex::decode(hex.replace(' ', "")).unwrap();
        assert_eq!(whole(&bytes, Reader::item), Err(CodecError), "{hex}");
    }
    for hex in ["a201000200", "a201002000", "a2616100616200", "a26162006261610 0", "f4", "f5", "f6", "c100"] {
        let bytes = hex::decode(hex.replace(' ', "")).unwrap();
        assert_eq!(whole(&bytes, Reader::item), Ok(bytes.as_slice()), "{hex}");
    }
}

#[test]
fn hostile_lengths_and_depths_end_at_once() {
    for head in [0x5b, 0x7b, 0x9b, 0xbb] {
        let mut bytes = vec![head];
        bytes.extend([0xff; 8]);
        bytes.extend([0x00; 64]);
        assert_eq!(whole(&bytes, Reader::item), Err(CodecError));
    }
    let nested = |depth: usize| [vec![0x81; depth], vec![0]].concat();
    assert!(whole(&nested(usize::from(MAX_DEPTH)), Reader::item).is_ok());
    assert_eq!(whole(&nested(usize::from(MAX_DEPTH) + 1), Reader::item), Err(CodecError));
    assert_eq!(whole(&nested(1_000_000), Reader::item), Err(CodecError));
    assert_eq!(whole(&vec![0xc1; 1_000_000], Reader::item), Err(CodecError));
}

proptest! {
    /// The writer's heads are those of the other encoder, and the reader reads them.
    #[test]
    fn numbers_go_both_ways(number: i64, shift in 0..63_u32) {
        let number = number >> shift;
        let mut out = Writer(Vec::new());
        out.int(number);
        prop_assert_eq!(&out.0, &codec::to_vec(&number).unwrap());
        prop_assert_eq!(whole(&out.0, Reader::int), Ok(number));
    }

    /// What the cursor takes for deterministic, the other decoder and encoder take for the same.
    #[test]
    fn an_item_is_deterministic_for_both(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
        if whole(&bytes, Reader::item).is_ok() {
            let value: codec::Value = codec::from_slice(&bytes).unwrap();
            prop_assert_eq!(codec::to_vec(&value).unwrap(), bytes);
        }
    }
}
