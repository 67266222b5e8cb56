//! A module's private token as the tests use it, and a second pair of hands in the same process.

use claviger_token::{
    Access, Driver, Kek, ModuleSpec, NewKek, PinPrompt, PinSource, PivKek, SelfTestReport, TokenError,
    Unwrapped, Uri, host::HostDriver, piv::PivDriver, pkcs11::Pkcs11Driver,
};
use claviger_types::{Key256, OsEntropy, Pin, RecipientId, Scheme, SecretBytes, WrappedCek};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    types::AuthPin,
};
use softhsm_fixtures::{Instance, PIN, Provider};
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
    Access::new(Arc::clone(pin) as _, Arc::new(OsEntropy))
}

impl<'a> Lab<'a> {
    pub(crate) fn new(instance: &'a Instance) -> Self {
        let pin = Counting::new(PIN);
        let driver: Arc<dyn Driver> = if instance.provider() == Provider::YubiKey {
            Arc::new(PivDriver)
        } else {
            let mut spec = ModuleSpec::new(instance.module());
            spec.settings.init_args = instance.init_args();
            Arc::new(Pkcs11Driver::new(spec))
        };
        Self { instance, driver, uri: instance.uri().parse().unwrap(), access: access(&pin), pin }
    }

    /// The same with the module in a process of its own.
    pub(crate) fn hosted(instance: &'a Instance) -> (Self, HostDriver) {
        let driver = HostDriver::new(crate::hosted::spec(instance));
        (Self { driver: Arc::new(driver.clone()), ..Self::new(instance) }, driver)
    }

    /// The schemes that work on this module, the preferred one first.
    pub(crate) fn schemes(&self) -> &'static [Scheme] {
        use Scheme::{A256Gcm, A256Kw, EcdhEsA256Kw, RsaOaepSha1, RsaOaepSha256};

        match self.instance.provider() {
            Provider::SoftHsm => &[A256Kw, A256Gcm, EcdhEsA256Kw],
            Provider::Kryoptic => &[A256Kw, A256Gcm, EcdhEsA256Kw, RsaOaepSha256],
            Provider::P11Kit => &[RsaOaepSha1],
            Provider::Tpm | Provider::OpenCryptoki => &[RsaOaepSha256],
            Provider::Nss => &[A256Kw],
            Provider::YubiKey => &[EcdhEsA256Kw],
        }
    }

    /// The preferred scheme.
    pub(crate) fn scheme(&self) -> Scheme {
        self.schemes()[0]
    }

    /// Another one, where there is another.
    pub(crate) fn second_scheme(&self) -> Scheme {
        self.schemes().get(1).copied().unwrap_or(self.scheme())
    }

    pub(crate) fn try_generate(
        &self,
        scheme: Option<Scheme>,
    ) -> Result<(Arc<dyn Kek>, SelfTestReport), TokenError> {
        let recipient = RecipientId::random(&OsEntropy).unwrap();
        let new = NewKek {
            recipient,
            label: "claviger".to_owned(),
            scheme,
            allow_sha1: false,
            piv: PivKek::default(),
        };
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

    /// The module through a second handle of this process, which the driver knows nothing of. p11-kit's is another client
    /// each time, and sees the token's objects, but none of the driver's sessions.
    pub(crate) fn second_handle(&self) -> Pkcs11 {
        let module = Pkcs11::new(self.instance.module()).unwrap();
        if self.is_remote() {
            module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
        }
        module
    }

    fn is_remote(&self) -> bool {
        self.instance.provider() == Provider::P11Kit
    }

    /// How many keys of this class are on the token. A card is asked past the driver, and by its own status words.
    pub(crate) fn count(&self, class: ObjectClass) -> usize {
        match (self.instance.provider(), class) {
            (Provider::YubiKey, ObjectClass::PRIVATE_KEY) => crate::piv::occupied(self.instance),
            (Provider::YubiKey, _) => 0,
            _ => objects(&self.beside(), class).len(),
        }
    }

    /// Takes the driver's login away, and where its sessions cannot be reached, those as well.
    pub(crate) fn lose_login(&self) {
        if self.is_remote() {
            self.instance.remove();
            self.instance.put_back();
        } else if self.instance.provider() == Provider::YubiKey {
            crate::piv::reset(self.instance);
        } else {
            self.beside().logout().unwrap();
        }
    }

    /// A read-write session beside the driver's, on the token that has the fixture's label, logged in where the driver is.
    pub(crate) fn beside(&self) -> Session {
        let module = self.second_handle();
        let slots = module.get_slots_with_token().unwrap();
        // `cryptoki` cannot read what openCryptoki says of its one token.
        let slot = slots.into_iter().find(|slot| {
            module.get_token_info(*slot).map_or(true, |info| info.label() == softhsm_fixtures::LABEL)
        });
        let session = module.open_rw_session(slot.unwrap()).unwrap();
        if self.is_remote() {
            session.login(UserType::User, Some(&AuthPin::new(PIN.into()))).unwrap();
        }
        session
    }
}

/// That the key has this attribute. What p11-kit cannot carry, and what a TPM and openCryptoki do not know, may be missing
/// there: the self-test's attacks are what decides.
pub(crate) fn has(lab: &Lab<'_>, session: &Session, key: ObjectHandle, attribute: &Attribute) {
    let kind = attribute.attribute_type();
    let strict = matches!(lab.instance.provider(), Provider::SoftHsm | Provider::Kryoptic)
        || !matches!(kind, AttributeType::Copyable | AttributeType::Destroyable);
    match session.get_attributes(key, &[kind]) {
        Ok(has) if strict || !has.is_empty() => assert_eq!(has.first(), Some(attribute)),
        outcome => assert!(!strict, "{kind}: {outcome:?}"),
    }
}

/// That the key may be used by one mechanism, where the module knows of that.
pub(crate) fn has_one_mechanism(lab: &Lab<'_>, session: &Session, key: ObjectHandle) {
    let strict = matches!(lab.instance.provider(), Provider::SoftHsm | Provider::Kryoptic);
    let allowed = session.get_attributes(key, &[AttributeType::AllowedMechanisms]).unwrap_or_default();
    match allowed.first() {
        Some(Attribute::AllowedMechanisms(mechanisms)) if strict => assert_eq!(mechanisms.len(), 1),
        allowed => assert!(!strict, "{allowed:?}"),
    }
}

/// The class of a scheme's secret half.
pub(crate) fn class_of(scheme: Scheme) -> ObjectClass {
    if scheme.is_symmetric() { ObjectClass::SECRET_KEY } else { ObjectClass::PRIVATE_KEY }
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
