//! The `yubikey` crate as a client of a card, for comparison with the product's own driver.
//!
//! `claviger-yubikey-client SERIAL SLOT`, with the PIN of a test's card in `CLAVIGER_FIXTURE_PIN`, prints a line for each of what it
//! finds: `firmware`, `pin`, `touch`, `origin`, `subject`, `point`, and `agrees` with whether the card finds the shared secret that
//! it should.

use p256::{
    PublicKey, SecretKey,
    ecdh::diffie_hellman,
    elliptic_curve::sec1::{FromEncodedPoint as _, ToEncodedPoint as _},
};
use std::error::Error;
use yubikey::{
    Certificate, Serial,
    piv::{AlgorithmId, SlotId, decrypt_data, metadata},
    reader::Context,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let serial: u32 = arguments.next().ok_or("which card?")?.parse()?;
    let slot = u8::from_str_radix(&arguments.next().ok_or("which slot?")?, 16)?;
    let slot = SlotId::try_from(slot)?;
    let mut readers = Context::open()?;
    let found = readers.iter()?.filter_map(|reader| reader.open().ok());
    let mut card =
        found.into_iter().find(|card| card.serial() == Serial::from(serial)).ok_or("no such card")?;
    println!("firmware {}", card.version());
    let key = metadata(&mut card, slot)?;
    let (pin, touch) = key.policy.ok_or("no policies")?;
    println!("pin {pin:?}\ntouch {touch:?}\norigin {:?}", key.origin.ok_or("no origin")?);
    println!("subject {}", Certificate::read(&mut card, slot)?.subject());

    let point = key.public.ok_or("no public half")?;
    let point = p256::EncodedPoint::from_bytes(point.subject_public_key.raw_bytes())?;
    println!("point {}", point.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let theirs = Option::<PublicKey>::from(PublicKey::from_encoded_point(&point)).ok_or("no point")?;
    let ours = SecretKey::random(&mut rand_core::OsRng);
    let expected = diffie_hellman(ours.to_nonzero_scalar(), theirs.as_affine());
    card.verify_pin(std::env::var("CLAVIGER_FIXTURE_PIN")?.as_bytes())?;
    let sent = ours.public_key().to_encoded_point(false);
    let secret = decrypt_data(&mut card, sent.as_bytes(), AlgorithmId::EccP256, slot)?;
    println!("agrees {}", secret[..] == expected.raw_secret_bytes()[..]);
    Ok(())
}
