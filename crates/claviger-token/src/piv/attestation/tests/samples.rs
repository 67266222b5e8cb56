//! What real keys stated.

use super::super::*;
use AttestationError as Error;

pub(super) fn pem(text: &[u8]) -> Vec<u8> {
    der::pem::decode_vec(text).unwrap().1
}

/// Statement and f9 certificate of a real YubiKey.
pub(super) struct Sample {
    pub(super) statement: Vec<u8>,
    pub(super) f9: Vec<u8>,
}

macro_rules! sample {
    ($statement:literal, $f9:literal) => {
        Sample {
            statement: pem(include_bytes!(concat!("../samples/", $statement, ".pem"))),
            f9: pem(include_bytes!(concat!("../samples/", $f9, ".pem"))),
        }
    };
}

pub(super) fn sample_4_3_7() -> Sample {
    sample!("4.3.7-u2f-root-9a", "4.3.7-u2f-root-f9")
}

pub(super) fn sample_4_4_5() -> Sample {
    sample!("4.4.5-fips-9c", "4.4.5-fips-f9")
}

pub(super) fn sample_5_4_3() -> Sample {
    sample!("5.4.3-9a", "5.4.3-f9")
}

pub(super) fn sample_5_7_4() -> Sample {
    sample!("5.7.4-9c", "5.7.4-f9")
}

pub(super) fn samples() -> [Sample; 4] {
    [sample_4_3_7(), sample_4_4_5(), sample_5_4_3(), sample_5_7_4()]
}

impl Sample {
    pub(super) fn verify(&self) -> Result<Attested, Error> {
        verify(&self.statement, &self.f9, &Roots::yubico())
    }
}

// The real ones. What is expected was read with `openssl x509 -text`.
