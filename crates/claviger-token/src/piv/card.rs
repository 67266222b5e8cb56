//! One YubiKey, kept connected, and found again where it was pulled, reset by others, or its service restarted.
//!
//! As long as a connection is open the card stays powered, and with that the PIN given: without one the service turns it off
//! after a few seconds.

use super::{
    fault::Failure,
    reader::{self, Handle, Plugged, Present},
    session::{Firmware, Session},
};
use crate::{PinKind, PinPrompt, PinTries, TokenError, TokenName, Uri};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

/// How long a service that just started may take until it shows its cards, and how often it is asked.
const PATIENCE: Duration = Duration::from_millis(2000);
const PAUSE: Duration = Duration::from_millis(20);

/// How long after a touch a key of the policy "cached" wants no other; a second less than the card's own 15, because the
/// way there takes time.
const TOUCH_LASTS: Duration = Duration::from_secs(14);

/// A YubiKey by its serial number.
pub(super) struct Card {
    pub(super) serial: u32,
    pub(super) firmware: Firmware,
    live: Mutex<Option<Live>>,
    touched: Mutex<Option<Instant>>,
}

/// Its open connection.
struct Live {
    handle: Handle,
    // Whether PIV was the application when it was last looked at.
    selected: bool,
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
            live: Mutex::new(Some(Live { handle: plugged.handle, selected: true })),
            touched: Mutex::default(),
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

    /// Does something with the card while nobody else can, on its PIV application. After a loss it is done once more from its
    /// beginning, unless that must not be, or a PIN was on its way.
    pub(super) fn transact<T>(
        &self,
        again: Again,
        mut work: impl FnMut(&mut Session<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut live = self.live();
        let mut first = true;
        loop {
            let mut spent = false;
            let failure = match self.attempt(&mut live, &mut work, &mut spent) {
                Err(failure) if failure.is_loss() => failure,
                done => return done,
            };
            // What a touch was good for is over.
            *self.touched.lock().unwrap_or_else(PoisonError::into_inner) = None;
            let reset = failure.is_reset();
            let in_place = reset && live.as_mut().is_some_and(|live| live.reconnect().is_ok());
            if !in_place {
                *live = None;
            }
            if spent {
                return Err(TokenError::PinUnavailable {
                    reason: "the card went away while it had it, and whether that cost a try is not known; look at its \
                             tries before it is given again"
                        .to_owned(),
                }
                .into());
            }
            if !first || again == Again::No {
                return Err(if in_place { failure } else { self.settled(failure) });
            }
            first = false;
            if !in_place {
                match self.find(failure.is_loss_of_service()) {
                    Ok(found) => *live = Some(found),
                    Err(failure) if failure.is_loss() => return Err(self.settled(failure)),
                    Err(failure) => return Err(failure),
                }
            }
        }
    }

    fn attempt<T>(
        &self,
        live: &mut Option<Live>,
        work: &mut dyn FnMut(&mut Session<'_>) -> Result<T, Failure>,
        spent: &mut bool,
    ) -> Result<T, Failure> {
        // A forked child has a connection of its own.
        if live.as_ref().is_some_and(|live| !live.handle.is_of_this_process()) {
            *live = None;
        }
        let live = match live {
            Some(live) => live,
            None => live.insert(self.find(false)?),
        };
        let Live { handle, selected } = live;
        handle.transact(|transaction| {
            let mut session = Session::new(transaction, selected);
            let done = session.on_piv(work);
            *spent = session.spent();
            done
        })
    }

    /// Looks for it in all readers.
    fn find(&self, starting: bool) -> Result<Live, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let failure = match reader::present() {
                Ok(Present { keys, unseen }) => {
                    let others: Vec<_> = keys.iter().map(|key| uri(key.serial).to_string()).collect();
                    if let Some(key) = keys.into_iter().find(|key| key.serial == self.serial) {
                        return Ok(Live { handle: key.handle, selected: true });
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

    /// What a loss that came again means: mostly that the card is not there. The service looks into its readers only now and
    /// then, so for a moment it shows a card that was just pulled, and does not reach it.
    fn settled(&self, failure: Failure) -> Failure {
        if failure.is_loss_of_service() {
            return failure;
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let Ok(Present { keys, unseen }) = reader::present() else { break };
            if keys.iter().any(|key| key.serial == self.serial) {
                break;
            }
            if !unseen.iter().any(Failure::is_loss) {
                let others = keys.iter().map(|key| uri(key.serial).to_string()).collect();
                return self.absent(others).into();
            }
            thread::sleep(PAUSE);
        }
        failure
    }

    fn absent(&self, present: Vec<String>) -> TokenError {
        TokenError::TokenAbsent { uri: uri(self.serial).to_string(), present }
    }

    /// Whether a touch that was just given is still good for a key of the policy "cached".
    pub(super) fn is_touched(&self) -> bool {
        let touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        touched.is_some_and(|touched| touched.elapsed() < TOUCH_LASTS)
    }

    pub(super) fn was_touched(&self) {
        *self.touched.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn live(&self) -> MutexGuard<'_, Option<Live>> {
        // Every change to it is a whole one.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    fn reconnect(&mut self) -> Result<(), Failure> {
        // Whoever reset it left it without an application.
        self.selected = false;
        self.handle.reconnect()
    }
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
