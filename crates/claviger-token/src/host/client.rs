//! The parent's side: a driver whose keys, signers and anchors lie in the child.

use super::{
    HostSpec,
    process::{Process, Running},
    remote::{Asker, Place, Remote, ask},
    token::{HostAnchors, HostKey, HostSigner},
    wire::{Ask, Told},
};
use crate::{
    Access, AnchorSlot, Driver, Kek, KeyDescription, NewKek, PublicKey, SelfTestReport, Signer, TokenError,
    TokenSummary, Uri, software,
};
use claviger_types::{RecipientId, Scheme, SignerId};
use std::{fmt, sync::Arc, time::Duration};

/// The tokens of one module, which runs in a child process.
///
/// The child is started when it is first needed. When it ends under a call, that call and those beside it answer
/// [`TokenError::ModuleCrashed`], and the next starts it again, with growing pauses when that recurs. A PIN that it was given
/// before it ended is not given again by itself: whether it cost a try, nobody knows.
#[derive(Clone)]
pub struct HostDriver {
    process: Arc<Process>,
}

impl HostDriver {
    /// The tokens of the module that this child will hold.
    pub fn new(spec: HostSpec) -> Self {
        Self { process: Arc::new(Process::new(spec)) }
    }

    /// Ends the child at once, whatever it does: its memory, with every key, login and PIN in it, is the kernel's again. Keys
    /// that are open stay usable: the next call starts another child, which asks for the PIN.
    pub fn end(&self) {
        self.process.end();
    }

    /// The child's process id, while one runs.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    fn call(&self, asker: Option<&Asker>, what: Ask) -> Result<(Told, Arc<Running>), TokenError> {
        self.call_within(self.process.spec.deadlines.call, asker, what)
    }

    fn call_within(
        &self,
        within: Duration,
        asker: Option<&Asker>,
        what: Ask,
    ) -> Result<(Told, Arc<Running>), TokenError> {
        let running = self.process.running()?;
        Ok((ask(&self.process, &running, asker, within, what)?, running))
    }

    fn signer(
        &self,
        uri: &Uri,
        access: &Access,
        wanted: SignerId,
        what: Ask,
    ) -> Result<Arc<dyn Signer>, TokenError> {
        let asker = Asker::new(access);
        match self.call_within(self.process.spec.deadlines.generate, Some(&asker), what)? {
            (Told::Signer { signer, id, public_key }, running)
                if id == wanted || id == SignerId::from_bytes(software::name_of(&public_key)) =>
            {
                let place = Place::Signer { uri: without_pin(uri), id };
                let remote = Remote::new(&self.process, asker, place, &running, signer);
                Ok(Arc::new(HostSigner { remote, id, public_key }))
            }
            (_, running) => Err(self.process.spoke_nonsense(&running)),
        }
    }
}

impl Driver for HostDriver {
    fn list(&self) -> Result<Vec<TokenSummary>, TokenError> {
        match self.call(None, Ask::List)? {
            (Told::Tokens(tokens), _) => Ok(tokens),
            (_, running) => Err(self.process.spoke_nonsense(&running)),
        }
    }

    fn generate(
        &self,
        uri: &Uri,
        access: &Access,
        new: &NewKek,
    ) -> Result<(Arc<dyn Kek>, SelfTestReport), TokenError> {
        let asker = Asker::new(access);
        let what = Ask::Generate { uri: without_pin(uri), new: new.clone() };
        match self.call_within(self.process.spec.deadlines.generate, Some(&asker), what)? {
            (Told::Key { key, description, report: Some(report) }, running)
                if is_named(&description, new.recipient) =>
            {
                let place = Place::of_key(on_its_token(uri, &description), &description);
                let remote = Remote::new(&self.process, asker, place, &running, key);
                Ok((Arc::new(HostKey { remote, description, entropy: Arc::clone(&access.entropy) }), report))
            }
            (_, running) => Err(self.process.spoke_nonsense(&running)),
        }
    }

    fn open(
        &self,
        uri: &Uri,
        access: &Access,
        recipient: RecipientId,
        scheme: Scheme,
        profile: &str,
    ) -> Result<Arc<dyn Kek>, TokenError> {
        let asker = Asker::new(access);
        let what = Ask::Open { uri: without_pin(uri), recipient, scheme, profile: profile.to_owned() };
        match self.call(Some(&asker), what)? {
            (Told::Key { key, description, .. }, running)
                if (description.recipient, description.scheme) == (recipient, scheme) =>
            {
                let place = Place::of_key(without_pin(uri), &description);
                let remote = Remote::new(&self.process, asker, place, &running, key);
                Ok(Arc::new(HostKey { remote, description, entropy: Arc::clone(&access.entropy) }))
            }
            (_, running) => Err(self.process.spoke_nonsense(&running)),
        }
    }

    fn generate_signer(
        &self,
        uri: &Uri,
        access: &Access,
        id: SignerId,
        label: &str,
    ) -> Result<Arc<dyn Signer>, TokenError> {
        let what = Ask::GenerateSigner { uri: without_pin(uri), id, label: label.to_owned() };
        self.signer(uri, access, id, what)
    }

    fn open_signer(&self, uri: &Uri, access: &Access, id: SignerId) -> Result<Arc<dyn Signer>, TokenError> {
        self.signer(uri, access, id, Ask::OpenSigner { uri: without_pin(uri), id })
    }

    fn open_anchors(&self, uri: &Uri, access: &Access) -> Result<Arc<dyn AnchorSlot>, TokenError> {
        let asker = Asker::new(access);
        let place = Place::Anchors { uri: without_pin(uri) };
        match self.call(Some(&asker), place.open())? {
            (Told::Anchors { anchors, location }, running) => {
                let remote = Remote::new(&self.process, asker, place, &running, anchors);
                Ok(Arc::new(HostAnchors { remote, location }))
            }
            (_, running) => Err(self.process.spoke_nonsense(&running)),
        }
    }

    #[cfg(feature = "piv")]
    fn piv_key(
        &self,
        uri: &Uri,
        recipient: RecipientId,
    ) -> Result<Option<crate::piv::PivKeyInfo>, TokenError> {
        match self.call(None, Ask::PivKey { uri: without_pin(uri), recipient })? {
            (Told::PivKey(info), _) => Ok(info.map(|info| *info)),
            (_, running) => Err(self.process.spoke_nonsense(&running)),
        }
    }

    /// Starts the child if need be.
    fn unenforced(&self) -> Result<Option<Vec<String>>, TokenError> {
        Ok(Some(self.process.running()?.unenforced.clone()))
    }
}

impl fmt::Debug for HostDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostDriver").field("backend", &self.process.spec.backend).finish_non_exhaustive()
    }
}

/// The URI without what is this side's alone: where the PIN lies.
fn without_pin(uri: &Uri) -> Uri {
    Uri { pin_file: None, ..uri.clone() }
}

/// Whether a key is the one that was asked for: by its name, or where it has no place for one, by its public half.
pub(super) fn is_named(description: &KeyDescription, asked: RecipientId) -> bool {
    let own = match &description.public_key {
        Some(PublicKey::P256(point)) => Some(RecipientId::from_bytes(software::name_of(point))),
        _ => None,
    };
    description.recipient == asked || own == Some(description.recipient)
}

/// The token that a key is on, and no other.
pub(super) fn on_its_token(uri: &Uri, description: &KeyDescription) -> Uri {
    let serial = &description.token_serial;
    let serial = if serial.is_empty() { uri.serial.clone() } else { Some(serial.clone()) };
    Uri { serial, ..uri.of_token() }
}
