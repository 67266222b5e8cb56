use super::*;
use claviger_types::SeededEntropy;
use proptest::prelude::*;

fn blob(entropy: &SeededEntropy, key: &Key256) -> TestBlob {
    let wrapped = WrappedCek {
        recipient: RecipientId::from_bytes([1; 16]),
        scheme: Scheme::A256Kw,
        iv: Some([2; 12]),
        ephemeral: Some(EcPoint { x: [3; 32], y: [4; 32] }),
        ciphertext: vec![5; 40],
    };
    TestBlob::new(wrapped, key, entropy).unwrap()
}

#[test]
fn a_profile_survives_its_text() {
    let entropy = SeededEntropy::new(1);
    let key = Key256::random(&entropy).unwrap();
    let full = blob(&entropy, &key);
    for test in [None, Some(TestBlob { iv: None, ephemeral: None, ..full.clone() }), Some(full)] {
        for &unwrap in UnwrapAs::ALL {
            for &point in PointAs::ALL {
                let profile = Profile { unwrap, point, import: ImportAs::Minimal, test: test.clone() };
                assert_eq!(Profile::parse(&profile.to_string()), Some(profile));
            }
        }
    }
}

#[test]
fn a_test_blob_knows_its_key_and_does_not_tell_it() {
    let entropy = SeededEntropy::new(2);
    let key = Key256::random(&entropy).unwrap();
    let blob = blob(&entropy, &key);
    assert!(blob.is_of(&key));
    assert!(!blob.is_of(&Key256::random(&entropy).unwrap()));
    // Salted: the same key leaves another hash each time.
    let again = TestBlob::new(blob.wrapped(RecipientId::from_bytes([1; 16]), Scheme::A256Kw), &key, &entropy);
    assert_ne!(again.unwrap().hash, blob.hash);
}

#[test]
fn what_is_no_profile_is_none() {
    for text in [
        "",
        "1",
        "2 unwrap=plain import=plain point=raw",
        "1 unwrap=plain import=plain",
        "1 unwrap=plain import=plain point=round",
        "1 unwrap=plain import=plain point=raw test=AAAA",
        "1 unwrap=plain import=plain point=raw test=AAAA salt=AA hash=AA",
        "1 unwrap=plain import=plain point=raw loose",
    ] {
        assert_eq!(Profile::parse(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "1 (unwrap=plain |import=plain |point=raw |test=[A-Za-z0-9_-]{0,9} |x=AA |iv=.{0,4} ){0,8}") {
        let _ = Profile::parse(&text);
    }
}
