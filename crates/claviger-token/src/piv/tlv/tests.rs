use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn what_is_written_is_read(tag in prop_oneof![Just(0x7c_u16), Just(0x82), Just(0x7f49), Just(0x53)], value in prop::collection::vec(any::<u8>(), 0..700)) {
        let bytes = element(tag, &value);
        prop_assert_eq!(only(&bytes, tag), Some(&value[..]));
        let after_another = [element(0x5c, b"other"), bytes.clone()].concat();
        prop_assert_eq!(find(&after_another, tag), Some(&value[..]));
        let longer = [&bytes[..], b"\0"].concat();
        prop_assert_eq!(only(&longer, tag), None);
        for cut in 0..bytes.len() {
            prop_assert_eq!(take(&bytes[..cut], tag), None);
        }
    }

    #[test]
    fn nothing_that_a_card_says_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), tag: u16) {
        let _ = (take(&bytes, tag), only(&bytes, tag), find(&bytes, tag));
    }
}

#[test]
fn lengths_are_as_short_as_they_can_be() {
    assert_eq!(element(0x7c, &[]), [0x7c, 0]);
    assert_eq!(element(0x53, &[0; 0x7f])[..2], [0x53, 0x7f]);
    assert_eq!(element(0x53, &[0; 0x80])[..3], [0x53, 0x81, 0x80]);
    assert_eq!(element(0x7f49, &[0; 0x100])[..5], [0x7f, 0x49, 0x82, 1, 0]);
    assert_eq!(take(&[0x53, 0x80], 0x53), None, "an indefinite length");
    assert_eq!(take(&[0x53, 0x83, 0, 0, 1, 0], 0x53), None);
}
