//! One key in a slot: used, with its PIN and its touch, and found again where it was moved.

use super::{
    apdu::Status,
    card::{Again, Card},
    fault::Failure,
    find::{self, Content},
    login::{Lasting, Login},
    policy::{PinPolicy, TouchPolicy},
    session::{self, Firmware, PIN, Session},
    slot::Slot,
};
use crate::{Attendant, TokenError};
use claviger_types::{EcPoint, Key256};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The tries of a card whose PIN was right last, where it does not tell.
const USUAL_TRIES: u8 = 3;

/// Where a key is, and when it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) slot: Slot,
    pub(super) pin: PinPolicy,
    pub(super) touch: TouchPolicy,
}

impl Home {
    const PROFILE: &'static str = "piv1";

    pub(super) const fn new(slot: Slot, (pin, touch): (PinPolicy, TouchPolicy)) -> Self {
        Self { slot, pin, touch }
    }

    /// What is noted of it at enrolment.
    pub(super) fn profile(self) -> String {
        let Self { slot, pin, touch } = self;
        format!("{} slot={slot} pin={pin} touch={touch}", Self::PROFILE)
    }

    /// What was noted. A text that cannot be read is no error: the card is asked.
    pub(super) fn parse(profile: &str) -> Option<Self> {
        let mut words = profile.split(' ');
        if words.next() != Some(Self::PROFILE) {
            return None;
        }
        let mut word = |name: &str| words.next()?.strip_prefix(name);
        Some(Self {
            slot: word("slot=")?.parse().ok()?,
            pin: word("pin=")?.parse().ok()?,
            touch: word("touch=")?.parse().ok()?,
        })
    }
}

/// A key pair in a slot of a YubiKey.
pub(super) struct Key {
    pub(super) card: Arc<Card>,
    pub(super) login: Login,
    pub(super) attendant: Arc<dyn Attendant>,
    pub(super) point: EcPoint,
    home: Mutex<Home>,
}

impl Key {
    pub(super) fn new(
        card: Arc<Card>,
        login: Login,
        attendant: Arc<dyn Attendant>,
        point: EcPoint,
        home: Home,
    ) -> Self {
        Self { card, login, attendant, point, home: Mutex::new(home) }
    }

    /// Another key of the same card.
    pub(super) fn beside(&self, point: EcPoint, home: Home) -> Self {
        Self::new(Arc::clone(&self.card), self.login.clone(), Arc::clone(&self.attendant), point, home)
    }

    /// Tells whoever is beside that a key that came to nothing is in this slot of the card still.
    pub(super) fn say_that_one_stayed(&self, slot: Slot) {
        self.attendant.stayed(&self.card.name(), &slot.to_string());
    }

    pub(super) fn home(&self) -> Home {
        *self.home_mut()
    }

    fn home_mut(&self) -> MutexGuard<'_, Home> {
        self.home.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the PIN, if the key wants it once.
    pub(super) fn log_in(&self) -> Result<(), Failure> {
        let pin = self.home().pin;
        if pin == PinPolicy::Never || pin.is_for_each_use() { Ok(()) } else { self.login.log_in(&self.card) }
    }

    /// The shared secret of the key and this point, which must lie on the curve.
    pub(super) fn agree(&self, point: &EcPoint) -> Result<Key256, Failure> {
        self.with_key(|session, slot| session.agree(slot, point))
    }

    /// The same with whatever point, and whatever the card says to it.
    pub(super) fn try_agree(&self, point: &EcPoint) -> Result<Key256, Failure> {
        self.attended(self.home(), &mut |session, slot| session.agree(slot, point))
    }

    /// The signature, in DER, of what has this digest.
    pub(super) fn sign(&self, digest: &[u8; 32]) -> Result<Vec<u8>, Failure> {
        self.with_key(|session, slot| session.sign(slot, digest).map(|signature| signature.to_vec()))
    }

    /// Uses the key. Where the slot has none any more, or another, it is looked for in the others.
    fn with_key<T>(
        &self,
        mut operation: impl FnMut(&mut Session<'_>, Slot) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let home = self.home();
        match self.attended(home, &mut operation) {
            Err(Failure::Refused {
                status: Status::WRONG_DATA | Status::NO_KEY | Status::NOT_FOUND | Status::SECURITY,
                ..
            }) if self.find()? != home => self.attended(self.home(), &mut operation),
            done => done,
        }
    }

    /// Uses the key with its owner's PIN and touch.
    fn attended<T>(
        &self,
        home: Home,
        operation: &mut dyn FnMut(&mut Session<'_>, Slot) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let lasting = if home.pin.is_for_each_use() { Lasting::No } else { Lasting::Yes };
        self.login.run(&self.card, lasting, |session, given| {
            let is_touched = home.touch == TouchPolicy::Cached && session.is_touched(home.slot);
            let may_wait = home.touch != TouchPolicy::Never && !is_touched;
            if !given && (may_wait || lasting == Lasting::No) {
                // Nobody shall give a PIN, or touch, in vain.
                self.need_key(session, home)?;
                self.need_pin(session, home)?;
            }
            if may_wait {
                self.attendant.touch(&self.card.name());
            }
            match operation(session, home.slot) {
                Err(failure) if failure.status() == Some(Status::SECURITY) => {
                    Err(self.wanting(session, home, given, failure)?)
                }
                done => {
                    if may_wait && done.is_ok() {
                        session.was_touched(home.slot);
                    }
                    done
                }
            }
        })
    }

    /// That the key is still there, and no other in its place. Older cards do not tell.
    fn need_key(&self, session: &mut Session<'_>, home: Home) -> Result<(), Failure> {
        let firmware = self.card.firmware;
        if firmware < Firmware::METADATA {
            return Ok(());
        }
        match find::look(session, firmware, home.slot, None)? {
            Content::Key(found) if found.point == self.point => Ok(()),
            _ => Err(Failure::Refused { command: session::AUTHENTICATE, status: Status::NO_KEY }),
        }
    }

    /// That the PIN was given, if the key wants it once; that it is wanted, if each use does.
    fn need_pin(&self, session: &mut Session<'_>, home: Home) -> Result<(), Failure> {
        if home.pin == PinPolicy::Never {
            return Ok(());
        }
        session.need_pin()?;
        if !home.pin.is_for_each_use() {
            return Ok(());
        }
        // The card does not count while the PIN stands.
        let told =
            if self.card.firmware < Firmware::METADATA { None } else { session.pin_metadata(PIN)?.tries };
        Err(Failure::PinWanted { left: told.map_or(USUAL_TRIES, |(_, left)| left) })
    }

    /// The card has one answer for a PIN that was not given and for a touch that did not come: which it was.
    fn wanting(
        &self,
        session: &mut Session<'_>,
        home: Home,
        given: bool,
        failure: Failure,
    ) -> Result<Failure, Failure> {
        if !session.still_piv()? {
            return Ok(failure);
        }
        self.need_key(session, home)?;
        if home.pin != PinPolicy::Never && !given {
            session.need_pin()?;
        }
        Ok(if home.touch == TouchPolicy::Never { failure } else { TokenError::TouchTimeout.into() })
    }

    /// Looks where the key is now.
    pub(super) fn find(&self) -> Result<Home, Failure> {
        let known = self.home();
        let found = self.card.transact(Again::Yes, |session| {
            find::slot_of(session, self.card.firmware, Some(known), &|point| *point == self.point)
        })?;
        let Some(found) = found else { return Err(self.missing().into()) };
        *self.home_mut() = found.home;
        Ok(found.home)
    }

    pub(super) fn missing(&self) -> TokenError {
        find::missing(self.card.firmware, format!("of slot {}", self.home().slot))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("serial", &self.card.serial)
            .field("home", &self.home())
            .finish_non_exhaustive()
    }
}
