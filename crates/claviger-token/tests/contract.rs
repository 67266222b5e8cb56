//! What every PKCS#11 module must do behind the driver, run against real ones: each test in a process of its own, because a
//! module's tokens, logins and sessions belong to the process.

mod lab;

use claviger_token::{Token as _, TokenError, Unwrapped};
use claviger_types::{Key256, OsEntropy, RecipientId, Scheme};
use lab::Lab;

const CONTEXT: &[u8] = b"context";

fn round_trip(lab: &Lab<'_>, scheme: Scheme) {
    let token = lab.generate(scheme);
    let cek = Key256::random(&OsEntropy).unwrap();
    let wrapped = token.wrap(&cek, CONTEXT).unwrap();
    let again = lab.open(&token);
    for token in [&token, &again] {
        match token.unwrap(&wrapped, CONTEXT).unwrap() {
            Unwrapped::Key(key) => assert!(key.same_as(&cek)),
            Unwrapped::NotMine => panic!("not mine"),
        }
    }
}

/// One test per module and scheme for each function named.
macro_rules! contract {
    ($($name:ident: $function:ident($provider:ident, $scheme:ident);)+) => {
        $(
            #[test]
            fn $name() {
                let test = concat!(module_path!(), "::", stringify!($name));
                softhsm_fixtures::in_own_process(test, softhsm_fixtures::Provider::$provider, |instance| {
                    $function(&Lab::new(instance), Scheme::$scheme);
                });
            }
        )+
    };
}

contract! {
    softhsm_a256kw_round_trip: round_trip(SoftHsm, A256Kw);
    softhsm_a256gcm_round_trip: round_trip(SoftHsm, A256Gcm);
    softhsm_ecdh_round_trip: round_trip(SoftHsm, EcdhEsA256Kw);
    softhsm_oaep_sha1_round_trip: round_trip(SoftHsm, RsaOaepSha1);
    kryoptic_a256kw_round_trip: round_trip(Kryoptic, A256Kw);
    kryoptic_a256gcm_round_trip: round_trip(Kryoptic, A256Gcm);
    kryoptic_ecdh_round_trip: round_trip(Kryoptic, EcdhEsA256Kw);
    kryoptic_oaep_round_trip: round_trip(Kryoptic, RsaOaepSha256);
}
