//! The virtual YubiKey, as programs of others find it.

mod age;
mod apdu;
mod card;
mod control;
mod pcsc;
mod tools;

use crate::{Instance, process::run};
use std::{fs, path::PathBuf};

const INSTALL: &str = "apt-get install -y yubikey-manager yubico-piv-tool opensc openssl age";

/// What this tool says.
fn tool(instance: &Instance, program: &str, arguments: &[&str]) -> String {
    run(instance.command(program).args(arguments), INSTALL)
}

/// What this tool says when it fails.
fn failing_tool(instance: &Instance, program: &str, arguments: &[&str]) -> String {
    let output = instance.command(program).args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(!output.status.success(), "{program} {arguments:?} succeeded: {said}");
    said
}

/// Yubico's tool for PIV, for the key with this number.
fn piv_tool(instance: &Instance, key: usize, arguments: &[&str]) -> String {
    let reader = instance.yubikey(key).reader();
    tool(instance, "yubico-piv-tool", &[&["-r", &reader], arguments].concat())
}

/// Lets the first key make one in this slot; the file with its public half.
fn generate(instance: &Instance, slot: &str, pin: &str, touch: &str) -> PathBuf {
    generate_in(instance, 0, slot, pin, touch)
}

fn generate_in(instance: &Instance, key: usize, slot: &str, pin: &str, touch: &str) -> PathBuf {
    let (pin, touch) = (format!("--pin-policy={pin}"), format!("--touch-policy={touch}"));
    let public = piv_tool(instance, key, &["-a", "generate", "-s", slot, "-A", "ECCP256", &pin, &touch]);
    file(instance, &format!("{key}-{slot}.pem"), &public)
}

/// A file of the test's own.
fn file(instance: &Instance, name: &str, content: &str) -> PathBuf {
    let path = instance.home().join(name);
    fs::write(&path, content).unwrap();
    path
}
