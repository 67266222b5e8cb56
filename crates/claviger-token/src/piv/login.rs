//! Giving a card its PIN: asked for while nobody waits for the card, and given once.

use super::{
    apdu::Status,
    card::{Again, Card},
    fault::Failure,
    session::Session,
};
use crate::{PinSource, TokenError};
use claviger_types::Pin;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// Where a card's PIN is had, shared by all that is reached through it.
#[derive(Clone)]
pub(super) struct Login {
    source: Arc<dyn PinSource>,
    // The card refused the PIN: it is not given again by itself, whatever the source would answer.
    refused: Arc<AtomicBool>,
    // How many tries there were as it was given, if the card did not say whether it is right.
    in_doubt: Arc<Mutex<Option<u8>>>,
    // One asks at a time; how often that led to a login.
    turns: Arc<Mutex<u64>>,
    // While a key is made: the PIN, which that wants more than once.
    held: Arc<Mutex<Held>>,
}

/// A PIN that is kept for the moment.
enum Held {
    No,
    /// The next one that is right will be.
    Next,
    /// And of how many tries whoever gave it was told.
    Pin(Arc<Pin>, u8),
}

/// As long as this lives the PIN is kept, and nobody is asked for it twice.
pub(super) struct Holding<'a>(&'a Login);

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        *self.0.held_mut() = Held::No;
    }
}

/// Whether a PIN that was just given is still wanted at the next use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasting {
    /// It lasts.
    Yes,
    /// Each use wants it anew.
    No,
}

impl Login {
    pub(super) fn new(source: &Arc<dyn PinSource>) -> Self {
        Self {
            source: Arc::clone(source),
            refused: Arc::default(),
            in_doubt: Arc::default(),
            turns: Arc::default(),
            held: Arc::new(Mutex::new(Held::No)),
        }
    }

    /// Keeps the PIN that is given from now on, until the answer goes.
    pub(super) fn hold(&self) -> Holding<'_> {
        *self.held_mut() = Held::Next;
        Holding(self)
    }

    /// Whether a PIN is kept. Nobody else had given it, and the card may be made to forget it.
    pub(super) fn holds(&self) -> bool {
        self.held().is_some()
    }

    fn held(&self) -> Option<(Arc<Pin>, u8)> {
        match &*self.held_mut() {
            Held::Pin(pin, told) => Some((Arc::clone(pin), *told)),
            Held::No | Held::Next => None,
        }
    }

    fn held_mut(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the card; where it wants the PIN, that is asked for, given, and the same is done again.
    ///
    /// `work` is told whether the PIN was just given for it.
    pub(super) fn run<T>(
        &self,
        card: &Card,
        lasting: Lasting,
        mut work: impl FnMut(&mut Session<'_>, bool) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let turns = *self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let left = match card.transact(Again::Yes, |session| work(session, false)) {
            Err(Failure::PinWanted { left }) => left,
            done => return done,
        };
        let mut now = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = if *now == turns || lasting == Lasting::No {
            left
        } else {
            // Somebody else gave it meanwhile.
            match card.transact(Again::Yes, |session| work(session, false)) {
                Err(Failure::PinWanted { left }) => left,
                done => return done,
            }
        };
        let done = loop {
            let held = self.held().filter(|(_, told)| {
                !self.refused.load(Ordering::SeqCst) && !is_last_unasked(left, Some(*told))
            });
            let (pin, told) = match held {
                Some(held) => held,
                None => (Arc::new(self.ask(card, left)?), left),
            };
            let mut fewer = None;
            let done = card.transact(Again::Yes, |session| {
                // While somebody was asked, others may have spent all tries but one.
                session.need_piv()?;
                let tries = session.pin_tries(card.firmware)?;
                fewer = tries.filter(|tries| is_last_unasked(*tries, Some(told)));
                if let Some(left) = fewer {
                    return Err(Failure::PinWanted { left });
                }
                *self.in_doubt() = Some(tries.unwrap_or(told));
                session.verify(&pin).map_err(|failure| self.was_refused(failure))?;
                *self.in_doubt() = None;
                let mut held = self.held_mut();
                if !matches!(*held, Held::No) {
                    *held = Held::Pin(Arc::clone(&pin), told);
                }
                drop(held);
                work(session, true)
            });
            match fewer {
                Some(fewer) => left = fewer,
                None => break done,
            }
        };
        *now += 1;
        done
    }

    /// Gives the PIN if the card wants it.
    pub(super) fn log_in(&self, card: &Card) -> Result<(), Failure> {
        self.run(card, Lasting::Yes, |session, _| session.need_pin())
    }

    fn ask(&self, card: &Card, left: u8) -> Result<Pin, TokenError> {
        // One that was given and cost a try was wrong, although no answer said so.
        if self.in_doubt().take().is_some_and(|before| left < before) {
            self.refused.store(true, Ordering::SeqCst);
        }
        if self.refused.load(Ordering::SeqCst) {
            return Err(TokenError::PinIncorrect { tries_left: None });
        }
        if left == 0 {
            return Err(TokenError::PinLocked);
        }
        self.source.pin(&card.prompt(left))
    }

    fn was_refused(&self, failure: Failure) -> Failure {
        let error = match refused(&failure) {
            Some(error) => error,
            None => match failure {
                Failure::Token(error @ TokenError::PinIncorrect { .. }) => error,
                // The PIN was sent: to whoever asks, this is no card that is not there.
                Failure::Refused { status, .. } => return unclear(&format!("status {status}")).into(),
                Failure::Nonsense { .. } => return unclear("something that is no answer").into(),
                failure => return failure,
            },
        };
        self.refused.store(true, Ordering::SeqCst);
        *self.in_doubt() = None;
        *self.held_mut() = Held::No;
        error.into()
    }

    fn in_doubt(&self) -> MutexGuard<'_, Option<u8>> {
        self.in_doubt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a PIN or PUK would have the last try, or none, and whoever gave it was told of more.
pub(super) const fn is_last_unasked(left: u8, told: Option<u8>) -> bool {
    left <= 1
        && match told {
            Some(told) => left < told,
            None => true,
        }
}

fn unclear(answer: &str) -> TokenError {
    TokenError::PinUnavailable {
        reason: format!(
            "the card answered {answer} to it, and whether that cost a try is not known; `claviger token list` shows the \
             tries that are left"
        ),
    }
}

/// What a card's answer to a PIN means, where it is one about that.
pub(super) fn refused(failure: &Failure) -> Option<TokenError> {
    let status = failure.status()?;
    match status.tries_left() {
        Some(0) => Some(TokenError::PinLocked),
        None if status == Status::BLOCKED => Some(TokenError::PinLocked),
        // It is wrong, and the card counts no tries.
        None if status == Status::FAILED => Some(TokenError::PinIncorrect { tries_left: None }),
        None => None,
        left => Some(TokenError::PinIncorrect { tries_left: left }),
    }
}
