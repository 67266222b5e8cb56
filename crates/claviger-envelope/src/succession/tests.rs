use super::*;
use p256::ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner as _};

const SIGNER: SignerId = SignerId::from_bytes([5; 16]);

fn key(byte: u8) -> (SigningKey, EcPoint) {
    let key = SigningKey::from_slice(&[byte; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    let point = EcPoint {
        x: point.as_bytes()[1..33].try_into().unwrap(),
        y: point.as_bytes()[33..].try_into().unwrap(),
    };
    (key, point)
}

fn sign(key: &SigningKey, record: &Succession) -> Vec<u8> {
    let signature: Signature = key.sign_prehash(record.to_be_signed(SIGNER).as_bytes()).unwrap();
    record.signed(SIGNER, &signature.to_bytes().into())
}

fn record() -> Succession {
    let id = ObjectId::from_bytes([6; 16]);
    Succession {
        vault: VaultId::from_bytes([1; 16]),
        old: Digest::of(b"old"),
        new: Digest::of(b"new"),
        epoch: 300,
        head: Digest::of(b"head"),
        previous: Some(Link { id, digest: Digest::of(b"previous") }),
    }
}

#[test]
fn what_was_signed_is_read() {
    let (key, point) = key(1);
    for record in [record(), Succession { previous: None, ..record() }] {
        for epoch in [0, 23, 24, 255, 256, u64::from(u32::MAX), u64::MAX] {
            let record = Succession { epoch, ..record };
            let bytes = sign(&key, &record);
            assert!(bytes.len() <= LIMIT);
            let read = UnverifiedSuccession::parse(&bytes).unwrap();
            assert_eq!(read.signer(), SIGNER);
            assert_eq!(*read.claims_unverified(), record);
            assert_eq!(read.verify(&point).unwrap(), record);
        }
    }
}

/// However a byte is changed, the record is refused: either it is none, or its signature does not fit.
#[test]
fn every_changed_byte_is_refused() {
    let (key, point) = key(1);
    let bytes = sign(&key, &record());
    for position in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[position] ^= 1 << bit;
            let outcome = UnverifiedSuccession::parse(&changed).and_then(|read| read.verify(&point));
            assert!(outcome.is_err(), "byte {position}, bit {bit}");
        }
        assert!(UnverifiedSuccession::parse(&bytes[..position]).is_err(), "cut at {position}");
    }
}

#[test]
fn another_key_or_no_point_at_all_verifies_nothing() {
    let ((key, point), (_, other)) = (key(1), self::key(2));
    let read = UnverifiedSuccession::parse(&sign(&key, &record())).unwrap();
    let off_curve = EcPoint { y: point.x, ..point };
    let zero = EcPoint { x: [0; 32], y: [0; 32] };
    for wrong in [other, off_curve, zero] {
        assert_eq!(read.verify(&wrong), Err(EnvelopeError::Unopened));
    }
}

/// A signature over the same record in another place, by another name or without a place fits nothing.
#[test]
fn a_signature_is_bound_to_vault_and_signer() {
    let (key, point) = key(1);
    let record = record();
    let elsewhere = Succession { vault: VaultId::from_bytes([2; 16]), ..record };
    let (protected, payload) = (header(SIGNER).to_cbor(), record.to_cbor());
    let unplaced = SigStructure { protected: &protected, external_aad: &[], payload: &payload }.digest();
    let of_a_head = SigStructure {
        protected: &protected,
        external_aad: &crate::context::HeadContext { vault: record.vault }.to_cbor(),
        payload: &payload,
    };
    for digest in [
        elsewhere.to_be_signed(SIGNER),
        record.to_be_signed(SignerId::from_bytes([6; 16])),
        unplaced,
        of_a_head.digest(),
        Digest::of(&payload),
    ] {
        let signature: Signature = key.sign_prehash(digest.as_bytes()).unwrap();
        let bytes = record.signed(SIGNER, &signature.to_bytes().into());
        let read = UnverifiedSuccession::parse(&bytes).unwrap();
        assert_eq!(read.verify(&point), Err(EnvelopeError::Unopened));
    }
}

/// The curve's order less s fits as well (that is how ECDSA is); nothing outside of the range does.
#[test]
fn both_values_of_s_are_taken_and_none_out_of_range() {
    let (key, point) = key(1);
    let record = record();
    let signature: Signature = key.sign_prehash(record.to_be_signed(SIGNER).as_bytes()).unwrap();
    let (r, s) = signature.split_scalars();
    let other = Signature::from_scalars(r, -s).unwrap();
    assert_ne!(other, signature);
    let verify = |signature: [u8; 64]| {
        UnverifiedSuccession::parse(&record.signed(SIGNER, &signature)).unwrap().verify(&point)
    };
    assert_eq!(verify(signature.to_bytes().into()), Ok(record));
    assert_eq!(verify(other.to_bytes().into()), Ok(record));
    for range in [0..32, 32..64] {
        for byte in [0, 0xff] {
            let mut bytes: [u8; 64] = signature.to_bytes().into();
            bytes[range.clone()].fill(byte);
            assert_eq!(verify(bytes), Err(EnvelopeError::Unopened));
        }
    }
}

#[test]
fn what_is_longer_than_any_record_is_not_looked_at() {
    assert_eq!(
        UnverifiedSuccession::parse(&[0xd2; LIMIT + 1]).unwrap_err(),
        EnvelopeError::TooLarge { limit: LIMIT }
    );
}

/// Payloads in any other spelling, under a signature that fits them.
#[test]
fn other_payloads_are_refused_before_the_signature() {
    let payload = record().to_cbor();
    let replace = |old: &[u8], new: &[u8]| {
        let at = payload.windows(old.len()).position(|window| window == old).unwrap();
        [&payload[..at], new, &payload[at + old.len()..]].concat()
    };
    for (what, changed) in [
        ("a pair less", replace(&[0xa6], &[0xa5])),
        ("a pair more", [replace(&[0xa6], &[0xa7]), vec![6, 0xf6]].concat()),
        ("bytes behind it", [payload.clone(), vec![0]].concat()),
        ("a number in a longer form", replace(&[0x19, 1, 44], &[0x1a, 0, 0, 1, 44])),
        ("an epoch that is a text", replace(&[0x19, 1, 44], b"\x61x")),
        ("an epoch below zero", replace(&[0x19, 1, 44], &[0x20])),
        ("labels out of order", replace(&[0xa6, 0], &[0xa6, 1])),
        ("the largest label", replace(&[0xa6, 0], &[0xa6, 0x1b, 255, 255, 255, 255, 255, 255, 255, 255])),
        ("a vault id of fifteen bytes", replace(&[0xa6, 0, 0x50, 1], &[0xa6, 0, 0x4f])),
        ("a link of one part", replace(&[0x82, 0x50], &[0x81, 0x50])),
        ("undefined instead of a link", replace(&payload[payload.len() - 52..], &[0xf7])),
        ("an indefinite map", [&[0xbf], &payload[1..], &[0xff]].concat()),
    ] {
        let bytes = Sign1::make(&header(SIGNER).to_cbor(), &changed, &[1; 64]);
        let outcome = UnverifiedSuccession::parse(&bytes);
        assert!(matches!(outcome, Err(EnvelopeError::Malformed(_))), "{what}: {outcome:?}");
    }
}
