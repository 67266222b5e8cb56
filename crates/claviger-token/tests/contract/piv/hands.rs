//! A virtual YubiKey in a test's hands, past the driver: by its own APDUs, and as other programs have it.

use crate::lab::Lab;
use cipher::{BlockCipherEncrypt as _, KeyInit as _};
use claviger_token::{
    Access, Attendant, Kek, NewKek, PinKind, PinPrompt, PinSource, PinTries, PivKek, SelfTestReport,
    TokenError, TokenName,
};
use claviger_types::{EcPoint, OsEntropy, Pin, RecipientId, SecretBytes};
use softhsm_fixtures::{Instance, KeySpec, PIN, YubiKey};
use std::{
    process::Command,
    sync::{Arc, Mutex},
};

pub(crate) const OK: u16 = 0x9000;
/// P-256, and P-384.
pub(crate) const P256: u8 = 0x11;
pub(crate) const P384: u8 = 0x14;
/// Another application that the card has.
pub(crate) const MANAGEMENT_APPLICATION: [u8; 8] = [0xa0, 0, 0, 5, 0x27, 0x47, 0x11, 0x17];
/// The management key that a card comes with.
pub(crate) const MAKERS: &str = "010203040506070801020304050607080102030405060708";
const PIV: [u8; 5] = [0xa0, 0, 0, 3, 8];

/// What somebody was asked or told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    Pin {
        left: Option<u8>,
        tries: PinTries,
    },
    Touch,
    ManagementKey,
    /// That a key stayed in this slot.
    Stayed(u8),
}

pub(crate) const FIRST_PIN: Heard = Heard::Pin { left: Some(3), tries: PinTries::Normal };

/// Somebody who has a PIN and perhaps a management key, and remembers what was wanted.
pub(crate) struct Person {
    pin: &'static str,
    management: Option<&'static str>,
    heard: Mutex<Vec<Heard>>,
    at_touch: Mutex<Box<dyn FnMut() + Send>>,
}

impl Person {
    pub(crate) fn with(pin: &'static str, management: Option<&'static str>) -> Arc<Self> {
        Arc::new(Self { pin, management, heard: Mutex::default(), at_touch: Mutex::new(Box::new(|| ())) })
    }

    pub(crate) fn new() -> Arc<Self> {
        Self::with(PIN, None)
    }

    /// What was heard since this was asked for last.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }

    /// What is done when a touch is wanted.
    pub(crate) fn at_touch(&self, action: impl FnMut() + Send + 'static) {
        *self.at_touch.lock().unwrap() = Box::new(action);
    }

    pub(crate) fn access(self: &Arc<Self>) -> Access {
        Access::new(Arc::clone(self) as _, Arc::new(OsEntropy)).attended(Arc::clone(self) as _)
    }

    fn hear(&self, heard: Heard) {
        self.heard.lock().unwrap().push(heard);
    }
}

impl PinSource for Person {
    fn pin(&self, prompt: &PinPrompt) -> Result<Pin, TokenError> {
        assert_eq!(prompt.kind, PinKind::Piv);
        assert_eq!(prompt.token_label, format!("YubiKey PIV #{}", prompt.token_serial));
        self.hear(Heard::Pin { left: prompt.left, tries: prompt.tries });
        Ok(Pin::new(SecretBytes::copy_of(self.pin.as_bytes())))
    }
}

impl Attendant for Person {
    fn touch(&self, token: &TokenName) {
        assert_eq!(token.label, format!("YubiKey PIV #{}", token.serial));
        self.hear(Heard::Touch);
        self.at_touch.lock().unwrap()();
    }

    fn management_key(&self, _: &TokenName) -> Result<SecretBytes, TokenError> {
        self.hear(Heard::ManagementKey);
        match self.management {
            Some(digits) => Ok(SecretBytes::copy_of(digits.as_bytes())),
            None => Err(TokenError::ManagementKeyUnavailable { reason: "not at hand".to_owned() }),
        }
    }

    fn stayed(&self, _: &TokenName, slot: &str) {
        self.hear(Heard::Stayed(u8::from_str_radix(slot, 16).unwrap()));
    }
}

/// A source that something happens beside, before it answers for the first time.
pub(crate) struct Meanwhile {
    source: Arc<dyn PinSource>,
    action: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Meanwhile {
    pub(crate) fn new(source: Arc<dyn PinSource>, action: impl FnOnce() + Send + 'static) -> Self {
        Self { source, action: Mutex::new(Some(Box::new(action))) }
    }

    /// Somebody else spends so many tries of the PIN (80) or the PUK (81).
    pub(crate) fn spent(source: Arc<dyn PinSource>, key: &YubiKey, of: u8, tries: usize) -> Self {
        let key = key.clone();
        Self::new(source, move || {
            let mut hands = Hands::on(&key);
            for _ in 0..tries {
                let (ins, data) = if of == 0x80 { (0x20, vec![0; 8]) } else { (0x24, vec![0; 16]) };
                hands.ask([ins, 0, of], &data);
            }
        })
    }
}

impl PinSource for Meanwhile {
    fn pin(&self, prompt: &PinPrompt) -> Result<Pin, TokenError> {
        if let Some(action) = self.action.lock().unwrap().take() {
            action();
        }
        self.source.pin(prompt)
    }
}

/// The same lab with this key and this person.
pub(crate) fn lab_of<'a>(lab: &Lab<'a>, key: &YubiKey, person: &Arc<Person>) -> Lab<'a> {
    Lab {
        instance: lab.instance,
        driver: Arc::clone(&lab.driver),
        uri: format!("pkcs11:serial={}", key.serial()).parse().unwrap(),
        access: person.access(),
        pin: Arc::clone(&lab.pin),
    }
}

/// The same with a key of its own.
pub(crate) fn with_key<'a>(lab: &Lab<'a>, spec: &KeySpec, person: &Arc<Person>) -> (Lab<'a>, YubiKey) {
    let key = lab.instance.add_yubikey(spec);
    (lab_of(lab, &key, person), key)
}

/// The first key with a person beside it.
pub(crate) fn attended<'a>(lab: &Lab<'a>) -> (Lab<'a>, YubiKey, Arc<Person>) {
    let (person, key) = (Person::new(), lab.instance.yubikey(0));
    (lab_of(lab, &key, &person), key, person)
}

pub(crate) fn enrol(lab: &Lab<'_>, piv: PivKek) -> Result<(Arc<dyn Kek>, SelfTestReport), TokenError> {
    let recipient = RecipientId::random(&OsEntropy).unwrap();
    let new = NewKek { recipient, label: "claviger".to_owned(), scheme: None, allow_sha1: false, piv };
    lab.driver.generate(&lab.uri, &lab.access, &new)
}

/// A KEK in the slot, or the first that is free, with these policies.
pub(crate) fn kek(lab: &Lab<'_>, slot: Option<&str>, pin: &str, touch: &str) -> Arc<dyn Kek> {
    enrol(lab, wish(slot, pin, touch)).unwrap().0
}

pub(crate) fn wish(slot: Option<&str>, pin: &str, touch: &str) -> PivKek {
    PivKek {
        slot: slot.map(str::to_owned),
        pin_policy: Some(pin.to_owned()),
        touch_policy: Some(touch.to_owned()),
        existing: false,
    }
}

/// One of Yubico's tools; it ends with a reset, as they do. What it printed.
pub(crate) fn tool(instance: &Instance, program: &str, arguments: &[&str]) -> String {
    let mut command: Command = instance.command(program);
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A connection of another program's.
pub(crate) struct Hands {
    card: Option<pcsc::Card>,
}

impl Drop for Hands {
    fn drop(&mut self) {
        if let Some(card) = self.card.take()
            && let Err((card, _)) = card.disconnect(pcsc::Disposition::LeaveCard)
        {
            std::mem::forget(card);
        }
    }
}

impl Hands {
    /// Shares the card of this key. What it has selected stays.
    pub(crate) fn on(key: &YubiKey) -> Self {
        Self::as_mode(key, pcsc::ShareMode::Shared).unwrap()
    }

    /// Connects to the card of this key, if it can be had so.
    pub(crate) fn as_mode(key: &YubiKey, mode: pcsc::ShareMode) -> Result<Self, pcsc::Error> {
        let context = pcsc::Context::establish(pcsc::Scope::System).unwrap();
        let wanted = [&key.serial().to_be_bytes()[..], &[0x90, 0]].concat();
        let mut failed = pcsc::Error::NoSmartcard;
        for reader in context.list_readers_owned().unwrap() {
            let mut hands = match context.connect(&reader, mode, pcsc::Protocols::ANY) {
                Ok(card) => Self { card: Some(card) },
                Err(pcsc::Error::NoSmartcard) => continue,
                Err(error) => {
                    failed = error;
                    continue;
                }
            };
            if hands.raw(&[0, 0xf8, 0, 0, 0]) == wanted {
                return Ok(hands);
            }
            hands.select(&PIV);
            if hands.raw(&[0, 0xf8, 0, 0, 0]) == wanted {
                return Ok(hands);
            }
        }
        Err(failed)
    }

    /// Ends with a reset, as many programs do.
    pub(crate) fn reset(mut self) {
        let card = self.card.take().unwrap();
        card.disconnect(pcsc::Disposition::ResetCard).map_err(|(_, error)| error).unwrap();
    }

    fn raw(&mut self, command: &[u8]) -> Vec<u8> {
        let mut buffer = [0; 258];
        self.card.as_ref().unwrap().transmit(command, &mut buffer).unwrap().to_vec()
    }

    /// The data of one short answer, and its status.
    pub(crate) fn ask(&mut self, [ins, p1, p2]: [u8; 3], data: &[u8]) -> (Vec<u8>, u16) {
        let mut command = vec![0, ins, p1, p2];
        if !data.is_empty() {
            command.push(u8::try_from(data.len()).unwrap());
            command.extend(data);
        }
        command.push(0);
        let mut answer = self.raw(&command);
        let status = answer.split_off(answer.len() - 2);
        (answer, u16::from_be_bytes([status[0], status[1]]))
    }

    /// The same where it must go well.
    pub(crate) fn must(&mut self, header: [u8; 3], data: &[u8]) -> Vec<u8> {
        let (answer, status) = self.ask(header, data);
        // The beginning of a long answer is enough.
        assert!(status == OK || status >> 8 == 0x61, "{header:02x?}: {status:04x}");
        answer
    }

    pub(crate) fn select(&mut self, application: &[u8]) {
        self.must([0xa4, 4, 0], application);
    }

    /// What the card says of the PIN: that it was given, or the tries that are left.
    pub(crate) fn pin_state(&mut self) -> u16 {
        self.ask([0x20, 0, 0x80], &[]).1
    }

    /// The tries of the PIN (80) or the PUK (81), as firmware since 5.3 tells.
    pub(crate) fn tries(&mut self, of: u8) -> u8 {
        *self.must([0xf7, 0, of], &[]).last().unwrap()
    }

    pub(crate) fn give_pin(&mut self, pin: &str) -> u16 {
        let mut padded = [0xff; 8];
        padded[..pin.len()].copy_from_slice(pin.as_bytes());
        self.ask([0x20, 0, 0x80], &padded).1
    }

    /// With the maker's 3DES key.
    pub(crate) fn administer(&mut self) {
        let challenge = self.must([0x87, 3, 0x9b], &[0x7c, 2, 0x81, 0]);
        let key: Vec<u8> = (1..=8).cycle().take(24).collect();
        let mut block = cipher::Block::<des::TdesEde3>::try_from(&challenge[4..12]).unwrap();
        des::TdesEde3::new_from_slice(&key).unwrap().encrypt_block(&mut block);
        self.must([0x87, 3, 0x9b], &[&[0x7c, 10, 0x82, 8], &block[..]].concat());
    }

    /// A key of this kind, as another program makes one.
    pub(crate) fn generate(&mut self, slot: u8, kind: u8, pin: u8, touch: u8) {
        self.administer();
        self.must([0x47, 0, slot], &[0xac, 9, 0x80, 1, kind, 0xaa, 1, pin, 0xab, 1, touch]);
    }

    /// Brings a key on P-256.
    pub(crate) fn import(&mut self, slot: u8) {
        self.administer();
        self.must([0xfe, P256, slot], &[&[6, 32][..], &[7; 32], &[0xaa, 1, 2, 0xab, 1, 1]].concat());
    }

    pub(crate) fn move_key(&mut self, from: u8, to: u8) {
        self.administer();
        self.must([0xf6, to, from], &[]);
    }

    /// Something that is no certificate in its place; nothing where it is empty.
    pub(crate) fn put_certificate(&mut self, slot: u8, value: &[u8]) {
        self.administer();
        let data =
            [&[0x5c, 3, 0x5f, 0xc1, object(slot), 0x53, u8::try_from(value.len()).unwrap()], value].concat();
        self.must([0xdb, 0x3f, 0xff], &data);
    }

    /// The beginning of the object that holds a slot's certificate.
    pub(crate) fn certificate(&mut self, slot: u8) -> Vec<u8> {
        self.ask([0xcb, 0x3f, 0xff], &[0x5c, 3, 0x5f, 0xc1, object(slot)]).0
    }

    /// What the card tells of a slot's key, if there is one.
    pub(crate) fn metadata(&mut self, slot: u8) -> Option<Vec<u8>> {
        let (data, status) = self.ask([0xf7, 0, slot], &[]);
        (status == OK).then_some(data)
    }

    /// The slots that have a key that is used: before firmware 5.7 keys are overwritten, and marked.
    pub(crate) fn occupied(&mut self) -> Vec<(u8, Vec<u8>)> {
        let slots = [0x9a, 0x9c, 0x9d, 0x9e].into_iter().chain(0x82..=0x95);
        let mut occupied = Vec::new();
        for slot in slots {
            if let Some(metadata) = self.metadata(slot)
                && !self.certificate(slot).windows(6).any(|text| text == b"unused")
            {
                occupied.push((slot, metadata));
            }
        }
        occupied
    }
}

fn object(slot: u8) -> u8 {
    match slot {
        0x9a => 0x05,
        0x9c => 0x0a,
        0x9d => 0x0b,
        0x9e => 0x01,
        retired => 0x0d + (retired - 0x82),
    }
}

/// The slot that a key is in, as it says.
pub(crate) fn slot(key: &dyn Kek) -> u8 {
    let label = &key.describe().key_label;
    u8::from_str_radix(label.strip_prefix("slot ").unwrap(), 16).unwrap()
}

pub(crate) fn point(key: &dyn Kek) -> EcPoint {
    match key.describe().public_key {
        Some(claviger_token::PublicKey::P256(point)) => point,
        ref other => panic!("{other:?}"),
    }
}
