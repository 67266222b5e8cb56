//! A YubiKey's PIV application: which commands it has, and what may be done when.

use crate::{
    apdu::{Answer, Apdu, Sw, field, tlv},
    attestation::Attestation,
    card::Identity,
    inner::Inner,
    management::Management,
    pin::Pins,
    slots::{Slots, is_slot},
    world::World,
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How long a touch serves a slot that remembers it.
const CACHED: Duration = Duration::from_secs(15);
/// The most that an object may hold.
const OBJECT: usize = 3052;
/// Objects that are shown only after the PIN: printed information, fingerprints, face, iris.
const PIN_OBJECTS: [&[u8]; 4] =
    [&[0x5f, 0xc1, 0x09], &[0x5f, 0xc1, 0x03], &[0x5f, 0xc1, 0x08], &[0x5f, 0xc1, 0x21]];
const DISCOVERY: [u8; 20] = [
    0x7e, 0x12, 0x4f, 0x0b, 0xa0, 0x00, 0x00, 0x03, 0x08, 0x00, 0x00, 0x10, 0x00, 0x01, 0x00, 0x5f, 0x2f,
    0x02, 0x40, 0x00,
];
/// The certificate of the key that attests.
pub(crate) const ATTESTATION_OBJECT: [u8; 3] = [0x5f, 0xff, 0x01];

/// The application, and what it keeps.
pub(crate) struct Piv<'a> {
    pub(crate) identity: Identity,
    pub(crate) inner: Inner<'a>,
    pub(crate) attestation: Option<Attestation>,
    pub(crate) pins: Pins,
    pub(crate) management: Management,
    pub(crate) slots: Slots,
    objects: BTreeMap<Vec<u8>, Vec<u8>>,
    last_touch: Option<Instant>,
}

impl<'a> Piv<'a> {
    pub(crate) fn new(identity: Identity, inner: Inner<'a>, attestation: Option<Attestation>) -> Self {
        let management = Management::new(identity.management.clone());
        let mut piv = Self {
            identity,
            inner,
            attestation,
            pins: Pins::default(),
            management,
            slots: Slots::default(),
            objects: BTreeMap::new(),
            last_touch: None,
        };
        piv.make_objects();
        piv
    }

    /// Forgets PIN and management key; not the touch, which one gives to the device.
    pub(crate) fn deselect(&mut self) {
        self.pins.forget();
        self.management.forget();
    }

    /// Forgets all that needs power.
    pub(crate) fn unplug(&mut self) {
        self.deselect();
        self.last_touch = None;
    }

    pub(crate) fn has(&self, major: u8, minor: u8, patch: u8) -> bool {
        self.identity.firmware >= [major, minor, patch]
    }

    pub(crate) fn dispatch(&mut self, apdu: &Apdu, world: &World) -> Answer {
        // A slot may want the PIN at once before it is used, and not earlier.
        let just_verified = self.pins.take_just_verified();
        match (apdu.ins, apdu.p1, apdu.p2) {
            (0x20, _, 0x80) => self.pins.verify(apdu),
            (0x24, 0, _) => self.pins.change(apdu.p2, &apdu.data),
            (0x2c, 0, 0x80) => self.pins.unblock(&apdu.data),
            (0x47, 0, slot) => self.generate(slot, &apdu.data),
            (0x87, algorithm, 0x9b) => self.authenticate_management(algorithm, &apdu.data, world),
            (0x87, algorithm, slot) => self.authenticate(algorithm, slot, &apdu.data, just_verified, world),
            (0xcb, 0x3f, 0xff) => self.get_object(&apdu.data),
            (0xdb, 0x3f, 0xff) => self.put_object(&apdu.data),
            (0xf6, to, from) if self.has(5, 7, 0) => self.move_key(to, from),
            (0xf7, 0, reference) if self.has(5, 3, 0) => self.metadata(reference),
            (0xf8, ..) => Ok(self.identity.serial.to_be_bytes().to_vec()),
            (0xf9, slot, 0) => self.attest(slot),
            (0xfa, pin, puk) => self.set_retries(pin, puk),
            (0xfb, 0, 0) => self.reset(),
            (0xfd, 0, 0) => Ok(self.identity.firmware.to_vec()),
            (0xfe, algorithm, slot) => self.import(algorithm, slot, &apdu.data),
            (0xff, 0xff, touch) => {
                let any = self.has(5, 4, 2);
                self.management.set(touch, &apdu.data, any)
            }
            (0x20 | 0x24 | 0x2c | 0xcb | 0xdb | 0xf9 | 0xfb | 0xfd | 0xff, ..) => Err(Sw::WRONG_P1P2),
            _ => Err(Sw::INSTRUCTION),
        }
    }

    /// Wants a touch, unless this slot may use an earlier one.
    pub(crate) fn touch(&mut self, may_be_earlier: bool, world: &World) -> Result<(), Sw> {
        if may_be_earlier && self.last_touch.is_some_and(|touch| touch.elapsed() < CACHED) {
            return Ok(());
        }
        if !world.touched() {
            return Err(Sw::SECURITY_STATUS);
        }
        self.last_touch = Some(Instant::now());
        Ok(())
    }

    fn attest(&mut self, slot: u8) -> Answer {
        if !is_slot(slot) {
            return Err(Sw::WRONG_P1P2);
        }
        let key = self.slots.generated(slot).ok_or(Sw::WRONG_DATA)?;
        self.attestation.as_ref().ok_or(Sw::WRONG_DATA)?.attest(&self.identity, slot, key)
    }

    fn set_retries(&mut self, pin: u8, puk: u8) -> Answer {
        if !self.management.is_authenticated() || !self.pins.is_verified() {
            return Err(Sw::SECURITY_STATUS);
        }
        if pin == 0 || puk == 0 {
            return Err(Sw::WRONG_DATA);
        }
        self.pins = Pins::with_retries(pin, puk);
        Ok(Vec::new())
    }

    fn reset(&mut self) -> Answer {
        if !self.pins.are_blocked() {
            return Err(Sw::CONDITIONS);
        }
        self.pins = Pins::default();
        self.management = Management::new(self.identity.management.clone());
        self.slots = Slots::default();
        self.last_touch = None;
        self.make_objects();
        Ok(Vec::new())
    }

    fn make_objects(&mut self) {
        self.objects.clear();
        if let Some(attestation) = &self.attestation {
            let certificate = [tlv(&[0x70], attestation.certificate()), vec![0x71, 1, 0, 0xfe, 0]].concat();
            self.objects.insert(ATTESTATION_OBJECT.to_vec(), certificate);
        }
    }

    fn get_object(&self, data: &[u8]) -> Answer {
        let tag = field(data, 0x5c).ok_or(Sw::WRONG_DATA)?;
        if tag == [0x7e] {
            return Ok(DISCOVERY.to_vec());
        }
        if PIN_OBJECTS.contains(&tag) && !self.pins.is_verified() {
            return Err(Sw::SECURITY_STATUS);
        }
        self.objects.get(tag).map(|object| tlv(&[0x53], object)).ok_or(Sw::NOT_FOUND)
    }

    fn put_object(&mut self, data: &[u8]) -> Answer {
        if !self.management.is_authenticated() {
            return Err(Sw::SECURITY_STATUS);
        }
        let (Some(tag), Some(object)) = (field(data, 0x5c), field(data, 0x53)) else {
            return Err(Sw::WRONG_DATA);
        };
        if object.len() > OBJECT || !matches!(tag, [0x5f, 0xc1 | 0xff, _]) {
            return Err(Sw::WRONG_DATA);
        }
        if object.is_empty() {
            self.objects.remove(tag);
        } else {
            self.objects.insert(tag.to_vec(), object.to_vec());
        }
        Ok(Vec::new())
    }
}
