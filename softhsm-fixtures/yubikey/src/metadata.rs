//! What the card tells of its keys and secrets, from firmware 5.3.

use crate::{
    apdu::{Answer, Sw, tlv},
    piv::Piv,
    slots::is_slot,
};

const GENERATED: u8 = 1;
const IMPORTED: u8 = 2;
const RSA2048: u8 = 0x07;

impl Piv<'_> {
    pub(crate) fn metadata(&self, reference: u8) -> Answer {
        match reference {
            0x80 => Ok(self.pins.pin_metadata()),
            0x81 => Ok(self.pins.puk_metadata()),
            0x9b => Ok(self.management.metadata()),
            0xf9 => {
                let attestation = self.attestation.as_ref().ok_or(Sw::NO_REFERENCE)?;
                let (modulus, exponent) = attestation.public_key();
                let key = [tlv(&[0x81], &modulus), tlv(&[0x82], &exponent)].concat();
                Ok([tlv(&[1], &[RSA2048]), tlv(&[2], &[1, 1]), tlv(&[3], &[GENERATED]), tlv(&[4], &key)]
                    .concat())
            }
            slot if is_slot(slot) => {
                let key = self.slots.key(slot).ok_or(Sw::NO_REFERENCE)?;
                let origin = if key.is_imported() { IMPORTED } else { GENERATED };
                Ok([
                    tlv(&[1], &[key.algorithm]),
                    tlv(&[2], &[key.pin as u8, key.touch as u8]),
                    tlv(&[3], &[origin]),
                    tlv(&[4], &tlv(&[0x86], &key.point)),
                ]
                .concat())
            }
            _ => Err(Sw::NO_REFERENCE),
        }
    }
}
