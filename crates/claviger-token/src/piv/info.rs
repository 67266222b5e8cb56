//! What a card says of itself and its keys, without any PIN.

use super::{
    admin,
    apdu::Status,
    card::{self, Again, Card},
    fault::Failure,
    find::{self, Content, MANUFACTURER, MODEL},
    management::{self, ManagementAlgorithm},
    metadata::PinMetadata,
    policy::{PinPolicy, TouchPolicy},
    session::{Firmware, PIN, PUK, PinState},
    slot::Slot,
};
use crate::{PinKind, PinTries, TokenDetails, TokenError, TokenSummary, Uri};
use claviger_types::RecipientId;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The object with the certificate of the key that attests.
const ATTESTER: u32 = 0x5f_ff01;

/// What there is to know of a key in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PivKeyInfo {
    /// The slot.
    pub slot: Slot,
    /// When it wants the PIN.
    pub pin_policy: PinPolicy,
    /// When it wants a touch.
    pub touch_policy: TouchPolicy,
    /// The version of the program in the card.
    pub firmware: Firmware,
    /// Whether the card says that it made the key; older ones do not say.
    pub made_there: Option<bool>,
    /// The management key's kind.
    pub management: ManagementAlgorithm,
    /// Whether the management key is still its maker's, which everybody knows; older cards do not say.
    pub management_is_default: Option<bool>,
    /// Whether the card keeps the management key behind its PIN.
    pub management_is_on_card: bool,
    /// What the card certifies of the key, and the certificate of the key by which it does that, both in DER; absent where
    /// it certifies nothing.
    pub attestation: Option<(Vec<u8>, Vec<u8>)>,
}

/// What the card says of itself.
pub(super) fn summary(card: &Card, reader: &str, number: u64) -> Result<TokenSummary, TokenError> {
    let told = card.firmware >= Firmware::METADATA;
    let (pin, left) = card.transact(Again::Yes, |session| {
        let pin = if told { Some(session.pin_metadata(PIN)?) } else { None };
        let left = match session.pin_state()? {
            PinState::Wanted(left) => Some(left),
            PinState::Given => None,
        };
        Ok((pin, left))
    })?;
    let left = pin.and_then(|pin| pin.tries).map(|(_, left)| left).or(left);
    let puk = puk(card)?;
    let so_left = puk.and_then(|puk| puk.tries).map(|(_, left)| left);
    Ok(TokenSummary {
        label: card::label(card.serial),
        serial: card.serial.to_string(),
        manufacturer: MANUFACTURER.to_owned(),
        model: MODEL.to_owned(),
        slot_description: reader.to_owned(),
        slot_manufacturer: String::new(),
        initialised: true,
        pin_set: true,
        pin_pad: false,
        tries: left.map_or(PinTries::Normal, card::tries),
        uri: card::uri(card.serial),
        details: TokenDetails {
            slot: number,
            hardware: format!("{}.0", card.firmware.major),
            firmware: card.firmware.to_string(),
            free_memory: None,
            writable: true,
            tries_left: left,
            so_tries: so_left.map_or(PinTries::Normal, card::tries),
            so_tries_left: so_left,
            pin_kind: PinKind::Piv,
            pin_is_due: pin.is_some_and(|pin| pin.is_default),
            so_pin_is_due: puk.is_some_and(|puk| puk.is_default),
            shortest_pin: admin::SHORTEST as u64,
            longest_pin: admin::LONGEST as u64,
        },
    })
}

/// What is known of the PUK; nothing of an older card's, or where there is none.
pub(super) fn puk(card: &Card) -> Result<Option<PinMetadata>, TokenError> {
    if card.firmware < Firmware::METADATA {
        return Ok(None);
    }
    match card.transact(Again::Yes, |session| session.pin_metadata(PUK)) {
        Err(failure) if matches!(failure.status(), Some(Status::NO_KEY)) => Ok(None),
        puk => Ok(Some(puk?)),
    }
}

/// What there is to know of the key that is this recipient, on the card that the URI means.
pub(super) fn key(uri: &Uri, recipient: RecipientId) -> Result<PivKeyInfo, TokenError> {
    let card = find::the_one(uri)?;
    let found = card.transact(Again::Yes, |session| {
        find::slot_of(session, card.firmware, None, &|point| super::token::recipient(point) == recipient)
    })?;
    let found = found.ok_or_else(|| find::missing(card.firmware, recipient.to_string()))?;
    let attestation = card.transact(Again::Yes, |session| {
        // Some have nothing by which they could, and say so in their own ways.
        let statement = match session.attest(found.home.slot) {
            Err(Failure::Refused { .. }) => None,
            statement => statement?,
        };
        let Some(statement) = statement else { return Ok(None) };
        let attester = session.object(ATTESTER)?.unwrap_or_else(|| Zeroizing::new(Vec::new()));
        Ok(Some((statement.to_vec(), super::certificate::der(&attester).to_vec())))
    })?;
    let (management, management_is_default, _) = management::kind(&card)?;
    Ok(PivKeyInfo {
        slot: found.home.slot,
        pin_policy: found.home.pin,
        touch_policy: found.home.touch,
        firmware: card.firmware,
        made_there: found.made_there,
        management,
        management_is_default,
        management_is_on_card: management::is_on_card(&card)?,
        attestation,
    })
}

/// Which recipient the key in a slot of the card that the URI means is, or would be.
pub(super) fn recipient_in(uri: &Uri, slot: Slot) -> Result<Option<RecipientId>, TokenError> {
    let card = find::the_one(uri)?;
    let content = card.transact(Again::Yes, |session| find::look(session, card.firmware, slot, None))?;
    Ok(match content {
        Content::Key(found) => Some(super::token::recipient(&found.point)),
        Content::Nothing | Content::Unusable => None,
    })
}
