//! The management key: whoever has it may make keys on a card and write its objects.
//!
//! It is 3DES on older YubiKeys and AES since firmware 5.7. Many keep it on the card itself, behind the PIN; many never
//! change the maker's, which everybody knows.

use super::{
    apdu::{Command, Status},
    card::{Again, Card},
    fault::Failure,
    key::Key,
    login::{Lasting, Login},
    session::{AUTHENTICATE, Firmware, Session},
    tlv,
};
use crate::{Attendant, TokenError};
use aes::{Aes128, Aes192, Aes256};
use cipher::{Block, BlockCipherDecrypt, BlockCipherEncrypt, BlockSizeUser, KeyInit};
use claviger_types::{Entropy, SecretBytes};
use des::TdesEde3;
use serde::{Deserialize, Serialize};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// What it is called by.
pub(super) const MANAGEMENT: u8 = 0x9b;
const WITNESS: u16 = 0x80;
const CHALLENGE: u16 = 0x81;
const RESPONSE: u16 = 0x82;
const DYNAMIC_AUTHENTICATION: u16 = 0x7c;

/// Yubico's objects: what is noted about the keys, and what only the PIN shows (the standard's "printed information").
const ADMIN_DATA: u32 = 0x5f_ff00;
const PRINTED: u32 = 0x5f_c109;
/// In the admin data's flags: the management key is on the card.
const IS_PROTECTED: u8 = 0x02;

/// The longest that a card takes to refuse a wrong one without waiting for a touch. A touch it awaits for many seconds.
const AT_ONCE: Duration = Duration::from_millis(200);

/// Its algorithm, by the number that the card has for it (SP 800-78-4, table 6-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ManagementAlgorithm {
    /// Triple DES with three keys.
    Tdes,
    /// AES with a key of 128 bits.
    Aes128,
    /// AES with a key of 192 bits.
    Aes192,
    /// AES with a key of 256 bits.
    Aes256,
}

impl ManagementAlgorithm {
    pub(super) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0x03 => Some(Self::Tdes),
            0x08 => Some(Self::Aes128),
            0x0a => Some(Self::Aes192),
            0x0c => Some(Self::Aes256),
            _ => None,
        }
    }

    const fn byte(self) -> u8 {
        match self {
            Self::Tdes => 0x03,
            Self::Aes128 => 0x08,
            Self::Aes192 => 0x0a,
            Self::Aes256 => 0x0c,
        }
    }

    const fn key_bytes(self) -> usize {
        match self {
            Self::Tdes | Self::Aes192 => 24,
            Self::Aes128 => 16,
            Self::Aes256 => 32,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tdes => "3DES",
            Self::Aes128 => "AES-128",
            Self::Aes192 => "AES-192",
            Self::Aes256 => "AES-256",
        }
    }

    /// The key that the maker sets: 01 to 08, again and again.
    fn default_key(self) -> SecretBytes {
        SecretBytes::new((1..=8).cycle().take(self.key_bytes()).collect())
    }
}

/// A management key.
pub(super) struct ManagementKey {
    algorithm: ManagementAlgorithm,
    key: SecretBytes,
    // Who is told where the card wants a touch for it.
    told: Option<Arc<dyn Attendant>>,
}

/// Finds the one of the card that this key is on: the maker's where that was never changed, the one on the card where there is
/// one, else the attendant's.
pub(super) fn find(of: &Key) -> Result<ManagementKey, TokenError> {
    let card = &of.card;
    let (algorithm, is_default, touch) = kind(card)?;
    let told = touch.then(|| Arc::clone(&of.attendant));
    if is_default == Some(true) {
        return Ok(ManagementKey { algorithm, key: algorithm.default_key(), told });
    }
    if is_on_card(card)?
        && let Some(key) = on_card(card, &of.login)?
    {
        return parsed(algorithm, key, told);
    }
    parsed(algorithm, from_digits(&of.attendant.management_key(&card.name())?)?, told)
}

/// Its algorithm, whether it is still the maker's, and whether it wants a touch, as far as the card tells.
pub(super) fn kind(card: &Card) -> Result<(ManagementAlgorithm, Option<bool>, bool), TokenError> {
    if card.firmware < Firmware::METADATA {
        return Ok((ManagementAlgorithm::Tdes, None, false));
    }
    let metadata = card.transact(Again::Yes, |session| session.pin_metadata(MANAGEMENT))?;
    let algorithm = ManagementAlgorithm::from_byte(metadata.algorithm).ok_or_else(|| {
        let reason = format!("its algorithm {:02x} is not known here", metadata.algorithm);
        TokenError::ManagementKeyUnavailable { reason }
    })?;
    Ok((algorithm, Some(metadata.is_default), metadata.touch))
}

/// Whether the card keeps it behind the PIN.
pub(super) fn is_on_card(card: &Card) -> Result<bool, TokenError> {
    let admin = card.transact(Again::Yes, |session| session.object(ADMIN_DATA))?;
    let flags = admin.as_ref().and_then(|admin| tlv::find(tlv::only(admin, 0x80)?, 0x81));
    Ok(matches!(flags, Some([flags]) if flags & IS_PROTECTED != 0))
}

fn on_card(card: &Card, login: &Login) -> Result<Option<SecretBytes>, TokenError> {
    let printed = login.run(card, Lasting::Yes, |session, _| {
        session.need_pin()?;
        session.object(PRINTED)
    })?;
    let key = printed.as_ref().and_then(|printed| tlv::find(tlv::only(printed, 0x88)?, 0x89));
    Ok(key.map(SecretBytes::copy_of))
}

fn parsed(
    algorithm: ManagementAlgorithm,
    key: SecretBytes,
    told: Option<Arc<dyn Attendant>>,
) -> Result<ManagementKey, TokenError> {
    if key.len() == algorithm.key_bytes() {
        return Ok(ManagementKey { algorithm, key, told });
    }
    let reason = format!(
        "what was given has {} bytes; the card's is one for {}, of {}",
        key.len(),
        algorithm.name(),
        algorithm.key_bytes()
    );
    Err(TokenError::ManagementKeyUnavailable { reason })
}

/// Bytes from hexadecimal digits, of which each is a secret.
fn from_digits(text: &SecretBytes) -> Result<SecretBytes, TokenError> {
    let wrong = || TokenError::ManagementKeyUnavailable {
        reason: "it is written in hexadecimal digits, two for each byte".to_owned(),
    };
    let mut key = SecretBytes::new(Vec::with_capacity(text.len() / 2));
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut digits = text.expose().chunks_exact(2);
    for pair in digits.by_ref() {
        let [high, low] = pair else { return Err(wrong()) };
        let byte = digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low);
        key.extend(&[byte.ok_or_else(wrong)?]);
    }
    if digits.remainder().is_empty() && !key.is_empty() { Ok(key) } else { Err(wrong()) }
}

impl ManagementKey {
    /// Shows the card that it is known, and has the card show the same (SP 800-73-4 part 2, section 3.2.4 and appendix A).
    pub(super) fn authenticate(&self, session: &mut Session<'_>, card: &Card) -> Result<(), Failure> {
        if let Some(attendant) = &self.told {
            attendant.touch(&card.name());
        }
        match self.algorithm {
            ManagementAlgorithm::Tdes => self.authenticate_by::<TdesEde3>(session),
            ManagementAlgorithm::Aes128 => self.authenticate_by::<Aes128>(session),
            ManagementAlgorithm::Aes192 => self.authenticate_by::<Aes192>(session),
            ManagementAlgorithm::Aes256 => self.authenticate_by::<Aes256>(session),
        }
    }

    fn authenticate_by<C>(&self, session: &mut Session<'_>) -> Result<(), Failure>
    where
        C: KeyInit + BlockSizeUser + BlockCipherEncrypt + BlockCipherDecrypt,
    {
        let cipher = C::new_from_slice(self.key.expose())
            .map_err(|_| Failure::from(TokenError::ManagementKeyIncorrect))?;
        let witness = self.step(session, &tlv::element(WITNESS, &[]), WITNESS)?;
        let mut witness = block::<C>(&witness)?;
        cipher.decrypt_block(&mut witness);
        let mut challenge = Block::<C>::default();
        claviger_types::OsEntropy.fill(&mut challenge)?;
        let answer = [tlv::element(WITNESS, &witness), tlv::element(CHALLENGE, &challenge)].concat();
        let begin = Instant::now();
        let response = match self.step(session, &answer, RESPONSE) {
            // One answer for a key that is wrong and a touch that did not come; for the latter it waited.
            Err(Failure::Refused { status: Status::SECURITY, .. })
                if self.told.is_some() && begin.elapsed() > AT_ONCE =>
            {
                return Err(TokenError::TouchTimeout.into());
            }
            // The witness was read with another key; which of these it is depends on the firmware.
            Err(Failure::Refused { status: Status::SECURITY | Status::BLOCKED | Status::FAILED, .. }) => {
                return Err(TokenError::ManagementKeyIncorrect.into());
            }
            response => response?,
        };
        cipher.encrypt_block(&mut challenge);
        if response.ct_eq(&challenge[..]).into() {
            Ok(())
        } else {
            // It took our word and has another key: no card does that.
            Err(TokenError::ManagementKeyIncorrect.into())
        }
    }

    fn step(
        &self,
        session: &mut Session<'_>,
        what: &[u8],
        wanted: u16,
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let data = tlv::element(DYNAMIC_AUTHENTICATION, what);
        let p1 = self.algorithm.byte();
        let command = Command { name: AUTHENTICATE, ins: 0x87, p1, p2: MANAGEMENT, data: &data };
        let answer = session.ask(&command)?;
        let value = tlv::only(&answer, DYNAMIC_AUTHENTICATION).and_then(|answer| tlv::only(answer, wanted));
        Ok(Zeroizing::new(value.ok_or(Failure::Nonsense { command: AUTHENTICATE })?.to_vec()))
    }
}

fn block<C: BlockSizeUser>(bytes: &[u8]) -> Result<Block<C>, Failure> {
    Block::<C>::try_from(bytes).map_err(|_| Failure::Nonsense { command: AUTHENTICATE })
}

#[cfg(test)]
mod tests;
