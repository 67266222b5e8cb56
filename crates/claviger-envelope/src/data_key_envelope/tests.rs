//! AES-GCM does not commit to its key: one ciphertext and tag can be made that open under two keys, to different
//! plaintexts. Whoever makes a data-key envelope could so give one recipient another data key than the next.

use super::*;
use crate::{cipher::TAG_BYTES, cose::EncStructure};
use aes_gcm::aes::{
    Aes256,
    cipher::{BlockCipherEncrypt as _, KeyInit as _},
};
use claviger_types::{SeededEntropy, ServiceId, VaultId};

const PLACE: DataKeyContext =
    DataKeyContext { vault: VaultId::from_bytes([1; 16]), service: ServiceId::from_bytes([2; 16]), n: 1 };

/// The block of the ciphertext that the attack chooses: all of it lies in the data key's own bytes.
const FREE_BLOCK: usize = 3;

#[test]
fn a_message_that_opens_differently_for_two_recipients_opens_for_neither() {
    let entropy = SeededEntropy::new(1);
    let victim = DataKey::generate(ContentAlg::A256Gcm, &entropy).unwrap();
    let mut sealer = DataKeySealer::begin(&victim, PLACE, &entropy).unwrap();
    let [first, second] =
        [Key256::from_slice(sealer.cek().expose()).unwrap(), Key256::random(&entropy).unwrap()];
    for recipient in 1..=2 {
        let wrapped = WrappedCek {
            recipient: RecipientId::from_bytes([recipient; 16]),
            scheme: Scheme::A256Kw,
            iv: None,
            ephemeral: None,
            ciphertext: vec![0; 40],
        };
        sealer.add(wrapped).unwrap();
    }
    let mut bytes = sealer.finish().unwrap();
    collide(&mut bytes, [&first, &second]);

    // To COSE it is a good message, and means two things.
    let message = Encrypt::parse(&bytes, 2).unwrap();
    let [plaintext, other] = [&first, &second]
        .map(|cek| message.open(&Cipher::new(ContentAlg::A256Gcm, cek), &PLACE.to_cbor()).unwrap());
    assert!(!plaintext.same_as(&other));
    // For the first recipient all is as it should be but the key itself: nothing except its id can tell.
    let honest = CoseKey(&victim).to_cbor();
    assert!(plaintext.expose().starts_with(&honest[..16 * FREE_BLOCK]));
    assert_ne!(plaintext.expose(), honest);

    let envelope = DataKeyEnvelope::parse(&bytes).unwrap();
    for cek in [first, second] {
        assert_eq!(envelope.open(&cek, PLACE, &victim.kid()).unwrap_err(), EnvelopeError::Unopened);
    }
}

/// Changes one block of the ciphertext, and the tag, so that both keys accept them.
fn collide(bytes: &mut [u8], ceks: [&Key256; 2]) {
    let message = Encrypt::parse(bytes, 2).unwrap();
    let iv = message.body.iv().unwrap();
    let protected = message.body.headers.protected_bytes;
    let aad =
        EncStructure { context: crate::cose::Context::Encrypt, protected, external_aad: &PLACE.to_cbor() }
            .to_cbor();
    let sealed = message.body.ciphertext;
    let at = bytes.windows(sealed.len()).position(|window| window == sealed).unwrap();
    let mut ciphertext = sealed[..sealed.len() - TAG_BYTES].to_vec();
    let free = 16 * FREE_BLOCK..16 * (FREE_BLOCK + 1);
    ciphertext[free.clone()].fill(0);

    // With the free block zero each key has a tag of its own; the block adds to it its product with a power of H.
    let blocks_after = ciphertext.len().div_ceil(16) - FREE_BLOCK;
    let sides = ceks.map(|cek| {
        let block = Block::of(cek);
        let hash_key = block.encrypt(0);
        let power = (0..blocks_after).fold(hash_key, |power, _| multiply(power, hash_key));
        (tag(&block, hash_key, &iv, &aad, &ciphertext), power, block)
    });
    let [(tag_1, power_1, _), (tag_2, power_2, _)] = &sides;
    let chosen = multiply(tag_1 ^ tag_2, invert(power_1 ^ power_2));
    ciphertext[free].copy_from_slice(&chosen.to_be_bytes());
    let tags = sides.each_ref().map(|(_, _, block)| tag(block, block.encrypt(0), &iv, &aad, &ciphertext));
    assert_eq!(tags[0], tags[1]);
    ciphertext.extend(tags[0].to_be_bytes());
    bytes[at..at + ciphertext.len()].copy_from_slice(&ciphertext);
}

struct Block(Aes256);

impl Block {
    fn of(key: &Key256) -> Self {
        Self(Aes256::new(key.expose().into()))
    }

    fn encrypt(&self, block: u128) -> u128 {
        let mut block = block.to_be_bytes().into();
        self.0.encrypt_block(&mut block);
        u128::from_be_bytes(block.into())
    }
}

/// The tag of AES-GCM (NIST SP 800-38D sections 6.4, 7.1).
fn tag(block: &Block, hash_key: u128, iv: &[u8; 12], aad: &[u8], ciphertext: &[u8]) -> u128 {
    let padded = |bytes: &[u8]| {
        bytes
            .chunks(16)
            .map(|chunk| {
                let mut block = [0; 16];
                block[..chunk.len()].copy_from_slice(chunk);
                u128::from_be_bytes(block)
            })
            .collect::<Vec<_>>()
    };
    let lengths = (aad.len() as u128 * 8) << 64 | (ciphertext.len() as u128 * 8);
    let blocks = padded(aad).into_iter().chain(padded(ciphertext)).chain([lengths]);
    let hash = blocks.fold(0, |hash, block| multiply(hash ^ block, hash_key));
    let mut counter = [0, 0, 0, 1].repeat(4);
    counter[..12].copy_from_slice(iv);
    hash ^ block.encrypt(u128::from_be_bytes(counter.try_into().unwrap()))
}

/// Multiplication in the field of GHASH (NIST SP 800-38D section 6.3).
fn multiply(x: u128, y: u128) -> u128 {
    let mut product = 0;
    let mut shifted = y;
    for bit in (0..128).rev() {
        if x >> bit & 1 == 1 {
            product ^= shifted;
        }
        let carry = shifted & 1;
        shifted >>= 1;
        shifted ^= carry * (0xe1 << 120);
    }
    product
}

/// The inverse: to the power 2^128 - 2.
fn invert(x: u128) -> u128 {
    let one = 1 << 127;
    let (mut inverse, mut square) = (one, x);
    for _ in 1..128 {
        square = multiply(square, square);
        inverse = multiply(inverse, square);
    }
    inverse
}
