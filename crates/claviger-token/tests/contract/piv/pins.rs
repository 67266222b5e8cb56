//! The card's PIN: how many tries are told, and that none is spent twice.

use super::hands::{FIRST_PIN, Hands, Heard, Meanwhile, Person, attended, enrol, kek, lab_of, wish};
use crate::lab::{CONTEXT, Lab, fresh, key};
use claviger_token::{Access, Kek, PinFile, PinSource, PinTries, TokenError};
use claviger_types::{Entropy, EntropyError, OsEntropy};
use softhsm_fixtures::{At, CardAction, PIN, PcscFault, YubiKey};
use std::{
    fs,
    os::unix::fs::OpenOptionsExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// `SCARD_E_INVALID_PARAMETER`: nothing that passes.
const INVALID_PARAMETER: u32 = 0x8010_0004;
const WRONG: &str = "654321";

fn tries(lab: &Lab<'_>) -> (PinTries, Option<u8>) {
    let token = lab.driver.list().unwrap().remove(0);
    (token.tries, token.details.tries_left)
}

/// A file with this PIN.
fn file(lab: &Lab<'_>, pin: &str) -> PinFile {
    let path = lab.instance.home().join(pin);
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
    std::io::Write::write_all(&mut file.unwrap(), format!("{pin}\n").as_bytes()).unwrap();
    PinFile::new(path)
}

pub(crate) fn the_tries_are_told_before_each(lab: &Lab<'_>) {
    let (lab, yubikey, right) = attended(lab);
    let made = kek(&lab, None, "once", "never");
    Hands::on(&yubikey).reset();
    let wrong = Person::with(WRONG, None);
    let guess = || lab_of(&lab, &yubikey, &wrong).open(&made).map(drop);
    for (left, tries_told) in [(3, PinTries::Normal), (2, PinTries::Low)] {
        let outcome = guess();
        let Err(TokenError::PinIncorrect { tries_left }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(tries_left, Some(left - 1));
        assert_eq!(wrong.heard(), [Heard::Pin { left: Some(left), tries: tries_told }]);
    }
    assert_eq!(tries(&lab), (PinTries::Final, Some(1)));

    // A source that nobody sits before.
    let access = Access::new(Arc::new(file(&lab, WRONG)), Arc::new(OsEntropy));
    let outcome = Lab { access, ..lab_of(&lab, &yubikey, &wrong) }.open(&made).map(drop);
    let Err(TokenError::PinUnavailable { reason }) = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("one try left"), "{reason}");
    assert_eq!(tries(&lab), (PinTries::Final, Some(1)), "the file spent it");

    let outcome = guess();
    assert!(matches!(outcome, Err(TokenError::PinLocked)), "{outcome:?}");
    assert_eq!(wrong.heard(), [Heard::Pin { left: Some(1), tries: PinTries::Final }]);
    assert_eq!(tries(&lab), (PinTries::Locked, Some(0)));
    right.heard();
    let outcome = lab.open(&made).map(drop);
    assert!(matches!(outcome, Err(TokenError::PinLocked)), "{outcome:?}");
    assert_eq!(right.heard(), [], "asked for what cannot be tried");
}

const LAST_PIN: Heard = Heard::Pin { left: Some(1), tries: PinTries::Final };

/// Whoever asks for its first bytes has somebody else spend two tries.
struct Spending {
    yubikey: YubiKey,
    spent: AtomicBool,
}

impl Entropy for Spending {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
        if !self.spent.swap(true, Ordering::SeqCst) {
            let mut hands = Hands::on(&self.yubikey);
            assert_eq!([WRONG; 2].map(|pin| hands.give_pin(pin)), [0x63c2, 0x63c1]);
        }
        OsEntropy.fill(buffer)
    }
}

/// Others spend tries while somebody is asked: the last is that person's to spend, and nobody else's.
pub(crate) fn the_last_one_is_never_spent_unasked(lab: &Lab<'_>) {
    let (lab, yubikey, right) = attended(lab);
    let made = kek(&lab, None, "once", "never");
    let open = |source: Arc<dyn PinSource>, spent| {
        let source = Meanwhile::spent(source, &yubikey, 0x80, spent);
        let access = Access::new(Arc::new(source), Arc::new(OsEntropy));
        Lab { access, ..lab_of(&lab, &yubikey, &right) }.open(&made).map(drop)
    };
    let mend = || {
        assert_eq!(Hands::on(&yubikey).give_pin(PIN), 0x9000);
        Hands::on(&yubikey).reset();
    };
    let wrong = Person::with(WRONG, None);
    Hands::on(&yubikey).reset();
    right.heard();
    open(Arc::clone(&right) as _, 2).unwrap();
    assert_eq!(right.heard(), [FIRST_PIN, LAST_PIN]);
    Hands::on(&yubikey).reset();
    let outcome = open(Arc::new(file(&lab, WRONG)), 2);
    let Err(TokenError::PinUnavailable { reason }) = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("one try left"), "{reason}");
    assert_eq!(tries(&lab), (PinTries::Final, Some(1)), "the file spent it");
    mend();
    // What is not the last is spent as it was said.
    let outcome = open(Arc::clone(&wrong) as _, 1);
    assert!(matches!(outcome, Err(TokenError::PinIncorrect { tries_left: Some(1) })), "{outcome:?}");
    assert_eq!(wrong.heard(), [FIRST_PIN]);
    mend();
    // One that is kept while a key is made was no yes for the last.
    let entropy = Spending { yubikey: yubikey.clone(), spent: AtomicBool::new(false) };
    let access = Access::new(Arc::clone(&right) as _, Arc::new(entropy));
    enrol(&Lab { access, ..lab_of(&lab, &yubikey, &right) }, wish(None, "always", "never")).unwrap();
    assert_eq!(right.heard(), [FIRST_PIN, LAST_PIN]);
    Hands::on(&yubikey).reset();
    let outcome = open(Arc::clone(&wrong) as _, 3);
    assert!(matches!(outcome, Err(TokenError::PinLocked)), "{outcome:?}");
    assert_eq!(wrong.heard(), [FIRST_PIN]);
}

pub(crate) fn the_right_one_makes_up_for_wrong_ones(lab: &Lab<'_>) {
    let (lab, yubikey, right) = attended(lab);
    let made = kek(&lab, None, "once", "never");
    let wrong = lab_of(&lab, &yubikey, &Person::with(WRONG, None));
    right.heard();
    for _ in 0..2 {
        Hands::on(&yubikey).reset();
        for _ in 0..2 {
            assert!(matches!(wrong.open(&made), Err(TokenError::PinIncorrect { .. })));
        }
        lab.open(&made).unwrap();
        assert_eq!(right.heard(), [Heard::Pin { left: Some(1), tries: PinTries::Final }]);
    }
    assert_eq!(tries(&lab), (PinTries::Normal, Some(3)));
}

/// What no card can have as its PIN is not shown to it.
pub(crate) fn a_pin_of_no_length_spends_no_try(lab: &Lab<'_>) {
    let (lab, yubikey, _) = attended(lab);
    let made = kek(&lab, None, "once", "never");
    Hands::on(&yubikey).reset();
    for impossible in ["", "123456789"] {
        let outcome = lab_of(&lab, &yubikey, &Person::with(impossible, None)).open(&made);
        assert!(matches!(outcome, Err(TokenError::PinIncorrect { tries_left: None })), "{outcome:?}");
    }
    assert_eq!(tries(&lab), (PinTries::Normal, Some(3)));
}

pub(crate) fn each_use_asks_where_the_policy_says_so(lab: &Lab<'_>) {
    let (lab, _, person) = attended(lab);
    let made = kek(&lab, None, "always", "never");
    let cek = fresh();
    let wrapped = made.wrap(&cek, CONTEXT).unwrap();
    let opened = lab.open(&made).unwrap();
    person.heard();
    for token in [&made, &opened, &made] {
        assert!(key(token, &wrapped).same_as(&cek));
        assert_eq!(person.heard(), [FIRST_PIN]);
    }
    let never = kek(&lab, None, "never", "never");
    assert_eq!(person.heard(), []);
    let wrapped = never.wrap(&cek, CONTEXT).unwrap();
    Hands::on(&lab.instance.yubikey(0)).reset();
    assert!(key(&lab.open(&never).unwrap(), &wrapped).same_as(&cek));
    assert_eq!(person.heard(), []);
}

/// Whether a PIN that was on its way cost a try, nobody knows until the card tells its tries again.
pub(crate) fn a_pin_that_was_on_its_way_is_not_given_again(lab: &Lab<'_>) {
    let (lab, yubikey, right) = attended(lab);
    let made = kek(&lab, None, "once", "never");
    let cek = fresh();
    let wrapped = made.wrap(&cek, CONTEXT).unwrap();
    let wrong = Person::with(WRONG, None);
    // While the login stands, it is not asked for.
    let guessing = lab_of(&lab, &yubikey, &wrong).open(&made).unwrap();
    let cut = |token: &Arc<dyn Kek>, action| {
        Hands::on(&yubikey).reset();
        // The first asks for the tries.
        yubikey.inject(0x20, At::Nth(2), action);
        let outcome = token.unwrap(&wrapped, CONTEXT);
        let Err(TokenError::PinUnavailable { reason }) = outcome else { panic!("{outcome:?}") };
        assert!(reason.contains("went away"), "{reason}");
        yubikey.clear();
        yubikey.insert();
    };
    right.heard();
    for action in [CardAction::Remove, CardAction::RemoveAfter] {
        cut(&made, action);
        assert_eq!(right.heard(), [FIRST_PIN]);
        assert!(key(&made, &wrapped).same_as(&cek));
        assert_eq!(right.heard(), [FIRST_PIN]);
    }
    cut(&guessing, CardAction::RemoveAfter);
    assert_eq!(wrong.heard(), [FIRST_PIN]);
    for _ in 0..3 {
        let outcome = guessing.unwrap(&wrapped, CONTEXT);
        assert!(matches!(outcome, Err(TokenError::PinIncorrect { .. })), "{outcome:?}");
        assert_eq!(wrong.heard(), [], "asked once more");
    }
    assert_eq!(tries(&lab), (PinTries::Low, Some(2)));
}

/// What the card says to a PIN may be no answer to it, and cost a try all the same: that is no card that is not there.
pub(crate) fn an_answer_that_is_none_is_no_absence(lab: &Lab<'_>) {
    let (lab, yubikey, right) = attended(lab);
    let made = kek(&lab, None, "once", "never");
    let wrapped = made.wrap(&fresh(), CONTEXT).unwrap();
    for status in [0x6f00, 0x6d00, 0x6982, 0x9100] {
        let wrong = Person::with(WRONG, None);
        let guessing = lab_of(&lab, &yubikey, &wrong).open(&made).unwrap();
        Hands::on(&yubikey).reset();
        // The first asks whether it was given.
        yubikey.inject(0x20, At::Nth(2), CardAction::After(status));
        let outcome = guessing.unwrap(&wrapped, CONTEXT);
        yubikey.clear();
        let Err(TokenError::PinUnavailable { reason }) = outcome else { panic!("{status:04x}: {outcome:?}") };
        assert!(reason.contains(&format!("{status:04X}")) && !reason.contains(WRONG), "{reason}");
        assert_eq!(tries(&lab), (PinTries::Low, Some(2)), "{status:04x}");
        let outcome = guessing.unwrap(&wrapped, CONTEXT);
        assert!(matches!(outcome, Err(TokenError::PinIncorrect { .. })), "{status:04x}: {outcome:?}");
        assert_eq!(wrong.heard(), [FIRST_PIN], "{status:04x}");
        lab.open(&made).unwrap();
    }
    // Nor where the way back from the card fails, however it does.
    Hands::on(&yubikey).reset();
    lab.instance.pcsc_faults().reset_counts();
    lab.open(&made).unwrap();
    let mut unclear = 0;
    for nth in 1..=lab.instance.pcsc_faults().counts()["transmit"] {
        Hands::on(&yubikey).reset();
        right.heard();
        lab.instance.pcsc_faults().inject("transmit", At::Nth(nth), PcscFault::After(INVALID_PARAMETER));
        let outcome = lab.open(&made).map(drop);
        lab.instance.pcsc_faults().clear();
        unclear += u32::from(matches!(outcome, Err(TokenError::PinUnavailable { .. })));
        assert!(right.heard().len() <= 1, "{nth}: {outcome:?}");
    }
    assert_eq!(unclear, 1);
}

/// Whatever else fails around it, a wrong PIN costs one try.
pub(crate) fn a_wrong_one_is_given_once_whatever_else_fails(lab: &Lab<'_>) {
    let (lab, yubikey, _) = attended(lab);
    let made = kek(&lab, None, "once", "never");
    let wrapped = made.wrap(&fresh(), CONTEXT).unwrap();
    for ins in [0xfd, 0xf7, 0x87, 0xa4, 0x20] {
        for nth in 1..=3 {
            for action in [
                CardAction::Status(0x6d00),
                CardAction::After(0x6f00),
                CardAction::Length(0),
                CardAction::Reset,
            ] {
                // While the login stands, it is not asked for.
                lab.open(&made).unwrap();
                let wrong = Person::with(WRONG, None);
                let guessing = lab_of(&lab, &yubikey, &wrong).open(&made).unwrap();
                Hands::on(&yubikey).select(&[0xa0, 0, 0, 3, 8]);
                yubikey.inject(ins, At::Nth(nth), action);
                let outcome = guessing.unwrap(&wrapped, CONTEXT);
                yubikey.clear();
                assert!(
                    outcome.is_err() && wrong.heard().len() <= 1,
                    "{ins:02x}, {nth}, {action:?}: {outcome:?}"
                );
                assert!(Hands::on(&yubikey).tries(0x80) >= 2, "{ins:02x}, {nth}, {action:?}: {outcome:?}");
            }
        }
    }
}

/// Whoever does not know it, or goes away at the question, leaves nothing behind.
pub(crate) fn it_is_asked_for_before_anything_is_made(lab: &Lab<'_>) {
    let yubikey = lab.instance.yubikey(0);
    yubikey.reset_counts();
    let wrong = Person::with(WRONG, None);
    let outcome = enrol(&lab_of(lab, &yubikey, &wrong), wish(None, "always", "never")).map(drop);
    assert!(matches!(outcome, Err(TokenError::PinIncorrect { .. })), "{outcome:?}");
    let writing = |ins: &u8| [0x47, 0xdb, 0xf6].contains(ins);
    assert!(!yubikey.counts().keys().any(writing), "{:x?}", yubikey.counts());
    // It is asked for once, however often the new key wants it; and the attack without it is tried all the same.
    let person = Person::new();
    let lab = lab_of(lab, &yubikey, &person);
    for pin in ["once", "always"] {
        Hands::on(&yubikey).reset();
        let (_, report) = enrol(&lab, wish(None, pin, "never")).unwrap();
        assert_eq!(person.heard().len(), 1, "{pin}");
        let attack = report.checks.iter().find(|check| check.name == "use without the PIN").unwrap();
        assert_eq!(attack.outcome, "refused (6982)", "{pin}");
    }
    // What somebody else gave is not taken away for it.
    Hands::on(&yubikey).reset();
    let mut others = Hands::on(&yubikey);
    others.give_pin(PIN);
    let (_, report) = enrol(&lab, wish(None, "once", "never")).unwrap();
    let attack = report.checks.iter().find(|check| check.name == "use without the PIN").unwrap();
    assert!(attack.outcome.starts_with("not tried"), "{}", attack.outcome);
    assert_eq!((others.pin_state(), person.heard()), (0x9000, vec![]));
}
