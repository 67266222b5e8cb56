//! The layer against a file that was written straight from the RFCs, by other code, with other labels and contexts.

use super::*;
use crate::{ContentAlg, EnvelopeError, cipher::Cipher, codec::Reader};
use aes_kw::{KeyInit as _, KwAes256};
use claviger_types::Key256;
use hkdf::Hkdf;
use p256::{PublicKey, SecretKey, ecdh::diffie_hellman};
use serde_json::Value;
use sha2::Sha256;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../vectors/cose-interop.json")).unwrap()
}

fn bytes(vectors: &Value, pointer: &str) -> Vec<u8> {
    hex::decode(vectors.pointer(pointer).unwrap().as_str().unwrap()).unwrap()
}

fn unwrap(kek: &[u8; 32], wrapped: &[u8]) -> Vec<u8> {
    let mut cek = vec![0; 32];
    KwAes256::new(kek.into()).unwrap_key(wrapped, &mut cek).unwrap();
    cek
}

#[test]
fn reads_a_message_with_two_recipients_from_another_hand() {
    let vectors = vectors();
    let message = bytes(&vectors, "/data_key_envelope/hex");
    let message = Encrypt::parse(&message, 2).unwrap();
    let [first, second] = message.recipients.as_slice() else { panic!("two recipients") };
    let kids = [first.body.headers.unprotected, second.body.headers.protected];
    let kids = kids.map(|header| String::from_utf8(header.bytes(label::KID).unwrap().to_vec()).unwrap());
    assert_eq!(serde_json::json!(kids), vectors["recipient_kids"]);

    let kek = bytes(&vectors, "/kek_hex").try_into().unwrap();
    let by_key_wrap = unwrap(&kek, first.body.ciphertext);

    let key = second.body.headers.unprotected.map(label::EPHEMERAL_KEY).unwrap();
    let sec1 = [&[4], key.bytes(-2).unwrap(), key.bytes(-3).unwrap()].concat();
    let secret = SecretKey::from_slice(&bytes(&vectors, "/p256_private_hex")).unwrap();
    let shared =
        diffie_hellman(secret.to_nonzero_scalar(), PublicKey::from_sec1_bytes(&sec1).unwrap().as_affine());
    let info =
        KdfContext { alg: -5, key_bits: 256, protected: second.body.headers.protected_bytes }.to_cbor();
    let mut kek = [0; 32];
    Hkdf::<Sha256>::new(None, shared.raw_secret_bytes()).expand(&info, &mut kek).unwrap();
    let by_agreement = unwrap(&kek, second.body.ciphertext);

    for cek in [by_key_wrap, by_agreement] {
        assert_eq!(cek, bytes(&vectors, "/cek_hex"));
        let cipher = Cipher::new(ContentAlg::A256Gcm, &Key256::from_slice(&cek).unwrap());
        let aad = bytes(&vectors, "/data_key_envelope/external_aad_hex");
        let plaintext = message.open(&cipher, &aad).unwrap();
        assert_eq!(plaintext.expose(), bytes(&vectors, "/data_key_envelope/cose_key_plaintext_hex"));
        assert_eq!(message.open(&cipher, b"").unwrap_err(), EnvelopeError::Unopened);
    }
}

#[test]
fn writes_the_message_that_another_hand_wrote() {
    let vectors = vectors();
    let cipher = Cipher::new(ContentAlg::A256Gcm, &Key256::from_slice(&bytes(&vectors, "/cek_hex")).unwrap());
    let theirs = bytes(&vectors, "/data_key_envelope/hex");
    let message = Encrypt::parse(&theirs, 2).unwrap();
    let ours = Encrypt::seal(
        &NewBody {
            protected: message.body.headers.protected_bytes,
            external_aad: &bytes(&vectors, "/data_key_envelope/external_aad_hex"),
            iv: message.body.iv().unwrap(),
        },
        &cipher,
        bytes(&vectors, "/data_key_envelope/cose_key_plaintext_hex").as_slice(),
    );
    assert!(theirs.starts_with(&ours.unwrap()));

    let cipher = Cipher::new(ContentAlg::A256Gcm, &Key256::from_slice(&bytes(&vectors, "/dek_hex")).unwrap());
    let theirs = bytes(&vectors, "/credential_envelope/hex");
    let message = Encrypt0::parse(&theirs).unwrap();
    let (aad, plaintext) = (
        bytes(&vectors, "/credential_envelope/external_aad_hex"),
        bytes(&vectors, "/credential_envelope/plaintext_hex"),
    );
    assert_eq!(message.open(&cipher, &aad).unwrap().expose(), plaintext);
    let body = NewBody {
        protected: message.body.headers.protected_bytes,
        external_aad: &aad,
        iv: message.body.iv().unwrap(),
    };
    assert_eq!(Encrypt0::seal(&body, &cipher, plaintext.as_slice()).unwrap(), theirs);
}

#[test]
fn refuses_what_another_hand_spoiled() {
    let vectors = vectors();
    let cipher = Cipher::new(ContentAlg::A256Gcm, &Key256::from_slice(&bytes(&vectors, "/cek_hex")).unwrap());
    let aad = bytes(&vectors, "/data_key_envelope/external_aad_hex");
    let cases = vectors["data_key_envelope_must_fail"].as_array().unwrap();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let spoiled = bytes(case, "/hex");
        let opened = Encrypt::parse(&spoiled, 2).and_then(|message| message.open(&cipher, &aad));
        assert!(opened.is_err(), "{}", case["name"]);
    }
}

#[test]
fn a_message_has_no_more_recipients_than_the_caller_takes() {
    let message = bytes(&vectors(), "/data_key_envelope/hex");
    assert!(Encrypt::parse(&message, 1).is_err());
}

/// Whatever a profile above makes of headers, these never reach it.
#[test]
fn refuses_headers_that_no_profile_may_see() {
    // 16([protected, unprotected, h'00'])
    for (protected, unprotected, reads) in [
        ("40", "a0", true),
        ("43a10103", "a1054100", true),
        ("43a10103", "a20102054100", false), // a label in both buckets
        ("41a0", "a0", false),               // an empty map instead of nothing
        ("45a201030281", "a0", false),       // cut short
        ("46a20103028105", "a0", false),     // critical headers
        ("40", "a1028105", false),           // critical headers, unprotected
        ("44a1010300", "a0", false),         // a byte behind the map
        ("45a201030102", "a0", false),       // a label twice
        ("45a204400103", "a0", false),       // labels out of order
        ("44a1616100", "a0", false),         // a label in text
        ("a10103", "a0", false),             // a map that is not in a byte string
        ("43a10103", "40", false),           // a byte string that is not a map
        ("40", "f6", false),                 // null
    ] {
        let bytes = hex::decode(format!("d083{protected}{unprotected}4100")).unwrap();
        let read = Encrypt0::parse(&bytes);
        assert_eq!(read.is_ok(), reads, "{protected} {unprotected}: {read:?}");
    }
}

/// The order of labels against the order of their encodings, which is what the standard speaks of.
#[test]
fn labels_are_in_the_order_of_their_encodings() {
    let labels =
        [0, 1, 23, 24, 255, 256, 65536, i64::MAX, -1, -24, -25, -256, -257, -65537, -65540, i64::MIN];
    let encoded = |label: i64| {
        let mut out = Writer(Vec::new());
        out.int(label);
        out.0
    };
    for a in labels {
        for b in labels {
            let mut map = Writer(Vec::new());
            map.map(2).int(a).null().int(b).null();
            let read = header::Header::read(&mut Reader::new(&map.0)).is_ok();
            assert_eq!(read, encoded(a) < encoded(b), "{a}, {b}");
        }
    }
}
