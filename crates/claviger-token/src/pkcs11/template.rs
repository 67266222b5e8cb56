//! Templates: of the KEK, and of the short-lived session objects through which a wrapped key passes.

use crate::ModuleSettings;
use claviger_types::{RecipientId, Scheme, SignerId};
use cryptoki::{
    mechanism::{Mechanism, MechanismType},
    object::{Attribute, KeyType, ObjectClass},
};

/// DER of the object identifier of P-256 (SEC 2: secp256r1).
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// A small closed set of variants, each with a name in the profile.
macro_rules! variants {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub(super) enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            pub(super) const ALL: &[Self] = &[$(Self::$variant),+];

            pub(super) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            pub(super) fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|variant| variant.name() == name)
            }
        }
    };
}

variants! {
    /// The template of the session object that an unwrap or a derivation makes. Modules contradict each other: SoftHSM and
    /// kryoptic give a readable key only when asked, opencryptoki refuses to be asked, Luna wants the length.
    UnwrapAs {
        /// Readable, and told so attribute by attribute.
        #[default]
        Plain = "plain",
        /// The same as a private object.
        Private = "private",
        /// The same with a length.
        PlainLength = "plain-length",
        /// Class and type alone.
        Minimal = "minimal",
        /// Class, type and length.
        MinimalLength = "minimal-length",
    }
}

variants! {
    /// The template of the session object by which a key enters the module to be wrapped.
    ImportAs {
        /// Every attribute stated.
        #[default]
        Plain = "plain",
        /// The same as a private object.
        Private = "private",
        /// Class, type and that it may be wrapped.
        Minimal = "minimal",
    }
}

variants! {
    /// How the other party's point is given to a derivation.
    PointAs {
        /// The bare SEC 1 encoding.
        #[default]
        Raw = "raw",
        /// The same in a DER octet string.
        Der = "der",
    }
}

/// Of the object that an unwrap makes.
pub(super) fn unwrapped(variant: UnwrapAs, key_type: KeyType) -> Vec<Attribute> {
    let mut template = vec![Attribute::Class(ObjectClass::SECRET_KEY), Attribute::KeyType(key_type)];
    if !matches!(variant, UnwrapAs::Minimal | UnwrapAs::MinimalLength) {
        template.extend([
            Attribute::Token(false),
            Attribute::Private(variant == UnwrapAs::Private),
            Attribute::Sensitive(false),
            Attribute::Extractable(true),
        ]);
    }
    if matches!(variant, UnwrapAs::PlainLength | UnwrapAs::MinimalLength) {
        template.push(Attribute::ValueLen(32.into()));
    }
    template
}

/// Of the object by which a key comes in; its value is added by the caller.
pub(super) fn imported(variant: ImportAs) -> Vec<Attribute> {
    let mut template = vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(false),
        Attribute::Extractable(true),
    ];
    if variant != ImportAs::Minimal {
        template.extend([
            Attribute::Private(variant == ImportAs::Private),
            Attribute::Sensitive(false),
            Attribute::Encrypt(false),
            Attribute::Decrypt(false),
            Attribute::Wrap(false),
            Attribute::Unwrap(false),
            Attribute::Derive(false),
        ]);
    }
    template
}

/// By which the KEK is found: its id and class. A URI may name another id, and a label.
pub(super) fn query(scheme: Scheme, id: &[u8], label: Option<&str>) -> Vec<Attribute> {
    let mut template = vec![Attribute::Class(class(scheme)), Attribute::Id(id.to_vec())];
    template.extend(label.map(|label| Attribute::Label(label.as_bytes().to_vec())));
    template
}

/// By which a key is found, and the public half that it may have.
pub(super) fn ids(scheme: Scheme, id: &[u8]) -> [Vec<Attribute>; 2] {
    [query(scheme, id, None), public_query(id).to_vec()]
}

/// The id in a template; empty where it names none.
pub(super) fn id_in(template: &[Attribute]) -> &[u8] {
    let id = template.iter().find_map(|attribute| match attribute {
        Attribute::Id(id) => Some(id.as_slice()),
        _ => None,
    });
    id.unwrap_or_default()
}

/// By which a pair's public half is found.
pub(super) fn public_query(id: &[u8]) -> [Attribute; 2] {
    [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Id(id.to_vec())]
}

/// By which the public halves of all keys on curves are found.
pub(super) fn public_points() -> [Attribute; 2] {
    [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::KeyType(KeyType::EC)]
}

const fn class(scheme: Scheme) -> ObjectClass {
    if scheme.is_symmetric() { ObjectClass::SECRET_KEY } else { ObjectClass::PRIVATE_KEY }
}

/// How a key is made.
pub(super) struct KeyTemplate {
    pub(super) generate: Mechanism<'static>,
    /// The secret or private key.
    pub(super) key: Vec<Attribute>,
    /// The public key, for a pair.
    pub(super) public: Option<Vec<Attribute>>,
}

/// Which attributes a module has to know: those that older ones lack are left out step by step, and then it is the
/// self-test's attacks alone that decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strictness {
    Full,
    WithoutPublicUsages,
    WithoutMechanisms,
    WithoutCopyable,
    WithoutAny,
}

impl Strictness {
    /// In the order in which they are tried. The public half's usages go first, because they guard nothing, and a TPM makes
    /// a key each time before it finds that they are not what it would have.
    pub(super) const ALL: [Self; 5] = [
        Self::Full,
        Self::WithoutPublicUsages,
        Self::WithoutMechanisms,
        Self::WithoutCopyable,
        Self::WithoutAny,
    ];

    const fn names_public_usages(self) -> bool {
        !matches!(self, Self::WithoutPublicUsages | Self::WithoutAny)
    }

    const fn names_copyable(self) -> bool {
        !matches!(self, Self::WithoutCopyable | Self::WithoutAny)
    }

    const fn names_mechanisms(self) -> bool {
        matches!(self, Self::Full | Self::WithoutPublicUsages)
    }
}

/// The template of a new KEK: on the token, private, sensitive, never extractable, neither modifiable nor copyable, fit for
/// its scheme's two operations and for nothing else, each said explicitly because the defaults are permissive.
pub(super) fn kek(
    scheme: Scheme,
    recipient: RecipientId,
    label: &str,
    rsa_bits: u64,
    (strictness, settings): (Strictness, &ModuleSettings),
) -> KeyTemplate {
    let named = |attributes: &mut Vec<Attribute>| {
        attributes.extend([
            Attribute::Token(true),
            Attribute::Modifiable(false),
            Attribute::Id(recipient.as_bytes().to_vec()),
            Attribute::Label(label.as_bytes().to_vec()),
        ]);
    };
    let symmetric = scheme.is_symmetric();
    let mut key = vec![
        Attribute::Class(class(scheme)),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Decrypt(matches!(scheme, Scheme::A256Gcm | Scheme::RsaOaepSha256 | Scheme::RsaOaepSha1)),
        Attribute::Unwrap(scheme == Scheme::A256Kw),
        Attribute::Derive(scheme == Scheme::EcdhEsA256Kw),
        Attribute::Sign(false),
    ];
    named(&mut key);
    if symmetric {
        key.extend([
            Attribute::KeyType(KeyType::AES),
            Attribute::ValueLen(32.into()),
            Attribute::Encrypt(scheme == Scheme::A256Gcm),
            Attribute::Wrap(scheme == Scheme::A256Kw),
            Attribute::Verify(false),
        ]);
    } else {
        key.push(Attribute::SignRecover(false));
    }
    if strictness.names_copyable() {
        key.push(Attribute::Copyable(false));
    }
    if strictness.names_mechanisms()
        && let Some(mechanism) = mechanism(scheme, settings)
    {
        key.push(Attribute::AllowedMechanisms(vec![mechanism]));
    }

    let mut public = vec![Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Private(false)];
    if strictness.names_public_usages() {
        public.extend([
            Attribute::Encrypt(matches!(scheme, Scheme::RsaOaepSha256 | Scheme::RsaOaepSha1)),
            Attribute::Verify(false),
            Attribute::VerifyRecover(false),
            Attribute::Wrap(false),
            Attribute::Derive(false),
        ]);
    }
    named(&mut public);
    let (generate, public) = match scheme {
        Scheme::A256Kw | Scheme::A256Gcm => (Mechanism::AesKeyGen, None),
        Scheme::EcdhEsA256Kw => {
            key.push(Attribute::KeyType(KeyType::EC));
            public.extend([Attribute::KeyType(KeyType::EC), Attribute::EcParams(P256.to_vec())]);
            (Mechanism::EccKeyPairGen, Some(public))
        }
        Scheme::RsaOaepSha256 | Scheme::RsaOaepSha1 => {
            key.push(Attribute::KeyType(KeyType::RSA));
            public.extend([
                Attribute::KeyType(KeyType::RSA),
                Attribute::ModulusBits(rsa_bits.into()),
                Attribute::PublicExponent(vec![1, 0, 1]),
            ]);
            (Mechanism::RsaPkcsKeyPairGen, Some(public))
        }
    };
    KeyTemplate { generate, key, public }
}

/// The template of a new signing key: as strict as a KEK's, fit to sign by ECDSA and for nothing else.
pub(super) fn signer(id: SignerId, label: &str, strictness: Strictness) -> KeyTemplate {
    let named = [
        Attribute::Token(true),
        Attribute::Modifiable(false),
        Attribute::KeyType(KeyType::EC),
        Attribute::Id(id.as_bytes().to_vec()),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    let mut key = vec![
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
        Attribute::Sign(true),
        Attribute::SignRecover(false),
    ];
    key.extend(named.clone());
    if strictness.names_copyable() {
        key.push(Attribute::Copyable(false));
    }
    if strictness.names_mechanisms() {
        key.push(Attribute::AllowedMechanisms(vec![MechanismType::ECDSA]));
    }
    let mut public = vec![
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::Private(false),
        Attribute::EcParams(P256.to_vec()),
    ];
    if strictness.names_public_usages() {
        public.extend([
            Attribute::Encrypt(false),
            Attribute::Verify(true),
            Attribute::VerifyRecover(false),
            Attribute::Wrap(false),
            Attribute::Derive(false),
        ]);
    }
    public.extend(named);
    KeyTemplate { generate: Mechanism::EccKeyPairGen, key, public: Some(public) }
}

/// By which a signing key is found.
pub(super) fn signer_query(id: &[u8], label: Option<&str>) -> Vec<Attribute> {
    query(Scheme::EcdhEsA256Kw, id, label)
}

/// The one mechanism that a scheme's KEK is for, if it can be named in a template.
fn mechanism(scheme: Scheme, settings: &ModuleSettings) -> Option<MechanismType> {
    let (standard, vendors) = match scheme {
        Scheme::A256Kw => (MechanismType::AES_KEY_WRAP, settings.mechanisms.key_wrap),
        Scheme::A256Gcm => (MechanismType::AES_GCM, settings.mechanisms.gcm),
        Scheme::EcdhEsA256Kw => (MechanismType::ECDH1_DERIVE, settings.mechanisms.ecdh),
        Scheme::RsaOaepSha256 | Scheme::RsaOaepSha1 => {
            (MechanismType::RSA_PKCS_OAEP, settings.mechanisms.oaep)
        }
    };
    match vendors {
        None => Some(standard),
        Some(number) => MechanismType::new_vendor_defined(number.into()).ok(),
    }
}
