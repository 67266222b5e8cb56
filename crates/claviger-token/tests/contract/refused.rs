//! A token that looks like any other, and is no home for a key: its keys come out under other keys.

use crate::lab::{Lab, objects};
use claviger_token::TokenError;
use claviger_types::{OsEntropy, Scheme, SignerId};
use cryptoki::object::ObjectClass;

fn assert_refused<T>(outcome: Result<T, TokenError>, finding: &str) {
    match outcome {
        Err(TokenError::Refused { finding: found }) => assert!(found.contains(finding), "{found}"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it is taken"),
    }
}

/// By a new login, because the driver's ended with it.
fn assert_bare(lab: &Lab<'_>) {
    let _anchors = lab.driver.open_anchors(&lab.uri, &lab.access).unwrap();
    let beside = lab.beside();
    for class in [ObjectClass::SECRET_KEY, ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
        assert!(objects(&beside, class).is_empty(), "{class:?} stays");
    }
}

/// Whatever scheme is asked for, and when the choice is the driver's: the first attack that works ends the search.
pub(crate) fn every_scheme_is_refused(lab: &Lab<'_>) {
    for scheme in [None, Some(Scheme::A256Kw)] {
        assert_refused(lab.try_generate(scheme), "it wraps an unextractable key by itself");
        assert_bare(lab);
    }
    for scheme in [Scheme::A256Gcm, Scheme::EcdhEsA256Kw, Scheme::RsaOaepSha256, Scheme::RsaOaepSha1] {
        let finding = "it wraps an unextractable key under a key that the caller knows";
        assert_refused(lab.try_generate(Some(scheme)), finding);
        assert_bare(lab);
    }
}

pub(crate) fn a_signer_is_refused(lab: &Lab<'_>) {
    let id = SignerId::random(&OsEntropy).unwrap();
    let outcome = lab.driver.generate_signer(&lab.uri, &lab.access, id, "the signer");
    assert_refused(outcome, "it wraps an unextractable key under a key that the caller knows");
    assert_bare(lab);
}
