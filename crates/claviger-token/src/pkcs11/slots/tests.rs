use super::*;

#[test]
fn the_worst_of_the_flags_counts() {
    assert_eq!(tries(0), PinTries::Normal);
    assert_eq!(tries(CKF_TOKEN_INITIALIZED), PinTries::Normal);
    assert_eq!(tries(CKF_USER_PIN_COUNT_LOW), PinTries::Low);
    assert_eq!(tries(CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY), PinTries::Final);
    assert_eq!(
        tries(CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED),
        PinTries::Locked
    );
}

#[test]
fn padding_is_no_part_of_a_name() {
    assert_eq!(padded(b"lab             "), "lab");
    assert_eq!(padded(b"lab\0\0\0"), "lab");
    assert_eq!(padded(b" a b  "), " a b");
    assert_eq!(padded(b"\xff  "), "\u{fffd}");
}
