//! The management key, which allows to make keys and to write objects.

use crate::{
    apdu::{Answer, Sw, fields, tlv},
    piv::Piv,
    world::World,
};
use aes::{Aes128, Aes192, Aes256};
use des::{
    TdesEde3,
    cipher::{BlockDecrypt as _, BlockEncrypt as _, KeyInit as _},
};

const DEFAULT: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
const REFERENCE: u8 = 0x9b;

/// Its cipher, by YubiKey's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cipher {
    Tdes = 0x03,
    Aes128 = 0x08,
    Aes192 = 0x0a,
    Aes256 = 0x0c,
}

impl Cipher {
    /// All, with the names that the command line knows.
    pub(crate) const ALL: [(&'static str, Self); 4] =
        [("3des", Self::Tdes), ("aes128", Self::Aes128), ("aes192", Self::Aes192), ("aes256", Self::Aes256)];

    fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().map(|(_, cipher)| cipher).find(|cipher| *cipher as u8 == number)
    }

    const fn key_length(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Tdes | Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }

    const fn block_length(self) -> usize {
        if matches!(self, Self::Tdes) { 8 } else { 16 }
    }
}

/// A key with its cipher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManagementKey {
    cipher: Cipher,
    key: Vec<u8>,
}

impl ManagementKey {
    /// As every YubiKey comes from the factory.
    pub(crate) fn factory(cipher: Cipher) -> Self {
        Self { cipher, key: DEFAULT.into_iter().cycle().take(cipher.key_length()).collect() }
    }

    fn encrypt(&self, block: &[u8]) -> Vec<u8> {
        self.crypt(block, true)
    }

    fn decrypt(&self, block: &[u8]) -> Vec<u8> {
        self.crypt(block, false)
    }

    /// One block; the caller has seen to its length.
    fn crypt(&self, block: &[u8], encrypt: bool) -> Vec<u8> {
        let mut out = block.to_vec();
        macro_rules! with {
            ($cipher:ty) => {{
                let cipher = <$cipher>::new(self.key.as_slice().into());
                let block = out.as_mut_slice().into();
                if encrypt { cipher.encrypt_block(block) } else { cipher.decrypt_block(block) }
            }};
        }
        match self.cipher {
            Cipher::Tdes => with!(TdesEde3),
            Cipher::Aes128 => with!(Aes128),
            Cipher::Aes192 => with!(Aes192),
            Cipher::Aes256 => with!(Aes256),
        }
        out
    }
}

#[derive(Debug)]
enum Pending {
    /// What the caller has to find in what it was given encrypted.
    Witness(Vec<u8>),
    /// What the caller has to give encrypted.
    Challenge(Vec<u8>),
}

/// The key, and whether the caller has shown to know it.
#[derive(Debug)]
pub(crate) struct Management {
    key: ManagementKey,
    touch: bool,
    pending: Option<Pending>,
    authenticated: bool,
}

impl Management {
    pub(crate) fn new(key: ManagementKey) -> Self {
        Self { key, touch: false, pending: None, authenticated: false }
    }

    pub(crate) fn forget(&mut self) {
        self.pending = None;
        self.authenticated = false;
    }

    pub(crate) fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    pub(crate) fn metadata(&self) -> Vec<u8> {
        let default = u8::from(self.key == ManagementKey::factory(self.key.cipher));
        let touch = if self.touch { 2 } else { 1 };
        [tlv(&[1], &[self.key.cipher as u8]), tlv(&[2], &[0, touch]), tlv(&[5], &[default])].concat()
    }

    /// Another key; before firmware 5.4.2 only for 3DES.
    pub(crate) fn set(&mut self, touch: u8, data: &[u8], any: bool) -> Answer {
        if !self.authenticated {
            return Err(Sw::SECURITY_STATUS);
        }
        let touch = match touch {
            0xff => false,
            0xfe => true,
            _ => return Err(Sw::WRONG_P1P2),
        };
        let [cipher, REFERENCE, length, key @ ..] = data else { return Err(Sw::WRONG_DATA) };
        let cipher = Cipher::of(*cipher).filter(|cipher| any || *cipher == Cipher::Tdes);
        let cipher = cipher.ok_or(Sw::WRONG_DATA)?;
        if usize::from(*length) != key.len() || key.len() != cipher.key_length() {
            return Err(Sw::WRONG_DATA);
        }
        self.key = ManagementKey { cipher, key: key.to_vec() };
        self.touch = touch;
        Ok(Vec::new())
    }
}

impl Piv<'_> {
    /// Authentication of the caller, or of both: by a witness that it decrypts, or a challenge that it encrypts.
    pub(crate) fn authenticate_management(&mut self, cipher: u8, data: &[u8], world: &World) -> Answer {
        let key = &self.management.key;
        if cipher != key.cipher as u8 && !(cipher == 0 && key.cipher == Cipher::Tdes) {
            return Err(Sw::WRONG_DATA);
        }
        let length = key.cipher.block_length();
        let template = crate::apdu::field(data, 0x7c).and_then(fields).ok_or(Sw::WRONG_DATA)?;
        let pending = self.management.pending.take();
        let part = |tag: u8| template.iter().find_map(|(found, value)| (*found == tag).then_some(*value));
        let answer = |tag: u8, value: &[u8]| Ok(tlv(&[0x7c], &tlv(&[tag], value)));
        match (part(0x80), part(0x81), part(0x82)) {
            (Some([]), None, None) => {
                let witness = random(length);
                let encrypted = key.encrypt(&witness);
                self.management.pending = Some(Pending::Witness(witness));
                answer(0x80, &encrypted)
            }
            (Some(witness), Some(challenge), _) => {
                let Some(Pending::Witness(wanted)) = pending else { return Err(Sw::CONDITIONS) };
                if challenge.len() != length {
                    return Err(Sw::WRONG_DATA);
                }
                if wanted != witness {
                    return Err(Sw::SECURITY_STATUS);
                }
                let encrypted = key.encrypt(challenge);
                self.authenticated_management(world)?;
                answer(0x82, &encrypted)
            }
            (None, Some([]), _) => {
                let challenge = random(length);
                self.management.pending = Some(Pending::Challenge(challenge.clone()));
                answer(0x81, &challenge)
            }
            (None, None, Some(response)) => {
                let Some(Pending::Challenge(challenge)) = pending else { return Err(Sw::CONDITIONS) };
                if response.len() != length || key.decrypt(response) != challenge {
                    return Err(Sw::SECURITY_STATUS);
                }
                self.authenticated_management(world)?;
                Ok(Vec::new())
            }
            _ => Err(Sw::WRONG_DATA),
        }
    }

    fn authenticated_management(&mut self, world: &World) -> Result<(), Sw> {
        if self.management.touch {
            self.touch(false, world)?;
        }
        self.management.authenticated = true;
        Ok(())
    }
}

fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    getrandom::getrandom(&mut bytes).unwrap_or_else(|error| panic!("no randomness: {error}"));
    bytes
}
