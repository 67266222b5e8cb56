use super::*;

#[test]
fn labels_are_filled_up_with_blanks() {
    assert_eq!(&padded("lab").unwrap(), b"lab                             ");
    assert!(padded(&"x".repeat(32)).is_ok());
    // A letter may have several bytes.
    for label in ["", " lab", "lab ", "a\nb", &"x".repeat(33), &"ü".repeat(17)] {
        assert!(matches!(padded(label), Err(TokenError::LabelUnusable { .. })), "{label:?}");
    }
}
