//! What can go wrong with pcscd.

use super::apdu::{SELECT, TRIES, statuses, try_send};
use crate::{At, PcscFault, Provider};

const NO_SERVICE: u32 = 0x8010_001d;
const SHARING_VIOLATION: u32 = 0x8010_000b;
const RESET_CARD: u32 = 0x8010_0068;
const REMOVED_CARD: u32 = 0x8010_0069;

#[test]
fn commands_are_counted_and_fail_as_injected() {
    let instance = Provider::YubiKey.instance();
    let (key, faults) = (instance.yubikey(0), instance.pcsc_faults());
    faults.reset_counts();
    assert_eq!(statuses(&instance, &[SELECT, TRIES]), [0x9000, 0x63c3]);
    let counts = faults.counts();
    assert_eq!(counts["establish-context"], 1);
    assert!(counts["transmit"] >= 2 && counts["connect"] >= 1, "{counts:?}");

    for (command, code, said) in [
        ("establish-context", NO_SERVICE, "No readers found"),
        ("connect", SHARING_VIOLATION, "Reader in use by another application"),
        ("transmit", REMOVED_CARD, "Card removed"),
    ] {
        faults.inject(command, At::Every, PcscFault::Instead(code));
        key.reset_counts();
        let error = try_send(&instance, &[SELECT, TRIES]).unwrap_err();
        assert!(error.contains(said), "{command}: {error}");
        assert!(key.counts().is_empty(), "{command}: {:?}", key.counts());
        faults.clear();
    }
    // The card did it, and nobody knows.
    key.reset_counts();
    faults.inject("transmit", At::Nth(1), PcscFault::After(RESET_CARD));
    let _ = try_send(&instance, &[SELECT]);
    assert!(key.counts()[&0xa4] >= 1);
    faults.clear();
    faults.inject("transmit", At::From(2), PcscFault::Drop);
    try_send(&instance, &[SELECT, TRIES]).unwrap_err();
    faults.clear();
    faults.inject("readers", At::Every, PcscFault::Instead(1));
    let error = try_send(&instance, &[SELECT]).unwrap_err();
    assert!(error.contains("No smart card readers found"), "{error}");
    faults.clear();
    assert_eq!(statuses(&instance, &[SELECT, TRIES]), [0x9000, 0x63c3]);
}

#[test]
fn pcscd_ends_and_begins_again() {
    let instance = Provider::YubiKey.instance();
    super::generate(&instance, "9d", "never", "never");
    let metadata = ["00A4040005A000000308", "00F7009D00"];
    let before = super::apdu::send(&instance, &metadata);
    instance.stop_pcscd();
    let error = try_send(&instance, &[SELECT]).unwrap_err();
    assert!(error.contains("No smart card readers found"), "{error}");
    instance.start_pcscd();
    assert_eq!(super::apdu::send(&instance, &metadata), before);
}
