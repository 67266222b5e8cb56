//! The PIV driver: KEKs in the slots of YubiKeys, over PC/SC.
//!
//! A key has no place for a name beside it, so the recipient that it is follows from its public half
//! ([`crate::software::name_of`]): any driver that sees the public half finds it, this one and PKCS#11 modules for cards alike.
//! All of a card is reached through one connection (`card`), which is shared with other programs, never resets the card, and
//! is set up anew where the card was pulled, reset by somebody, or its service restarted. What belongs together is one
//! transaction (`session`), in which nobody else speaks with the card.
//!
//! The way of one unwrap: the point is checked, and sent with GENERAL AUTHENTICATE in a transaction of its own, one command
//! and nothing else while the login stands; where the card wants its PIN, the transaction is ended, the PIN asked for
//! (`login`), and given with the same again. The shared secret becomes the key in software. Before the card waits for a touch,
//! the attendant is told.

mod admin;
mod apdu;
pub mod attestation;
mod card;
mod certificate;
mod culprits;
mod enrol;
mod fault;
mod find;
mod info;
mod key;
mod login;
mod management;
mod metadata;
mod policy;
mod reader;
mod self_test;
mod session;
mod signer;
mod slot;
mod tlv;
mod token;

pub use info::PivKeyInfo;
pub use management::ManagementAlgorithm;
pub use policy::{PinPolicy, TouchPolicy, UnknownPolicy};
pub use session::Firmware;
pub use slot::{Slot, UnknownSlot};

use self::{
    card::{Again, Card},
    key::{Home, Key},
    login::Login,
    reader::Present,
    token::PivToken,
};
use crate::{Access, AnchorSlot, Driver, Kek, NewKek, SelfTestReport, Signer, TokenError, TokenSummary, Uri};
use claviger_types::{EcPoint, RecipientId, Scheme, SignerId};
use std::sync::Arc;

/// When a key asks for its PIN and a touch, as the profile that was noted at enrolment says; `None` where it is no PIV key's.
pub fn policies(profile: &str) -> Option<(PinPolicy, TouchPolicy)> {
    Home::parse(profile).map(|home| (home.pin, home.touch))
}

/// The YubiKeys that are plugged in, of firmware 5 and later.
#[derive(Debug, Clone, Copy, Default)]
pub struct PivDriver;

impl PivDriver {
    /// What there is to know of the key that is this recipient, on the YubiKey that the URI means. No PIN is needed.
    pub fn key_info(&self, uri: &Uri, recipient: RecipientId) -> Result<PivKeyInfo, TokenError> {
        info::key(uri, recipient)
    }

    /// Which recipient the key in a slot is, or would be; `None` where there is none that could be one.
    pub fn recipient_in(&self, uri: &Uri, slot: Slot) -> Result<Option<RecipientId>, TokenError> {
        info::recipient_in(uri, slot)
    }

    /// The card that the URI means, without any key of it.
    fn card(uri: &Uri, access: &Access) -> Result<Key, TokenError> {
        // No operation is asked of it: it is what others are made beside.
        let nothing = EcPoint { x: [0; 32], y: [0; 32] };
        let home = Home { slot: Slot::KEY_MANAGEMENT, pin: PinPolicy::Once, touch: TouchPolicy::Never };
        let card = find::the_one(uri)?;
        Ok(Key::new(card, Login::new(&access.pin), Arc::clone(&access.attendant), nothing, home))
    }

    /// The key of this recipient, first on the YubiKeys that fit the URI, then on any other: what is looked for is the key.
    fn find(
        uri: &Uri,
        access: &Access,
        recipient: RecipientId,
        hint: Option<Home>,
    ) -> Result<PivToken, TokenError> {
        let mut chosen = find::choose(uri)?;
        let none_fits = chosen.fitting.is_empty();
        let absent = |chosen: find::Chosen| if none_fits { Some(chosen.absent(uri)) } else { None };
        let mut failed = None;
        let serials: Vec<_> = chosen.fitting.iter().chain(&chosen.others).map(|key| key.serial).collect();
        let plugged: Vec<_> = chosen.fitting.drain(..).chain(chosen.others.drain(..)).collect();
        for key in plugged {
            let card = Card::of(key);
            let found = card.transact(Again::Yes, |session| {
                find::slot_of(session, card.firmware, hint, &|point| token::recipient(point) == recipient)
            });
            match found {
                Ok(Some(found)) => {
                    let login = Login::new(&access.pin);
                    let attendant = Arc::clone(&access.attendant);
                    let key = Key::new(card, login, attendant, found.point, found.home);
                    return Ok(PivToken::new(key, Arc::clone(&access.entropy)));
                }
                Ok(None) => {}
                Err(failure) => {
                    failed.get_or_insert(failure);
                }
            }
        }
        match (failed, absent(chosen)) {
            (Some(failure), _) => Err(failure.into()),
            (None, Some(TokenError::TokenAbsent { uri, .. })) => {
                let present = serials.into_iter().map(|serial| card::uri(serial).to_string()).collect();
                Err(TokenError::TokenAbsent { uri, present })
            }
            (None, Some(error)) => Err(error),
            (None, None) => Err(TokenError::KeyMissing { key: recipient.to_string() }),
        }
    }
}

impl Driver for PivDriver {
    fn list(&self) -> Result<Vec<TokenSummary>, TokenError> {
        let Present { keys, unseen } = reader::present()?;
        if let (true, Some(failure)) = (keys.is_empty(), unseen.into_iter().next()) {
            return Err(failure.into());
        }
        let mut tokens = Vec::new();
        for (number, key) in keys.into_iter().enumerate() {
            let reader = key.reader.clone();
            tokens.push(info::summary(&Card::of(key), &reader, number as u64)?);
        }
        Ok(tokens)
    }

    fn generate(
        &self,
        uri: &Uri,
        access: &Access,
        new: &NewKek,
    ) -> Result<(Arc<dyn Kek>, SelfTestReport), TokenError> {
        let (token, report) = enrol::generate(&Self::card(uri, access)?, &access.entropy, new)?;
        Ok((Arc::new(token), report))
    }

    fn open(
        &self,
        uri: &Uri,
        access: &Access,
        recipient: RecipientId,
        scheme: Scheme,
        profile: &str,
    ) -> Result<Arc<dyn Kek>, TokenError> {
        if scheme != Scheme::EcdhEsA256Kw {
            return Err(TokenError::KeyMissing { key: recipient.to_string() });
        }
        let token = Self::find(uri, access, recipient, Home::parse(profile))?;
        token.key.log_in()?;
        Ok(Arc::new(token))
    }

    fn generate_signer(
        &self,
        uri: &Uri,
        access: &Access,
        _: SignerId,
        _: &str,
    ) -> Result<Arc<dyn Signer>, TokenError> {
        Ok(Arc::new(signer::generate(&Self::card(uri, access)?, access.entropy.as_ref())?))
    }

    fn open_signer(&self, uri: &Uri, access: &Access, id: SignerId) -> Result<Arc<dyn Signer>, TokenError> {
        Ok(Arc::new(signer::open(&Self::card(uri, access)?, id)?))
    }

    fn open_anchors(&self, _: &Uri, _: &Access) -> Result<Arc<dyn AnchorSlot>, TokenError> {
        Err(token::no_anchors())
    }

    fn piv_key(&self, uri: &Uri, recipient: RecipientId) -> Result<Option<PivKeyInfo>, TokenError> {
        self.key_info(uri, recipient).map(Some)
    }
}
