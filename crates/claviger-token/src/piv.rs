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
mod destroy;
mod enrol;
mod fault;
mod find;
mod history;
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
    fault::Failure,
    find::Chosen,
    key::{Home, Key},
    login::Login,
    reader::{Plugged, Present},
    token::PivToken,
};
use crate::{Access, AnchorSlot, Driver, Kek, NewKek, SelfTestReport, Signer, TokenError, TokenSummary, Uri};
use claviger_types::{EcPoint, RecipientId, Scheme, SignerId};
use std::{fmt, sync::Arc};

/// When a key asks for its PIN and a touch, as the profile that was noted at enrolment says; `None` where it is no PIV key's.
pub fn policies(profile: &str) -> Option<(PinPolicy, TouchPolicy)> {
    Home::parse(profile).map(|home| (home.pin, home.touch))
}

/// Whether these bytes are what a card may say of a slot's key, of a PIN, a certificate of a key on P-256, a profile, and an
/// answer in the form of GENERAL AUTHENTICATE. For fuzzing.
pub fn reads(bytes: &[u8]) -> [bool; 5] {
    [
        metadata::SlotMetadata::parse(bytes).is_some(),
        metadata::PinMetadata::parse(bytes).is_some(),
        certificate::point(bytes).is_some(),
        std::str::from_utf8(bytes).is_ok_and(|text| Home::parse(text).is_some()),
        tlv::only(bytes, 0x7c).and_then(|answer| tlv::only(answer, 0x82)).is_some(),
    ]
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

    /// The key that is meant, first on the YubiKeys that fit the URI, then on any other: what is looked for is the key.
    fn find(
        uri: &Uri,
        access: &Access,
        hint: Option<Home>,
        name: &dyn fmt::Display,
        is: &dyn Fn(&EcPoint) -> bool,
    ) -> Result<Key, TokenError> {
        let Chosen { fitting, others, mut unseen } = find::choose(uri)?;
        // Of those that are meant, the one that tells least.
        let oldest = fitting.iter().map(|key| key.firmware).min();
        let none_fits = oldest.is_none();
        let mut failed = None;
        let mut present: Vec<String> = Vec::new();
        let mut keys: Vec<Plugged> = fitting.into_iter().chain(others).collect();
        loop {
            for key in keys {
                present.push(card::uri(key.serial).to_string());
                let card = Card::of(key);
                match card.transact(Again::Yes, |session| find::slot_of(session, card.firmware, hint, is)) {
                    Ok(Some(found)) => {
                        let (login, attendant) = (Login::new(&access.pin), Arc::clone(&access.attendant));
                        return Ok(Key::new(card, login, attendant, found.point, found.home));
                    }
                    Ok(None) => {}
                    Err(failure) => {
                        failed.get_or_insert(failure);
                    }
                }
            }
            // It may be on one that was not waited for, because another fits.
            if none_fits || !unseen.iter().any(Failure::may_pass) {
                break;
            }
            let more = reader::present(|_| false)?;
            unseen = Vec::new();
            keys = more.keys;
            keys.retain(|key| !present.contains(&card::uri(key.serial).to_string()));
        }
        let failed = failed.or_else(|| unseen.into_iter().next().filter(|_| none_fits));
        Err(match (failed, oldest) {
            (Some(failure), _) => failure.into(),
            (None, None) => TokenError::TokenAbsent { uri: uri.of_token().to_string(), present },
            (None, Some(firmware)) => find::missing(firmware, name.to_string()),
        })
    }
}

impl Driver for PivDriver {
    fn list(&self) -> Result<Vec<TokenSummary>, TokenError> {
        let Present { keys, unseen } = reader::present(|_| false)?;
        if let (true, Some(failure)) = (keys.is_empty(), unseen.into_iter().next()) {
            return Err(failure.into());
        }
        let summary = |(number, key): (u64, Plugged)| {
            let reader = key.reader.clone();
            match info::summary(&Card::of(key), &reader, number) {
                // It was pulled meanwhile, and the others are there.
                Err(TokenError::TokenAbsent { .. }) => None,
                summary => Some(summary),
            }
        };
        (0..).zip(keys).filter_map(summary).collect()
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
        let is = |point: &EcPoint| token::recipient(point) == recipient;
        let key = Self::find(uri, access, Home::parse(profile), &recipient, &is)?;
        key.log_in()?;
        Ok(Arc::new(PivToken::new(key, Arc::clone(&access.entropy))))
    }

    fn generate_signer(
        &self,
        uri: &Uri,
        access: &Access,
        _: SignerId,
        _: &str,
    ) -> Result<Arc<dyn Signer>, TokenError> {
        match signer::generate(&Self::card(uri, access)?, access.entropy.as_ref()) {
            Ok(signer) => Ok(Arc::new(signer)),
            Err(error @ TokenError::FirmwareTooOld { .. }) => {
                Err(TokenError::NoScheme { tried: vec![format!("ES256: {error}")] })
            }
            Err(error) => Err(error),
        }
    }

    fn open_signer(&self, uri: &Uri, access: &Access, id: SignerId) -> Result<Arc<dyn Signer>, TokenError> {
        let key = Self::find(uri, access, None, &id, &|point| signer::id(point) == id)?;
        Ok(Arc::new(signer::open(key)?))
    }

    fn open_anchors(&self, _: &Uri, _: &Access) -> Result<Arc<dyn AnchorSlot>, TokenError> {
        Err(token::no_anchors())
    }

    fn piv_key(&self, uri: &Uri, recipient: RecipientId) -> Result<Option<PivKeyInfo>, TokenError> {
        self.key_info(uri, recipient).map(Some)
    }
}
