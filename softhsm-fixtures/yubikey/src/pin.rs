//! PIN and PUK, and how often one may try.

use crate::apdu::{Answer, Apdu, Sw, tlv};

type Value = [u8; 8];

const PIN: Value = *b"123456\xff\xff";
const PUK: Value = *b"12345678";
const RETRIES: u8 = 3;
/// The shortest PIN, and what fills it up.
const SHORTEST: usize = 6;
const FILLER: u8 = 0xff;

#[derive(Debug)]
struct Secret {
    value: Value,
    factory: Value,
    retries: u8,
    left: u8,
}

impl Secret {
    fn new(factory: Value, retries: u8) -> Self {
        Self { value: factory, factory, retries, left: retries }
    }

    fn check(&mut self, value: &[u8]) -> Result<(), Sw> {
        if self.left == 0 {
            return Err(Sw::BLOCKED);
        }
        if value != self.value {
            self.left -= 1;
            return Err(Sw::tries(self.left));
        }
        self.left = self.retries;
        Ok(())
    }

    fn set(&mut self, value: Value) {
        self.value = value;
        self.left = self.retries;
    }

    fn metadata(&self) -> Vec<u8> {
        let default = u8::from(self.value == self.factory);
        [tlv(&[1], &[0xff]), tlv(&[5], &[default]), tlv(&[6], &[self.retries, self.left])].concat()
    }
}

/// Both, and whether the PIN was given.
#[derive(Debug)]
pub(crate) struct Pins {
    pin: Secret,
    puk: Secret,
    verified: bool,
    just_verified: bool,
}

impl Default for Pins {
    fn default() -> Self {
        Self::with_retries(RETRIES, RETRIES)
    }
}

impl Pins {
    /// As they come from the factory, with so many tries.
    pub(crate) fn with_retries(pin: u8, puk: u8) -> Self {
        Self { pin: Secret::new(PIN, pin), puk: Secret::new(PUK, puk), verified: false, just_verified: false }
    }

    pub(crate) fn forget(&mut self) {
        self.verified = false;
        self.just_verified = false;
    }

    pub(crate) fn is_verified(&self) -> bool {
        self.verified
    }

    /// Whether the command before was a PIN that was right.
    pub(crate) fn take_just_verified(&mut self) -> bool {
        std::mem::take(&mut self.just_verified)
    }

    pub(crate) fn are_blocked(&self) -> bool {
        self.pin.left == 0 && self.puk.left == 0
    }

    pub(crate) fn verify(&mut self, apdu: &Apdu) -> Answer {
        match (apdu.p1, apdu.data.len()) {
            (0xff, 0) => self.forget(),
            (0, 0) if self.verified => {}
            (0, 0) if self.pin.left == 0 => return Err(Sw::BLOCKED),
            (0, 0) => return Err(Sw::tries(self.pin.left)),
            (0, 8) => {
                self.forget();
                self.pin.check(&apdu.data)?;
                (self.verified, self.just_verified) = (true, true);
            }
            (0 | 0xff, _) => return Err(Sw::WRONG_DATA),
            _ => return Err(Sw::WRONG_P1P2),
        }
        Ok(Vec::new())
    }

    /// With the old one, a new one.
    pub(crate) fn change(&mut self, reference: u8, data: &[u8]) -> Answer {
        let (old, new) = two(data)?;
        let secret = match reference {
            0x80 => &mut self.pin,
            0x81 => &mut self.puk,
            _ => return Err(Sw::WRONG_P1P2),
        };
        let outcome = secret.check(&old);
        if reference == 0x80 && outcome.is_err() {
            self.verified = false;
        }
        outcome?;
        well_formed(new)?;
        let secret = if reference == 0x80 { &mut self.pin } else { &mut self.puk };
        secret.set(new);
        Ok(Vec::new())
    }

    /// With the PUK, a new PIN.
    pub(crate) fn unblock(&mut self, data: &[u8]) -> Answer {
        let (puk, new) = two(data)?;
        self.puk.check(&puk)?;
        well_formed(new)?;
        self.pin.set(new);
        Ok(Vec::new())
    }

    pub(crate) fn pin_metadata(&self) -> Vec<u8> {
        self.pin.metadata()
    }

    pub(crate) fn puk_metadata(&self) -> Vec<u8> {
        self.puk.metadata()
    }
}

fn two(data: &[u8]) -> Result<(Value, Value), Sw> {
    let (first, second) = data.split_at_checked(8).ok_or(Sw::WRONG_DATA)?;
    let second = second.try_into().map_err(|_| Sw::WRONG_DATA)?;
    Ok((first.try_into().map_err(|_| Sw::WRONG_DATA)?, second))
}

fn well_formed(value: Value) -> Result<(), Sw> {
    let length = value.iter().position(|byte| *byte == FILLER).unwrap_or(value.len());
    let filled = value[length..].iter().all(|byte| *byte == FILLER);
    if length < SHORTEST || !filled { Err(Sw::WRONG_DATA) } else { Ok(()) }
}
