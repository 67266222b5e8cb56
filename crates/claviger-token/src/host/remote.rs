//! One request to its end, and objects in the child that are opened again when it had to be started anew.

use super::{
    channel::Closed,
    process::{Process, Running},
    wire::{Ask, Handle, Secret, Told},
};
use crate::{Access, Attendant, KeyDescription, PinPrompt, PinSource, TokenError, Uri};
use claviger_types::{Pin, RecipientId, Scheme, SignerId};
use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How often one request may ask for a PIN: a login can be lost while another is made, and a key that wants the PIN at each
/// use is used a few times as it is made, but not for ever.
const MOST_PINS: usize = 12;
/// How often it may ask for something else. A key that is made is used a few times, and each may want a touch.
const MOST_QUESTIONS: usize = 32;

/// Where the PIN is had, and whether the token refused what was had.
pub(super) struct Asker {
    source: Arc<dyn PinSource>,
    attendant: Arc<dyn Attendant>,
    refused: AtomicBool,
}

impl Asker {
    pub(super) fn new(access: &Access) -> Arc<Self> {
        Arc::new(Self {
            source: Arc::clone(&access.pin),
            attendant: Arc::clone(&access.attendant),
            refused: AtomicBool::new(false),
        })
    }

    fn pin(&self, prompt: &PinPrompt, process: &Process) -> Result<Pin, TokenError> {
        if self.refused.load(Ordering::SeqCst) {
            return Err(TokenError::PinIncorrect { tries_left: None });
        }
        if process.ended_with_pin() {
            return Err(TokenError::PinUnavailable {
                reason: "the module crashed while it had the PIN, and whether that cost a try is not known; look at the \
                         token's tries before the PIN is given again"
                    .to_owned(),
            });
        }
        self.source.pin(prompt)
    }
}

/// Asks the child, answers it where it asks for the PIN, and ends it where it does not answer.
pub(super) fn ask(
    process: &Process,
    running: &Running,
    asker: Option<&Asker>,
    within: Duration,
    what: Ask,
) -> Result<Told, TokenError> {
    let mut pins = 0;
    exchange(process, running, asker, within, what, &mut pins).map_err(|failure| match failure {
        Failure::Told(TokenError::ModuleUnusable { module, reason })
            if reason.starts_with("C_Initialize") =>
        TokenError::ModuleUnusable {
            module,
            reason: format!(
                "{reason}; in a process of its own it may be kept from its files: see `sandbox` in modules.toml"
            ),
        },
        Failure::Told(error) => {
            let refused = matches!(error, TokenError::PinIncorrect { .. } | TokenError::PinLocked);
            if let Some(asker) = asker.filter(|_| refused && pins > 0) {
                asker.refused.store(true, Ordering::SeqCst);
            }
            error
        }
        Failure::Closed(closed) => process.crashed(running, closed, pins > 0),
    })
}

fn exchange(
    process: &Process,
    running: &Running,
    asker: Option<&Asker>,
    within: Duration,
    what: Ask,
    pins: &mut usize,
) -> Result<Told, Failure> {
    let exchange = running.channel.ask(what)?;
    let mut questions = 0;
    loop {
        match exchange.told(within)? {
            Told::Failed(error) => return Err(Failure::Told(error)),
            Told::PinWanted(prompt) => {
                let asker = asker.filter(|_| *pins < MOST_PINS).ok_or(Closed::Nonsense)?;
                let answer = match exchange.answering(|| asker.pin(&prompt, process)) {
                    Ok(pin) => {
                        *pins += 1;
                        Ask::Secret(Secret::of_bytes(pin.expose()))
                    }
                    Err(error) => Ask::NoSecret(error),
                };
                exchange.say(answer)?;
            }
            Told::ManagementKeyWanted(token) => {
                let asker = asker.filter(|_| questions < MOST_QUESTIONS).ok_or(Closed::Nonsense)?;
                questions += 1;
                let answer = match exchange.answering(|| asker.attendant.management_key(&token)) {
                    Ok(key) => Ask::Secret(Secret::of_bytes(key.expose())),
                    Err(error) => Ask::NoSecret(error),
                };
                exchange.say(answer)?;
            }
            Told::TouchWanted(token) => {
                let asker = asker.filter(|_| questions < MOST_QUESTIONS).ok_or(Closed::Nonsense)?;
                questions += 1;
                exchange.answering(|| asker.attendant.touch(&token));
            }
            Told::Stayed { token, slot } => {
                let asker = asker.filter(|_| questions < MOST_QUESTIONS).ok_or(Closed::Nonsense)?;
                questions += 1;
                asker.attendant.stayed(&token, &slot);
            }
            told => return Ok(told),
        }
    }
}

enum Failure {
    Told(TokenError),
    Closed(Closed),
}

impl From<Closed> for Failure {
    fn from(closed: Closed) -> Self {
        Self::Closed(closed)
    }
}

/// By what an object is found again in another child.
pub(super) enum Place {
    Key { uri: Uri, recipient: RecipientId, scheme: Scheme, profile: String },
    Signer { uri: Uri, id: SignerId },
    Anchors { uri: Uri },
}

impl Place {
    pub(super) fn of_key(uri: Uri, description: &KeyDescription) -> Self {
        let KeyDescription { recipient, scheme, profile, .. } = description.clone();
        Self::Key { uri, recipient, scheme, profile }
    }

    pub(super) fn open(&self) -> Ask {
        match self {
            Self::Key { uri, recipient, scheme, profile } => Ask::Open {
                uri: uri.clone(),
                recipient: *recipient,
                scheme: *scheme,
                profile: profile.clone(),
            },
            Self::Signer { uri, id } => Ask::OpenSigner { uri: uri.clone(), id: *id },
            Self::Anchors { uri } => Ask::OpenAnchors { uri: uri.clone() },
        }
    }
}

/// An object in the child.
pub(super) struct Remote {
    process: Arc<Process>,
    asker: Arc<Asker>,
    place: Place,
    // Of which child, and there.
    at: Mutex<(u64, Handle)>,
}

impl Remote {
    pub(super) fn new(
        process: &Arc<Process>,
        asker: Arc<Asker>,
        place: Place,
        running: &Running,
        handle: Handle,
    ) -> Self {
        Self { process: Arc::clone(process), asker, place, at: Mutex::new((running.generation, handle)) }
    }

    /// Another object beside this one: by the same PIN.
    pub(super) fn beside(&self, place: Place, running: &Running, handle: Handle) -> Self {
        Self::new(&self.process, Arc::clone(&self.asker), place, running, handle)
    }

    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    /// Asks the object, which is opened first if this child does not have it.
    pub(super) fn call(&self, what: impl FnOnce(Handle) -> Ask) -> Result<(Told, Arc<Running>), TokenError> {
        self.call_within(self.process.spec.deadlines.call, what)
    }

    /// The same for what makes keys.
    pub(super) fn call_long(
        &self,
        what: impl FnOnce(Handle) -> Ask,
    ) -> Result<(Told, Arc<Running>), TokenError> {
        self.call_within(self.process.spec.deadlines.generate, what)
    }

    /// The same for what has no answer but that it is done.
    pub(super) fn done(&self, what: impl FnOnce(Handle) -> Ask) -> Result<(), TokenError> {
        match self.call(what)? {
            (Told::Done, _) => Ok(()),
            (_, running) => Err(self.nonsense(&running)),
        }
    }

    /// What was told answers something else.
    pub(super) fn nonsense(&self, running: &Running) -> TokenError {
        self.process.spoke_nonsense(running)
    }

    fn call_within(
        &self,
        within: Duration,
        what: impl FnOnce(Handle) -> Ask,
    ) -> Result<(Told, Arc<Running>), TokenError> {
        let running = self.process.running()?;
        let handle = self.handle(&running)?;
        Ok((ask(&self.process, &running, Some(&self.asker), within, what(handle))?, running))
    }

    fn handle(&self, running: &Running) -> Result<Handle, TokenError> {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        if at.0 != running.generation {
            let within = self.process.spec.deadlines.call;
            let handle = match ask(&self.process, running, Some(&self.asker), within, self.place.open())? {
                Told::Key { key, .. } => key,
                Told::Signer { signer, .. } => signer,
                Told::Anchors { anchors, .. } => anchors,
                _ => return Err(self.nonsense(running)),
            };
            *at = (running.generation, handle);
        }
        Ok(at.1)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let (generation, object) = *self.at.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = self.process.now().filter(|running| running.generation == generation) {
            running.channel.tell(Ask::Close { object });
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("backend", &self.process.spec.backend).finish_non_exhaustive()
    }
}
