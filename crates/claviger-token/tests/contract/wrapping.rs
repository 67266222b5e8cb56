//! Wrap and unwrap: what comes back, what is refused, and that both agree with other implementations.

use crate::lab::{CONTEXT, Lab, fresh, key, objects};
use claviger_token::{
    Kek, PublicKey, Token as _, TokenError, Unwrapped,
    software::{SoftwareToken, wrap_to_public_key},
};
use claviger_types::{EcPoint, Key256, OsEntropy, RecipientId, Scheme, WrappedCek};
use cryptoki::object::{Attribute, KeyType, ObjectClass};
use std::{sync::Arc, thread};

pub(crate) fn round_trip(lab: &Lab<'_>, scheme: Scheme) {
    let token = lab.generate(scheme);
    let again = lab.open(&token).unwrap();
    assert_eq!(again.describe(), token.describe());
    for (wrapper, unwrapper) in [(&token, &again), (&again, &token)] {
        let cek = fresh();
        let wrapped = wrapper.wrap(&cek, CONTEXT).unwrap();
        assert_eq!((wrapped.scheme, wrapped.recipient), (scheme, token.describe().recipient));
        assert_eq!(wrapped.iv.is_some(), scheme == Scheme::A256Gcm);
        assert_eq!(wrapped.ephemeral.is_some(), scheme == Scheme::EcdhEsA256Kw);
        assert!(key(unwrapper, &wrapped).same_as(&cek));
    }
    if let Some(public_key) = &token.describe().public_key {
        let cek = fresh();
        let recipient = token.describe().recipient;
        let wrapped = wrap_to_public_key(recipient, scheme, public_key, &cek, CONTEXT, &OsEntropy).unwrap();
        assert!(key(&token, &wrapped).same_as(&cek));
    }
}

fn assert_corrupt(token: &Arc<dyn Kek>, wrapped: &WrappedCek, context: &[u8], what: &str) {
    match token.unwrap(wrapped, context) {
        Err(TokenError::CorruptWrappedKey) => {}
        other => panic!("{what}: {other:?}"),
    }
}

pub(crate) fn changed_blobs_are_corrupt(lab: &Lab<'_>, scheme: Scheme) {
    let token = lab.generate(scheme);
    let cek = fresh();
    let wrapped = token.wrap(&cek, CONTEXT).unwrap();
    // Every byte of a short blob, each eighth of a modulus; another bit each time.
    let step = if wrapped.ciphertext.len() > 48 { 8 } else { 1 };
    for position in (0..wrapped.ciphertext.len()).step_by(step) {
        let mut changed = wrapped.clone();
        changed.ciphertext[position] ^= 1 << (position % 8);
        assert_corrupt(&token, &changed, CONTEXT, &format!("byte {position}"));
    }
    let with = |change: &dyn Fn(&mut WrappedCek), what: &str| {
        let mut changed = wrapped.clone();
        change(&mut changed);
        assert_corrupt(&token, &changed, CONTEXT, what);
    };
    with(&|blob| blob.ciphertext.truncate(blob.ciphertext.len() - 1), "one byte short");
    with(&|blob| blob.ciphertext.push(0), "one byte long");
    with(&|blob| blob.ciphertext.truncate(8), "one block");
    with(&|blob| blob.ciphertext.clear(), "empty");
    with(&|blob| blob.ciphertext.fill(0), "zeros");
    if scheme == Scheme::A256Gcm {
        with(&|blob| blob.iv.as_mut().unwrap()[11] ^= 1, "nonce");
        with(&|blob| blob.iv = None, "no nonce");
        assert_corrupt(&token, &wrapped, b"another", "context");
    }
    if scheme == Scheme::EcdhEsA256Kw {
        with(&|blob| blob.ephemeral.as_mut().unwrap().x[31] ^= 1, "point off the curve");
        with(&|blob| blob.ephemeral = None, "no point");
        with(&|blob| blob.ephemeral = Some(EcPoint { x: [0; 32], y: [0; 32] }), "zero point");
        assert_corrupt(&token, &wrapped, b"another", "context");
    }
    assert!(key(&token, &wrapped).same_as(&cek), "the driver does not recover from bad blobs");
}

pub(crate) fn foreign_is_not_mine(lab: &Lab<'_>, scheme: Scheme) {
    let token = lab.generate(scheme);
    let wrapped = token.wrap(&fresh(), CONTEXT).unwrap();
    let stranger = WrappedCek { recipient: RecipientId::random(&OsEntropy).unwrap(), ..wrapped.clone() };
    assert!(matches!(token.unwrap(&stranger, CONTEXT).unwrap(), Unwrapped::NotMine));
    for other in Scheme::ALL.into_iter().filter(|other| *other != scheme) {
        let relabelled = WrappedCek { scheme: other, ..wrapped.clone() };
        assert!(matches!(token.unwrap(&relabelled, CONTEXT).unwrap(), Unwrapped::NotMine));
    }
}

pub(crate) fn threads_do_not_disturb_each_other(lab: &Lab<'_>, scheme: Scheme) {
    let token = lab.generate(scheme);
    let rounds = if lab.scheme().is_symmetric() { 100 } else { 20 };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..rounds {
                    let cek = fresh();
                    let wrapped = token.wrap(&cek, CONTEXT).unwrap();
                    assert!(key(&token, &wrapped).same_as(&cek));
                }
            });
        }
    });
}

/// An unwrapped key lies in the module's memory in clear until it is destroyed: on success and on failure.
pub(crate) fn no_session_object_stays(lab: &Lab<'_>, scheme: Scheme) {
    let token = lab.generate(scheme);
    let wrapped = token.wrap(&fresh(), CONTEXT).unwrap();
    let mut changed = wrapped.clone();
    changed.ciphertext[20] ^= 1;
    for _ in 0..20 {
        key(&token, &wrapped);
        assert_corrupt(&token, &changed, CONTEXT, "flipped bit");
    }
    let stay = lab.beside().find_objects(&[Attribute::Token(false)]).unwrap();
    assert!(stay.is_empty(), "{} session objects stay", stay.len());
}

/// A KEK of known bytes, brought in behind the driver's back: both implementations open each other's blobs.
pub(crate) fn symmetric_schemes_equal_software(lab: &Lab<'_>, scheme: Scheme) {
    const KEK: [u8; 32] = *b"a key that only a test may know.";
    // The driver logs in for the whole process.
    let _login = lab.generate(Scheme::A256Kw);
    let recipient = RecipientId::random(&OsEntropy).unwrap();
    let beside = lab.beside();
    let key_wrap = scheme == Scheme::A256Kw;
    beside
        .create_object(&[
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Id(recipient.as_bytes().to_vec()),
            Attribute::Wrap(key_wrap),
            Attribute::Unwrap(key_wrap),
            Attribute::Encrypt(!key_wrap),
            Attribute::Decrypt(!key_wrap),
            Attribute::Value(KEK.to_vec()),
        ])
        .unwrap();
    let token = lab.open_as(recipient, scheme, "").unwrap();
    let known = Key256::from_slice(&KEK).unwrap();
    let software = SoftwareToken::with_kek(recipient, scheme, known, Arc::new(OsEntropy)).unwrap();

    let cek = fresh();
    let by_token = token.wrap(&cek, CONTEXT).unwrap();
    let by_software = software.wrap(&cek, CONTEXT).unwrap();
    if key_wrap {
        assert_eq!(by_token, by_software);
    }
    assert!(key(&token, &by_software).same_as(&cek));
    match software.unwrap(&by_token, CONTEXT).unwrap() {
        Unwrapped::Key(key) => assert!(key.same_as(&cek)),
        Unwrapped::NotMine => panic!("not mine"),
    }
}

/// ECDH-ES+A256KW written from RFC 9053, section 6.4, and RFC 3394, beside the driver's own; among its shared secrets one
/// that begins with a zero byte, which some modules leave out.
pub(crate) fn ecdh_equals_a_second_implementation(lab: &Lab<'_>) {
    use aes_kw::KeyInit as _;

    let token = lab.generate(Scheme::EcdhEsA256Kw);
    let Some(PublicKey::P256(point)) = token.describe().public_key.clone() else { panic!("no point") };
    let public = p256::PublicKey::from_sec1_bytes(&[&[4], &point.x[..], &point.y[..]].concat()).unwrap();

    let (mut seen_zero, mut scalar) = (false, 0_u64);
    while !seen_zero {
        scalar += 1;
        assert!(scalar < 100_000, "no shared secret begins with a zero byte");
        let mut bytes = [0x5a; 32];
        bytes[..8].copy_from_slice(&scalar.to_le_bytes());
        let ephemeral = p256::SecretKey::from_slice(&bytes).unwrap();
        let shared = ephemeral.diffie_hellman(&public);
        seen_zero = shared.raw_secret_bytes()[0] == 0;
        if scalar > 3 && !seen_zero {
            continue;
        }
        let mut wrapping_key = [0; 32];
        shared.extract::<sha2::Sha256>(None).expand(CONTEXT, &mut wrapping_key).unwrap();
        let cek = fresh();
        let mut ciphertext = vec![0; 40];
        aes_kw::KwAes256::new(&wrapping_key.into()).wrap_key(cek.expose(), &mut ciphertext).unwrap();
        let sec1 = ephemeral.public_key().to_sec1_bytes();
        let wrapped = WrappedCek {
            recipient: token.describe().recipient,
            scheme: Scheme::EcdhEsA256Kw,
            iv: None,
            ephemeral: Some(EcPoint {
                x: sec1[1..33].try_into().unwrap(),
                y: sec1[33..].try_into().unwrap(),
            }),
            ciphertext,
        };
        assert!(key(&token, &wrapped).same_as(&cek), "scalar {scalar}, leading zero: {seen_zero}");
    }
    assert_eq!(objects(&lab.beside(), ObjectClass::PRIVATE_KEY).len(), 1);
}
