//! What a program and its token's process say to each other.

/// A frame of either side's is read or refused.
pub fn token_host(data: &[u8]) {
    let _ = claviger_token::host::reads(data);
}
