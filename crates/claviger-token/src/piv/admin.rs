//! A card's PIN and PUK, changed by who knows them. A PIN is tried once and never again by itself.

use super::{
    apdu::{Command, Status},
    card::{self, Again, Card},
    fault::Failure,
    find, login,
    session::{Firmware, PIN, PIN_BYTES, PUK, SHORTEST_PIN, Session, padded},
};
use crate::{NewToken, PinOwner, PinPrompt, PinSource, PinTries, TokenAdmin, TokenError, TokenSummary, Uri};
use claviger_types::Pin;
use zeroize::Zeroizing;

/// The lengths that a PIN and a PUK may have, in bytes.
pub(super) const SHORTEST: usize = SHORTEST_PIN;
pub(super) const LONGEST: usize = PIN_BYTES;

impl TokenAdmin for super::PivDriver {
    /// A card comes with its maker's PIN, and is erased by its maker's tool alone.
    fn init_token(&self, new: &NewToken<'_>) -> Result<TokenSummary, TokenError> {
        let card = find::the_one(new.uri)?;
        Err(TokenError::AlreadyInitialised { token: card::label(card.serial) })
    }

    fn set_pin(&self, uri: &Uri, so_pin: &dyn PinSource, new: &dyn PinSource) -> Result<(), TokenError> {
        let card = find::the_one(uri)?;
        change(&card, PinOwner::SecurityOfficer, "RESET RETRY COUNTER", (0x2c, PIN), so_pin, new)
    }

    fn change_pin(
        &self,
        uri: &Uri,
        whose: PinOwner,
        old: &dyn PinSource,
        new: &dyn PinSource,
    ) -> Result<(), TokenError> {
        let card = find::the_one(uri)?;
        let which = match whose {
            PinOwner::User => PIN,
            PinOwner::SecurityOfficer => PUK,
        };
        change(&card, whose, "CHANGE REFERENCE DATA", (0x24, which), old, new)
    }
}

/// The PIN or PUK that is to be tried, which has so many tries.
fn ask(card: &Card, whose: PinOwner, left: Option<u8>, source: &dyn PinSource) -> Result<Pin, TokenError> {
    if left == Some(0) {
        return Err(locked(whose));
    }
    let prompt = PinPrompt {
        // Of a PUK that an older card does not count: whoever asks for it cannot say more.
        tries: left.map_or(PinTries::Normal, card::tries),
        left,
        ..card.prompt(0)
    };
    source.pin(&prompt).map_err(|error| match (whose, error) {
        (PinOwner::SecurityOfficer, TokenError::PinUnavailable { reason }) => {
            TokenError::SoPinUnavailable { reason }
        }
        (_, error) => error,
    })
}

/// How many tries it has, where the card tells.
fn tries(session: &mut Session<'_>, firmware: Firmware, whose: PinOwner) -> Result<Option<u8>, Failure> {
    match whose {
        PinOwner::User => session.pin_tries(firmware),
        PinOwner::SecurityOfficer if firmware >= Firmware::METADATA => {
            Ok(session.pin_metadata(PUK)?.tries.map(|(_, left)| left))
        }
        PinOwner::SecurityOfficer => Ok(None),
    }
}

/// The PIN or PUK that is to be set.
fn ask_new(card: &Card, source: &dyn PinSource) -> Result<Pin, TokenError> {
    let pin = source.pin(&PinPrompt { tries: PinTries::Normal, left: None, ..card.prompt(0) });
    let pin = pin.map_err(|error| match error {
        TokenError::PinUnavailable { reason } => TokenError::NewPinRefused { reason },
        error => error,
    })?;
    let length = pin.expose().len();
    if (SHORTEST..=LONGEST).contains(&length) {
        return Ok(pin);
    }
    let reason = format!("it has {length} bytes, and a card takes {SHORTEST} to {LONGEST}");
    Err(TokenError::NewPinRefused { reason })
}

fn change(
    card: &Card,
    whose: PinOwner,
    name: &'static str,
    (ins, which): (u8, u8),
    source: &dyn PinSource,
    new: &dyn PinSource,
) -> Result<(), TokenError> {
    let mut told = card.transact(Again::Yes, |session| tries(session, card.firmware, whose))?;
    let mut old = ask(card, whose, told, source)?;
    let new = ask_new(card, new)?;
    let done = loop {
        let (Some(padded_old), Some(new)) = (padded(&old), padded(&new)) else {
            // The new one fits: so it is the old one that cannot be right.
            return Err(wrong(whose, None));
        };
        let mut data = Zeroizing::new(Vec::with_capacity(2 * PIN_BYTES));
        data.extend_from_slice(&padded_old[..]);
        data.extend_from_slice(&new[..]);
        let done = card.transact(Again::No, |session| {
            session.need_piv()?;
            // While somebody was asked, others may have spent all tries but one.
            if let Some(left) =
                tries(session, card.firmware, whose)?.filter(|left| login::is_last_unasked(*left, told))
            {
                return Err(Failure::PinWanted { left });
            }
            session.secretly(&Command { name, ins, p1: 0, p2: which, data: &data })
        });
        let Err(Failure::PinWanted { left }) = done else { break done };
        told = Some(left);
        old = ask(card, whose, told, source)?;
    };
    match done {
        Ok(_) => Ok(()),
        // It went away with the command: nobody knows how far it came.
        Err(Failure::Token(TokenError::PinUnavailable { .. })) => Err(TokenError::PinInDoubt {
            which: match (whose, which) {
                (PinOwner::SecurityOfficer, PUK) => "PUK".into(),
                _ => "PIN".into(),
            },
        }),
        Err(failure) => Err(match (login::refused(&failure), failure.status()) {
            (Some(TokenError::PinLocked), _) => locked(whose),
            (Some(TokenError::PinIncorrect { tries_left }), _) => wrong(whose, tries_left),
            (_, Some(Status::WRONG_DATA | Status(0x6700 | 0x6985))) => TokenError::NewPinRefused {
                reason: "the card does not take it; it may be one that everybody would guess".to_owned(),
            },
            _ => failure.into(),
        }),
    }
}

fn wrong(whose: PinOwner, tries_left: Option<u8>) -> TokenError {
    match whose {
        PinOwner::User => TokenError::PinIncorrect { tries_left },
        PinOwner::SecurityOfficer => TokenError::PukIncorrect { tries_left },
    }
}

fn locked(whose: PinOwner) -> TokenError {
    match whose {
        PinOwner::User => TokenError::PinLocked,
        PinOwner::SecurityOfficer => TokenError::PukLocked,
    }
}
