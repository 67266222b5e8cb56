//! Signing keys: made, found, and what they sign.

use crate::lab::{Counting, Lab, access, has, has_one_mechanism, objects};
use claviger_token::{Signer, TokenError, software::verify_signature};
use claviger_types::{Digest, OsEntropy, SignerId};
use cryptoki::{
    mechanism::Mechanism,
    object::{Attribute, ObjectClass},
};
use std::{sync::Arc, thread};

fn fresh_id() -> SignerId {
    SignerId::random(&OsEntropy).unwrap()
}

fn generate(lab: &Lab<'_>, id: SignerId) -> Arc<dyn Signer> {
    lab.driver.generate_signer(&lab.uri, &lab.access, id, "the signer").unwrap()
}

fn open(lab: &Lab<'_>, id: SignerId) -> Result<Arc<dyn Signer>, TokenError> {
    lab.driver.open_signer(&lab.uri, &lab.access, id)
}

pub(crate) fn a_token_without_ecdsa_says_so(lab: &Lab<'_>) {
    let outcome = lab.driver.generate_signer(&lab.uri, &lab.access, fresh_id(), "the signer");
    let Err(TokenError::NoScheme { tried }) = outcome.map(|_| ()) else { panic!("it signs") };
    assert!(matches!(&tried[..], [one] if one.starts_with("ES256: ")), "{tried:?}");
    let _login = lab.generate(lab.scheme());
    assert_eq!(objects(&lab.beside(), ObjectClass::PRIVATE_KEY).len(), 1, "a key stays");
}

pub(crate) fn what_is_signed_verifies(lab: &Lab<'_>) {
    let made = generate(lab, fresh_id());
    let opened = open(lab, made.id()).unwrap();
    assert_eq!((opened.id(), opened.public_key()), (made.id(), made.public_key()));
    for text in [&b""[..], b"one", b"another"] {
        let digest = Digest::of(text);
        for signer in [&made, &opened] {
            let signature = signer.sign(&digest).unwrap();
            assert!(verify_signature(&made.public_key(), &digest, &signature));
            assert!(!verify_signature(&made.public_key(), &Digest::of(b"else"), &signature));
        }
    }
    thread::scope(|scope| {
        for thread in 0..4_u8 {
            let signer = &made;
            scope.spawn(move || {
                for number in 0..20_u8 {
                    signer.sign(&Digest::of(&[thread, number])).unwrap();
                }
            });
        }
    });
    assert_eq!(lab.pin.asked(), 1);
    let outcome = open(lab, fresh_id());
    assert!(matches!(outcome, Err(TokenError::KeyMissing { .. })), "{outcome:?}");
}

/// Written anew from the design, not taken from the driver's template.
pub(crate) fn attributes_are_a_signers(lab: &Lab<'_>) {
    let signer = generate(lab, fresh_id());
    let beside = lab.beside();
    let [key] = objects(&beside, ObjectClass::PRIVATE_KEY)[..] else { panic!("not one key") };
    let [_] = objects(&beside, ObjectClass::PUBLIC_KEY)[..] else { panic!("not one public half") };
    for attribute in [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::AlwaysSensitive(true),
        Attribute::Extractable(false),
        Attribute::NeverExtractable(true),
        Attribute::Modifiable(false),
        Attribute::Copyable(false),
        Attribute::Local(true),
        Attribute::Sign(true),
        Attribute::SignRecover(false),
        Attribute::Decrypt(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
        Attribute::Id(signer.id().as_bytes().to_vec()),
        Attribute::Label(b"the signer".to_vec()),
    ] {
        has(lab, &beside, key, &attribute);
    }
    has_one_mechanism(lab, &beside, key);
}

pub(crate) fn a_signer_and_a_key_share_a_login(lab: &Lab<'_>) {
    let _key = lab.generate(lab.scheme());
    let silent = Counting::new("000000");
    let made = lab.driver.generate_signer(&lab.uri, &access(&silent), fresh_id(), "the signer").unwrap();
    let opened = lab.driver.open_signer(&lab.uri, &access(&silent), made.id()).unwrap();
    opened.sign(&Digest::of(b"text")).unwrap();
    assert_eq!((lab.pin.asked(), silent.asked()), (1, 0));
}

pub(crate) fn a_signer_survives_logout(lab: &Lab<'_>) {
    let signer = generate(lab, fresh_id());
    lab.lose_login();
    signer.sign(&Digest::of(b"text")).unwrap();
    assert_eq!(lab.pin.asked(), 2);
}

/// Nobody needs a PIN to put another public key under the signer's id. What does not fit it is not given out.
pub(crate) fn a_planted_public_key_signs_nothing(lab: &Lab<'_>) {
    let signer = generate(lab, fresh_id());
    let beside = lab.beside();
    let [real] = objects(&beside, ObjectClass::PUBLIC_KEY)[..] else { panic!("not one public half") };
    beside.destroy_object(real).unwrap();
    let outcome = open(lab, signer.id());
    assert!(matches!(outcome, Err(TokenError::KeyMissing { .. })), "{outcome:?}");

    let p256 = Attribute::EcParams(vec![0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]);
    let public = [Attribute::Token(true), Attribute::Id(signer.id().as_bytes().to_vec()), p256];
    beside.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &[Attribute::Token(true)]).unwrap();
    let planted = open(lab, signer.id()).unwrap();
    assert_ne!(planted.public_key(), signer.public_key());
    let outcome = planted.sign(&Digest::of(b"text"));
    assert!(
        matches!(&outcome, Err(TokenError::ModuleFailed { function, .. }) if function == "C_Sign"),
        "{outcome:?}"
    );
    signer.sign(&Digest::of(b"text")).unwrap();
}
