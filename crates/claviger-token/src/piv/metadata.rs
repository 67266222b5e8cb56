//! What a YubiKey tells of a key or a PIN (GET METADATA, since firmware 5.3).

use super::{
    policy::{PinPolicy, TouchPolicy},
    session, tlv,
};
use claviger_types::EcPoint;

const ALGORITHM: u16 = 1;
const POLICY: u16 = 2;
const ORIGIN: u16 = 3;
const PUBLIC_KEY: u16 = 4;
const IS_DEFAULT: u16 = 5;
const TRIES: u16 = 6;
const EC_POINT: u16 = 0x86;
const P256: u8 = 0x11;

/// What is in a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SlotMetadata {
    pub(super) pin: Option<PinPolicy>,
    pub(super) touch: Option<TouchPolicy>,
    /// Whether it was made there; otherwise somebody brought it, and may have it elsewhere, too.
    pub(super) made_there: bool,
    /// The public half, where it is one on P-256.
    pub(super) point: Option<EcPoint>,
}

impl SlotMetadata {
    pub(super) fn parse(data: &[u8]) -> Option<Self> {
        let algorithm = tlv::find(data, ALGORITHM)?;
        let (pin, touch) = match tlv::find(data, POLICY)? {
            [pin, touch] => (PinPolicy::from_byte(*pin), TouchPolicy::from_byte(*touch)),
            _ => return None,
        };
        let point = match algorithm {
            [P256] => Some(tlv::only(tlv::find(data, PUBLIC_KEY)?, EC_POINT).and_then(session::point)?),
            _ => None,
        };
        Some(Self { pin, touch, made_there: tlv::find(data, ORIGIN)? == [1], point })
    }
}

/// What is known of the PIN, the PUK or the management key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PinMetadata {
    pub(super) algorithm: u8,
    /// Whether it is still its maker's.
    pub(super) is_default: bool,
    /// Whether it wants a touch.
    pub(super) touch: bool,
    /// How many tries there are in all and are left; a management key has none.
    pub(super) tries: Option<(u8, u8)>,
}

impl PinMetadata {
    pub(super) fn parse(data: &[u8]) -> Option<Self> {
        let [algorithm] = tlv::find(data, ALGORITHM)? else { return None };
        let [is_default] = tlv::find(data, IS_DEFAULT)? else { return None };
        let tries = match tlv::find(data, TRIES) {
            Some([all, left]) => Some((*all, *left)),
            None => None,
            Some(_) => return None,
        };
        let touch = matches!(tlv::find(data, POLICY), Some([_, touch]) if *touch > 1);
        Some(Self { algorithm: *algorithm, is_default: *is_default == 1, touch, tries })
    }
}
