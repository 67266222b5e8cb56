//! The driver in a process of its own: what that adds.

use super::hands::{FIRST_PIN, Hands, Heard, Person, kek, lab_of, tool};
use crate::{
    hosted::kill,
    lab::{CONTEXT, Lab, fresh, key},
};
use claviger_token::{Driver as _, TokenError};
use claviger_types::{Digest, OsEntropy, SignerId};
use softhsm_fixtures::{PIN, Touch};

const OWN: &str = "00112233445566778899aabbccddeeff0011223344556677";

/// The process is killed from outside: one error, and then all is as it was. The login is the card's, and may stand.
pub(crate) fn a_killed_process_costs_one_error(lab: &Lab<'_>) {
    let (hosted, driver) = Lab::hosted(lab.instance);
    let person = Person::new();
    let hosted = lab_of(&hosted, &lab.instance.yubikey(0), &person);
    let token = kek(&hosted, None, "once", "never");
    let signer = SignerId::random(&OsEntropy).unwrap();
    let signer = hosted.driver.generate_signer(&hosted.uri, &hosted.access, signer, "signer").unwrap();
    let cek = fresh();
    let wrapped = token.wrap(&cek, CONTEXT).unwrap();
    person.heard();
    let first = driver.id().unwrap();
    kill(first);
    let outcome = token.unwrap(&wrapped, CONTEXT);
    let Err(TokenError::ModuleCrashed { how, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(how.contains("SIGKILL"), "{how}");
    assert!(key(&token, &wrapped).same_as(&cek));
    assert_ne!(driver.id().unwrap(), first);
    signer.sign(&Digest::of(b"text")).unwrap();
    assert!(person.heard().len() <= 1, "one login for all that is on the card");
    // What the kernel enforces of the sandbox, it enforces here, too.
    assert_eq!(driver.unenforced().unwrap(), Some(Vec::new()));
}

/// A touch is told, and a management key asked for, over the way between the processes; and in time.
pub(crate) fn whoever_attends_is_reached(lab: &Lab<'_>) {
    let yubikey = lab.instance.yubikey(0);
    let makers = "0102030405060708".repeat(3);
    let serial = yubikey.serial().to_string();
    let change =
        ["--device", &serial, "piv", "access", "change-management-key", "--force", "-m", &makers, "-n", OWN];
    tool(lab.instance, "ykman", &change);
    let person = Person::with(PIN, Some(OWN));
    let lab = lab_of(lab, &yubikey, &person);
    let made = kek(&lab, None, "once", "always");
    let heard = person.heard();
    assert_eq!(heard[..3], [Heard::ManagementKey, FIRST_PIN, Heard::Touch], "{heard:?}");
    let cek = fresh();
    let wrapped = made.wrap(&cek, CONTEXT).unwrap();
    yubikey.touch(Touch::Never);
    let outcome = made.unwrap(&wrapped, CONTEXT);
    assert!(matches!(outcome, Err(TokenError::TouchTimeout)), "{outcome:?}");
    assert_eq!(person.heard(), [Heard::Touch]);
    let at_touch = yubikey.clone();
    person.at_touch(move || at_touch.touch(Touch::Auto));
    assert!(key(&made, &wrapped).same_as(&cek));
    assert_eq!(person.heard(), [Heard::Touch]);
    made.destroy_key().unwrap();
    assert_eq!(person.heard(), [Heard::ManagementKey]);
}

/// A key that wants the PIN at each use wants it anew after it was made.
pub(crate) fn each_use_asks(lab: &Lab<'_>) {
    let person = Person::new();
    let lab = lab_of(lab, &lab.instance.yubikey(0), &person);
    let made = kek(&lab, None, "always", "always");
    // While it is made, the PIN is kept.
    assert_eq!(person.heard().iter().filter(|heard| **heard == FIRST_PIN).count(), 1);
    let cek = fresh();
    let wrapped = made.wrap(&cek, CONTEXT).unwrap();
    assert!(key(&made, &wrapped).same_as(&cek));
    assert_eq!(person.heard(), [FIRST_PIN, Heard::Touch]);
    assert_eq!(Hands::on(&lab.instance.yubikey(0)).tries(0x80), 3);
}
