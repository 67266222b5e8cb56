//! Keys are taken out of their slots: only this program's own.

use super::{
    card::{Again, Card},
    certificate,
    fault::Failure,
    find::{self, Content},
    key::{Home, Key},
    management::{self, ManagementKey},
    policy::{PinPolicy, TouchPolicy},
    session::{Firmware, Session},
    slot::Slot,
};
use crate::TokenError;
use claviger_types::{EcPoint, OsEntropy};

/// Before firmware 5.3 a key that was brought there and has no certificate looks like none, and a certificate that was left
/// behind like a key.
pub(super) fn tells_its_slots(card: &Card) -> Result<(), TokenError> {
    if card.firmware >= Firmware::METADATA {
        return Ok(());
    }
    Err(TokenError::FirmwareTooOld { firmware: card.firmware.to_string() })
}

/// Whether a certificate on the card says that this program made the key.
pub(super) fn is_own(card: &Card, home: Home, point: &EcPoint) -> Result<bool, TokenError> {
    Ok(card.transact(Again::Yes, |session| says_own(session, home.slot, point))?)
}

/// The certificate is beside the key; or where that was made, if somebody moved it.
fn says_own(session: &mut Session<'_>, slot: Slot, point: &EcPoint) -> Result<bool, Failure> {
    let others = Slot::homes().filter(|other| *other != slot);
    for slot in std::iter::once(slot).chain(others) {
        if session.object(slot.certificate())?.is_some_and(|object| certificate::is_own(&object, point)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes a key of this program's out of its slot, by the management key of the card that `beside` is on.
pub(super) fn own(beside: &Key, home: Home, point: &EcPoint) -> Result<(), TokenError> {
    let card = &beside.card;
    // Before anybody is asked for a management key in vain.
    if !is_own(card, home, point)? {
        return Err(not_ours(home.slot));
    }
    tells_its_slots(card)?;
    let management = management::find(beside)?;
    out_of_its_slot(card, &management, home, point, |session| {
        if says_own(session, home.slot, point)? { Ok(()) } else { Err(not_ours(home.slot).into()) }
    })
}

/// The same of one that was made a moment ago, and which nobody else knows.
pub(super) fn just_made(
    card: &Card,
    management: &ManagementKey,
    home: Home,
    point: &EcPoint,
) -> Result<(), TokenError> {
    out_of_its_slot(card, management, home, point, |_| Ok(()))
}

fn not_ours(slot: Slot) -> TokenError {
    TokenError::KeyNotOurs { key: format!("slot {slot}") }
}

/// A slot that has another key by now is left alone.
fn out_of_its_slot(
    card: &Card,
    management: &ManagementKey,
    home: Home,
    point: &EcPoint,
    may: impl Fn(&mut Session<'_>) -> Result<(), Failure>,
) -> Result<(), TokenError> {
    Ok(card.transact(Again::Yes, |session| {
        match find::look(session, card.firmware, home.slot, Some(home))? {
            Content::Key(found) if found.point == *point => {}
            _ => return Ok(()),
        }
        may(session)?;
        management.authenticate(session, card)?;
        take_out(session, card.firmware, home.slot)
    })?)
}

/// Where the card takes no key out, another is made over it, and marked as free to be overwritten.
pub(super) fn take_out(session: &mut Session<'_>, firmware: Firmware, slot: Slot) -> Result<(), Failure> {
    if firmware >= Firmware::DELETE {
        // In this order: a certificate of ours without a key is in nobody's way.
        session.delete_key(slot)?;
        return session.put_object(slot.certificate(), &[]);
    }
    let over = session.generate(slot, PinPolicy::Always, TouchPolicy::Never)?;
    session.put_object(slot.certificate(), &certificate::unused(&over, &OsEntropy)?)
}
