use super::*;
use claviger_types::OsEntropy;
use p256::elliptic_curve::Generate as _;
use proptest::prelude::*;

fn fresh() -> EcPoint {
    let key = p256::SecretKey::try_generate_from_rng(&mut software::EntropyRng(&OsEntropy)).unwrap();
    session::point(&key.public_key().to_sec1_bytes()).unwrap()
}

#[test]
fn the_key_is_read_from_what_is_written() {
    let key = fresh();
    let object = build(&key, "CN=claviger 0123abcd", &OsEntropy, |_| Ok(vec![1, 2])).unwrap();
    assert_eq!(point(&object), Some(key));
    assert!(!is_unused(&object, &key));
    let der = tlv::find(&object, CERTIFICATE).unwrap();
    let certificate = Certificate::from_der(der).unwrap();
    assert_eq!(certificate.tbs_certificate().subject().to_string(), "CN=claviger 0123abcd");
}

#[test]
fn only_the_key_that_was_overwritten_is_unused() {
    let key = fresh();
    let object = unused(&key, &OsEntropy).unwrap();
    assert!(is_unused(&object, &key));
    assert!(!is_unused(&object, &fresh()), "somebody made another key since");
}

#[test]
fn a_name_that_only_begins_like_ours_is_its_owners() {
    let (key, other) = (fresh(), fresh());
    let named = |name: &str| build(&key, &format!("CN={name}"), &OsEntropy, |_| Ok(Vec::new())).unwrap();
    for own in [name(&key), signer_name(&key)] {
        let object = named(&own);
        assert!(is_own(&object, &key) && owned(&object).is_some(), "{own}");
        assert!(!is_own(&object, &other), "{own}");
    }
    let longer = format!("{} mail", name(&key));
    for foreign in
        ["claviger mail", "claviger ", "claviger sign", &longer, &name(&other), &signer_name(&other)]
    {
        let object = named(foreign);
        assert!(!is_own(&object, &key) && owned(&object).is_none(), "{foreign}");
    }
    let unused = unused(&key, &OsEntropy).unwrap();
    assert!(owned(&unused).is_some() && !is_own(&unused, &key));
}

#[test]
fn a_compressed_certificate_is_none_of_ours() {
    let object = unused(&fresh(), &OsEntropy).unwrap();
    let compressed = [tlv::element(CERTIFICATE, b"gzip"), tlv::element(INFO, &[1])].concat();
    assert_eq!(point(&compressed), None);
    assert!(point(&object).is_some());
}

proptest! {
    #[test]
    fn nothing_that_a_card_says_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), at: prop::sample::Index, value: u8) {
        let _ = point(&bytes);
        let mut object = unused(&fresh(), &OsEntropy).unwrap();
        let at = at.index(object.len());
        object[at] = value;
        let _ = point(&object);
    }
}
