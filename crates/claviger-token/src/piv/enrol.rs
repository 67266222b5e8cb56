//! Making a KEK in a slot, or taking one that is there.
//!
//! Nothing is overwritten: a slot is looked into before anything is made in it, in the same transaction. What is made is read
//! back, used, and attacked, and only then gets its certificate; whatever fails, it is destroyed again.

use super::{
    card::{Again, Card},
    certificate, destroy,
    fault::Failure,
    find::{self, Content, Occupied},
    history,
    key::{Home, Key},
    management::{self, ManagementKey},
    policy::{PinPolicy, TouchPolicy},
    self_test,
    session::{Firmware, Session},
    slot::Slot,
    token::PivToken,
};
use crate::{NewKek, PivKek, SelfTestReport, TokenError};
use claviger_types::{EcPoint, Entropy, Scheme};
use std::sync::Arc;

/// Where a key is wanted, and when it shall ask.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    /// `None`: the first slot that is free.
    pub(super) slot: Option<Slot>,
    pub(super) pin: PinPolicy,
    pub(super) touch: TouchPolicy,
}

impl Wish {
    /// What is asked for, in words that may be wrong.
    pub(super) fn parse(piv: &PivKek) -> Result<Self, TokenError> {
        let unusable = |slot: &str, reason: String| TokenError::SlotUnusable {
            slot: slot.to_owned(),
            reason: reason.into(),
        };
        let slot = piv
            .slot
            .as_deref()
            .map(|text| text.parse::<Slot>().map_err(|error| unusable(text, error.to_string())));
        let named = piv.slot.as_deref().unwrap_or_default();
        let pin = piv.pin_policy.as_deref().map_or(Ok(PinPolicy::Once), str::parse);
        let touch = piv.touch_policy.as_deref().map_or(Ok(TouchPolicy::Cached), str::parse);
        Ok(Self {
            slot: slot.transpose()?,
            pin: pin.map_err(|error| unusable(named, error.to_string()))?,
            touch: touch.map_err(|error| unusable(named, error.to_string()))?,
        })
    }
}

/// A KEK on a card, as [`crate::Driver::generate`] is asked for one.
pub(super) fn generate(
    beside: &Key,
    entropy: &Arc<dyn Entropy>,
    new: &NewKek,
) -> Result<(PivToken, SelfTestReport), TokenError> {
    let wish = Wish::parse(&new.piv)?;
    if let Some(slot) = wish.slot.filter(|slot| !slot.is_home()) {
        return Err(TokenError::SlotUnusable {
            slot: slot.to_string(),
            reason: "it is for logins, signatures or doors; a master key goes into 9d, or 82 to 95".into(),
        });
    }
    let scheme = new.scheme.unwrap_or(Scheme::EcdhEsA256Kw);
    if new.piv.existing { take(beside, entropy, scheme, wish) } else { make(beside, entropy, scheme, wish) }
}

/// Makes a key in a free slot of the card that another key, or nothing yet, is on.
pub(super) fn make(
    beside: &Key,
    entropy: &Arc<dyn Entropy>,
    scheme: Scheme,
    wish: Wish,
) -> Result<(PivToken, SelfTestReport), TokenError> {
    is_possible(scheme)?;
    let card = &beside.card;
    destroy::tells_its_slots(card)?;
    let _holding = beside.login.hold();
    let management = management::find(beside)?;
    // Before there is a key: whoever does not know it, or goes away, leaves none behind.
    if wish.pin != PinPolicy::Never {
        beside.login.log_in(card)?;
    }
    let (home, point) = in_free_slot(card, &management, wish)?;
    let token = PivToken::new(beside.beside(point, home), Arc::clone(entropy));
    let made = (|| {
        let as_asked = as_asked(&token, home)?;
        let mut report = self_test::self_test(&token)?;
        report.checks.extend(as_asked.checks);
        let certificate = certificate::object_of(&token.key, &certificate::name(&point), entropy.as_ref())?;
        card.transact(Again::Yes, |session| {
            management.authenticate(session, card)?;
            session.put_object(home.slot.certificate(), &certificate)?;
            history::cover(session, home.slot)
        })?;
        Ok(report)
    })();
    match made {
        Ok(report) => Ok((token, report)),
        Err(error) => {
            undo(beside, &management, home, &point);
            Err(error)
        }
    }
}

/// Takes a key out again that came to nothing; where that fails too, its owner has to know of it.
fn undo(beside: &Key, management: &ManagementKey, home: Home, point: &EcPoint) {
    if destroy::just_made(&beside.card, management, home, point).is_err() {
        beside.say_that_one_stayed(home.slot);
    }
}

/// A key pair without a token for a signer: as carefully, but asking for no touch.
pub(super) fn make_signer(beside: &Key, entropy: &dyn Entropy) -> Result<Key, TokenError> {
    let card = &beside.card;
    destroy::tells_its_slots(card)?;
    let _holding = beside.login.hold();
    let management = management::find(beside)?;
    beside.login.log_in(card)?;
    let wish = Wish { slot: last_free(card)?, pin: PinPolicy::Once, touch: TouchPolicy::Never };
    let (home, point) = in_free_slot(card, &management, wish)?;
    let key = beside.beside(point, home);
    let made = (|| {
        let certificate = certificate::object_of(&key, &certificate::signer_name(&point), entropy)?;
        card.transact(Again::Yes, |session| {
            management.authenticate(session, card)?;
            session.put_object(home.slot.certificate(), &certificate)?;
            history::cover(session, home.slot)
        })
    })();
    match made {
        Ok(()) => Ok(key),
        Err(failure) => {
            undo(beside, &management, home, &point);
            Err(failure.into())
        }
    }
}

fn is_possible(scheme: Scheme) -> Result<(), TokenError> {
    if scheme == Scheme::EcdhEsA256Kw {
        return Ok(());
    }
    let tried = vec![format!("{scheme}: a PIV card does {} alone", Scheme::EcdhEsA256Kw)];
    Err(TokenError::NoScheme { tried })
}

/// Looks for a free slot and makes a key in it, while nobody else can. It is not done again after a loss in the middle: then
/// the slot may have it already.
fn in_free_slot(card: &Card, management: &ManagementKey, wish: Wish) -> Result<(Home, EcPoint), TokenError> {
    Ok(card.transact(Again::No, |session| {
        let slot = match wish.slot {
            Some(slot) if is_free(session, card.firmware, slot)? => slot,
            Some(slot) => return Err(occupied(session, card.firmware, slot)?),
            None => match free(session, card.firmware, 1)?.first() {
                Some(slot) => *slot,
                None => return Err(TokenError::TokenFull.into()),
            },
        };
        management.authenticate(session, card)?;
        match session.generate(slot, wish.pin, wish.touch) {
            Ok(point) => Ok((Home { slot, pin: wish.pin, touch: wish.touch }, point)),
            // Whatever the card answered, it may have made one. The slot was free in this very transaction, so what is there
            // now is nobody else's.
            Err(failure) if !failure.is_loss() => {
                if !is_free(session, card.firmware, slot)? {
                    destroy::take_out(session, card.firmware, slot)?;
                }
                Err(failure)
            }
            Err(failure) => Err(failure),
        }
    })?)
}

fn occupied(session: &mut Session<'_>, firmware: Firmware, slot: Slot) -> Result<Failure, Failure> {
    let free = free(session, firmware, usize::MAX)?.iter().map(ToString::to_string).collect();
    Ok(TokenError::SlotOccupied { slot: slot.to_string(), free }.into())
}

/// As many free slots as are wanted.
fn free(session: &mut Session<'_>, firmware: Firmware, wanted: usize) -> Result<Vec<Slot>, Failure> {
    let mut free = Vec::new();
    for slot in Slot::homes() {
        if free.len() == wanted {
            break;
        }
        if is_free(session, firmware, slot)? {
            free.push(slot);
        }
    }
    Ok(free)
}

/// The free slot that comes last, so that KEKs have the first.
fn last_free(card: &Card) -> Result<Option<Slot>, TokenError> {
    Ok(card.transact(Again::Yes, |session| {
        for slot in Slot::homes().rev() {
            if is_free(session, card.firmware, slot)? {
                return Ok(Some(slot));
            }
        }
        Err(TokenError::TokenFull.into())
    })?)
}

/// Whether a slot has no key, and no certificate of somebody else's; or a key that was overwritten because the card takes none
/// out.
fn is_free(session: &mut Session<'_>, firmware: Firmware, slot: Slot) -> Result<bool, Failure> {
    let certificate = session.object(slot.certificate())?;
    Ok(match find::look(session, firmware, slot, None)? {
        Content::Nothing => match certificate.map(|object| certificate::owned(&object)) {
            None => true,
            Some(None) => false,
            // Where its key was moved to another slot, it alone says whose that is.
            Some(Some(key)) => find::slot_of(session, firmware, None, &|point| *point == key)?.is_none(),
        },
        Content::Unusable => false,
        Content::Key(key) => certificate.is_some_and(|object| certificate::is_unused(&object, &key.point)),
    })
}

/// Takes the key that is in a slot, if the card says that it made it.
fn take(
    beside: &Key,
    entropy: &Arc<dyn Entropy>,
    scheme: Scheme,
    wish: Wish,
) -> Result<(PivToken, SelfTestReport), TokenError> {
    is_possible(scheme)?;
    let _holding = beside.login.hold();
    let slot = wish.slot.unwrap_or(Slot::KEY_MANAGEMENT);
    let unusable =
        |reason: &'static str| TokenError::SlotUnusable { slot: slot.to_string(), reason: reason.into() };
    let card = &beside.card;
    let (content, certificate) = card.transact(Again::Yes, |session| {
        let content = find::look(session, card.firmware, slot, None)?;
        Ok((content, session.object(slot.certificate())?))
    })?;
    let found = match content {
        Content::Nothing if card.firmware < Firmware::METADATA => {
            return Err(unusable(
                "it is empty, or its key has no certificate, without which this firmware shows none",
            ));
        }
        Content::Nothing => return Err(unusable("it is empty")),
        Content::Unusable if card.firmware < Firmware::METADATA => {
            return Err(unusable(
                "its key is not one on P-256, or has no certificate, without which this firmware shows none (ykman piv \
                 certificates generate makes one)",
            ));
        }
        Content::Unusable => {
            return Err(unusable("its key is not one on P-256, or does not show its public half"));
        }
        Content::Key(found) => *found,
    };
    match found.made_there {
        Some(true) => {}
        Some(false) => {
            return Err(unusable("its key was not made there, so there may be copies of it elsewhere"));
        }
        // Older cards say it by what they attest.
        None => {
            if card.transact(Again::Yes, |session| session.attest(slot))?.is_none() {
                return Err(unusable("the card does not attest that the key was made there"));
            }
        }
    }
    if certificate.is_some_and(|object| certificate::is_unused(&object, &found.point)) {
        return Err(unusable(
            "its key is there in place of one that was destroyed, and the next may be made over it",
        ));
    }
    if destroy::is_own(card, found.home, &found.point)? {
        return Err(unusable(
            "its key is one of this program's own, made for another vault or to sign: it may serve one alone",
        ));
    }
    let token = PivToken::new(beside.beside(found.point, found.home), Arc::clone(entropy));
    let report = self_test::self_test(&token)?;
    Ok((token, report))
}

/// Reads back what was made.
fn as_asked(token: &PivToken, asked: Home) -> Result<SelfTestReport, TokenError> {
    let card = &token.key.card;
    let content =
        card.transact(Again::Yes, |session| find::look(session, card.firmware, asked.slot, None))?;
    match content {
        Content::Key(found) => {
            let Occupied { home, point, made_there } = *found;
            if (home, point, made_there) == (asked, token.key.point, Some(true)) {
                return Ok(self_test::read_back(asked));
            }
            let finding = format!(
                "asked for a new key with the PIN {} and a touch {}, slot {} has one with {} and {}",
                asked.pin, asked.touch, asked.slot, home.pin, home.touch
            );
            Err(TokenError::Refused { finding })
        }
        Content::Nothing | Content::Unusable => Err(TokenError::Refused {
            finding: format!("slot {} does not have the key that was made", asked.slot),
        }),
    }
}
