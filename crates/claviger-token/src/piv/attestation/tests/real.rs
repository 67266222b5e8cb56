//! What real keys state. What is expected was read with `openssl x509 -text`.

use super::{super::*, made::*, samples::*};
use AttestationError as Error;
use sha2::{Digest as _, Sha256};

fn coordinate(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

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
    let readme = include_str!("../roots/README.md");
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
