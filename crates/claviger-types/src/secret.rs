//! Secrets that are wiped when dropped, cannot be cloned, and show nothing when printed.

use crate::{Entropy, EntropyError};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A 256-bit key: KEK-wrapped CEK, data key or vault key. On the heap, so that a move copies only the pointer.
#[derive(ZeroizeOnDrop)]
pub struct Key256(Box<[u8; 32]>);

impl Key256 {
    /// A fresh random key, made in place.
    pub fn random(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut key = Self(Box::new([0; 32]));
        entropy.fill(key.0.as_mut())?;
        Ok(key)
    }

    /// A key that `fill` writes in place.
    pub fn build<E>(fill: impl FnOnce(&mut [u8; 32]) -> Result<(), E>) -> Result<Self, E> {
        let mut key = Self(Box::new([0; 32]));
        fill(&mut key.0)?;
        Ok(key)
    }

    /// The key in a slice of exactly 32 bytes; the caller wipes the slice.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut key = Self(Box::new([0; 32]));
        if bytes.len() != key.0.len() {
            return None;
        }
        key.0.copy_from_slice(bytes);
        Some(key)
    }

    /// The bytes, for the cipher that needs them.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether two keys are the same, in constant time.
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.ct_eq(other.0.as_ref()).into()
    }
}

impl fmt::Debug for Key256 {
    // Redacted by hand: a derive would print the key wherever a struct that holds one is logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key256(..)")
    }
}

/// Secret bytes of any length. A buffer that must grow is replaced by hand and wiped, never reallocated.
#[derive(Default)]
pub struct SecretBytes(Vec<u8>);

impl Drop for SecretBytes {
    // Wiped as one slice, over the whole capacity: `Vec`'s own way goes byte by byte, which shows at a few KiB.
    fn drop(&mut self) {
        self.0.clear();
        self.0.spare_capacity_mut().zeroize();
    }
}

impl ZeroizeOnDrop for SecretBytes {}

impl SecretBytes {
    /// Takes over a buffer; it is wiped when this value is dropped.
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// A copy of these bytes; the caller wipes its own.
    pub fn copy_of(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Reads to the end of `source`, at most `limit` bytes; `None` when there is more.
    pub fn read_from(source: &mut dyn std::io::Read, limit: usize) -> std::io::Result<Option<Self>> {
        let mut chunk = Zeroizing::new([0_u8; 8192]);
        let mut all = Self(Vec::with_capacity(chunk.len()));
        loop {
            let count = match source.read(chunk.as_mut_slice()) {
                Ok(0) => return Ok(Some(all)),
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if all.0.len() + count > limit {
                return Ok(None);
            }
            all.extend(chunk.get(..count).unwrap_or_default());
        }
    }

    /// Appends bytes; when the buffer must grow, the old one is wiped.
    pub fn extend(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger = Vec::with_capacity(needed.max(2 * self.0.capacity()));
            larger.extend_from_slice(&self.0);
            let mut old = std::mem::replace(&mut self.0, larger);
            old.zeroize();
        }
        self.0.extend_from_slice(bytes);
    }

    /// Wipes and cuts off everything after the first `length` bytes.
    pub fn truncate(&mut self, length: usize) {
        if let Some(rest) = self.0.get_mut(length..) {
            rest.zeroize();
        }
        self.0.truncate(length);
    }

    /// Cuts one trailing newline (`\n` or `\r\n`), as a line from a file or terminal carries it.
    pub fn trim_newline(&mut self) {
        if self.0.last() == Some(&b'\n') {
            self.0.pop();
            if self.0.last() == Some(&b'\r') {
                self.0.pop();
            }
        }
    }

    /// The bytes, for whoever must use them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The number of bytes.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether two secrets are the same, in constant time for equal lengths.
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Hands the buffer out; whoever takes it wipes it.
    pub fn into_inner(mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

impl fmt::Debug for SecretBytes {
    // Redacted by hand, for the same reason as `Key256`; even the length of a secret is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

/// A token's PIN, as the bytes that `C_Login` takes.
#[derive(Debug)]
pub struct Pin(SecretBytes);

impl Pin {
    /// The PIN in these bytes.
    pub const fn new(bytes: SecretBytes) -> Self {
        Self(bytes)
    }

    /// The bytes, for the login call.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}
