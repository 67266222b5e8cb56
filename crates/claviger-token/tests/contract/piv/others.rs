//! Other programs at the same card: they are left alone, named, and survived.

use super::hands::{FIRST_PIN, Hands, MANAGEMENT_APPLICATION, OK, attended, kek};
use crate::lab::{CONTEXT, Lab, fresh, key};
use claviger_token::TokenError;
use claviger_types::{OsEntropy, SignerId};
use std::{
    fs,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

/// Where the driver comes and goes, the login of others stands, and its own stands as long as it is there.
pub(crate) fn nobody_loses_a_login(lab: &Lab<'_>) {
    let (lab, yubikey, person) = attended(lab);
    let mut hands = Hands::on(&yubikey);
    hands.select(&[0xa0, 0, 0, 3, 8]);
    assert_eq!(hands.give_pin(softhsm_fixtures::PIN), OK);
    let made = kek(&lab, None, "once", "never");
    let cek = fresh();
    let wrapped = made.wrap(&cek, CONTEXT).unwrap();
    assert!(key(&made, &wrapped).same_as(&cek));
    assert_eq!(hands.pin_state(), OK);
    drop(made);
    assert_eq!(hands.pin_state(), OK, "the driver's end reset the card");
    let made = kek(&lab, None, "once", "never");
    let signer = SignerId::random(&OsEntropy).unwrap();
    let signer = lab.driver.generate_signer(&lab.uri, &lab.access, signer, "signer").unwrap();
    lab.driver.list().unwrap();
    signer.destroy_key().unwrap();
    made.destroy_key().unwrap();
    let outcome = lab.open(&made).map(drop);
    assert!(matches!(outcome, Err(TokenError::KeyMissing { .. })), "{outcome:?}");
    assert_eq!(hands.pin_state(), OK);
    assert_eq!(person.heard(), [], "given by another, it serves the driver, too");
}

pub(crate) fn another_application_is_put_back(lab: &Lab<'_>) {
    let (lab, yubikey, person) = attended(lab);
    let made = kek(&lab, None, "once", "never");
    let cek = fresh();
    let wrapped = made.wrap(&cek, CONTEXT).unwrap();
    person.heard();
    let elsewhere = || Hands::on(&yubikey).select(&MANAGEMENT_APPLICATION);
    elsewhere();
    assert!(key(&made, &wrapped).same_as(&cek));
    assert_eq!(person.heard(), [FIRST_PIN]);
    elsewhere();
    kek(&lab, None, "once", "never");
    assert_eq!(person.heard(), [FIRST_PIN]);
    elsewhere();
    lab.open(&made).unwrap();
    assert_eq!(person.heard(), [FIRST_PIN]);
    elsewhere();
    assert!(made.sibling(made.describe().recipient, made.describe().scheme).is_ok());
    elsewhere();
    made.destroy_key().unwrap();
    assert_eq!(person.heard(), []);
}

/// A program of this name, ended by its id.
struct Named(Child);

impl Named {
    fn start(lab: &Lab<'_>, name: &str) -> Self {
        let program = lab.instance.home().join(name);
        fs::copy("/bin/sleep", &program).unwrap();
        Self(Command::new(program).arg("60").spawn().unwrap())
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Who has the card alone is named, and not ended.
pub(crate) fn one_that_has_it_alone_is_named(lab: &Lab<'_>) {
    let (lab, yubikey, person) = attended(lab);
    let made = kek(&lab, None, "once", "never");
    let recipient = made.describe().clone();
    drop(made);
    person.heard();
    // A process of its own lets go a moment after the handle did.
    let deadline = Instant::now() + Duration::from_secs(5);
    let alone = loop {
        match Hands::as_mode(&yubikey, pcsc::ShareMode::Exclusive) {
            Err(pcsc::Error::SharingViolation) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(5));
            }
            alone => break alone.unwrap(),
        }
    };
    let open = || lab.open_as(recipient.recipient, recipient.scheme, &recipient.profile).map(drop);
    let held = |outcome| match outcome {
        Err(TokenError::CardHeld { by }) => by,
        other => panic!("{other:?}"),
    };
    held(open());
    held(lab.driver.list().map(drop));
    let mut daemon = Named::start(&lab, "scdaemon");
    let by = held(open());
    assert!(by.contains("scdaemon") && by.contains(&format!("process {}", daemon.0.id())), "{by}");
    assert!(daemon.0.try_wait().unwrap().is_none(), "it was ended");
    assert_eq!(person.heard(), []);
    drop(alone);
    open().unwrap();
}
