//! What a card answers, and what it attests.

use claviger_token::piv::attestation::{Roots, verify};
use std::sync::LazyLock;

/// Yubico's, read once: that is most of the time otherwise.
static YUBICO: LazyLock<Roots> = LazyLock::new(Roots::yubico);

/// What a card says of its keys and PINs is read, or refused.
pub fn piv_answers(data: &[u8]) {
    let _ = claviger_token::piv::reads(data);
}

/// What a card gave is verified up to Yubico's roots, or under its own f9 certificate as one, or refused.
pub fn piv_attestation(data: &[u8]) {
    let _ = attests(data);
    let Some((f9, statement)) = parts(data) else { return };
    // More of the statement is reached so.
    if let Ok(roots) = Roots::none().with(f9) {
        let _ = verify(statement, f9, &roots);
    }
}

/// Whether it leads to one of Yubico's roots.
#[must_use]
pub fn attests(data: &[u8]) -> bool {
    parts(data).is_some_and(|(f9, statement)| verify(statement, f9, &YUBICO).is_ok())
}

/// The f9 certificate's length in two bytes, big-endian, the certificate, and the statement.
fn parts(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[high, low], rest) = data.split_at_checked(2)? else { return None };
    rest.split_at_checked(u16::from_be_bytes([high, low]).into())
}
