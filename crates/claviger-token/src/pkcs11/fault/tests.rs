use super::*;

#[test]
fn return_values_read_as_in_the_standard() {
    assert_eq!(name(RvError::GeneralError), "CKR_GENERAL_ERROR");
    assert_eq!(name(RvError::UserPinNotInitialized), "CKR_USER_PIN_NOT_INITIALIZED");
    assert_eq!(name(RvError::VendorDefined(0x8000_0042)), "0x80000042");
}
