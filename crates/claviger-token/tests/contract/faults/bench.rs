//! All that a token is asked to do, done once more while something fails.

use crate::lab::{CONTEXT, Lab, fresh, key, objects};
use claviger_token::{
    AnchorSlot, Kek, KeyDescription, ModuleSpec, Signer, TokenError, Unwrapped, pkcs11::Pkcs11Driver,
    software::verify_signature,
};
use claviger_types::{Digest, Key256, OsEntropy, Scheme, SignerId, WrappedCek};
use cryptoki::{
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
    session::Session,
};
use cryptoki_sys::{CKR_CRYPTOKI_NOT_INITIALIZED, CKR_SESSION_CLOSED, CKR_SESSION_HANDLE_INVALID};
use softhsm_fixtures::{Action, At, Faults, Instance};
use std::{cell::RefCell, collections::BTreeMap, sync::Arc, thread};

const ANCHOR: &str = "vault 0011";

/// The schemes of the keys that a bench has.
pub(super) const SCHEMES: [Scheme; 3] = [Scheme::A256Kw, Scheme::A256Gcm, Scheme::EcdhEsA256Kw];

/// What is asked of the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Wrap(Scheme),
    Unwrap(Scheme),
    ReadAnchor,
    WriteAnchor,
    Sign,
    Generate(Scheme),
    GenerateSigner,
    /// Opens a key and unwraps with it; on a closed bench that begins with the module and has a login.
    Open(Scheme),
    List,
}

/// One fault in one work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) work: Work,
    pub(super) function: &'a str,
    pub(super) at: At,
    pub(super) action: Action,
}

/// How a work ended, and what it took.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) outcome: Result<(), TokenError>,
    /// Calls of `C_Login`.
    pub(super) logins: usize,
    /// Questions for the PIN.
    pub(super) asked: usize,
}

struct Kept {
    description: KeyDescription,
    cek: Key256,
    wrapped: WrappedCek,
    // As are the others, absent on a closed bench.
    token: Option<Arc<dyn Kek>>,
}

/// A token with a key of each scheme, a signer and an anchor, behind the faulty module.
pub(super) struct Bench<'a> {
    pub(super) lab: Lab<'a>,
    pub(super) faults: Faults,
    keks: Vec<Kept>,
    anchors: Option<Arc<dyn AnchorSlot>>,
    signer: Option<Arc<dyn Signer>>,
    // What was wrapped and made under faults; it is judged when they are over.
    wraps: RefCell<Vec<(Key256, WrappedCek)>>,
    made: RefCell<Vec<Arc<dyn Kek>>>,
    made_signers: RefCell<Vec<Arc<dyn Signer>>>,
    // The values that the anchor may have.
    kept: RefCell<Vec<Vec<u8>>>,
    // Ids of the keys that belong on the token.
    ids: Vec<Vec<u8>>,
}

/// Says at which case a test failed.
struct Named<'a>(Case<'a>);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{:?}", self.0);
        }
    }
}

impl<'a> Bench<'a> {
    /// With a handle for each.
    pub(super) fn open(instance: &'a Instance) -> Self {
        let faults = Faults::of(instance);
        let driver = Arc::new(Pkcs11Driver::new(ModuleSpec::new(faults.module())));
        let lab = Lab { driver, ..Lab::new(instance) };
        let kek = |scheme| {
            let (token, cek) = (lab.generate(scheme), fresh());
            let wrapped = token.wrap(&cek, CONTEXT).unwrap();
            Kept { description: token.describe().clone(), cek, wrapped, token: Some(token) }
        };
        let keks = SCHEMES.into_iter().map(kek).collect();
        let anchors = lab.driver.open_anchors(&lab.uri, &lab.access).unwrap();
        anchors.write(ANCHOR, b"0").unwrap();
        let signer = new_signer(&lab).unwrap();
        assert_eq!(lab.pin.asked(), 1);
        Self {
            ids: keys(&lab.beside()).into_iter().map(|(_, id)| id).collect(),
            lab,
            faults,
            keks,
            anchors: Some(anchors),
            signer: Some(signer),
            wraps: RefCell::default(),
            made: RefCell::default(),
            made_signers: RefCell::default(),
            kept: RefCell::new(vec![b"0".to_vec()]),
        }
    }

    /// With all of it on the token, and no handle: each work begins with loading the module.
    pub(super) fn closed(instance: &'a Instance) -> Self {
        let mut bench = Self::open(instance);
        (bench.anchors, bench.signer) = (None, None);
        for kek in &mut bench.keks {
            kek.token = None;
        }
        bench
    }

    /// The functions that this work calls where nothing fails, and how often.
    pub(super) fn calls(&self, work: Work) -> BTreeMap<String, u64> {
        // The first one mends what an earlier work lost.
        self.attempt(work).unwrap();
        self.faults.clear();
        self.attempt(work).unwrap();
        let mut counts = BTreeMap::new();
        for call in self.faults.calls() {
            *counts.entry(call.function).or_default() += 1;
        }
        self.settle();
        counts
    }

    /// The work while this fails. Then nothing fails any more, and the work must go well; with no PIN asked for, unless the
    /// login may be `lost`. What was wrong, otherwise.
    pub(super) fn run(&self, case: Case<'_>, lost: bool) -> Result<Seen, String> {
        let named = Named(case);
        self.faults.inject(case.function, case.at, case.action);
        let seen = self.seen(case.work);
        self.faults.clear();
        let left = self.settle();
        let again = self.seen(case.work);
        self.faults.clear();
        self.settle();
        drop(named);
        if again.outcome.is_err() {
            return Err(format!("{case:?}: work does not go on: {again:?} after {seen:?}"));
        }
        if left > 0 && !keeps(case) {
            return Err(format!("{case:?}: {left} keys are left behind after {seen:?}"));
        }
        if !lost && !self.is_closed() && (seen.asked, again.asked, again.logins) != (0, 0, 0) {
            return Err(format!("{case:?}: a PIN for nothing: {seen:?}, {again:?}"));
        }
        Ok(seen)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.anchors.is_none()
    }

    /// The work under whatever fails now.
    pub(super) fn seen(&self, work: Work) -> Seen {
        let (asked, logins) = (self.lab.pin.asked(), self.faults.count("C_Login"));
        let outcome = self.attempt(work);
        Seen { outcome, logins: self.faults.count("C_Login") - logins, asked: self.lab.pin.asked() - asked }
    }

    fn attempt(&self, work: Work) -> Result<(), TokenError> {
        match work {
            Work::Wrap(scheme) => {
                let cek = fresh();
                let wrapped = self.token(scheme).wrap(&cek, CONTEXT)?;
                self.wraps.borrow_mut().push((cek, wrapped));
            }
            Work::Unwrap(scheme) => self.unwrap(self.token(scheme), scheme)?,
            Work::ReadAnchor => {
                let values = self.anchors.as_ref().unwrap().read(ANCHOR)?;
                assert!(!values.is_empty(), "the anchor is hidden");
                assert!(values.iter().all(|value| self.kept.borrow().contains(value)), "{values:?}");
            }
            Work::WriteAnchor => {
                let value = fresh().expose().to_vec();
                self.kept.borrow_mut().push(value.clone());
                self.anchors.as_ref().unwrap().write(ANCHOR, &value)?;
                self.kept.replace(vec![value]);
            }
            Work::Sign => {
                let (signer, digest) = (self.signer.as_ref().unwrap(), Digest::of(fresh().expose()));
                let signature = signer.sign(&digest)?;
                assert!(verify_signature(&signer.public_key(), &digest, &signature), "a wrong signature");
            }
            Work::Generate(scheme) => {
                let (token, _) = self.lab.try_generate(Some(scheme))?;
                self.made.borrow_mut().push(token);
            }
            Work::GenerateSigner => {
                let signer = new_signer(&self.lab)?;
                self.made_signers.borrow_mut().push(signer);
            }
            Work::Open(scheme) => {
                let KeyDescription { recipient, profile, .. } = &self.kek(scheme).description;
                let token = self.lab.open_as(*recipient, scheme, profile)?;
                self.unwrap(&token, scheme)?;
            }
            Work::List => {
                self.lab.driver.list()?;
            }
        }
        Ok(())
    }

    fn unwrap(&self, token: &Arc<dyn Kek>, scheme: Scheme) -> Result<(), TokenError> {
        let Kept { cek, wrapped, .. } = self.kek(scheme);
        match token.unwrap(wrapped, CONTEXT)? {
            Unwrapped::Key(key) => assert!(key.same_as(cek), "a wrong key"),
            Unwrapped::NotMine => panic!("not mine"),
        }
        Ok(())
    }

    fn kek(&self, scheme: Scheme) -> &Kept {
        self.keks.iter().find(|kek| kek.description.scheme == scheme).unwrap()
    }

    pub(super) fn token(&self, scheme: Scheme) -> &Arc<dyn Kek> {
        self.kek(scheme).token.as_ref().unwrap()
    }

    /// Judges what was made under faults, and removes it; how many keys are left over.
    pub(super) fn settle(&self) -> usize {
        for (cek, wrapped) in self.wraps.take() {
            assert!(key(self.token(wrapped.scheme), &wrapped).same_as(&cek), "another key was wrapped");
        }
        for token in self.made.take() {
            let cek = fresh();
            let wrapped = token.wrap(&cek, CONTEXT).unwrap();
            assert!(key(&token, &wrapped).same_as(&cek), "a key that was made does not work");
            token.destroy_key().unwrap();
        }
        for signer in self.made_signers.take() {
            signer.destroy_key().unwrap();
        }
        let Some(anchors) = &self.anchors else { return 0 };
        let values = anchors.read(ANCHOR).unwrap();
        assert!(!values.is_empty(), "the anchor is lost");
        assert!(values.iter().all(|value| self.kept.borrow().contains(value)), "{values:?}");
        self.kept.replace(values);
        let beside = self.lab.beside();
        let more: Vec<_> = keys(&beside).into_iter().filter(|(_, id)| !self.ids.contains(id)).collect();
        for (key, _) in &more {
            beside.destroy_object(*key).unwrap();
        }
        more.len()
    }
}

/// Whether the module itself keeps what it was told to give up, says that the session with it is gone, or does not show it.
fn keeps(case: Case<'_>) -> bool {
    const SESSION_GONE: [u64; 3] =
        [CKR_SESSION_CLOSED, CKR_SESSION_HANDLE_INVALID, CKR_CRYPTOKI_NOT_INITIALIZED];
    let makes = matches!(case.work, Work::Generate(_) | Work::GenerateSigner);
    match (case.function, case.action) {
        ("C_CloseSession", _) => true,
        ("C_FindObjects", Action::Length(_) | Action::Flip(_)) | ("C_DestroyObject", _) if makes => true,
        ("C_DestroyObject", Action::Return(rv)) | (_, Action::After(rv)) => SESSION_GONE.contains(&rv),
        _ => false,
    }
}

fn new_signer(lab: &Lab<'_>) -> Result<Arc<dyn Signer>, TokenError> {
    let id = SignerId::random(&OsEntropy).unwrap();
    lab.driver.generate_signer(&lab.uri, &lab.access, id, "the signer")
}

/// All keys, with their ids; those that are not to stay have none, or one of their own.
fn keys(session: &Session) -> Vec<(ObjectHandle, Vec<u8>)> {
    let classes = [ObjectClass::SECRET_KEY, ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY];
    let with_id = |key| match session.get_attributes(key, &[AttributeType::Id]).unwrap().pop() {
        Some(Attribute::Id(id)) => (key, id),
        _ => (key, Vec::new()),
    };
    classes.into_iter().flat_map(|class| objects(session, class)).map(with_id).collect()
}
