//! The management key: of each kind, the maker's, another, and one that lies behind the PIN.

use super::hands::{FIRST_PIN, Hands, Heard, Person, enrol, kek, lab_of, tool, wish, with_key};
use crate::lab::Lab;
use claviger_token::{TokenError, piv::PivDriver};
use softhsm_fixtures::{Instance, KeySpec, PIN, Touch, YubiKey};

const OWN: &str = "00112233445566778899aabbccddeeff0011223344556677";

const WRONG: &str = "ffeeddccbbaa99887766554433221100ffeeddccbbaa9988";

pub(crate) fn a_makers_key(lab: &Lab<'_>, (kind, firmware, name): (&'static str, &'static str, &str)) {
    let person = Person::new();
    let spec = KeySpec { management: Some(kind), firmware: Some(firmware), ..KeySpec::default() };
    let (lab, _) = with_key(lab, &spec, &person);
    let made = kek(&lab, None, "once", "never");
    assert_eq!(person.heard(), [FIRST_PIN]);
    let info = PivDriver.key_info(&lab.uri, made.describe().recipient).unwrap();
    assert_eq!((info.management.name(), info.management_is_default), (name, Some(true)));
    assert!(!info.management_is_on_card);
    made.destroy_key().unwrap();
}

/// With the tool that Yubico has for it.
fn change(instance: &Instance, yubikey: &YubiKey, arguments: &[&str]) {
    let serial = yubikey.serial().to_string();
    let makers = "0102030405060708".repeat(3);
    let change = ["--device", &serial, "piv", "access", "change-management-key", "--force", "-m", &makers];
    let all = [&change, arguments].concat();
    tool(instance, "ykman", &all);
}

pub(crate) fn another_is_asked_for(lab: &Lab<'_>) {
    let yubikey = lab.instance.yubikey(0);
    change(lab.instance, &yubikey, &["--new-management-key", OWN]);
    let before = Hands::on(&yubikey).occupied();
    let wrong =
        |character: char| -> &'static str { Box::leak(character.to_string().repeat(48).into_boxed_str()) };
    let attempt = |management| {
        let person = Person::with(PIN, management);
        let outcome = enrol(&lab_of(lab, &yubikey, &person), wish(None, "once", "never")).map(drop);
        (outcome, person.heard())
    };
    let (outcome, heard) = attempt(Some(wrong('a')));
    assert!(matches!(outcome, Err(TokenError::ManagementKeyIncorrect)), "{outcome:?}");
    assert_eq!(heard, [Heard::ManagementKey, FIRST_PIN]);
    for malformed in [None, Some("0102"), Some(&OWN[..47]), Some(wrong('g')), Some(""), Some(wrong('é'))] {
        let (outcome, heard) = attempt(malformed);
        assert!(
            matches!(outcome, Err(TokenError::ManagementKeyUnavailable { .. })),
            "{malformed:?}: {outcome:?}"
        );
        assert_eq!(heard, [Heard::ManagementKey]);
    }
    assert_eq!(Hands::on(&yubikey).occupied(), before);
    let (outcome, heard) = attempt(Some(OWN));
    outcome.unwrap();
    assert_eq!(heard, [Heard::ManagementKey], "the PIN still stands");
    let person = Person::with(PIN, Some(OWN));
    let lab = lab_of(lab, &yubikey, &person);
    let made = kek(&lab, None, "once", "never");
    person.heard();
    made.destroy_key().unwrap();
    assert_eq!(person.heard(), [Heard::ManagementKey]);
}

pub(crate) fn one_behind_the_pin_is_found_there(lab: &Lab<'_>) {
    let (yubikey, person) = (lab.instance.yubikey(0), Person::new());
    change(lab.instance, &yubikey, &["--generate", "--protect", "--pin", PIN]);
    let lab = lab_of(lab, &yubikey, &person);
    let made = kek(&lab, None, "once", "never");
    assert_eq!(person.heard(), [FIRST_PIN], "and nobody was asked for more");
    let info = PivDriver.key_info(&lab.uri, made.describe().recipient).unwrap();
    assert_eq!((info.management_is_default, info.management_is_on_card), (Some(false), true));
    made.destroy_key().unwrap();
    assert_eq!(person.heard(), []);
}

pub(crate) fn one_that_wants_a_touch_is_told(lab: &Lab<'_>) {
    let (yubikey, person) = (lab.instance.yubikey(0), Person::with(PIN, Some(OWN)));
    change(lab.instance, &yubikey, &["--new-management-key", OWN, "--touch"]);
    let lab = lab_of(lab, &yubikey, &person);
    yubikey.reset_counts();
    let made = kek(&lab, None, "once", "never");
    made.destroy_key().unwrap();
    let told = person.heard().into_iter().filter(|heard| *heard == Heard::Touch).count();
    assert_eq!((told as u64, told > 0), (yubikey.touches(), true));
    yubikey.touch(Touch::Never);
    let outcome = enrol(&lab, wish(None, "once", "never")).map(drop);
    assert!(matches!(outcome, Err(TokenError::TouchTimeout)), "{outcome:?}");
    assert_eq!(Hands::on(&yubikey).occupied(), []);
    // A wrong one is refused before it waits.
    let wrong = Person::with(PIN, Some(WRONG));
    let outcome = enrol(&lab_of(&lab, &yubikey, &wrong), wish(None, "once", "never")).map(drop);
    assert!(matches!(outcome, Err(TokenError::ManagementKeyIncorrect)), "{outcome:?}");
    yubikey.touch(Touch::Auto);
    assert_eq!(Hands::on(&yubikey).occupied(), []);
}
