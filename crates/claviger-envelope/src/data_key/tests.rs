use super::*;
use claviger_types::SeededEntropy;

fn key(alg: ContentAlg) -> DataKey {
    DataKey::generate(alg, &SeededEntropy::new(1)).unwrap()
}

#[test]
fn a_cose_key_is_read_as_it_was_written() {
    for alg in ContentAlg::ALL {
        let key = key(alg);
        let plaintext = CoseKey(&key).to_cbor();
        assert_eq!(plaintext.len() + TAG_BYTES, sealed_len(alg));
        let read = read_cose_key(&plaintext, alg, &key.kid()).unwrap();
        assert!(read.key().same_as(key.key()));
        assert_eq!((read.alg(), read.kid()), (key.alg(), key.kid()));
    }
}

#[test]
fn only_the_one_spelling_of_a_cose_key_is_read() {
    let alg = ContentAlg::A256Gcm;
    let key = key(alg);
    let good = hex::encode(CoseKey(&key).to_cbor());
    let kid = hex::encode(key.kid().as_bytes());
    let secret = hex::encode(key.key().expose());
    assert_eq!(good, format!("a40104025820{kid}0303205820{secret}"));
    for (what, bad) in [
        ("a trailing byte", format!("{good}00")),
        ("a byte short", good[..good.len() - 2].to_owned()),
        ("nothing", String::new()),
        ("another key type", format!("a40102025820{kid}0303205820{secret}")),
        ("another algorithm", format!("a40104025820{kid}031818205820{secret}")),
        ("a key operation", format!("a50104025820{kid}0303048104205820{secret}")),
        ("no algorithm", format!("a30104025820{kid}205820{secret}")),
        ("no key id", format!("a301040303205820{secret}")),
        ("the order of RFC 8152", format!("a4010420 5820{secret}025820{kid}0303").replace(' ', "")),
        ("a short key", format!("a40104025820{kid}0303204110")),
        ("an indefinite map", format!("bf0104025820{kid}0303205820{secret}ff")),
    ] {
        let read = read_cose_key(&hex::decode(bad).unwrap(), alg, &key.kid());
        assert_eq!(read.unwrap_err(), EnvelopeError::Unopened, "{what}");
    }
}

/// The commitment itself: a key that stands under the id of another is no key.
#[test]
fn a_key_must_have_the_id_that_stands_beside_it() {
    let alg = ContentAlg::A256Gcm;
    let key = key(alg);
    let mut plaintext = CoseKey(&key).to_cbor();
    *plaintext.last_mut().unwrap() ^= 1;
    assert_eq!(read_cose_key(&plaintext, alg, &key.kid()).unwrap_err(), EnvelopeError::Unopened);
}

#[test]
fn the_cipher_is_made_once() {
    let key = key(ContentAlg::A256Gcm);
    assert!(std::ptr::eq(key.cipher(), key.cipher()));
}
