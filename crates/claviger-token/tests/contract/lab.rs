//! A module's private token as the tests use it, and a second pair of hands in the same process.

use claviger_token::{
    Access, Driver, Kek, ModuleSpec, NewKek, PinPrompt, PinSource, SelfTestReport, TokenError, Unwrapped,
    Uri, host::HostDriver, pkcs11::Pkcs11Driver,
};
use claviger_types::{Key256, OsEntropy, Pin, RecipientId, Scheme, SecretBytes, WrappedCek};
use cryptoki::{
    context::Pkcs11,
    object::{Attribute, ObjectClass, ObjectHandle},
    session::Session,
};
use softhsm_fixtures::{Instance, PIN};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

pub(crate) const CONTEXT: &[u8] = b"the context that the scheme binds";

pub(crate) struct Lab<'a> {
    pub(crate) instance: &'a Instance,
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) uri: Uri,
    pub(crate) pin: Arc<Counting>,
    pub(crate) access: Access,
}

/// A PIN source that counts how often it is asked.
pub(crate) struct Counting {
    pin: &'static str,
    asked: AtomicUsize,
}

impl Counting {
    pub(crate) fn new(pin: &'static str) -> Arc<Self> {
        Arc::new(Self { pin, asked: AtomicUsize::new(0) })
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl PinSource for Counting {
    fn pin(&self, _: &PinPrompt) -> Result<Pin, TokenError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(Pin::new(SecretBytes::copy_of(self.pin.as_bytes())))
    }
}

pub(crate) fn access(pin: &Arc<Counting>) -> Access {
    Access { pin: Arc::clone(pin) as _, entropy: Arc::new(OsEntropy) }
}

impl<'a> Lab<'a> {
    pub(crate) fn new(instance: &'a Instance) -> Self {
        let pin = Counting::new(PIN);
        let mut spec = ModuleSpec::new(instance.module());
        spec.settings.init_args = instance.init_args();
        let driver = Arc::new(Pkcs11Driver::new(spec));
        Self { instance, driver, uri: instance.uri().parse().unwrap(), access: access(&pin), pin }
    }

    /// The same with the module in a process of its own.
    pub(crate) fn hosted(instance: &'a Instance) -> (Self, HostDriver) {
        let driver = HostDriver::new(crate::hosted::spec(instance));
        (Self { driver: Arc::new(driver.clone()), ..Self::new(instance) }, driver)
    }

    pub(crate) fn try_generate(
        &self,
        scheme: Option<Scheme>,
    ) -> Result<(Arc<dyn Kek>, SelfTestReport), TokenError> {
        let recipient = RecipientId::random(&OsEntropy).unwrap();
        let new = NewKek { recipient, label: "claviger".to_owned(), scheme, allow_sha1: false };
        self.driver.generate(&self.uri, &self.access, &new)
    }

    pub(crate) fn generate(&self, scheme: Scheme) -> Arc<dyn Kek> {
        let (token, report) = self.try_generate(Some(scheme)).unwrap();
        assert_eq!(report.scheme, scheme);
        token
    }

    pub(crate) fn open_as(
        &self,
        recipient: RecipientId,
        scheme: Scheme,
        profile: &str,
    ) -> Result<Arc<dyn Kek>, TokenError> {
        self.driver.open(&self.uri, &self.access, recipient, scheme, profile)
    }

    pub(crate) fn open(&self, token: &Arc<dyn Kek>) -> Result<Arc<dyn Kek>, TokenError> {
        let description = token.describe();
        self.open_as(description.recipient, description.scheme, &description.profile)
    }

    /// The module through a second handle of this process, which the driver knows nothing of.
    pub(crate) fn second_handle(&self) -> Pkcs11 {
        Pkcs11::new(self.instance.module()).unwrap()
    }

    /// A read-write session beside the driver's, on the token that has the fixture's label.
    pub(crate) fn beside(&self) -> Session {
        let module = self.second_handle();
        let slots = module.get_slots_with_token().unwrap();
        // `cryptoki` cannot read what openCryptoki says of its one token.
        let slot = slots.into_iter().find(|slot| {
            module.get_token_info(*slot).map_or(true, |info| info.label() == softhsm_fixtures::LABEL)
        });
        module.open_rw_session(slot.unwrap()).unwrap()
    }
}

/// Every object of this class.
pub(crate) fn objects(session: &Session, class: ObjectClass) -> Vec<ObjectHandle> {
    session.find_objects(&[Attribute::Class(class)]).unwrap()
}

pub(crate) fn fresh() -> Key256 {
    Key256::random(&OsEntropy).unwrap()
}

/// Unwraps what must unwrap.
pub(crate) fn key(token: &Arc<dyn Kek>, wrapped: &WrappedCek) -> Key256 {
    match token.unwrap(wrapped, CONTEXT).unwrap() {
        Unwrapped::Key(key) => key,
        Unwrapped::NotMine => panic!("not mine"),
    }
}
