//! Chains that are wrong in one thing each.

use super::{super::*, made::*, samples::*};
use AttestationError as Error;
use der::{
    Decode as _, Encode as _,
    asn1::{Any, BitString, ObjectIdentifier},
};
use proptest::prelude::*;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

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
