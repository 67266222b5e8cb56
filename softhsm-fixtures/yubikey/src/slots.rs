//! Keys in their slots: made, imported, used, moved and deleted, each with what it asks for.

use crate::{
    apdu::{Answer, Sw, field, tlv},
    piv::Piv,
    world::World,
};
use p256::{
    PublicKey, SecretKey,
    ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner as _},
    elliptic_curve::sec1::ToEncodedPoint as _,
};
use std::collections::BTreeMap;

const P256: u8 = 0x11;
const P384: u8 = 0x14;
/// The card inside has as many keys as there are slots.
const SLOTS: [u8; 24] = [
    0x9a, 0x9c, 0x9d, 0x9e, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8e,
    0x8f, 0x90, 0x91, 0x92, 0x93, 0x94, 0x95,
];

/// Whether a key can be there.
pub(crate) fn is_slot(slot: u8) -> bool {
    SLOTS.contains(&slot)
}

/// When a slot wants the PIN, by YubiKey's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PinPolicy {
    Never = 1,
    Once = 2,
    Always = 3,
}

/// When a slot wants a touch, by YubiKey's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TouchPolicy {
    Never = 1,
    Always = 2,
    Cached = 3,
}

#[derive(Debug)]
enum Secret {
    /// In the card inside, at this place.
    Inner(u8),
    /// Imported, which the card inside cannot do.
    Imported(Box<SecretKey>),
}

/// One key.
#[derive(Debug)]
pub(crate) struct Key {
    secret: Secret,
    pub(crate) algorithm: u8,
    pub(crate) pin: PinPolicy,
    pub(crate) touch: TouchPolicy,
    /// The public key's point, uncompressed.
    pub(crate) point: Vec<u8>,
}

impl Key {
    pub(crate) fn is_imported(&self) -> bool {
        matches!(self.secret, Secret::Imported(_))
    }
}

/// All keys.
#[derive(Debug, Default)]
pub(crate) struct Slots(BTreeMap<u8, Key>);

impl Slots {
    pub(crate) fn key(&self, slot: u8) -> Option<&Key> {
        self.0.get(&slot)
    }

    /// The key in this slot, if it was made here.
    pub(crate) fn generated(&self, slot: u8) -> Option<&Key> {
        self.key(slot).filter(|key| !key.is_imported())
    }

    /// A place inside that no key of another slot has, if possible the one of the same name.
    fn place(&self, slot: u8) -> Option<u8> {
        let taken = |place: u8| {
            self.0
                .iter()
                .any(|(other, key)| *other != slot && matches!(key.secret, Secret::Inner(at) if at == place))
        };
        [slot].into_iter().chain(SLOTS).find(|place| !taken(*place))
    }
}

impl Piv<'_> {
    pub(crate) fn generate(&mut self, slot: u8, data: &[u8]) -> Answer {
        if !self.management.is_authenticated() {
            return Err(Sw::SECURITY_STATUS);
        }
        if !is_slot(slot) {
            return Err(Sw::WRONG_P1P2);
        }
        let wanted = field(data, 0xac).ok_or(Sw::WRONG_DATA)?;
        let Some(&[algorithm @ (P256 | P384)]) = field(wanted, 0x80) else { return Err(Sw::WRONG_DATA) };
        let (pin, touch) = policies(slot, wanted)?;
        let place = self.slots.place(slot).ok_or(Sw::WRONG_DATA)?;
        let answer = self.inner.generate(place, algorithm)?;
        let point = answer.get(3..).and_then(|template| field(template, 0x86)).ok_or(Sw::CONDITIONS)?;
        let key = Key { secret: Secret::Inner(place), algorithm, pin, touch, point: point.to_vec() };
        self.slots.0.insert(slot, key);
        Ok(answer)
    }

    pub(crate) fn import(&mut self, algorithm: u8, slot: u8, data: &[u8]) -> Answer {
        if !self.management.is_authenticated() {
            return Err(Sw::SECURITY_STATUS);
        }
        if !is_slot(slot) {
            return Err(Sw::WRONG_P1P2);
        }
        if algorithm != P256 {
            return Err(Sw::WRONG_DATA);
        }
        let scalar = field(data, 0x06).ok_or(Sw::WRONG_DATA)?;
        let secret = SecretKey::from_slice(scalar).map_err(|_| Sw::WRONG_DATA)?;
        let (pin, touch) = policies(slot, data)?;
        let point = secret.public_key().to_encoded_point(false).as_bytes().to_vec();
        let key = Key { secret: Secret::Imported(Box::new(secret)), algorithm, pin, touch, point };
        self.slots.0.insert(slot, key);
        Ok(Vec::new())
    }

    pub(crate) fn authenticate(
        &mut self,
        algorithm: u8,
        slot: u8,
        data: &[u8],
        just_verified: bool,
        world: &World,
    ) -> Answer {
        if !is_slot(slot) {
            return Err(Sw::WRONG_P1P2);
        }
        let key = self.slots.key(slot).filter(|key| key.algorithm == algorithm).ok_or(Sw::WRONG_DATA)?;
        let (pin, touch) = (key.pin, key.touch);
        let verified = match pin {
            PinPolicy::Never => true,
            PinPolicy::Once => self.pins.is_verified(),
            PinPolicy::Always => self.pins.is_verified() && just_verified,
        };
        if !verified {
            return Err(Sw::SECURITY_STATUS);
        }
        match touch {
            TouchPolicy::Never => {}
            TouchPolicy::Always => self.touch(false, world)?,
            TouchPolicy::Cached => self.touch(true, world)?,
        }
        match &self.slots.key(slot).ok_or(Sw::WRONG_DATA)?.secret {
            Secret::Inner(place) => {
                self.inner.authenticate(algorithm, *place, data).map_err(|_| Sw::WRONG_DATA)
            }
            Secret::Imported(secret) => compute(secret, data),
        }
    }

    /// A key goes to an empty slot, or away when that is FF.
    pub(crate) fn move_key(&mut self, to: u8, from: u8) -> Answer {
        if !self.management.is_authenticated() {
            return Err(Sw::SECURITY_STATUS);
        }
        if !is_slot(from) || (to != 0xff && !is_slot(to)) || to == from {
            return Err(Sw::WRONG_P1P2);
        }
        let key = self.slots.0.remove(&from).ok_or(Sw::NO_REFERENCE)?;
        if to == 0xff {
            return Ok(Vec::new());
        }
        if self.slots.key(to).is_some() {
            self.slots.0.insert(from, key);
            return Err(Sw::CONDITIONS);
        }
        self.slots.0.insert(to, key);
        Ok(Vec::new())
    }
}

/// What the caller asked for, or the slot's own.
fn policies(slot: u8, data: &[u8]) -> Result<(PinPolicy, TouchPolicy), Sw> {
    let pin = match field(data, 0xaa) {
        None | Some([0]) => match slot {
            0x9c => PinPolicy::Always,
            0x9e => PinPolicy::Never,
            _ => PinPolicy::Once,
        },
        Some([1]) => PinPolicy::Never,
        Some([2]) => PinPolicy::Once,
        Some([3]) => PinPolicy::Always,
        Some(_) => return Err(Sw::WRONG_DATA),
    };
    let touch = match field(data, 0xab) {
        None | Some([0 | 1]) => TouchPolicy::Never,
        Some([2]) => TouchPolicy::Always,
        Some([3]) => TouchPolicy::Cached,
        Some(_) => return Err(Sw::WRONG_DATA),
    };
    Ok((pin, touch))
}

/// ECDH or ECDSA.
fn compute(secret: &SecretKey, data: &[u8]) -> Answer {
    let template = field(data, 0x7c).ok_or(Sw::WRONG_DATA)?;
    let result = match (field(template, 0x81), field(template, 0x85)) {
        (Some(digest), None) => {
            let signature: Signature =
                SigningKey::from(secret).sign_prehash(digest).map_err(|_| Sw::WRONG_DATA)?;
            signature.to_der().as_bytes().to_vec()
        }
        (None, Some(point)) => {
            let point = PublicKey::from_sec1_bytes(point).map_err(|_| Sw::WRONG_DATA)?;
            p256::ecdh::diffie_hellman(secret.to_nonzero_scalar(), point.as_affine())
                .raw_secret_bytes()
                .to_vec()
        }
        _ => return Err(Sw::WRONG_DATA),
    };
    Ok(tlv(&[0x7c], &tlv(&[0x82], &result)))
}
