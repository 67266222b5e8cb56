//! One YubiKey, kept connected, and found again where it was pulled, reset by others, or its service restarted.
//!
//! As long as a connection is open the card stays powered, and with that the PIN given: without one the service turns it off
//! after a few seconds.

use super::{
    fault::Failure,
    reader::{self, Handle, Plugged, Present},
    session::{Firmware, Seen, Session},
};
use crate::{PinKind, PinPrompt, PinTries, TokenError, TokenName, Uri};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

/// How long a service that just started may take until it shows its cards, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// How many losses in a row are got over, and for how long: others may reset the card again and again.
const MOST_LOSSES: u32 = 5;
const LONGEST: Duration = Duration::from_secs(3);

/// A YubiKey by its serial number.
pub(super) struct Card {
    pub(super) serial: u32,
    pub(super) firmware: Firmware,
    live: Mutex<Option<Live>>,
}

/// Its open connection.
struct Live {
    handle: Handle,
    seen: Seen,
}

/// How far an attempt came.
#[derive(Default)]
struct Course {
    begun: bool,
    // A PIN was sent to which no answer came.
    spent: bool,
}

/// Whether something may be done a second time, after a loss in the middle of the first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    Yes,
    No,
}

/// The cards of this process: whoever uses one shares its connection, and knows of its last touch.
static CARDS: Mutex<BTreeMap<u32, Weak<Card>>> = Mutex::new(BTreeMap::new());

impl Card {
    /// The card, by the connection that there is, else by this one.
    pub(super) fn of(plugged: Plugged) -> Arc<Self> {
        let mut cards = CARDS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(card) = cards.get(&plugged.serial).and_then(Weak::upgrade) {
            return card;
        }
        let card = Arc::new(Self::new(plugged));
        cards.insert(card.serial, Arc::downgrade(&card));
        card
    }

    fn new(plugged: Plugged) -> Self {
        Self {
            serial: plugged.serial,
            firmware: plugged.firmware,
            live: Mutex::new(Some(Live { handle: plugged.handle, seen: plugged.seen })),
        }
    }

    pub(super) fn name(&self) -> TokenName {
        TokenName { label: label(self.serial), serial: self.serial.to_string() }
    }

    /// For which card a PIN is wanted.
    pub(super) fn prompt(&self, left: u8) -> PinPrompt {
        let TokenName { label, serial } = self.name();
        PinPrompt {
            token_label: label,
            token_serial: serial,
            tries: tries(left),
            left: Some(left),
            kind: PinKind::Piv,
        }
    }

    /// Does something with the card while nobody else can, on its PIV application. After a loss it is done again from its
    /// beginning, unless that must not be and it had begun, or a PIN was on its way.
    pub(super) fn transact<T>(
        &self,
        again: Again,
        mut work: impl FnMut(&mut Session<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut slot = self.live();
        let (mut losses, deadline) = (0, Instant::now() + LONGEST);
        loop {
            // A forked child has a connection of its own.
            drop(slot.take_if(|live| !live.handle.is_usable()));
            let live = match &mut *slot {
                Some(live) => live,
                None => slot.insert(self.connect()?),
            };
            let mut course = Course::default();
            let failure = match live.attempt(&mut work, &mut course) {
                Err(failure) if failure.is_loss() => failure,
                done => {
                    drop(slot.take_if(|live| !live.handle.is_usable()));
                    return if course.spent { Err(spent()) } else { done };
                }
            };
            // Not reconnected either: where others turned the card off, the service may refuse all new connections for as long
            // as there is an old one.
            *slot = None;
            if course.spent {
                return Err(spent());
            }
            losses += 1;
            let is_over = losses > MOST_LOSSES || Instant::now() > deadline;
            if is_over || again == Again::No && course.begun {
                return Err(self.gone(failure));
            }
            *slot = Some(self.find(failure.is_loss_of_service())?);
        }
    }

    fn connect(&self) -> Result<Live, Failure> {
        match self.find(false) {
            Err(failure) if failure.is_loss_of_service() => self.find(true),
            found => found,
        }
    }

    /// Looks for it in all readers.
    fn find(&self, starting: bool) -> Result<Live, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let failure = match reader::present(|key| key.serial == self.serial) {
                Ok(Present { keys, unseen }) => {
                    let others: Vec<_> = keys.iter().map(|key| uri(key.serial).to_string()).collect();
                    if let Some(key) = keys.into_iter().find(|key| key.serial == self.serial) {
                        return Ok(Live { handle: key.handle, seen: key.seen });
                    }
                    unseen.into_iter().next().unwrap_or_else(|| self.absent(others).into())
                }
                Err(failure) => failure,
            };
            if !starting || Instant::now() > deadline {
                return Err(failure);
            }
            thread::sleep(PAUSE);
        }
    }

    /// What a loss that is not got over means: mostly that the card is not there.
    fn gone(&self, failure: Failure) -> Failure {
        if !failure.is_loss_of_card() {
            return failure;
        }
        match self.find(false) {
            Ok(_) => failure,
            Err(failure) => failure,
        }
    }

    fn absent(&self, present: Vec<String>) -> TokenError {
        TokenError::TokenAbsent { uri: uri(self.serial).to_string(), present }
    }

    fn live(&self) -> MutexGuard<'_, Option<Live>> {
        // Every change to it is a whole one.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    fn attempt<T>(
        &mut self,
        work: &mut dyn FnMut(&mut Session<'_>) -> Result<T, Failure>,
        course: &mut Course,
    ) -> Result<T, Failure> {
        let Self { handle, seen } = self;
        handle.transact(|transaction| {
            course.begun = true;
            let mut session = Session::new(transaction, seen);
            let done = session.on_piv(work);
            course.spent = session.spent();
            done
        })
    }
}

fn spent() -> Failure {
    TokenError::PinUnavailable {
        reason: "the card went away while it had it, and whether that cost a try is not known; look at its tries before it is \
                 given again"
            .to_owned(),
    }
    .into()
}

/// What Yubico's own module calls it, so that one URI names it to either.
pub(super) fn label(serial: u32) -> String {
    format!("YubiKey PIV #{serial}")
}

/// The URI of a YubiKey and no other: by what is printed on it.
pub(super) fn uri(serial: u32) -> Uri {
    Uri { serial: Some(serial.to_string()), ..Uri::default() }
}

/// What a number of tries means. A card begins with three, unless its owner wanted more.
pub(super) const fn tries(left: u8) -> PinTries {
    match left {
        0 => PinTries::Locked,
        1 => PinTries::Final,
        2 => PinTries::Low,
        _ => PinTries::Normal,
    }
}
