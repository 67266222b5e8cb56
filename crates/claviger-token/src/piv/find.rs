//! Which YubiKey a URI means, and in which slot a key is.
//!
//! A key is known by its public half: serial numbers and slots say only where to look first.

use super::{
    attestation,
    card::{self, Card},
    certificate,
    fault::Failure,
    key::Home,
    policy::{PinPolicy, TouchPolicy},
    reader::{self, Plugged, Present},
    session::{Firmware, Session},
    slot::Slot,
};
use crate::{TokenError, Uri};
use claviger_types::EcPoint;
use std::sync::Arc;

/// What the maker calls itself and its keys, as its own PKCS#11 module does.
pub(super) const MANUFACTURER: &str = "Yubico (www.yubico.com)";
pub(super) const MODEL: &str = "YubiKey YK5";

/// The YubiKeys that fit the URI, the others, and why more could not be seen.
pub(super) struct Chosen {
    pub(super) fitting: Vec<Plugged>,
    pub(super) others: Vec<Plugged>,
    pub(super) unseen: Vec<Failure>,
}

pub(super) fn choose(uri: &Uri) -> Result<Chosen, Failure> {
    let Present { keys, unseen } = reader::present(|key| names_one(uri) && fits(uri, key))?;
    let (fitting, others) = keys.into_iter().partition(|key| fits(uri, key));
    Ok(Chosen { fitting, others, unseen })
}

/// The one that fits the URI.
pub(super) fn the_one(uri: &Uri) -> Result<Arc<Card>, TokenError> {
    let mut chosen = choose(uri)?;
    match (chosen.fitting.pop(), chosen.fitting.len()) {
        // What could not be seen may fit as well.
        (Some(_), 0) if !names_one(uri) && !chosen.unseen.is_empty() => Err(chosen.absent(uri)),
        (Some(key), 0) => Ok(Card::of(key)),
        (None, _) => Err(chosen.absent(uri)),
        (Some(key), _) => {
            chosen.fitting.push(key);
            let matches = chosen.fitting.iter().map(|key| card::uri(key.serial).to_string()).collect();
            Err(TokenError::AmbiguousUri { uri: uri.of_token().to_string(), matches })
        }
    }
}

impl Chosen {
    /// That none fits; or why that cannot be said.
    pub(super) fn absent(self, uri: &Uri) -> TokenError {
        let present = self.fitting.iter().chain(&self.others);
        let present = present.map(|key| card::uri(key.serial).to_string()).collect();
        match self.unseen.into_iter().next() {
            Some(failure) => failure.into(),
            None => TokenError::TokenAbsent { uri: uri.of_token().to_string(), present },
        }
    }
}

/// Whether no second card can fit.
fn names_one(uri: &Uri) -> bool {
    uri.serial.is_some() || uri.token.is_some() || uri.slot_description.is_some()
}

fn fits(uri: &Uri, key: &Plugged) -> bool {
    let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
    same(&uri.token, &card::label(key.serial))
        && same(&uri.serial, &key.serial.to_string())
        && same(&uri.manufacturer, MANUFACTURER)
        && same(&uri.model, MODEL)
        && same(&uri.slot_description, &key.reader)
}

/// What is known of a slot that has a key on P-256.
pub(super) struct Occupied {
    pub(super) home: Home,
    pub(super) point: EcPoint,
    /// Whether the card says that it made the key; older ones do not say.
    pub(super) made_there: Option<bool>,
}

/// What is in a slot.
pub(super) enum Content {
    Nothing,
    /// A key that is of another kind, or about which nothing can be learned.
    Unusable,
    Key(Box<Occupied>),
}

/// Looks into a slot.
pub(super) fn look(
    session: &mut Session<'_>,
    firmware: Firmware,
    slot: Slot,
    known: Option<Home>,
) -> Result<Content, Failure> {
    if firmware >= Firmware::METADATA {
        let Some(metadata) = session.slot_metadata(slot)? else { return Ok(Content::Nothing) };
        let (Some(point), Some(pin), Some(touch)) = (metadata.point, metadata.pin, metadata.touch) else {
            return Ok(Content::Unusable);
        };
        let home = Home { slot, pin, touch };
        return Ok(Content::Key(Box::new(Occupied { home, point, made_there: Some(metadata.made_there) })));
    }
    let Some(object) = session.object(slot.certificate())? else {
        // A key without a certificate shows by what it attests; one that was brought there does not.
        return Ok(if session.attest(slot)?.is_some() { Content::Unusable } else { Content::Nothing });
    };
    let Some(point) = certificate::point(&object) else { return Ok(Content::Unusable) };
    let home = match known.filter(|known| known.slot == slot) {
        Some(noted) => noted,
        None => Home::new(slot, attested_policies(session, slot)?),
    };
    Ok(Content::Key(Box::new(Occupied { home, point, made_there: None })))
}

/// What the policies of a key are, where they were not noted when it was made. Where nothing says it, what is most likely.
fn attested_policies(session: &mut Session<'_>, slot: Slot) -> Result<(PinPolicy, TouchPolicy), Failure> {
    let statement = match session.attest(slot) {
        Err(Failure::Refused { .. }) => None,
        statement => statement?,
    };
    let stated = statement.and_then(|statement| attestation::policies(&statement));
    Ok(stated.unwrap_or((PinPolicy::Once, TouchPolicy::Cached)))
}

/// That a key is not there; or, of a card that does not tell what is in its slots, that this is not known.
pub(super) fn missing(firmware: Firmware, key: String) -> TokenError {
    if firmware >= Firmware::METADATA {
        return TokenError::KeyMissing { key };
    }
    TokenError::CardFailed {
        command: "GET DATA".into(),
        answer: format!(
            "no certificate of the key {key}: firmware {firmware} does not tell what is in a slot without one, so whether the \
             key is there is not known"
        ),
    }
}

/// The slot whose key is the one that is looked for.
pub(super) fn slot_of(
    session: &mut Session<'_>,
    firmware: Firmware,
    hint: Option<Home>,
    is: &dyn Fn(&EcPoint) -> bool,
) -> Result<Option<Occupied>, Failure> {
    let first = hint.map(|home| home.slot);
    for slot in first.into_iter().chain(Slot::all().filter(|slot| Some(*slot) != first)) {
        if let Content::Key(found) = look(session, firmware, slot, hint)?
            && is(&found.point)
        {
            return Ok(Some(*found));
        }
    }
    Ok(None)
}
