//! What a host keeps outside the store, because the store is not believed: pins, and the keys by which it signs.

use crate::VaultError;
use claviger_token::{KeyDescription, Signer};
use claviger_types::{Digest, EcPoint, HostId, RecipientId, SignerId};
use std::sync::{Arc, Mutex, PoisonError};

/// A signer that a host believes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinnedSigner {
    /// Its id.
    pub id: SignerId,
    /// Its public key.
    pub public_key: EcPoint,
}

/// What a host believes without asking the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pins {
    /// The vault keys that it accepts, by their kids: the present one, and after it one that is expected to follow.
    pub fingerprints: Vec<Digest>,
    /// Signers whose word it takes for a successor.
    pub signers: Vec<PinnedSigner>,
}

/// A machine and user that opens the vault, as far as it remembers anything by itself.
///
/// Other processes of the same host may change what it keeps, so it is asked anew each time.
pub trait Host: Send + Sync {
    /// Its id, by which the vault lists who has written.
    fn id(&self) -> HostId;

    /// Its name for people.
    fn name(&self) -> String;

    /// What it believes now.
    fn pins(&self) -> Result<Pins, VaultError>;

    /// Accepts this vault key beside the present one, durably, before a head under it is written. Another one that was
    /// expected is forgotten.
    fn expect(&self, fingerprint: Digest) -> Result<(), VaultError>;

    /// Accepts this vault key and no other from now on.
    fn settle(&self, fingerprint: Digest) -> Result<(), VaultError>;

    /// Opens the vault by this key from now on, in the place of another one on the same token.
    fn adopt(&self, former: RecipientId, key: &KeyDescription) -> Result<(), VaultError>;

    /// Takes these signers at their word from now on, and no others.
    fn believe(&self, signers: &[PinnedSigner]) -> Result<(), VaultError>;

    /// The signers that it can use itself. Asked only when something is to be signed.
    fn signers(&self) -> Vec<Arc<dyn Signer>>;
}

/// A host that remembers as long as the process lives, for tests, and for what is opened only once.
pub struct MemoryHost {
    id: HostId,
    name: String,
    pins: Mutex<Pins>,
    signers: Vec<Arc<dyn Signer>>,
}

impl std::fmt::Debug for MemoryHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryHost").field("id", &self.id).finish_non_exhaustive()
    }
}

impl MemoryHost {
    /// A host that pins these vault keys.
    pub fn new(id: HostId, fingerprints: Vec<Digest>) -> Self {
        let (name, signers) = ("in memory".to_owned(), Vec::new());
        Self { id, name, pins: Mutex::new(Pins { fingerprints, signers: Vec::new() }), signers }
    }

    /// The same with a name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The same with signers to use, which it believes too.
    #[must_use]
    pub fn with_signers(mut self, signers: Vec<Arc<dyn Signer>>) -> Self {
        self.lock().signers = signers
            .iter()
            .map(|signer| PinnedSigner { id: signer.id(), public_key: signer.public_key() })
            .collect();
        self.signers = signers;
        self
    }

    // Every change to the pins is a whole one.
    fn lock(&self) -> std::sync::MutexGuard<'_, Pins> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host for MemoryHost {
    fn id(&self) -> HostId {
        self.id
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn pins(&self) -> Result<Pins, VaultError> {
        Ok(self.lock().clone())
    }

    fn expect(&self, fingerprint: Digest) -> Result<(), VaultError> {
        let mut pins = self.lock();
        pins.fingerprints.truncate(1);
        pins.fingerprints.push(fingerprint);
        Ok(())
    }

    fn settle(&self, fingerprint: Digest) -> Result<(), VaultError> {
        self.lock().fingerprints = vec![fingerprint];
        Ok(())
    }

    fn adopt(&self, _former: RecipientId, _key: &KeyDescription) -> Result<(), VaultError> {
        Ok(())
    }

    fn believe(&self, signers: &[PinnedSigner]) -> Result<(), VaultError> {
        self.lock().signers = signers.to_vec();
        Ok(())
    }

    fn signers(&self) -> Vec<Arc<dyn Signer>> {
        self.signers.clone()
    }
}
