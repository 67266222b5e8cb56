//! What other tools do with a YubiKey, and what it says of itself to them.

use claviger_tests::World;
use softhsm_fixtures::YubiKey;
use std::process::{Child, Command, Stdio};

const SELECT: &str = "00A4040005A000000308";
/// The management key that all come with, for 3DES and for AES-192.
pub(crate) const MAKERS_KEY: &str = "010203040506070801020304050607080102030405060708";
const PIN_TRIES: &str = "00200080";

/// What this program says, which must succeed.
#[track_caller]
pub(crate) fn tool(world: &World, program: &str, arguments: &[&str]) -> String {
    let output = world.token().command(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    said
}

#[track_caller]
pub(crate) fn ykman(world: &World, key: &YubiKey, arguments: &[&str]) -> String {
    let serial = key.serial().to_string();
    tool(world, "ykman", &[&["--device", &serial, "piv"], arguments].concat())
}

#[track_caller]
pub(crate) fn piv_tool(world: &World, key: &YubiKey, arguments: &[&str]) -> String {
    tool(world, "yubico-piv-tool", &[&["-r", &key.reader()], arguments].concat())
}

/// Has the maker's tool make a key in a slot, as before there was any vault.
#[track_caller]
pub(crate) fn generate(world: &World, key: &YubiKey, slot: &str) {
    let how =
        ["-m", MAKERS_KEY, "-a", "ECCP256", "--pin-policy", "ONCE", "--touch-policy", "NEVER", slot, "-"];
    ykman(world, key, &[&["keys", "generate"], &how[..]].concat());
}

/// The status words that the card answers to these commands, in one connection.
pub(crate) fn statuses(world: &World, key: &YubiKey, commands: &[String]) -> Vec<u16> {
    let mut tool = world.token().command("opensc-tool");
    // Not to be greeted by the drivers of all cards.
    tool.args(["--reader", &key.reader(), "--card-driver", "default", "--send-apdu", SELECT]);
    for command in commands {
        tool.args(["--send-apdu", command]);
    }
    let output = tool.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let byte = |text: &str| u16::from_str_radix(text, 16).unwrap();
    let words = said.lines().filter_map(|line| line.strip_prefix("Received (SW1=0x"));
    let words: Vec<u16> = words.map(|rest| byte(&rest[..2]) << 8 | byte(&rest[10..12])).collect();
    assert_eq!(words.len(), commands.len() + 1, "{said}{}", String::from_utf8_lossy(&output.stderr));
    words[1..].to_vec()
}

/// The slots for master keys that have a key, by the card's own word (GET METADATA).
pub(crate) fn slots(world: &World, key: &YubiKey) -> Vec<String> {
    let slots: Vec<String> =
        ["9d".to_owned()].into_iter().chain((0x82..=0x95).map(|slot: u8| format!("{slot:02x}"))).collect();
    let commands: Vec<String> = slots.iter().map(|slot| format!("00F700{slot}00")).collect();
    let states = statuses(world, key, &commands);
    slots.into_iter().zip(states).filter(|(_, status)| *status == 0x9000).map(|(slot, _)| slot).collect()
}

/// How many tries the PIN has.
pub(crate) fn tries(world: &World, key: &YubiKey) -> u16 {
    match statuses(world, key, &[PIN_TRIES.to_owned()])[0] {
        0x6983 => 0,
        status if status & 0xfff0 == 0x63c0 => status & 0xf,
        status => panic!("{status:04x}"),
    }
}

/// A program that has the card for itself alone as long as it runs.
pub(crate) struct Holder(Child);

impl Holder {
    pub(crate) fn of(world: &World, key: &YubiKey) -> Self {
        const PROGRAM: &str = "
import ctypes, sys
card = ctypes.CDLL('libpcsclite.so.1')
context, handle, protocol = ctypes.c_long(), ctypes.c_long(), ctypes.c_ulong()
assert card.SCardEstablishContext(ctypes.c_ulong(2), None, None, ctypes.byref(context)) == 0
EXCLUSIVE, ANY = ctypes.c_ulong(1), ctypes.c_ulong(3)
answer = card.SCardConnect(context, sys.argv[1].encode(), EXCLUSIVE, ANY, ctypes.byref(handle), ctypes.byref(protocol))
print(answer, flush=True)
sys.stdin.read()
# Of a process that only ends pcscd hears later.
card.SCardDisconnect(handle, ctypes.c_ulong(0))
";
        let mut python = world.token().command("python3");
        python.args(["-c", PROGRAM, &key.reader()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().unwrap();
        let mut line = String::new();
        let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut said, &mut line).unwrap();
        assert_eq!(line, "0\n", "it does not get the card");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// A process that does nothing under this name.
pub(crate) struct Bystander(Child);

impl Bystander {
    pub(crate) fn called(world: &World, name: &str) -> Self {
        let program = world.home().join(name);
        std::fs::copy("/usr/bin/sleep", &program).unwrap();
        let child = Command::new(&program).arg("60").spawn().unwrap();
        Self(child)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether nobody ended it.
    pub(crate) fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
