//! Real keys' statements, and chains made here that are wrong in one thing each.

use super::*;
use AttestationError as Error;
use der::{
    Decode as _, Encode as _,
    asn1::{Any, BitString, ObjectIdentifier, OctetString},
};
use p256::ecdsa::{DerSignature, SigningKey};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use std::{str::FromStr as _, time::Duration};
use x509_cert::{
    TbsCertificate,
    builder::{Builder as _, CertificateBuilder, profile::BuilderProfile},
    ext::Extension,
    name::Name,
    serial_number::SerialNumber,
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef},
    time::{Time, Validity},
};

fn pem(text: &[u8]) -> Vec<u8> {
    der::pem::decode_vec(text).unwrap().1
}

/// Statement and f9 certificate of a real YubiKey.
struct Sample {
    statement: Vec<u8>,
    f9: Vec<u8>,
}

macro_rules! sample {
    ($statement:literal, $f9:literal) => {
        Sample {
            statement: pem(include_bytes!(concat!("samples/", $statement, ".pem"))),
            f9: pem(include_bytes!(concat!("samples/", $f9, ".pem"))),
        }
    };
}

fn sample_4_3_7() -> Sample {
    sample!("4.3.7-u2f-root-9a", "4.3.7-u2f-root-f9")
}

fn sample_4_4_5() -> Sample {
    sample!("4.4.5-fips-9c", "4.4.5-fips-f9")
}

fn sample_5_4_3() -> Sample {
    sample!("5.4.3-9a", "5.4.3-f9")
}

fn sample_5_7_4() -> Sample {
    sample!("5.7.4-9c", "5.7.4-f9")
}

fn samples() -> [Sample; 4] {
    [sample_4_3_7(), sample_4_4_5(), sample_5_4_3(), sample_5_7_4()]
}

fn coordinate(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

impl Sample {
    fn verify(&self) -> Result<Attested, Error> {
        verify(&self.statement, &self.f9, &Roots::yubico())
    }
}

// The real ones. What is expected was read with `openssl x509 -text`.

#[test]
fn a_yubikey_5_of_firmware_5_4_3_attests() {
    let expected = Attested {
        public_key: EcPoint {
            x: coordinate("04f3337b09bb07a62f61da1e4188ce60958d432b78d215ad12cebe76d98e855f"),
            y: coordinate("964d5e69bfe22d494ace4ff68d74eef53212460d9d8725dcbad72dbe7aabebac"),
        },
        firmware: (5, 4, 3),
        serial: Some(15_732_500),
        pin_policy: PinPolicy::Once,
        touch_policy: TouchPolicy::Never,
        form_factor: Some(FormFactor(4)),
        slot: 0x9a,
        root: "CN=Yubico PIV Root CA Serial 263751".into(),
    };
    assert_eq!(sample_5_4_3().verify(), Ok(expected));
}

#[test]
fn a_yubikey_5_of_firmware_5_7_4_attests_through_the_makers_intermediates() {
    let attested = sample_5_7_4().verify().unwrap();
    assert_eq!((attested.firmware, attested.serial, attested.slot), ((5, 7, 4), Some(38_906_121), 0x9c));
    assert_eq!((attested.pin_policy, attested.touch_policy), (PinPolicy::Always, TouchPolicy::Always));
    assert_eq!(attested.form_factor.unwrap().name(), "USB-C keychain");
    assert_eq!(attested.root, "CN=Yubico Attestation Root 1");
}

#[test]
fn a_yubikey_4_fips_attests() {
    let attested = sample_4_4_5().verify().unwrap();
    assert_eq!((attested.firmware, attested.serial, attested.slot), ((4, 4, 5), Some(10_550_341), 0x9c));
    assert_eq!((attested.pin_policy, attested.touch_policy), (PinPolicy::Always, TouchPolicy::Always));
    assert_eq!(attested.form_factor, None);
}

/// Its f9 certificate is under the U2F root and says nothing of constraints, and the statement has no serial number.
#[test]
fn an_early_yubikey_4_attests() {
    let attested = sample_4_3_7().verify().unwrap();
    assert_eq!((attested.firmware, attested.serial, attested.slot), ((4, 3, 7), None, 0x9a));
    assert_eq!((attested.pin_policy, attested.touch_policy), (PinPolicy::Once, TouchPolicy::Never));
    assert_eq!(attested.root, "CN=Yubico U2F Root CA Serial 457200631");
}

/// The fingerprints that `roots/README.md` lists.
#[test]
fn the_built_in_certificates_are_the_listed_ones() {
    let readme = include_str!("roots/README.md");
    let files = YUBICO_ROOTS.iter().chain(YUBICO_INTERMEDIATES);
    for file in files.clone() {
        let fingerprint = hex::encode(Sha256::digest(pem(file)));
        assert!(readme.contains(&fingerprint), "{fingerprint} is not listed");
    }
    assert_eq!(readme.matches("sha256:").count(), files.count());

    let roots = Roots::yubico();
    assert_eq!((roots.anchors.len(), roots.intermediates.len()), (3, 4));
    for intermediate in &roots.intermediates {
        intermediate.check_authority().unwrap();
        assert_eq!(
            roots.root_of(intermediate).unwrap().subject().to_string(),
            "CN=Yubico Attestation Root 1"
        );
    }
}

#[test]
fn one_bit_anywhere_is_noticed() {
    let Sample { statement, f9 } = sample_5_7_4();
    let roots = Roots::yubico();
    let flipped = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1 << (at % 8);
        bytes
    };
    for at in 0..statement.len() {
        assert!(verify(&flipped(&statement, at), &f9, &roots).is_err(), "bit in byte {at} of the statement");
    }
    for at in 0..f9.len() {
        assert!(
            verify(&statement, &flipped(&f9, at), &roots).is_err(),
            "bit in byte {at} of the f9 certificate"
        );
    }
    // The signature, and the policies: the last byte of the value after its object identifier.
    let policies = [0x82, 0xc4, 0x0a, 0x03, 0x08, 0x04, 0x02];
    let policies =
        statement.windows(policies.len()).position(|window| window == policies).unwrap() + policies.len();
    for at in [statement.len() - 1, policies] {
        let outcome = verify(&flipped(&statement, at), &f9, &roots);
        assert_eq!(outcome, Err(Error::WrongSignature { link: Link::Statement }));
    }
    let outcome = verify(&statement, &flipped(&f9, f9.len() - 1), &roots);
    assert_eq!(outcome, Err(Error::WrongSignature { link: Link::Intermediate }));
}

#[test]
fn another_yubikeys_f9_certificate_does_not_do() {
    let outcome = verify(&sample_5_4_3().statement, &sample_4_4_5().f9, &Roots::yubico());
    assert_eq!(outcome, Err(Error::WrongSignature { link: Link::Statement }));
}

#[test]
fn the_wrong_order_is_noticed() {
    let Sample { statement, f9 } = sample_5_4_3();
    let outcome = verify(&f9, &statement, &Roots::yubico());
    assert_eq!(outcome, Err(Error::NotAnAuthority { link: Link::Intermediate }));
    assert_eq!(verify(&f9, &f9, &Roots::yubico()), Err(Error::StatementIsAuthority));
}

#[test]
fn a_certificate_ends_where_its_bytes_do() {
    let Sample { statement, f9 } = sample_5_4_3();
    let roots = Roots::yubico();
    for length in 0..statement.len() {
        let outcome = verify(&statement[..length], &f9, &roots);
        assert!(
            matches!(outcome, Err(Error::Malformed { link: Link::Statement, .. })),
            "{length}: {outcome:?}"
        );
    }
    for length in 0..f9.len() {
        let outcome = verify(&statement, &f9[..length], &roots);
        assert!(
            matches!(outcome, Err(Error::Malformed { link: Link::Intermediate, .. })),
            "{length}: {outcome:?}"
        );
    }
    let longer = |bytes: &[u8]| [bytes, &[0]].concat();
    let outcome = verify(&longer(&statement), &f9, &roots);
    assert!(matches!(outcome, Err(Error::Malformed { link: Link::Statement, .. })), "{outcome:?}");
    let outcome = verify(&statement, &longer(&f9), &roots);
    assert!(matches!(outcome, Err(Error::Malformed { link: Link::Intermediate, .. })), "{outcome:?}");
    let outcome = verify(&statement, &vec![0x30; certificate::MAX_BYTES + 1], &roots);
    assert_eq!(outcome, Err(Error::TooLong { link: Link::Intermediate }));
}

#[test]
fn only_a_known_root_will_do() {
    let Sample { statement, f9 } = sample_5_7_4();
    let unknown =
        Error::UnknownIssuer { link: Link::Intermediate, issuer: "CN=Yubico PIV Attestation B 1".into() };
    assert_eq!(verify(&statement, &f9, &Roots::none()), Err(unknown));
    // The intermediates alone lead nowhere.
    let rootless = Roots { anchors: Vec::new(), ..Roots::yubico() };
    let unknown = Error::UnknownIssuer { link: Link::Root, issuer: "CN=Yubico Attestation Root 1".into() };
    assert_eq!(verify(&statement, &f9, &rootless), Err(unknown));
    // A root by the right name, with another key.
    let Sample { statement, f9 } = sample_5_4_3();
    let name = "CN=Yubico PIV Root CA Serial 263751";
    let impostor = Made::root(name).der(&signing_key(1));
    let outcome = verify(&statement, &f9, &Roots::none().with(&impostor).unwrap());
    assert_eq!(outcome, Err(Error::KeyRefused { link: Link::Root }));
    // It does no harm beside the right one, in either order.
    let beside = Roots::yubico().with(&impostor).unwrap();
    assert!(verify(&statement, &f9, &beside).is_ok());
    let before = Roots { anchors: beside.anchors.iter().rev().cloned().collect(), ..beside };
    assert!(verify(&statement, &f9, &before).is_ok());
}

#[test]
fn signature_algorithms_are_few_and_stand_in_two_places() {
    const SHA256: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0b];
    let Sample { statement, f9 } = sample_5_4_3();
    let places: Vec<usize> =
        (0..statement.len()).filter(|at| statement[*at..].starts_with(&SHA256)).collect();
    assert_eq!(places.len(), 2);
    let with = |places: &[usize], last: u8| {
        let mut bytes = statement.clone();
        for at in places {
            bytes[at + 8] = last;
        }
        verify(&bytes, &f9, &Roots::yubico())
    };
    // sha1WithRSAEncryption and sha512WithRSAEncryption.
    for last in [5, 13] {
        let algorithm = format!("1.2.840.113549.1.1.{last}");
        let refused = Error::AlgorithmRefused { link: Link::Statement, algorithm };
        assert_eq!(with(&places, last), Err(refused));
        for place in places.chunks(1) {
            assert_eq!(with(place, last), Err(Error::AlgorithmMismatch { link: Link::Statement }));
        }
    }
}

// Chains made here.

fn signing_key(number: u8) -> SigningKey {
    SigningKey::from_slice(&[number; 32]).unwrap()
}

fn key_info(key: &SigningKey) -> SubjectPublicKeyInfoOwned {
    SubjectPublicKeyInfoOwned::from_key(key.verifying_key()).unwrap()
}

fn extension(id: &str, critical: bool, value: &[u8]) -> Extension {
    Extension {
        extn_id: ObjectIdentifier::new(id).unwrap(),
        critical,
        extn_value: OctetString::new(value).unwrap(),
    }
}

const BASIC_CONSTRAINTS: &str = "2.5.29.19";
const KEY_USAGE: &str = "2.5.29.15";
const FIRMWARE: &str = "1.3.6.1.4.1.41482.3.3";
const SERIAL: &str = "1.3.6.1.4.1.41482.3.7";
const POLICIES: &str = "1.3.6.1.4.1.41482.3.8";
const FORM_FACTOR: &str = "1.3.6.1.4.1.41482.3.9";

const AUTHORITY: &[u8] = &[0x30, 3, 1, 1, 0xff];
const NO_AUTHORITY: &[u8] = &[0x30, 0];

/// A certificate to be.
#[derive(Clone)]
struct Made {
    issuer: String,
    subject: String,
    key: SubjectPublicKeyInfoOwned,
    extensions: Vec<Extension>,
}

impl Made {
    fn root(name: &str) -> Self {
        Self {
            issuer: name.into(),
            subject: name.into(),
            key: key_info(&signing_key(1)),
            extensions: vec![extension(BASIC_CONSTRAINTS, true, AUTHORITY)],
        }
    }

    fn f9() -> Self {
        Self {
            issuer: "CN=Root".into(),
            subject: "CN=Yubico PIV Attestation".into(),
            key: key_info(&signing_key(2)),
            extensions: vec![
                extension(FIRMWARE, false, &[5, 4, 3]),
                extension(BASIC_CONSTRAINTS, true, AUTHORITY),
            ],
        }
    }

    fn statement() -> Self {
        Self {
            issuer: "CN=Yubico PIV Attestation".into(),
            subject: "CN=YubiKey PIV Attestation 9d".into(),
            key: key_info(&signing_key(3)),
            extensions: vec![
                extension(FIRMWARE, false, &[5, 4, 3]),
                extension(SERIAL, false, &[2, 4, 0, 0xf0, 0x0f, 0x14]),
                extension(POLICIES, false, &[2, 3]),
                extension(FORM_FACTOR, false, &[0x81]),
            ],
        }
    }

    /// With this value of an extension, or without the extension.
    fn with(mut self, id: &str, value: Option<&[u8]>) -> Self {
        let index = self.extensions.iter().position(|extension| extension.extn_id.to_string() == id);
        index.map(|index| self.extensions.remove(index));
        self.extensions.extend(value.map(|value| extension(id, false, value)));
        self
    }

    fn der(&self, signer: &SigningKey) -> Vec<u8> {
        // Long over, which nobody asks.
        let [not_before, not_after] =
            [1, 2].map(|second| Time::try_from(std::time::UNIX_EPOCH + Duration::from_secs(second)).unwrap());
        let validity = Validity::new(not_before, not_after);
        let number = SerialNumber::new(&[7]).unwrap();
        let builder = CertificateBuilder::new(self.clone(), number, validity, self.key.clone()).unwrap();
        builder.build::<_, DerSignature>(signer).unwrap().to_der().unwrap()
    }
}

impl BuilderProfile for Made {
    fn get_issuer(&self, _: &Name) -> Name {
        Name::from_str(&self.issuer).unwrap()
    }

    fn get_subject(&self) -> Name {
        Name::from_str(&self.subject).unwrap()
    }

    fn build_extensions(
        &self,
        _: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        _: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        Ok(self.extensions.clone())
    }
}

fn own_root() -> Roots {
    Roots::none().with(&Made::root("CN=Root").der(&signing_key(1))).unwrap()
}

fn outcome(statement: &Made, f9: &Made) -> Result<Attested, Error> {
    verify(&statement.der(&signing_key(2)), &f9.der(&signing_key(1)), &own_root())
}

fn statement_with(id: &str, value: Option<&[u8]>) -> Result<Attested, Error> {
    outcome(&Made::statement().with(id, value), &Made::f9())
}

#[test]
fn a_chain_of_ones_own_attests_though_its_dates_are_over() {
    let attested = outcome(&Made::statement(), &Made::f9()).unwrap();
    let form_factor = attested.form_factor.unwrap();
    assert_eq!((form_factor.name(), form_factor.is_fips()), ("USB-A keychain", true));
    assert!(!form_factor.is_security_key());
    assert_eq!((attested.slot, attested.serial), (0x9d, Some(15_732_500)));
    assert_eq!((attested.pin_policy, attested.touch_policy), (PinPolicy::Once, TouchPolicy::Cached));
    assert_eq!(attested.root, "CN=Root");
    // It is under nobody else's root.
    let built_in =
        verify(&Made::statement().der(&signing_key(2)), &Made::f9().der(&signing_key(1)), &Roots::yubico());
    let unknown = Error::UnknownIssuer { link: Link::Intermediate, issuer: "CN=Root".into() };
    assert_eq!(built_in, Err(unknown));
}

#[test]
fn a_root_is_given_as_der_or_pem() {
    let der = Made::root("CN=Root").der(&signing_key(1));
    let text = der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, &der).unwrap();
    let statement = (Made::statement().der(&signing_key(2)), Made::f9().der(&signing_key(1)));
    let roots = Roots::none().with(format!("\n{text}\n").as_bytes()).unwrap();
    assert!(verify(&statement.0, &statement.1, &roots).is_ok());

    let other = der::pem::encode_string("PUBLIC KEY", der::pem::LineEnding::LF, &der).unwrap();
    for bytes in [other.as_bytes(), &der[..der.len() - 1], b"", b"CN=Root"] {
        let outcome = Roots::none().with(bytes).map(drop);
        assert!(matches!(outcome, Err(Error::Malformed { link: Link::Root, .. })), "{outcome:?}");
    }
    let no_root = Roots::none().with(&Made::statement().der(&signing_key(2))).map(drop);
    assert_eq!(no_root, Err(Error::NotAnAuthority { link: Link::Root }));
}

#[test]
fn an_f9_key_of_ones_own_can_be_the_root() {
    let f9 = Made { issuer: Made::f9().subject, ..Made::f9() }.der(&signing_key(2));
    let roots = Roots::none().with(&f9).unwrap();
    let attested = verify(&Made::statement().der(&signing_key(2)), &f9, &roots).unwrap();
    assert_eq!(attested.root, "CN=Yubico PIV Attestation");
}

#[test]
fn every_signature_is_verified() {
    let statement = Made::statement();
    let other_f9 = verify(&statement.der(&signing_key(9)), &Made::f9().der(&signing_key(1)), &own_root());
    assert_eq!(other_f9, Err(Error::WrongSignature { link: Link::Statement }));
    let other_root = verify(&statement.der(&signing_key(2)), &Made::f9().der(&signing_key(9)), &own_root());
    assert_eq!(other_root, Err(Error::WrongSignature { link: Link::Intermediate }));
}

/// What names one of the maker's certificates as its issuer, but is signed by a key that is not the maker's.
#[test]
fn the_makers_names_alone_do_not_do() {
    for issuer in ["CN=Yubico PIV Attestation B 1", "CN=Yubico PIV Root CA Serial 263751"] {
        let f9 = Made { issuer: issuer.into(), ..Made::f9() };
        let outcome =
            verify(&Made::statement().der(&signing_key(2)), &f9.der(&signing_key(1)), &Roots::yubico());
        // Theirs are RSA keys, and the signature is ECDSA's.
        assert_eq!(outcome, Err(Error::KeyRefused { link: Link::Root }));
    }
}

/// A way of two tiers above the f9 certificate, of keys 4 and 5, and where it may not be trusted.
#[test]
fn the_makers_own_certificates_are_verified_too() {
    let upper = Made { issuer: "CN=Root".into(), key: key_info(&signing_key(4)), ..Made::root("CN=Upper") };
    let lower = Made { issuer: "CN=Upper".into(), key: key_info(&signing_key(5)), ..Made::root("CN=Lower") };
    let f9 = Made { issuer: "CN=Lower".into(), ..Made::f9() }.der(&signing_key(5));
    let statement = Made::statement().der(&signing_key(2));
    let way = |upper: Vec<u8>, lower: Vec<u8>| {
        let tiers = [upper, lower].map(|der| Certificate::from_der(Link::Root, &der).unwrap());
        verify(&statement, &f9, &Roots { intermediates: tiers.into(), ..own_root() })
    };
    let right = || (upper.der(&signing_key(1)), lower.der(&signing_key(4)));
    assert_eq!(way(right().0, right().1).unwrap().root, "CN=Root");
    let wrong = Err(Error::WrongSignature { link: Link::Root });
    assert_eq!(way(upper.der(&signing_key(9)), right().1), wrong);
    assert_eq!(way(right().0, lower.der(&signing_key(9))), wrong);
    let no_authority = lower.clone().with(BASIC_CONSTRAINTS, Some(NO_AUTHORITY)).der(&signing_key(4));
    assert_eq!(way(right().0, no_authority), Err(Error::NotAnAuthority { link: Link::Root }));
}

/// However the makers' certificates name each other, the way up ends.
#[test]
fn a_circle_ends() {
    let tier = |issuer: &str, subject: &str| {
        let made = Made { issuer: issuer.into(), ..Made::root(subject) };
        Certificate::from_der(Link::Root, &made.der(&signing_key(1))).unwrap()
    };
    let roots =
        Roots { anchors: Vec::new(), intermediates: vec![tier("CN=Root", "CN=B"), tier("CN=B", "CN=Root")] };
    let outcome = verify(&Made::statement().der(&signing_key(2)), &Made::f9().der(&signing_key(1)), &roots);
    assert!(matches!(outcome, Err(Error::UnknownIssuer { link: Link::Root, .. })), "{outcome:?}");
}

#[test]
fn an_intermediate_has_to_be_an_authority() {
    let refused = Err(Error::NotAnAuthority { link: Link::Intermediate });
    let f9 = |id, value| outcome(&Made::statement(), &Made::f9().with(id, value));
    assert_eq!(f9(BASIC_CONSTRAINTS, Some(NO_AUTHORITY)), refused);
    assert_eq!(f9(BASIC_CONSTRAINTS, None), refused);
    // digitalSignature alone; keyCertSign.
    assert_eq!(f9(KEY_USAGE, Some(&[3, 2, 7, 0x80])), refused);
    assert!(f9(KEY_USAGE, Some(&[3, 2, 2, 4])).is_ok());
    for id in [BASIC_CONSTRAINTS, KEY_USAGE] {
        let outcome = f9(id, Some(b"?"));
        assert!(matches!(outcome, Err(Error::Malformed { link: Link::Intermediate, .. })), "{outcome:?}");
    }
}

/// The key in slot 9c signs what it is asked to: its statement must not pass for an f9 certificate.
#[test]
fn a_statement_is_no_f9_certificate() {
    let f9 = Made::f9().with(FIRMWARE, Some(&[4, 3, 7])).with(BASIC_CONSTRAINTS, None);
    assert!(outcome(&Made::statement(), &f9).is_ok(), "as YubiKeys 4 have it");

    let roots =
        Roots::none().with(&Made { issuer: Made::f9().subject, ..Made::f9() }.der(&signing_key(2))).unwrap();
    let own = Made::statement().with(FIRMWARE, Some(&[4, 3, 7]));
    let forged = Made { issuer: own.subject.clone(), ..Made::statement() };
    let outcome = verify(&forged.der(&signing_key(3)), &own.der(&signing_key(2)), &roots);
    assert_eq!(outcome, Err(Error::NotAnAuthority { link: Link::Intermediate }));
}

#[test]
fn a_statement_is_no_authority() {
    assert_eq!(statement_with(BASIC_CONSTRAINTS, Some(AUTHORITY)), Err(Error::StatementIsAuthority));
    assert!(statement_with(BASIC_CONSTRAINTS, Some(NO_AUTHORITY)).is_ok());
}

#[test]
fn the_statement_names_the_f9_certificate() {
    let issuer = "CN=Yubico PIV Attestation\u{1b}[2J";
    let statement = Made { issuer: issuer.into(), ..Made::statement() };
    let error = outcome(&statement, &Made::f9()).unwrap_err();
    assert!(matches!(error, Error::IssuerMismatch { .. }), "{error:?}");
    assert!(!error.to_string().contains('\u{1b}'), "{error}");
}

#[test]
fn the_subject_names_a_slot() {
    let slot = |name: &str| {
        let statement = Made { subject: format!("CN={name}"), ..Made::statement() };
        outcome(&statement, &Made::f9()).map(|attested| attested.slot)
    };
    assert_eq!(slot("YubiKey PIV Attestation 82"), Ok(0x82));
    assert_eq!(slot("YubiKey PIV Attestation 95"), Ok(0x95));
    for name in ["96", "81", "f9", "9b", "9", "9d0", "\\+9", "009d", ""] {
        let outcome = slot(&format!("YubiKey PIV Attestation {name}"));
        assert!(matches!(outcome, Err(Error::NotASlot { .. })), "{name}: {outcome:?}");
    }
    for name in ["YubiKey OPGP Attestation 9d", "YubiKey PIV Attestation 9d,O=Else"] {
        assert!(matches!(slot(name), Err(Error::NotASlot { .. })), "{name}");
    }
}

#[test]
fn extensions_are_needed_and_of_their_length() {
    let missing = |what| Err(Error::Missing { what });
    let not_understood = |what| Err(Error::NotUnderstood { what });
    assert_eq!(statement_with(FIRMWARE, None), missing("firmware"));
    assert_eq!(statement_with(POLICIES, None), missing("PIN and touch policy"));
    for value in [&[5, 4][..], &[5, 4, 3, 0], &[]] {
        assert_eq!(statement_with(FIRMWARE, Some(value)), not_understood("firmware"));
    }
    for value in [&[2][..], &[2, 1, 0], &[], &[0, 1], &[2, 0], &[6, 1], &[2, 4]] {
        assert_eq!(statement_with(POLICIES, Some(value)), not_understood("PIN and touch policy"));
    }
    for value in [&[][..], &[1, 1]] {
        assert_eq!(statement_with(FORM_FACTOR, Some(value)), not_understood("form factor"));
    }
    assert_eq!(statement_with(FORM_FACTOR, None).unwrap().form_factor, None);
    assert_eq!(
        statement_with(FORM_FACTOR, Some(&[0x3f])).unwrap().form_factor.unwrap().name(),
        "of unknown form"
    );
}

#[test]
fn serial_numbers_are_read_as_yubikeys_write_them() {
    let serial = |value: &[u8]| statement_with(SERIAL, Some(value)).map(|attested| attested.serial.unwrap());
    assert_eq!(serial(&[2, 4, 0, 0x12, 0xd6, 0x87]), Ok(1_234_567));
    assert_eq!(serial(&[2, 3, 0x12, 0xd6, 0x87]), Ok(1_234_567));
    assert_eq!(serial(&[2, 4, 0xff, 0xff, 0xff, 0xff]), Ok(u32::MAX));
    assert_eq!(serial(&[2, 5, 0, 0xff, 0xff, 0xff, 0xff]), Ok(u32::MAX));
    assert_eq!(serial(&[2, 1, 0]), Ok(0));
    for value in [
        &[][..],
        &[2],
        &[2, 0],
        &[4, 1, 1],
        &[2, 2, 1],
        &[2, 1, 1, 1],
        &[2, 5, 1, 0, 0, 0, 0],
        &[2, 6, 0, 0, 0, 0, 0, 0],
    ] {
        assert_eq!(serial(value), Err(Error::NotUnderstood { what: "serial number" }), "{value:?}");
    }
    assert_eq!(statement_with(SERIAL, None).unwrap().serial, None);
}

#[test]
fn the_attested_key_is_on_p256() {
    let with_key = |key| outcome(&Made { key, ..Made::statement() }, &Made::f9());
    let rsa = x509_cert::Certificate::from_der(&sample_5_4_3().f9).unwrap();
    let rsa = rsa.tbs_certificate().subject_public_key_info().clone();
    assert_eq!(with_key(rsa), Err(Error::NotP256));

    let right = key_info(&signing_key(3));
    let changed = |change: fn(&mut Vec<u8>)| {
        let mut point = right.subject_public_key.raw_bytes().to_vec();
        change(&mut point);
        let subject_public_key = BitString::from_bytes(&point).unwrap();
        SubjectPublicKeyInfoOwned { subject_public_key, ..right.clone() }
    };
    assert!(with_key(changed(|_| ())).is_ok());
    assert_eq!(with_key(changed(|point| point[64] ^= 1)), Err(Error::NotP256), "off the curve");
    assert_eq!(with_key(changed(|point| point.push(0))), Err(Error::NotP256));
    assert_eq!(with_key(changed(|point| point.truncate(64))), Err(Error::NotP256));
    assert_eq!(with_key(changed(|point| point[0] = 6)), Err(Error::NotP256));
    assert_eq!(with_key(changed(Vec::clear)), Err(Error::NotP256));

    // secp384r1, and no curve.
    let p384 = ObjectIdentifier::new("1.3.132.0.34").unwrap();
    for parameters in [Some(Any::encode_from(&p384).unwrap()), None] {
        let algorithm = AlgorithmIdentifierOwned { parameters, ..right.algorithm.clone() };
        assert_eq!(with_key(SubjectPublicKeyInfoOwned { algorithm, ..right.clone() }), Err(Error::NotP256));
    }
}

#[test]
fn short_rsa_keys_sign_nothing() {
    // Its algorithm asks for an RSA key, and its signature is never looked at.
    let Sample { statement, .. } = sample_5_4_3();
    let f9 = |bytes: usize, last: u8| {
        let mut modulus = vec![0xff; bytes];
        modulus[bytes - 1] = last;
        let modulus = der::asn1::Uint::new(&modulus).unwrap().to_der().unwrap();
        let body = [&modulus[..], &[2, 3, 1, 0, 1]].concat();
        let body = Any::new(der::Tag::Sequence, body).unwrap().to_der().unwrap();
        let algorithm = AlgorithmIdentifierOwned { oid: certificate::id::RSA, parameters: Some(Any::null()) };
        let key = SubjectPublicKeyInfoOwned {
            algorithm,
            subject_public_key: BitString::from_bytes(&body).unwrap(),
        };
        verify(&statement, &Made { key, ..Made::f9() }.der(&signing_key(1)), &own_root())
    };
    let refused = Err(Error::KeyRefused { link: Link::Intermediate });
    for bytes in [1, 128, 255, 513, 1024] {
        assert_eq!(f9(bytes, 0xff), refused, "{bytes} bytes");
    }
    assert_eq!(f9(256, 0xfe), refused, "even");
    for bytes in [256, 512] {
        assert_eq!(f9(bytes, 0xff), Err(Error::WrongSignature { link: Link::Statement }));
    }
}

#[test]
fn extensions_stand_once_and_critical_ones_are_known() {
    let twice = |mut made: Made, id: &str, value: &[u8]| {
        made.extensions.push(extension(id, false, value));
        made
    };
    let duplicate =
        |link, extension: &str| Err(Error::DuplicateExtension { link, extension: extension.into() });
    let statement = twice(Made::statement(), POLICIES, &[3, 2]);
    assert_eq!(outcome(&statement, &Made::f9()), duplicate(Link::Statement, POLICIES));
    let f9 = twice(Made::f9(), BASIC_CONSTRAINTS, AUTHORITY);
    assert_eq!(outcome(&Made::statement(), &f9), duplicate(Link::Intermediate, BASIC_CONSTRAINTS));

    let critical =
        |link, extension: &str| Err(Error::CriticalExtension { link, extension: extension.into() });
    let names = "2.5.29.30";
    let mut f9 = Made::f9();
    f9.extensions.push(extension(names, true, &[0x30, 0]));
    assert_eq!(outcome(&Made::statement(), &f9), critical(Link::Intermediate, names));
    f9.extensions.last_mut().unwrap().critical = false;
    assert!(outcome(&Made::statement(), &f9).is_ok());
}

proptest! {
    #[test]
    fn no_bytes_panic(statement in prop::collection::vec(any::<u8>(), 0..200), f9 in prop::collection::vec(any::<u8>(), 0..200)) {
        let sample = sample_5_4_3();
        prop_assert!(verify(&statement, &f9, &Roots::none()).is_err());
        prop_assert!(verify(&statement, &sample.f9, &Roots::none()).is_err());
        prop_assert!(verify(&sample.statement, &f9, &Roots::none()).is_err());
        let _ = Roots::none().with(&statement);
    }

    /// Whatever becomes of the bytes of a real chain, it ends with an error or is as it was.
    #[test]
    fn no_mutation_panics_or_attests(
        number in 0..4_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..4), 0..4_usize), 1..4),
    ) {
        let mut sample = samples().into_iter().nth(number).unwrap();
        let original = [sample.statement.clone(), sample.f9.clone()];
        for (at, of_statement, new, removed) in changes {
            let bytes = if of_statement { &mut sample.statement } else { &mut sample.f9 };
            let at = at.index(bytes.len());
            let end = (at + removed).min(bytes.len());
            bytes.splice(at..end, new);
        }
        let is_original = original == [sample.statement.clone(), sample.f9.clone()];
        prop_assert_eq!(sample.verify().is_ok(), is_original);
    }

    #[test]
    fn no_key_of_an_f9_certificate_panics(body in prop::collection::vec(any::<u8>(), 0..80), is_rsa: bool, null: bool) {
        let oid = if is_rsa { certificate::id::RSA } else { certificate::id::EC };
        let parameters = null.then(Any::null);
        let algorithm = AlgorithmIdentifierOwned { oid, parameters };
        let key = SubjectPublicKeyInfoOwned { algorithm, subject_public_key: BitString::from_bytes(&body).unwrap() };
        let f9 = Made { key, ..Made::f9() };
        prop_assert!(outcome(&Made::statement(), &f9).is_err());
        prop_assert!(verify(&sample_5_4_3().statement, &f9.der(&signing_key(1)), &own_root()).is_err());
    }
}
