//! All that a card is asked to do, done once more while something fails.

use super::cases::{Case, Fault};
use crate::{
    lab::{CONTEXT, Lab, fresh},
    piv::hands::{Hands, Heard, MANAGEMENT_APPLICATION, Person, enrol, kek, lab_of, wish, with_key},
};
use claviger_token::{
    Kek, PinOwner, Signer, TokenAdmin as _, TokenError, Unwrapped, piv::PivDriver, software::verify_signature,
};
use claviger_types::{Digest, Key256, OsEntropy, Scheme, SignerId, WrappedCek};
use softhsm_fixtures::{Instance, KeySpec, PIN, YubiKey};
use std::{cell::RefCell, collections::BTreeMap, sync::Arc, thread};

const PUK: &str = "12345678";
const PIV: [u8; 5] = [0xa0, 0, 0, 3, 8];

/// What is asked of the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Unwrap,
    /// After somebody took the login away.
    UnwrapAnew,
    /// The same under a key that is touched; it is told before.
    UnwrapTouched,
    Sign,
    /// Opens a key without any handle, login or application that is selected, and unwraps with it.
    Open,
    SelfTest,
    Generate,
    GenerateSigner,
    /// A key that was made before.
    Destroy,
    List,
    /// To what it is.
    ChangePin,
    Unblock,
}

/// How a work ended, and what it took.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) outcome: Result<(), TokenError>,
    /// Questions for the PIN.
    pub(super) asked: usize,
}

struct Handles {
    plain: Arc<dyn Kek>,
    touched: Arc<dyn Kek>,
    signer: Arc<dyn Signer>,
}

/// A card with a key of each kind, and handles to them.
pub(super) struct Bench<'a> {
    lab: Lab<'a>,
    pub(super) yubikey: YubiKey,
    person: Arc<Person>,
    handles: RefCell<Handles>,
    cek: Key256,
    wrapped: [WrappedCek; 2],
    // The slots that have a key, and what the card tells of it.
    belongs: Vec<(u8, Vec<u8>)>,
    // What was made under faults; it is judged when they are over.
    made: RefCell<Vec<Arc<dyn Kek>>>,
    made_signers: RefCell<Vec<Arc<dyn Signer>>>,
}

/// Says at which case a test failed.
struct Named<'a>(&'a Case);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{:?}", self.0);
        }
    }
}

impl<'a> Bench<'a> {
    /// On a card of this firmware, and with no other plugged in.
    pub(super) fn on(lab: &Lab<'a>, firmware: &'static str) -> Self {
        let instance: &Instance = lab.instance;
        let person = Person::new();
        let spec = KeySpec { firmware: Some(firmware), management: Some("3des"), ..KeySpec::default() };
        let (lab, yubikey) = with_key(lab, &spec, &person);
        instance.yubikey(0).remove();
        let handles = Handles {
            plain: kek(&lab, None, "once", "never"),
            touched: kek(&lab, None, "once", "always"),
            signer: lab.driver.generate_signer(&lab.uri, &lab.access, signer_id(), "signer").unwrap(),
        };
        let cek = fresh();
        let wrapped = [&handles.plain, &handles.touched].map(|token| token.wrap(&cek, CONTEXT).unwrap());
        let belongs = Hands::on(&yubikey).occupied();
        person.heard();
        Self {
            lab: lab_of(&lab, &yubikey, &person),
            yubikey,
            person,
            handles: RefCell::new(handles),
            cek,
            wrapped,
            belongs,
            made: RefCell::default(),
            made_signers: RefCell::default(),
        }
    }

    /// The commands, and the calls of PC/SC, that this work makes where nothing fails, and how often.
    pub(super) fn counts(&self, work: Work) -> (BTreeMap<u8, u64>, BTreeMap<String, u64>) {
        self.prepare(work);
        self.yubikey.reset_counts();
        self.lab.instance.pcsc_faults().reset_counts();
        self.attempt(work).unwrap();
        let counts = (self.yubikey.counts(), self.lab.instance.pcsc_faults().counts());
        assert_eq!(self.settle(), 0);
        counts
    }

    /// The work while this fails. Then nothing fails any more, and the work must go well. What was wrong, otherwise.
    pub(super) fn run(&self, case: &Case) -> Result<Seen, String> {
        let named = Named(case);
        self.prepare(case.work);
        self.person.heard();
        case.fault.inject(&self.yubikey, self.lab.instance);
        let seen = self.seen(case.work);
        self.yubikey.clear();
        self.lab.instance.pcsc_faults().clear();
        if !self.yubikey.is_inserted() {
            self.yubikey.insert();
        }
        let tries = [0x80, 0x81].map(|of| Hands::on(&self.yubikey).tries(of));
        let left = if case.work.changes_keys() { self.settle() } else { 0 };
        // What was refused, or is said to be, is not used again.
        if matches!(seen.outcome, Err(TokenError::PinIncorrect { .. } | TokenError::PinLocked)) {
            self.reopen();
        }
        self.prepare(case.work);
        let again = self.seen(case.work);
        if case.work.changes_keys() {
            self.settle();
        }
        drop(named);
        let wrong = if tries != [3, 3] {
            format!("tries are spent: {tries:?}")
        } else if again.outcome.is_err() {
            format!("work does not go on: {again:?}")
        } else if left > 0 && !case.may_keep() {
            format!("{left} keys are left behind")
        } else if seen.asked > case.pins() {
            "a PIN is asked for twice".to_owned()
        } else if matches!(seen.outcome, Err(TokenError::CorruptWrappedKey))
            || matches!(seen.outcome, Err(TokenError::TouchTimeout)) && case.work != Work::UnwrapTouched
        {
            "it is not what was wrong".to_owned()
        } else {
            return Ok(seen);
        };
        Err(format!("{case:?}: {wrong}, after {seen:?}"))
    }

    fn seen(&self, work: Work) -> Seen {
        let outcome = self.attempt(work);
        let asked =
            self.person.heard().into_iter().filter(|heard| matches!(heard, Heard::Pin { .. })).count();
        Seen { outcome, asked }
    }

    fn prepare(&self, work: Work) {
        match work {
            Work::Open => Hands::on(&self.yubikey).select(&MANAGEMENT_APPLICATION),
            Work::UnwrapAnew | Work::ChangePin | Work::Unblock => {
                Hands::on(&self.yubikey).select(&PIV);
            }
            Work::Destroy => self.made.borrow_mut().push(kek(&self.lab, None, "once", "never")),
            _ => {}
        }
    }

    fn attempt(&self, work: Work) -> Result<(), TokenError> {
        let handles = self.handles.borrow();
        match work {
            Work::Unwrap | Work::UnwrapAnew => self.unwrap(&handles.plain, 0)?,
            Work::UnwrapTouched => self.unwrap(&handles.touched, 1)?,
            Work::Sign => {
                let digest = Digest::of(fresh().expose());
                let signature = handles.signer.sign(&digest)?;
                assert!(
                    verify_signature(&handles.signer.public_key(), &digest, &signature),
                    "a wrong signature"
                );
            }
            Work::Open => {
                let it = handles.plain.describe();
                let token = self.lab.open_as(it.recipient, Scheme::EcdhEsA256Kw, &it.profile)?;
                self.unwrap(&token, 0)?;
            }
            Work::SelfTest => drop(handles.plain.self_test()?),
            Work::Generate => {
                let (token, _) = enrol(&self.lab, wish(None, "once", "never"))?;
                self.made.borrow_mut().push(token);
            }
            Work::GenerateSigner => {
                let lab = &self.lab;
                let signer = lab.driver.generate_signer(&lab.uri, &lab.access, signer_id(), "signer")?;
                self.made_signers.borrow_mut().push(signer);
            }
            Work::Destroy => {
                let token = self.made.borrow().last().cloned().unwrap();
                token.destroy_key()?;
                self.made.borrow_mut().pop();
            }
            Work::List => drop(self.lab.driver.list()?),
            Work::ChangePin => {
                let pin = Person::with(PIN, None);
                PivDriver.change_pin(&self.lab.uri, PinOwner::User, pin.as_ref(), pin.as_ref())?;
            }
            Work::Unblock => {
                let [puk, pin] = [PUK, PIN].map(|pin| Person::with(pin, None));
                PivDriver.set_pin(&self.lab.uri, puk.as_ref(), pin.as_ref())?;
            }
        }
        Ok(())
    }

    fn unwrap(&self, token: &Arc<dyn Kek>, which: usize) -> Result<(), TokenError> {
        match token.unwrap(&self.wrapped[which], CONTEXT)? {
            Unwrapped::Key(key) => assert!(key.same_as(&self.cek), "a wrong key"),
            Unwrapped::NotMine => panic!("not mine"),
        }
        Ok(())
    }

    /// Handles with a login that was not refused.
    fn reopen(&self) {
        let mut handles = self.handles.borrow_mut();
        let [plain, touched] = [&handles.plain, &handles.touched].map(|token| self.lab.open(token).unwrap());
        let lab = &self.lab;
        let signer = lab.driver.open_signer(&lab.uri, &lab.access, handles.signer.id()).unwrap();
        *handles = Handles { plain, touched, signer };
    }

    /// Judges what was made under faults, and removes it; how many keys are left over. Those that belong there are as they
    /// were.
    fn settle(&self) -> usize {
        for token in self.made.take() {
            let cek = fresh();
            let wrapped = token.wrap(&cek, CONTEXT).unwrap();
            match token.unwrap(&wrapped, CONTEXT) {
                Ok(Unwrapped::Key(key)) => assert!(key.same_as(&cek), "a key that was made does not work"),
                // It was destroyed, and that was denied.
                Err(TokenError::KeyMissing { .. }) => continue,
                outcome => panic!("{outcome:?}"),
            }
            token.destroy_key().unwrap();
        }
        for signer in self.made_signers.take() {
            signer.destroy_key().unwrap();
        }
        let mut hands = Hands::on(&self.yubikey);
        let occupied = hands.occupied();
        let (kept, more): (Vec<_>, Vec<_>) = occupied.into_iter().partition(|key| self.belongs.contains(key));
        assert_eq!(kept, self.belongs, "a slot was overwritten");
        for (slot, _) in &more {
            hands.administer();
            hands.ask([0xf6, 0xff, *slot], &[]);
            hands.put_certificate(*slot, &[]);
        }
        more.len()
    }
}

impl Work {
    pub(super) fn changes_keys(self) -> bool {
        matches!(self, Self::Generate | Self::GenerateSigner | Self::Destroy)
    }
}

impl Fault {
    fn inject(&self, yubikey: &YubiKey, instance: &Instance) {
        match *self {
            Self::Card(ins, at, action) => yubikey.inject(ins, at, action),
            Self::Service(call, at, fault) => instance.pcsc_faults().inject(call, at, fault),
        }
    }
}

fn signer_id() -> SignerId {
    SignerId::random(&OsEntropy).unwrap()
}
