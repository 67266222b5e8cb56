//! Randomness, passed in so that golden files can be made again byte by byte.

use sha2::{Digest as _, Sha256};
use std::sync::atomic::{AtomicU64, Ordering};

/// The random source failed; nothing may be sealed without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("the operating system's random source gave no bytes")]
pub struct EntropyError;

/// A source of cryptographically strong random bytes.
pub trait Entropy: Send + Sync {
    /// Fills `out` with random bytes, or says that it could not.
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError>;
}

/// The operating system's random source.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        getrandom::fill(out).map_err(|_| EntropyError)
    }
}

/// A reproducible stream (SHA-256 of seed and counter) for vectors and tests, never for secrets.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: u64,
    counter: AtomicU64,
}

impl SeededEntropy {
    /// The stream that belongs to this seed.
    pub const fn new(seed: u64) -> Self {
        Self { seed, counter: AtomicU64::new(0) }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in out.chunks_mut(32) {
            let counter = self.counter.fetch_add(1, Ordering::SeqCst);
            let block = Sha256::new()
                .chain_update(self.seed.to_be_bytes())
                .chain_update(counter.to_be_bytes())
                .finalize();
            chunk.iter_mut().zip(block).for_each(|(to, from)| *to = from);
        }
        Ok(())
    }
}
