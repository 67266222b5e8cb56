//! One transaction with a card: nobody else speaks with it meanwhile. The commands are those of PIV (SP 800-73-4 part 2) and
//! those that YubiKeys have besides.

use super::{
    apdu::{self, Command, LONGEST_ANSWER, Status, Unanswered},
    fault::Failure,
    metadata::{PinMetadata, SlotMetadata},
    policy::{PinPolicy, TouchPolicy},
    slot::Slot,
    tlv,
};
use crate::software;
use claviger_types::{EcPoint, Key256, Pin};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

/// The application's name, without its version (SP 800-73-4 part 1, section 2.2).
const APPLICATION: &[u8] = &[0xa0, 0x00, 0x00, 0x03, 0x08];
/// ECC on P-256 (SP 800-78-4, table 6-2).
const P256: u8 = 0x11;
/// What a PIN is filled up to, and with.
pub(super) const PIN_BYTES: usize = 8;
/// The shortest PIN or PUK that there is (SP 800-73-4 part 2, section 2.4.3; YubiKeys hold to it since 5.0).
pub(super) const SHORTEST_PIN: usize = 6;
const PIN_FILL: u8 = 0xff;
/// What they are called by.
pub(super) const PIN: u8 = 0x80;
pub(super) const PUK: u8 = 0x81;

const DYNAMIC_AUTHENTICATION: u16 = 0x7c;
const RESPONSE: u16 = 0x82;
const CHALLENGE: u16 = 0x81;
const EXPONENTIATION: u16 = 0x85;
const OBJECT: u16 = 0x53;

/// The version of the program in a YubiKey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Firmware {
    /// Before the first dot.
    pub major: u8,
    /// Between the dots.
    pub minor: u8,
    /// After the second.
    pub patch: u8,
}

impl Firmware {
    /// The first that tells what is in a slot.
    pub(super) const METADATA: Self = Self { major: 5, minor: 3, patch: 0 };
    /// The first that takes a key out of a slot.
    pub(super) const DELETE: Self = Self { major: 5, minor: 7, patch: 0 };
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// How long after a touch a key of the policy "cached" wants no other; a second less than the card's own 15, because the
/// way there takes time.
const TOUCH_LASTS: Duration = Duration::from_secs(14);

/// What a card was last seen to be like. Between transactions others may change that.
#[derive(Debug, Default)]
pub(super) struct Seen {
    // Whether PIV is its application.
    selected: bool,
    // Which slot's key was touched for last, and when.
    touched: Option<(Slot, Instant)>,
}

/// Whether the card's PIN was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PinState {
    Given,
    /// Not yet; so many tries are left.
    Wanted(u8),
}

/// The card, while nobody else can reach it.
pub(super) struct Session<'a> {
    transaction: &'a pcsc::Transaction<'a>,
    seen: &'a mut Seen,
    // Whether PIV was its application when it was asked in this transaction.
    sure: bool,
    // Whether a PIN or PUK was sent to which no answer came: it may have cost a try.
    spent: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(transaction: &'a pcsc::Transaction<'a>, seen: &'a mut Seen) -> Self {
        Self { transaction, seen, sure: false, spent: false }
    }

    /// Whether a PIN was sent to which no answer came.
    pub(super) const fn spent(&self) -> bool {
        self.spent
    }

    fn send(&mut self, command: &Command<'_>) -> Result<apdu::Answer, Failure> {
        let asked = apdu::ask(command, |bytes, answer: &mut [u8; LONGEST_ANSWER]| {
            self.transaction.transmit(bytes, answer).map(<[u8]>::len)
        });
        asked.map_err(|unanswered| match unanswered {
            Unanswered::Transport(error) => Failure::Pcsc { call: "SCardTransmit", error },
            Unanswered::Cut => Failure::Pcsc { call: "SCardTransmit", error: pcsc::Error::CommDataLost },
            Unanswered::Endless => Failure::Nonsense { command: command.name },
        })
    }

    /// What it answers, if it says that it went well.
    pub(super) fn ask(&mut self, command: &Command<'_>) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let answer = self.send(command)?;
        if answer.status == Status::OK {
            Ok(answer.data)
        } else {
            Err(Failure::Refused { command: command.name, status: answer.status })
        }
    }

    /// The same with "there is none" as an answer.
    fn ask_for(
        &mut self,
        command: &Command<'_>,
        none: &[Status],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
        match self.ask(command) {
            Ok(data) => Ok(Some(data)),
            Err(Failure::Refused { status, .. }) if none.contains(&status) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Does something on the PIV application. To ask each time whether that is selected would double the way to the card: it
    /// is asked for, and selected, only where it was not before, or what was done failed.
    pub(super) fn on_piv<T>(
        &mut self,
        work: &mut dyn FnMut(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if !self.seen.selected {
            self.need_piv()?;
        }
        match work(self) {
            // What was done after the card had been asked failed for another reason, and is not done twice.
            Err(Failure::Refused { .. } | Failure::Nonsense { .. }) if !self.sure && !self.is_piv()? => {
                self.need_piv()?;
                work(self)
            }
            done => done,
        }
    }

    /// Makes sure that PIV is selected.
    pub(super) fn need_piv(&mut self) -> Result<(), Failure> {
        if self.sure || self.select()? {
            return Ok(());
        }
        Err(Failure::Refused { command: "SELECT", status: Status::NOT_FOUND })
    }

    /// Selects PIV unless it is: selecting it anew would take the login away. `false`: the card has no such application.
    pub(super) fn select(&mut self) -> Result<bool, Failure> {
        let there = self.is_piv()? || self.select_anew()?;
        (self.seen.selected, self.sure) = (there, there);
        Ok(there)
    }

    /// Selects it in any case, which takes the login away.
    pub(super) fn select_anew(&mut self) -> Result<bool, Failure> {
        let select = Command { name: "SELECT", ins: 0xa4, p1: 0x04, p2: 0, data: APPLICATION };
        self.seen.touched = None;
        Ok(self.ask_for(&select, &[Status::NOT_FOUND])?.is_some())
    }

    /// Whether PIV is selected now, asked of the card.
    pub(super) fn still_piv(&mut self) -> Result<bool, Failure> {
        self.sure = self.sure || self.is_piv()?;
        Ok(self.sure)
    }

    /// Whether it is: only PIV on a YubiKey has this command.
    fn is_piv(&mut self) -> Result<bool, Failure> {
        let answer = self.send(&VERSION)?;
        Ok(answer.status == Status::OK && answer.data.len() == 3)
    }

    pub(super) fn firmware(&mut self) -> Result<Firmware, Failure> {
        match self.ask(&VERSION)?[..] {
            [major, minor, patch] => Ok(Firmware { major, minor, patch }),
            _ => Err(Failure::Nonsense { command: VERSION.name }),
        }
    }

    pub(super) fn serial(&mut self) -> Result<u32, Failure> {
        let command = Command { name: "GET SERIAL", ins: 0xf8, p1: 0, p2: 0, data: &[] };
        let serial = self.ask(&command)?;
        let serial =
            <[u8; 4]>::try_from(&serial[..]).map_err(|_| Failure::Nonsense { command: command.name });
        Ok(u32::from_be_bytes(serial?))
    }

    /// Whether the PIN was given, and if not, how many tries there are. It costs none.
    pub(super) fn pin_state(&mut self) -> Result<PinState, Failure> {
        let command = Command { name: "VERIFY", ins: 0x20, p1: 0, p2: PIN, data: &[] };
        let answer = self.send(&command)?;
        let left = match (answer.status, answer.status.tries_left()) {
            (Status::OK, _) => return Ok(PinState::Given),
            (Status::BLOCKED, _) => 0,
            (_, Some(left)) => left,
            (status, None) => return Err(Failure::Refused { command: command.name, status }),
        };
        // Whatever took the PIN away took the touch away, too.
        self.seen.touched = None;
        Ok(PinState::Wanted(left))
    }

    /// How many tries the PIN has. A card that is too old does not tell while the PIN stands.
    pub(super) fn pin_tries(&mut self, firmware: Firmware) -> Result<Option<u8>, Failure> {
        if firmware >= Firmware::METADATA
            && let Some((_, left)) = self.pin_metadata(PIN)?.tries
        {
            return Ok(Some(left));
        }
        Ok(match self.pin_state()? {
            PinState::Wanted(left) => Some(left),
            PinState::Given => None,
        })
    }

    /// That the PIN was given.
    pub(super) fn need_pin(&mut self) -> Result<(), Failure> {
        match self.pin_state()? {
            PinState::Given => Ok(()),
            PinState::Wanted(left) => Err(Failure::PinWanted { left }),
        }
    }

    /// Whether a touch that was given for this slot's key is still good for it, if its policy is "cached".
    pub(super) fn is_touched(&self, slot: Slot) -> bool {
        self.seen.touched.is_some_and(|(touched, when)| touched == slot && when.elapsed() < TOUCH_LASTS)
    }

    /// A touch was just given for this slot's key.
    pub(super) fn was_touched(&mut self, slot: Slot) {
        self.seen.touched = Some((slot, Instant::now()));
    }

    /// Gives the PIN, once, and never to another application.
    pub(super) fn verify(&mut self, pin: &Pin) -> Result<(), Failure> {
        self.need_piv()?;
        let Some(padded) = padded(pin) else {
            // One that no card can have is not shown to it: that would cost a try.
            return Err(crate::TokenError::PinIncorrect { tries_left: None }.into());
        };
        self.secretly(&Command { name: "VERIFY", ins: 0x20, p1: 0, p2: PIN, data: &padded[..] }).map(drop)
    }

    /// Sends what has a PIN or PUK in it.
    pub(super) fn secretly(&mut self, command: &Command<'_>) -> Result<Zeroizing<Vec<u8>>, Failure> {
        self.spent = true;
        let answer = self.ask(command);
        self.spent = matches!(answer, Err(Failure::Pcsc { .. }));
        answer
    }

    /// What is in a slot; `None` where nothing is. Since firmware 5.3.
    pub(super) fn slot_metadata(&mut self, slot: Slot) -> Result<Option<SlotMetadata>, Failure> {
        let command = Command { name: "GET METADATA", ins: 0xf7, p1: 0, p2: slot.byte(), data: &[] };
        let Some(data) = self.ask_for(&command, &[Status::NO_KEY])? else { return Ok(None) };
        SlotMetadata::parse(&data).map(Some).ok_or(Failure::Nonsense { command: command.name })
    }

    /// What is known of the PIN, PUK or management key. Since firmware 5.3.
    pub(super) fn pin_metadata(&mut self, of: u8) -> Result<PinMetadata, Failure> {
        let command = Command { name: "GET METADATA", ins: 0xf7, p1: 0, p2: of, data: &[] };
        let data = self.ask(&command)?;
        PinMetadata::parse(&data).ok_or(Failure::Nonsense { command: command.name })
    }

    /// A data object; `None` where there is none.
    pub(super) fn object(&mut self, id: u32) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
        let [_, name @ ..] = id.to_be_bytes();
        let data = tlv::element(0x5c, &name);
        let command = Command { name: "GET DATA", ins: 0xcb, p1: 0x3f, p2: 0xff, data: &data };
        let Some(answer) = self.ask_for(&command, &[Status::NOT_FOUND])? else { return Ok(None) };
        let value = tlv::only(&answer, OBJECT).ok_or(Failure::Nonsense { command: command.name })?;
        Ok(Some(Zeroizing::new(value.to_vec())).filter(|value| !value.is_empty()))
    }

    /// Writes a data object, and reads it back; an empty one takes it away. It needs the management key.
    pub(super) fn put_object(&mut self, id: u32, value: &[u8]) -> Result<(), Failure> {
        let [_, name @ ..] = id.to_be_bytes();
        let data = [tlv::element(0x5c, &name), tlv::element(OBJECT, value)].concat();
        let command = Command { name: "PUT DATA", ins: 0xdb, p1: 0x3f, p2: 0xff, data: &data };
        self.ask(&command)?;
        match self.object(id)?.as_ref().map_or(&[][..], |object| object) {
            object if object == value => Ok(()),
            _ => Err(Failure::Nonsense { command: command.name }),
        }
    }

    /// Makes a key pair on P-256 in a slot, over whatever is there. It needs the management key.
    pub(super) fn generate(
        &mut self,
        slot: Slot,
        pin: PinPolicy,
        touch: TouchPolicy,
    ) -> Result<EcPoint, Failure> {
        let how = [
            tlv::element(0x80, &[P256]),
            tlv::element(0xaa, &[pin.byte()]),
            tlv::element(0xab, &[touch.byte()]),
        ];
        let data = tlv::element(0xac, &how.concat());
        let command =
            Command { name: "GENERATE ASYMMETRIC KEY PAIR", ins: 0x47, p1: 0, p2: slot.byte(), data: &data };
        let answer = self.ask(&command)?;
        let point = tlv::only(&answer, 0x7f49).and_then(|key| tlv::only(key, 0x86)).and_then(point);
        point.ok_or(Failure::Nonsense { command: command.name })
    }

    /// Takes the key out of a slot. Since firmware 5.7; it needs the management key.
    pub(super) fn delete_key(&mut self, slot: Slot) -> Result<(), Failure> {
        let command = Command { name: "DELETE KEY", ins: 0xf6, p1: 0xff, p2: slot.byte(), data: &[] };
        self.ask_for(&command, &[Status::NO_KEY]).map(drop)
    }

    /// What the card certifies of the key in a slot; `None` where there is none that it made.
    pub(super) fn attest(&mut self, slot: Slot) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
        let command = Command { name: "ATTEST", ins: 0xf9, p1: slot.byte(), p2: 0, data: &[] };
        self.ask_for(&command, &[Status::WRONG_DATA, Status::NOT_FOUND, Status::NO_KEY])
    }

    /// The shared secret, x alone, of the slot's key and this point.
    pub(super) fn agree(&mut self, slot: Slot, point: &EcPoint) -> Result<Key256, Failure> {
        let answer = self.authenticate(slot, EXPONENTIATION, &software::sec1(point))?;
        let secret = Key256::from_slice(&answer);
        secret.ok_or(Failure::Nonsense { command: AUTHENTICATE })
    }

    /// The slot's key's signature, in DER, of what has this SHA-256 digest.
    pub(super) fn sign(&mut self, slot: Slot, digest: &[u8; 32]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        self.authenticate(slot, CHALLENGE, digest)
    }

    fn authenticate(&mut self, slot: Slot, what: u16, value: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let data = tlv::element(
            DYNAMIC_AUTHENTICATION,
            &[tlv::element(RESPONSE, &[]), tlv::element(what, value)].concat(),
        );
        let command = Command { name: AUTHENTICATE, ins: 0x87, p1: P256, p2: slot.byte(), data: &data };
        let answer = self.ask(&command)?;
        let response =
            tlv::only(&answer, DYNAMIC_AUTHENTICATION).and_then(|answer| tlv::only(answer, RESPONSE));
        let response = response.ok_or(Failure::Nonsense { command: command.name })?;
        Ok(Zeroizing::new(response.to_vec()))
    }
}

pub(super) const AUTHENTICATE: &str = "GENERAL AUTHENTICATE";
const VERSION: Command<'static> = Command { name: "GET VERSION", ins: 0xfd, p1: 0, p2: 0, data: &[] };

/// A PIN as the card takes it, if it takes it at all.
pub(super) fn padded(pin: &Pin) -> Option<Zeroizing<[u8; PIN_BYTES]>> {
    let mut padded = Zeroizing::new([PIN_FILL; PIN_BYTES]);
    let pin = pin.expose();
    padded.get_mut(..pin.len()).filter(|pin| pin.len() >= SHORTEST_PIN)?.copy_from_slice(pin);
    Some(padded)
}

/// A point on P-256 in its uncompressed form.
pub(super) fn point(sec1: &[u8]) -> Option<EcPoint> {
    let (x, y) = sec1.strip_prefix(&[4])?.split_at_checked(32)?;
    let point = EcPoint { x: x.try_into().ok()?, y: y.try_into().ok()? };
    software::check_point(&point).ok().map(|_| point)
}
