//! Commands as bytes, by OpenSC's tool.

use super::INSTALL;
use crate::{Instance, process::run};
use std::process::Command;

/// An answer: data and status word.
pub(super) type Reply = (Vec<u8>, u16);

pub(super) const SELECT: &str = "00A4040005A000000308";
pub(super) const VERIFY: &str = "0020008008313233343536FFFF";
pub(super) const WRONG: &str = "0020008008363534333231FFFF";
pub(super) const TRIES: &str = "00200080";
pub(super) const PUK: &str = "002C0080103132333435363738363534333231FFFF";

/// What the first key answers to these commands, in one connection.
pub(super) fn send(instance: &Instance, commands: &[&str]) -> Vec<Reply> {
    try_send(instance, commands).unwrap_or_else(|said| panic!("{said}"))
}

/// The status words alone.
pub(super) fn statuses(instance: &Instance, commands: &[&str]) -> Vec<u16> {
    send(instance, commands).into_iter().map(|(_, status)| status).collect()
}

/// The same, or what the tool said when there was no answer.
pub(super) fn try_send(instance: &Instance, commands: &[&str]) -> Result<Vec<Reply>, String> {
    let mut tool = instance.command("opensc-tool");
    // Not to be greeted by the drivers of all cards.
    tool.args(["--reader", "0", "--card-driver", "default"]);
    for command in commands {
        tool.args(["--send-apdu", command]);
    }
    let output = tool.output().unwrap_or_else(|error| panic!("opensc-tool cannot run ({error}): {INSTALL}"));
    let said = String::from_utf8_lossy(&output.stdout);
    let replies = replies(&said);
    if replies.len() == commands.len() {
        return Ok(replies);
    }
    Err(format!("{} of {}: {said}{}", replies.len(), commands.len(), String::from_utf8_lossy(&output.stderr)))
}

/// A status line, and lines of 16 bytes with their characters behind them.
fn replies(said: &str) -> Vec<Reply> {
    let mut replies: Vec<Reply> = Vec::new();
    let byte = |text: &str| u8::from_str_radix(text, 16).ok();
    for line in said.lines() {
        if let Some(rest) = line.strip_prefix("Received (SW1=0x") {
            let (sw1, sw2) = (byte(&rest[..2]).unwrap(), byte(&rest[10..12]).unwrap());
            replies.push((Vec::new(), u16::from_be_bytes([sw1, sw2])));
        } else if !line.starts_with("Sending")
            && let Some((data, _)) = replies.last_mut()
        {
            data.extend(line[..line.len().min(48)].split_whitespace().map_while(byte));
        }
    }
    replies
}

/// ECDH with this slot.
pub(super) fn ecdh(slot: &str, point: &[u8]) -> String {
    ecdh_with("11", slot, point)
}

pub(super) fn ecdh_with(algorithm: &str, slot: &str, point: &[u8]) -> String {
    let length = point.len();
    format!("0087{algorithm}{slot}{:02X}7C{:02X}820085{length:02X}{}00", length + 6, length + 4, hex(point))
}

/// A key pair outside: a file with the private key, and the point.
pub(super) fn outside(instance: &Instance) -> (String, Vec<u8>) {
    let path = instance.home().join("outside.pem").display().to_string();
    let new = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &path];
    run(Command::new("openssl").args(new), INSTALL);
    let point = point(&path, false);
    (path, point)
}

/// The point of a public key, or of a private key's.
pub(super) fn point(path: &str, public: bool) -> Vec<u8> {
    let mut tool = Command::new("openssl");
    tool.args(["pkey", "-in", path, "-pubout", "-outform", "DER"]);
    if public {
        tool.arg("-pubin");
    }
    let der = tool.output().unwrap().stdout;
    der[der.len() - 65..].to_vec()
}

/// ECDH outside.
pub(super) fn derive(private: &str, public: &str) -> Vec<u8> {
    let mut tool = Command::new("openssl");
    tool.args(["pkeyutl", "-derive", "-inkey", private, "-peerkey", public]);
    tool.output().unwrap().stdout
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02X}"))
}
