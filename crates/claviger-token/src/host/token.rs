//! What the child has open, as the vault sees it: a key, a signer, a place for anchors.

use super::{
    client::{is_named, on_its_token},
    process::Running,
    remote::{Place, Remote},
    wire::{Ask, Bytes, Secret, Told},
};
use crate::{
    AnchorSlot, Kek, KeyDescription, NewKey, SelfTestReport, Signer, Token, TokenError, Unwrapped, Uri,
    software,
};
use claviger_types::{Digest, EcPoint, Entropy, Key256, RecipientId, Scheme, SignerId, WrappedCek};
use std::{fmt, sync::Arc};

/// A KEK whose module runs in the child.
pub(super) struct HostKey {
    pub(super) remote: Remote,
    pub(super) description: KeyDescription,
    pub(super) entropy: Arc<dyn Entropy>,
}

impl HostKey {
    /// Another key of the same token.
    fn beside(
        &self,
        (told, running): (Told, Arc<Running>),
        of: RecipientId,
        scheme: Scheme,
    ) -> Result<Self, TokenError> {
        match told {
            Told::Key { key, description, .. }
                if is_named(&description, of) && description.scheme == scheme =>
            {
                let place = Place::of_key(self.token_uri(), &description);
                let remote = self.remote.beside(place, &running, key);
                Ok(Self { remote, description, entropy: Arc::clone(&self.entropy) })
            }
            _ => Err(self.remote.nonsense(&running)),
        }
    }

    fn token_uri(&self) -> Uri {
        match self.remote.place() {
            Place::Key { uri, .. } => on_its_token(uri, &self.description),
            _ => Uri::default(),
        }
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostKey").field("description", &self.description).finish_non_exhaustive()
    }
}

impl Token for HostKey {
    fn describe(&self) -> &KeyDescription {
        &self.description
    }

    fn wrap(&self, cek: &Key256, context: &[u8]) -> Result<WrappedCek, TokenError> {
        let KeyDescription { recipient, scheme, public_key, .. } = &self.description;
        if let Some(public_key) = public_key {
            let entropy = self.entropy.as_ref();
            return software::wrap_to_public_key(*recipient, *scheme, public_key, cek, context, entropy);
        }
        let told = self.remote.call(|key| Ask::Wrap {
            key,
            cek: Secret::of_key(cek),
            context: Bytes(context.to_vec()),
        })?;
        match told {
            (Told::Wrapped(wrapped), _) if (wrapped.recipient, wrapped.scheme) == (*recipient, *scheme) => {
                Ok(wrapped)
            }
            (_, running) => Err(self.remote.nonsense(&running)),
        }
    }

    fn unwrap(&self, wrapped: &WrappedCek, context: &[u8]) -> Result<Unwrapped, TokenError> {
        if (wrapped.recipient, wrapped.scheme) != (self.description.recipient, self.description.scheme) {
            return Ok(Unwrapped::NotMine);
        }
        let (told, running) = self.remote.call(|key| Ask::Unwrap {
            key,
            wrapped: wrapped.clone(),
            context: Bytes(context.to_vec()),
        })?;
        match told {
            Told::Unwrapped(None) => Ok(Unwrapped::NotMine),
            Told::Unwrapped(Some(key)) => {
                key.key().map(Unwrapped::Key).ok_or_else(|| self.remote.nonsense(&running))
            }
            _ => Err(self.remote.nonsense(&running)),
        }
    }

    fn sibling(&self, recipient: RecipientId, scheme: Scheme) -> Result<Arc<dyn Token>, TokenError> {
        let told = self.remote.call(|of| Ask::Sibling { of, recipient, scheme })?;
        Ok(Arc::new(self.beside(told, recipient, scheme)?))
    }

    fn generate_sibling(&self, new: &NewKey) -> Result<Arc<dyn Token>, TokenError> {
        let told = self.remote.call_long(|of| Ask::GenerateSibling { of, new: new.clone() })?;
        Ok(Arc::new(self.beside(told, new.recipient, new.scheme)?))
    }

    fn owns(&self, recipient: RecipientId, scheme: Scheme) -> Result<bool, TokenError> {
        match self.remote.call(|of| Ask::Owns { of, recipient, scheme })? {
            (Told::Was(was), _) => Ok(was),
            (_, running) => Err(self.remote.nonsense(&running)),
        }
    }

    fn destroy_sibling(&self, recipient: RecipientId, scheme: Scheme) -> Result<bool, TokenError> {
        match self.remote.call(|of| Ask::DestroySibling { of, recipient, scheme })? {
            (Told::Was(was), _) => Ok(was),
            (_, running) => Err(self.remote.nonsense(&running)),
        }
    }
}

impl Kek for HostKey {
    fn self_test(&self) -> Result<SelfTestReport, TokenError> {
        match self.remote.call_long(|key| Ask::SelfTest { key })? {
            (Told::Report(report), _) => Ok(report),
            (_, running) => Err(self.remote.nonsense(&running)),
        }
    }

    fn anchors(&self) -> Result<Arc<dyn AnchorSlot>, TokenError> {
        match self.remote.call(|key| Ask::AnchorsOf { key })? {
            (Told::Anchors { anchors, location }, running) => {
                let place = Place::Anchors { uri: self.token_uri() };
                let remote = self.remote.beside(place, &running, anchors);
                Ok(Arc::new(HostAnchors { remote, location }))
            }
            (_, running) => Err(self.remote.nonsense(&running)),
        }
    }

    fn destroy_key(&self) -> Result<(), TokenError> {
        self.remote.done(|key| Ask::DestroyKey { key })
    }
}

/// A signer whose module runs in the child. What it gives is verified here again.
#[derive(Debug)]
pub(super) struct HostSigner {
    pub(super) remote: Remote,
    pub(super) id: SignerId,
    pub(super) public_key: EcPoint,
}

impl Signer for HostSigner {
    fn id(&self) -> SignerId {
        self.id
    }

    fn public_key(&self) -> EcPoint {
        self.public_key
    }

    fn sign(&self, digest: &Digest) -> Result<[u8; 64], TokenError> {
        let (told, running) = self.remote.call(|signer| Ask::Sign { signer, digest: *digest })?;
        let signature = match told {
            Told::Signature(Bytes(signature)) => <[u8; 64]>::try_from(signature).ok(),
            _ => None,
        };
        signature
            .filter(|signature| software::verify_signature(&self.public_key, digest, signature))
            .ok_or_else(|| self.remote.nonsense(&running))
    }

    fn destroy_key(&self) -> Result<(), TokenError> {
        self.remote.done(|signer| Ask::DestroySigner { signer })
    }
}

/// A place for anchors whose module runs in the child.
#[derive(Debug)]
pub(super) struct HostAnchors {
    pub(super) remote: Remote,
    pub(super) location: String,
}

impl AnchorSlot for HostAnchors {
    fn location(&self) -> String {
        self.location.clone()
    }

    fn read(&self, name: &str) -> Result<Vec<Vec<u8>>, TokenError> {
        match self.remote.call(|anchors| Ask::ReadAnchor { anchors, name: name.to_owned() })? {
            (Told::Values(values), _) => Ok(values.into_iter().map(|Bytes(value)| value).collect()),
            (_, running) => Err(self.remote.nonsense(&running)),
        }
    }

    fn write(&self, name: &str, value: &[u8]) -> Result<(), TokenError> {
        let value = || Bytes(value.to_vec());
        self.remote.done(|anchors| Ask::WriteAnchor { anchors, name: name.to_owned(), value: value() })
    }

    fn remove(&self, name: &str) -> Result<(), TokenError> {
        self.remote.done(|anchors| Ask::RemoveAnchor { anchors, name: name.to_owned() })
    }
}
