use super::*;

#[test]
fn digits_are_two_for_each_byte() {
    let read =
        |text: &str| from_digits(&SecretBytes::copy_of(text.as_bytes())).map(|key| key.expose().to_vec());
    assert_eq!(read("00ffA5").unwrap(), [0, 0xff, 0xa5]);
    for wrong in ["", "0", "0g", "00 11", "0x00", "\u{e4}\u{e4}", "001"] {
        assert!(matches!(read(wrong), Err(TokenError::ManagementKeyUnavailable { .. })), "{wrong}");
    }
}

#[test]
fn a_key_has_the_length_of_its_algorithm() {
    for algorithm in [0x03, 0x08, 0x0a, 0x0c].map(|byte| ManagementAlgorithm::from_byte(byte).unwrap()) {
        assert_eq!(ManagementAlgorithm::from_byte(algorithm.byte()), Some(algorithm));
        let default = algorithm.default_key();
        assert_eq!(default.expose()[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert!(parsed(algorithm, default, None).is_ok());
        assert!(parsed(algorithm, SecretBytes::copy_of(&[1; 23]), None).is_err());
    }
    assert_eq!(ManagementAlgorithm::from_byte(0x11), None);
}
