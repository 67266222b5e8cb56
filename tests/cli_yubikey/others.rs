//! The same vault through other drivers of the same YubiKey: its maker's PKCS#11 module, and OpenSC's; and its key through the
//! `yubikey` crate.

use crate::{empty, lone, pair};
use claviger_tests::World;
use std::fs;

const YKCS11: &str = "/usr/lib/x86_64-linux-gnu/libykcs11.so.2";
const OPENSC: &str = "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so";

/// Has the configuration reach the token by a module.
fn by_module(world: &World, token: &str, module: &str) {
    let pin = world.token().pin_file().display().to_string();
    world.edit_config(|text| {
        let (before, rest) = text.split_once("uri = \"").unwrap();
        let (_, after) = rest.split_once('"').unwrap();
        format!("{before}uri = \"pkcs11:{token}?module-path={module}&pin-source=file:{pin}\"{after}")
    });
    assert!(fs::read_to_string(world.config()).unwrap().contains(module));
}

/// Nothing in the vault changes, nor the recipient's name: it follows from the public half, which every driver sees.
#[test]
fn the_same_vault_opens_through_other_modules() {
    let world = lone();
    world.set("openai", "value 0");
    let native = fs::read_to_string(world.config()).unwrap();
    for (token, module) in [("serial=11111111", YKCS11), ("manufacturer=piv_II", OPENSC)] {
        by_module(&world, token, module);
        assert_eq!(world.get("openai"), b"value 0", "{module}");
        let written = format!("written through {module}");
        world.set("openai", &written);
        world.set("another", &written);
        assert_eq!(world.get("another"), written.as_bytes(), "{module}");
        world.line("verify").ok();
        // And back.
        fs::write(world.config(), &native).unwrap();
        assert_eq!(world.get("openai"), written.as_bytes());
        world.set("openai", "value 0");
    }
}

/// OpenSC looks into no more of the retired slots than the card's key history says.
#[test]
fn opensc_finds_one_in_a_retired_slot() {
    let world = empty();
    world.run(["init", "--token", world.uri(), "--accept-loss", "--slot", "87"]).ok();
    world.set("openai", "value");
    by_module(&world, "manufacturer=piv_II", OPENSC);
    assert_eq!(world.get("openai"), b"value");
}

/// To OpenSC all YubiKeys have one name and serial number: the reader tells two apart.
#[test]
fn opensc_tells_two_apart_by_their_readers() {
    let (world, _) = pair();
    world.set("openai", "value");
    by_module(&world, "manufacturer=piv_II", OPENSC);
    let outcome = world.line("get openai").outcome();
    assert!(outcome.stderr.contains("fits more than one"), "{}", outcome.stderr);
    let reader = world.token().yubikey(0).reader().replace(' ', "%20");
    by_module(&world, &format!("manufacturer=piv_II;slot-description={reader}"), OPENSC);
    assert_eq!(world.get("openai"), b"value");
    // Without it, it is not taken for the other one.
    world.token().yubikey(0).remove();
    let stderr = world.line("get openai").outcome().stderr;
    assert!(stderr.contains("no token fits `pkcs11:"), "{stderr}");
}

/// A key that a module cannot destroy is not said to be destroyed.
#[test]
fn a_module_that_destroys_no_key_does_not_say_that_it_did() {
    let (world, _) = pair();
    world.set("openai", "value");
    by_module(&world, "serial=11111111", YKCS11);
    let config = fs::read_to_string(world.config()).unwrap();
    let first = config.split("recipient = \"").nth(1).unwrap()[..32].to_owned();
    let outcome = world.run(["token", "retire", &first, "--destroy", "--yes"]).outcome();
    assert_ne!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(world.recipients("destroyed").is_empty());
}

/// What is made here is what another client finds, and what that can use.
#[test]
fn the_yubikey_crate_finds_and_uses_the_key() {
    let world = empty();
    let line = ["init", "--token", world.uri(), "--accept-loss", "--slot", "82"];
    world.run(line.into_iter().chain(["--touch-policy", "always"])).ok();
    let shown = world.line("token info --json").ok().json();
    let recipient = shown["recipient"].as_str().unwrap();
    let seen = world.token().yubikey_client("82", softhsm_fixtures::PIN);
    let has = |line: &str| assert!(seen.lines().any(|one| one == line), "{line}:\n{seen}");
    has("firmware 5.4.3");
    has("pin Once");
    has("touch Always");
    has("origin Generated");
    has(&format!("subject CN=claviger {recipient}"));
    has("agrees true");
    // The recipient's name is that of the public half which that client sees.
    let point = seen.lines().find_map(|line| line.strip_prefix("point 04")).unwrap();
    let half = |from: usize| {
        let byte = |at: usize| u8::from_str_radix(&point[from + 2 * at..from + 2 * at + 2], 16).unwrap();
        std::array::from_fn(byte)
    };
    let point = claviger_types::EcPoint { x: half(0), y: half(64) };
    let name = claviger_types::RecipientId::from_bytes(claviger_token::software::name_of(&point));
    assert_eq!(name.to_string(), recipient);
}
