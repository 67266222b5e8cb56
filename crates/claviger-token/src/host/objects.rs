//! What the child has open, by handle, and what is done with it.

use super::{
    serve::Parent,
    wire::{Ask, Bytes, Handle, Secret, Told},
};
use crate::{Access, AnchorSlot, Driver, Kek, SelfTestReport, Signer, Token, TokenError, Unwrapped};
use claviger_types::OsEntropy;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub(super) struct Objects {
    driver: Box<dyn Driver>,
    parent: Arc<Parent>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: Handle,
    objects: BTreeMap<Handle, Object>,
}

#[derive(Clone)]
enum Object {
    Kek(Arc<dyn Kek>),
    /// One that was had from another, and cannot be tested or destroyed by itself.
    Token(Arc<dyn Token>),
    Signer(Arc<dyn Signer>),
    Anchors(Arc<dyn AnchorSlot>),
}

impl Objects {
    pub(super) fn new(driver: Box<dyn Driver>, parent: Arc<Parent>) -> Self {
        Self { driver, parent, open: Mutex::default() }
    }

    /// Does what is asked; `None` where no reply is due.
    pub(super) fn perform(&self, ask: Ask) -> Option<Result<Told, TokenError>> {
        if let Ask::Close { object } = ask {
            let closed = self.open().objects.remove(&object);
            // Its sessions are closed without holding up others.
            drop(closed);
            return None;
        }
        Some(self.answer(ask))
    }

    fn answer(&self, ask: Ask) -> Result<Told, TokenError> {
        let driver = &self.driver;
        Ok(match ask {
            Ask::List => Told::Tokens(driver.list()?),
            Ask::Generate { uri, new } => {
                let (key, report) = driver.generate(&uri, &self.access(), &new)?;
                self.keep_kek(key, Some(report))
            }
            Ask::Open { uri, recipient, scheme, profile } => {
                self.keep_kek(driver.open(&uri, &self.access(), recipient, scheme, &profile)?, None)
            }
            Ask::Sibling { of, recipient, scheme } => {
                self.keep_token(self.token(of)?.sibling(recipient, scheme)?)
            }
            Ask::GenerateSibling { of, new } => self.keep_token(self.token(of)?.generate_sibling(&new)?),
            Ask::DestroySibling { of, recipient, scheme } => {
                Told::Was(self.token(of)?.destroy_sibling(recipient, scheme)?)
            }
            Ask::Owns { of, recipient, scheme } => Told::Was(self.token(of)?.owns(recipient, scheme)?),
            Ask::Wrap { key, cek, context } => {
                let cek = cek.key().ok_or_else(nonsense)?;
                Told::Wrapped(self.token(key)?.wrap(&cek, &context.0)?)
            }
            Ask::Unwrap { key, wrapped, context } => match self.token(key)?.unwrap(&wrapped, &context.0)? {
                Unwrapped::Key(key) => Told::Unwrapped(Some(Secret::of_key(&key))),
                Unwrapped::NotMine => Told::Unwrapped(None),
            },
            Ask::SelfTest { key } => Told::Report(self.kek(key)?.self_test()?),
            Ask::DestroyKey { key } => {
                self.kek(key)?.destroy_key()?;
                Told::Done
            }
            Ask::GenerateSigner { uri, id, label } => {
                self.keep_signer(driver.generate_signer(&uri, &self.access(), id, &label)?)
            }
            Ask::OpenSigner { uri, id } => self.keep_signer(driver.open_signer(&uri, &self.access(), id)?),
            Ask::Sign { signer, digest } => {
                Told::Signature(Bytes(self.signer(signer)?.sign(&digest)?.to_vec()))
            }
            Ask::DestroySigner { signer } => {
                self.signer(signer)?.destroy_key()?;
                Told::Done
            }
            Ask::OpenAnchors { uri } => self.keep_anchors(driver.open_anchors(&uri, &self.access())?),
            Ask::AnchorsOf { key } => self.keep_anchors(self.kek(key)?.anchors()?),
            Ask::ReadAnchor { anchors, name } => {
                Told::Values(self.anchors(anchors)?.read(&name)?.into_iter().map(Bytes).collect())
            }
            Ask::WriteAnchor { anchors, name, value } => {
                self.anchors(anchors)?.write(&name, &value.0)?;
                Told::Done
            }
            Ask::RemoveAnchor { anchors, name } => {
                self.anchors(anchors)?.remove(&name)?;
                Told::Done
            }
            #[cfg(feature = "piv")]
            Ask::PivKey { uri, recipient } => Told::PivKey(driver.piv_key(&uri, recipient)?.map(Box::new)),
            Ask::Hello { .. } | Ask::Close { .. } | Ask::Secret(_) | Ask::NoSecret(_) => {
                return Err(nonsense());
            }
        })
    }

    fn access(&self) -> Access {
        Access::new(Arc::clone(&self.parent) as _, Arc::new(OsEntropy))
            .attended(Arc::clone(&self.parent) as _)
    }

    fn keep(&self, object: Object) -> Handle {
        let mut open = self.open();
        open.next += 1;
        let handle = open.next;
        open.objects.insert(handle, object);
        handle
    }

    fn keep_kek(&self, key: Arc<dyn Kek>, report: Option<SelfTestReport>) -> Told {
        let description = key.describe().clone();
        Told::Key { key: self.keep(Object::Kek(key)), description, report }
    }

    fn keep_token(&self, token: Arc<dyn Token>) -> Told {
        let description = token.describe().clone();
        Told::Key { key: self.keep(Object::Token(token)), description, report: None }
    }

    fn keep_signer(&self, signer: Arc<dyn Signer>) -> Told {
        let (id, public_key) = (signer.id(), signer.public_key());
        Told::Signer { signer: self.keep(Object::Signer(signer)), id, public_key }
    }

    fn keep_anchors(&self, anchors: Arc<dyn AnchorSlot>) -> Told {
        let location = anchors.location();
        Told::Anchors { anchors: self.keep(Object::Anchors(anchors)), location }
    }

    fn object(&self, handle: Handle) -> Result<Object, TokenError> {
        self.open().objects.get(&handle).cloned().ok_or_else(nonsense)
    }

    fn token(&self, handle: Handle) -> Result<Arc<dyn Token>, TokenError> {
        match self.object(handle)? {
            Object::Kek(key) => Ok(key),
            Object::Token(token) => Ok(token),
            _ => Err(nonsense()),
        }
    }

    fn kek(&self, handle: Handle) -> Result<Arc<dyn Kek>, TokenError> {
        match self.object(handle)? {
            Object::Kek(key) => Ok(key),
            _ => Err(nonsense()),
        }
    }

    fn signer(&self, handle: Handle) -> Result<Arc<dyn Signer>, TokenError> {
        match self.object(handle)? {
            Object::Signer(signer) => Ok(signer),
            _ => Err(nonsense()),
        }
    }

    fn anchors(&self, handle: Handle) -> Result<Arc<dyn AnchorSlot>, TokenError> {
        match self.object(handle)? {
            Object::Anchors(anchors) => Ok(anchors),
            _ => Err(nonsense()),
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Every change to it is a whole one.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asked of an object that is none, or of another kind.
fn nonsense() -> TokenError {
    TokenError::HostUnusable { reason: "it was asked for what it does not have".to_owned() }
}
