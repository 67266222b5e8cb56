//! The card as a whole: which application is selected, and commands and answers that are longer than one APDU.

use crate::{
    apdu::{Answer, Apdu, Sw, tlv},
    attestation::Attestation,
    faults::Action,
    inner::Inner,
    management::ManagementKey,
    piv::Piv,
    world::World,
};
use std::thread;

/// PIV's, which may be cut short after its fifth byte.
const PIV_AID: [u8; 11] = [0xa0, 0, 0, 3, 8, 0, 0, 0x10, 0, 1, 0];
/// Of the application that says what a YubiKey has.
const MANAGEMENT_AID: [u8; 8] = [0xa0, 0, 0, 5, 0x27, 0x47, 0x11, 0x17];

/// GENERAL AUTHENTICATE's answer that a secret was agreed on, and a success.
fn known_secret() -> Vec<u8> {
    [&[0x7c, 34, 0x82, 32][..], &[0x5a; 32], &[0x90, 0x00]].concat()
}

/// What one YubiKey is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) serial: u32,
    pub(crate) firmware: [u8; 3],
    /// Its management key as it came from the factory.
    pub(crate) management: ManagementKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Application {
    Piv,
    Management,
}

/// One virtual YubiKey.
pub(crate) struct Card<'a> {
    identity: Identity,
    piv: Piv<'a>,
    selected: Option<Application>,
    /// What came of a command in parts.
    chain: Vec<u8>,
    /// What is left of an answer in parts.
    rest: Vec<u8>,
}

impl<'a> Card<'a> {
    pub(crate) fn new(identity: Identity, inner: Inner<'a>, attestation: Option<Attestation>) -> Self {
        let piv = Piv::new(identity.clone(), inner, attestation);
        Self { identity, piv, selected: None, chain: Vec::new(), rest: Vec::new() }
    }

    /// Forgets what it knew since it had power, as at a reset.
    pub(crate) fn power_off(&mut self) {
        self.selected = None;
        self.chain.clear();
        self.rest.clear();
        self.piv.deselect();
    }

    /// Loses all power, as when it is pulled.
    pub(crate) fn unplug(&mut self) {
        self.power_off();
        self.piv.unplug();
    }

    /// The answer to one command, with what is to go wrong; none when the card was pulled.
    pub(crate) fn transmit(&mut self, raw: &[u8], world: &World) -> Option<Vec<u8>> {
        let ins = raw.get(1).copied().unwrap_or_default();
        let (actions, delay) = {
            let mut state = world.state();
            (state.faults.count(ins), state.delay)
        };
        thread::sleep(delay);
        for action in &actions {
            match action {
                Action::Status(status) => return Some(status.to_be_bytes().to_vec()),
                Action::Secret => return Some(known_secret()),
                Action::Remove => {
                    world.remove();
                    return None;
                }
                Action::Reset => self.power_off(),
                Action::Delay(time) => thread::sleep(*time),
                Action::After(_) | Action::Length(_) | Action::Flip(_) | Action::RemoveAfter => {}
            }
        }
        let (mut data, mut status) = self.respond(raw, world);
        for action in actions {
            match action {
                Action::After(other) => (data, status) = (Vec::new(), Sw(other)),
                Action::Length(length) => data.resize(length, 0),
                Action::Flip(bit) => {
                    if let Some(byte) = data.get_mut(bit / 8) {
                        *byte ^= 1 << (bit % 8);
                    }
                }
                Action::RemoveAfter => {
                    world.remove();
                    return None;
                }
                Action::Status(_) | Action::Secret | Action::Remove | Action::Reset | Action::Delay(_) => {}
            }
        }
        data.extend(status.0.to_be_bytes());
        Some(data)
    }

    fn respond(&mut self, raw: &[u8], world: &World) -> (Vec<u8>, Sw) {
        let mut apdu = match Apdu::parse(raw) {
            Ok(apdu) => apdu,
            Err(status) => return (Vec::new(), status),
        };
        if apdu.ins == 0xc0 {
            return self.next_part(apdu.expected);
        }
        self.rest.clear();
        match apdu.class {
            0x00 => {}
            0x10 => {
                self.chain.extend(&apdu.data);
                return (Vec::new(), Sw::OK);
            }
            _ => return (Vec::new(), Sw::CLASS),
        }
        self.chain.append(&mut apdu.data);
        apdu.data = std::mem::take(&mut self.chain);
        match self.dispatch(&apdu, world) {
            Ok(answer) => {
                self.rest = answer;
                self.next_part(apdu.expected)
            }
            Err(status) => (Vec::new(), status),
        }
    }

    fn next_part(&mut self, expected: usize) -> (Vec<u8>, Sw) {
        let part: Vec<u8> = self.rest.drain(..self.rest.len().min(expected)).collect();
        let status = match self.rest.len() {
            0 => Sw::OK,
            left @ 1..256 => Sw(0x6100 | left as u16),
            _ => Sw(0x6100),
        };
        (part, status)
    }

    fn dispatch(&mut self, apdu: &Apdu, world: &World) -> Answer {
        match (apdu.ins, self.selected) {
            (0xa4, _) => self.select(apdu),
            (_, Some(Application::Piv)) => self.piv.dispatch(apdu, world),
            (0x1d, Some(Application::Management)) => Ok(self.configuration()),
            _ => Err(Sw::INSTRUCTION),
        }
    }

    fn select(&mut self, apdu: &Apdu) -> Answer {
        if apdu.p1 != 0x04 {
            return Err(Sw::WRONG_P1P2);
        }
        let application = match apdu.data.as_slice() {
            aid if aid.len() >= 5 && PIV_AID.starts_with(aid) => Application::Piv,
            aid if aid.len() >= 5 && MANAGEMENT_AID.starts_with(aid) => Application::Management,
            // The one that was selected stays so.
            _ => return Err(Sw::NOT_FOUND),
        };
        // Also when it is the same again.
        self.piv.deselect();
        self.selected = Some(application);
        Ok(match application {
            Application::Piv => {
                let authority = tlv(&[0x79], &tlv(&[0x4f], &PIV_AID[..5]));
                tlv(&[0x61], &[tlv(&[0x4f], &PIV_AID[5..]), authority].concat())
            }
            Application::Management => {
                let [major, minor, patch] = self.identity.firmware;
                format!("Virtual mgr - FW version {major}.{minor}.{patch}").into_bytes()
            }
        })
    }

    /// What the key says of itself to Yubico's tools: everything that a YubiKey 5 has, although only PIV answers here.
    fn configuration(&self) -> Vec<u8> {
        let all: [u8; 2] = [0x02, 0x3f];
        let fields = [
            tlv(&[0x01], &all),
            tlv(&[0x02], &self.identity.serial.to_be_bytes()),
            tlv(&[0x03], &all),
            tlv(&[0x04], &[crate::attestation::FORM_FACTOR]),
            tlv(&[0x05], &self.identity.firmware),
            tlv(&[0x06], &[0, 0]),
            tlv(&[0x07], &[15]),
            tlv(&[0x08], &[0]),
            tlv(&[0x0a], &[0]),
        ]
        .concat();
        [vec![fields.len() as u8], fields].concat()
    }
}
