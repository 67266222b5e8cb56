//! [`PivToken`]: the KEK in one slot, as the vault sees it.

use super::{
    card::{self, Again},
    destroy, enrol,
    fault::Failure,
    find,
    key::{Home, Key},
    self_test,
    session::Firmware,
};
use crate::{
    AnchorSlot, Kek, KeyDescription, NewKey, PublicKey, SelfTestReport, Token, TokenError, Unwrapped,
    software,
};
use claviger_types::{EcPoint, Entropy, Key256, RecipientId, Scheme, WrappedCek};
use std::{fmt, sync::Arc};

/// One KEK on one YubiKey.
pub(super) struct PivToken {
    pub(super) key: Key,
    pub(super) description: KeyDescription,
    pub(super) entropy: Arc<dyn Entropy>,
}

/// The recipient that a key on a card is.
pub(super) fn recipient(point: &EcPoint) -> RecipientId {
    RecipientId::from_bytes(software::name_of(point))
}

impl PivToken {
    pub(super) fn new(key: Key, entropy: Arc<dyn Entropy>) -> Self {
        let home = key.home();
        let description = KeyDescription {
            recipient: recipient(&key.point),
            scheme: Scheme::EcdhEsA256Kw,
            public_key: Some(PublicKey::P256(key.point)),
            token_label: card::label(key.card.serial),
            token_serial: key.card.serial.to_string(),
            key_label: format!("slot {}", home.slot),
            profile: home.profile(),
        };
        Self { key, description, entropy }
    }

    /// The key of this recipient on the same card.
    fn beside(&self, wanted: RecipientId, scheme: Scheme) -> Result<Option<(Home, EcPoint)>, TokenError> {
        if scheme != Scheme::EcdhEsA256Kw {
            return Ok(None);
        }
        let own = Some(self.key.home());
        let found = self.key.card.transact(Again::Yes, |session| {
            find::slot_of(session, self.key.card.firmware, own, &|point| recipient(point) == wanted)
        })?;
        Ok(found.map(|found| (found.home, found.point)))
    }

    /// Whether a key of this scheme may be on the card and not be seen there. Then it is none of this program's, which makes
    /// none on such a card.
    fn may_hide(&self, scheme: Scheme) -> bool {
        scheme == Scheme::EcdhEsA256Kw && self.key.card.firmware < Firmware::METADATA
    }

    /// The shared secret with a point that is known to lie on the curve, and what it opens.
    pub(super) fn open(&self, point: &EcPoint, context: &[u8], ciphertext: &[u8]) -> Result<Key256, Failure> {
        let shared = self.key.agree(point)?;
        Ok(software::finish_ecdh(&shared, context, ciphertext)?)
    }

    /// Whether the card still has the key and works: it is asked for a shared secret that is known.
    pub(super) fn is_sound(&self) -> Result<bool, Failure> {
        let (point, expected) = software::half_of(&self.key.point, self.entropy.as_ref())?;
        Ok(self.key.agree(&point)?.same_as(&expected))
    }

    /// What was unwrapped does not verify. Either it is damaged, or the card gave a wrong secret: a key that took the other's
    /// place in the slot would, too. What the card is asked next has a known answer.
    fn judge(&self, point: &EcPoint, context: &[u8], ciphertext: &[u8]) -> Result<Key256, TokenError> {
        let before = self.key.home();
        if !self.is_sound()? && self.key.find()? == before && !self.is_sound()? {
            return Err(TokenError::CardFailed {
                command: "GENERAL AUTHENTICATE".into(),
                answer: "a wrong shared secret".to_owned(),
            });
        }
        Ok(self.open(point, context, ciphertext)?)
    }

    /// Takes a key out of its slot.
    fn destroy(&self, home: Home, point: &EcPoint) -> Result<(), TokenError> {
        let card = &self.key.card;
        destroy::own(&self.key, home, point)?;
        let there = card.transact(Again::Yes, |session| {
            find::slot_of(session, card.firmware, Some(home), &|found| found == point)
        })?;
        match there {
            None => Ok(()),
            Some(_) => Err(TokenError::CardFailed {
                command: if card.firmware >= Firmware::DELETE {
                    "DELETE KEY"
                } else {
                    "GENERATE ASYMMETRIC KEY PAIR"
                }
                .into(),
                answer: "that it is done, but the key is still there".to_owned(),
            }),
        }
    }
}

impl Token for PivToken {
    fn describe(&self) -> &KeyDescription {
        &self.description
    }

    fn wrap(&self, cek: &Key256, context: &[u8]) -> Result<WrappedCek, TokenError> {
        let KeyDescription { recipient, scheme, .. } = self.description;
        let public_key = PublicKey::P256(self.key.point);
        software::wrap_to_public_key(recipient, scheme, &public_key, cek, context, self.entropy.as_ref())
    }

    fn unwrap(&self, wrapped: &WrappedCek, context: &[u8]) -> Result<Unwrapped, TokenError> {
        if (wrapped.recipient, wrapped.scheme) != (self.description.recipient, self.description.scheme) {
            return Ok(Unwrapped::NotMine);
        }
        let bytes = wrapped.ciphertext.as_slice();
        // A point off the curve would leak the private key bit by bit from a card that does not check.
        let point = wrapped.ephemeral.filter(|point| software::check_point(point).is_ok());
        let Some(point) = point.filter(|_| bytes.len() == software::KW_BYTES) else {
            return Err(TokenError::CorruptWrappedKey);
        };
        match self.open(&point, context, bytes).map_err(TokenError::from) {
            Err(TokenError::CorruptWrappedKey) => self.judge(&point, context, bytes).map(Unwrapped::Key),
            outcome => outcome.map(Unwrapped::Key),
        }
    }

    fn sibling(&self, recipient: RecipientId, scheme: Scheme) -> Result<Arc<dyn Token>, TokenError> {
        // One that is not to be seen is none to whoever wants to use it, whatever the card's firmware tells.
        let (home, point) = self
            .beside(recipient, scheme)?
            .ok_or_else(|| TokenError::KeyMissing { key: recipient.to_string() })?;
        Ok(Arc::new(Self::new(self.key.beside(point, home), Arc::clone(&self.entropy))))
    }

    /// In the first slot that is free, and asking for PIN and touch as this one does.
    fn generate_sibling(&self, new: &NewKey) -> Result<Arc<dyn Token>, TokenError> {
        let Home { pin, touch, .. } = self.key.home();
        let wish = enrol::Wish { slot: None, pin, touch };
        let (token, _) = enrol::make(&self.key, &self.entropy, new.scheme, wish)?;
        Ok(Arc::new(token))
    }

    fn owns(&self, recipient: RecipientId, scheme: Scheme) -> Result<bool, TokenError> {
        match self.beside(recipient, scheme)? {
            Some((home, point)) => destroy::is_own(&self.key.card, home, &point),
            None => Ok(!self.may_hide(scheme)),
        }
    }

    fn destroy_sibling(&self, recipient: RecipientId, scheme: Scheme) -> Result<bool, TokenError> {
        match self.beside(recipient, scheme)? {
            Some((home, point)) => self.destroy(home, &point).map(|()| true),
            None if self.may_hide(scheme) => Err(TokenError::KeyNotOurs {
                key: format!(
                    "{}, whose firmware {} shows none without its certificate,",
                    self.description.token_label, self.key.card.firmware
                ),
            }),
            None => Ok(false),
        }
    }
}

impl Kek for PivToken {
    fn self_test(&self) -> Result<SelfTestReport, TokenError> {
        self_test::self_test(self)
    }

    fn anchors(&self) -> Result<Arc<dyn AnchorSlot>, TokenError> {
        Err(no_anchors())
    }

    fn destroy_key(&self) -> Result<(), TokenError> {
        let home = self.key.find()?;
        self.destroy(home, &self.key.point)
    }
}

impl fmt::Debug for PivToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PivToken").field("description", &self.description).finish_non_exhaustive()
    }
}

/// Its data objects can be read without a PIN, and writing them takes the management key.
pub(super) fn no_anchors() -> TokenError {
    TokenError::AnchorUnusable { name: "any".to_owned(), reason: "a PIV card keeps no anchors".into() }
}
