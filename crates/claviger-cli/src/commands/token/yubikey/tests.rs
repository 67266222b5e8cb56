use super::*;
use claviger_token::piv::{Firmware, ManagementAlgorithm};
use claviger_types::EcPoint;

const KEY: EcPoint = EcPoint { x: [1; 32], y: [2; 32] };

fn stated() -> Attested {
    Attested {
        public_key: KEY,
        firmware: (5, 4, 3),
        serial: Some(11_111_111),
        pin_policy: PinPolicy::Once,
        touch_policy: TouchPolicy::Cached,
        form_factor: None,
        slot: 0x9d,
        root: "CN=a root".to_owned(),
    }
}

fn seen() -> PivKeyInfo {
    PivKeyInfo {
        slot: Slot::KEY_MANAGEMENT,
        pin_policy: PinPolicy::Once,
        touch_policy: TouchPolicy::Cached,
        firmware: Firmware { major: 5, minor: 4, patch: 3 },
        made_there: Some(true),
        management: ManagementAlgorithm::Tdes,
        management_is_default: Some(true),
        management_is_on_card: false,
        attestation: None,
    }
}

fn holds(stated: &Attested) -> bool {
    is_of(stated, &seen(), "11111111", RecipientId::from_bytes(claviger_token::software::name_of(&KEY)))
}

#[test]
fn a_statement_is_of_this_key_in_this_card_alone() {
    assert!(holds(&stated()));
    assert!(holds(&Attested { serial: None, ..stated() }), "some of the first do not tell");
    let another = EcPoint { x: [3; 32], ..KEY };
    for (what, wrong) in [
        ("key", Attested { public_key: another, ..stated() }),
        ("slot", Attested { slot: 0x82, ..stated() }),
        ("card", Attested { serial: Some(22_222_222), ..stated() }),
        ("PIN policy", Attested { pin_policy: PinPolicy::Always, ..stated() }),
        ("touch policy", Attested { touch_policy: TouchPolicy::Never, ..stated() }),
    ] {
        assert!(!holds(&wrong), "another {what}");
    }
}

/// What is proven is what the statement says, and not what the card says of itself.
#[test]
fn the_firmware_of_an_attestation_is_the_attested_one() {
    let proof = Proof::Attested(Box::new(Attested { firmware: (5, 7, 1), ..stated() }));
    let shown = as_json(&seen(), &proof);
    assert_eq!(shown["attestation"]["firmware"], "5.7.1");
}
