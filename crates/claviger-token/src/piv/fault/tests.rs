use super::*;

#[test]
fn the_caller_is_told_what_to_do() {
    let of = |error| TokenError::from(Failure::Pcsc { call: "SCardConnect", error });
    assert!(matches!(of(pcsc::Error::SharingViolation), TokenError::CardHeld { .. }));
    assert!(matches!(of(pcsc::Error::NoService), TokenError::CardServiceDown));
    let TokenError::CardFailed { command, answer } = of(pcsc::Error::ProtoMismatch) else { panic!() };
    assert_eq!(command, "SCardConnect");
    assert!(!answer.is_empty());
    let refused = Failure::Refused { command: "GENERATE ASYMMETRIC KEY PAIR", status: Status(0x6a80) };
    assert_eq!(
        TokenError::from(refused).to_string(),
        "the card failed: GENERATE ASYMMETRIC KEY PAIR answered status 6A80"
    );
}

#[test]
fn what_a_second_connection_would_not_mend_is_no_loss() {
    for error in [pcsc::Error::SharingViolation, pcsc::Error::InvalidParameter, pcsc::Error::NoMemory] {
        assert!(!Failure::Pcsc { call: "SCardTransmit", error }.is_loss(), "{error}");
    }
    let denied = |call| Failure::Pcsc { call, error: pcsc::Error::SecurityViolation };
    assert!(!denied("SCardConnect").is_loss() && denied("SCardTransmit").is_loss_of_service());
    assert!(!Failure::Refused { command: "VERIFY", status: Status::SECURITY }.is_loss());
}
