//! A workstation's drill: two YubiKeys, one is lost in the middle of work, and what was done about it.

use crate::{pair, uri};
use claviger_tests::{World, legacy};
use serde_json::Value;
use softhsm_fixtures::{At, CardAction};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// GENERAL AUTHENTICATE: what uses a key.
const USE: u8 = 0x87;

/// The old program's file, its key, and how much is in it.
struct Old {
    file: PathBuf,
    key: PathBuf,
    contents: Value,
}

impl Old {
    fn in_world(world: &World, name: &str) -> Self {
        let read = |suffix: &str| fs::read(legacy(&format!("{name}.{suffix}"))).unwrap();
        let expected: Value = serde_json::from_slice(&read("json")).unwrap();
        let file = world.file("old.enc", read("enc"));
        let key = world.file("old.key", expected["key"].as_str().unwrap());
        Self { file, key, contents: expected["contents"].clone() }
    }

    fn import(&self, world: &World) -> claviger_tests::Run {
        let (file, key) = (self.file.to_str().unwrap(), self.key.to_str().unwrap());
        world.run(["import", "apex", file, "--key-file", key])
    }

    fn keys(&self) -> &serde_json::Map<String, Value> {
        self.contents["api_keys"].as_object().unwrap()
    }

    fn is_whole(&self, world: &World) {
        for (service, key) in self.keys().iter().take(3) {
            let reference = format!("{}/api_key", service.replace('%', "%25").replace('/', "%2F"));
            assert_eq!(world.get(&reference), key.as_str().unwrap().as_bytes(), "{service}");
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

#[test]
fn a_lost_yubikey_costs_nothing_and_opens_nothing_written_later() {
    // Two keys from the first day, and work.
    let (world, backup) = pair();
    let first = world.token().yubikey(0);
    world.set("before", "value 0");
    let old = Old::in_world(&world, "typical");
    let fingerprint =
        |world: &World| world.line("status --json").ok().json()["fingerprint"].as_str().unwrap().to_owned();
    let before = fingerprint(&world);

    // The first is pulled out in the middle of an import: at its first use after the vault was opened by it.
    first.inject(USE, At::Nth(2), CardAction::Remove);
    let known = "the old file is as it was; the same command goes on";
    old.import(&world).fails(6, &["serial=11111111", "help: ", known]);
    assert!(!first.is_inserted());
    // Nothing of it is there; and the other goes on, unasked.
    let listed = world.line("list").ok();
    assert_eq!(listed.text(), "before/api_key  api-key  1\n");
    assert!(
        listed.stderr.contains("going on with `pkcs11:serial=22222222?module-name=piv`"),
        "{}",
        listed.stderr
    );
    old.import(&world).ok();
    old.is_whole(&world);
    world.set("after the loss", "value 1");

    // Whoever found it knows its PIN, and has everything that was on this machine.
    let found = world.neighbour("finder");
    copy(&world.home().join("."), found.home());
    let moved = format!("{}/", world.home().display());
    found.edit_config(|text| {
        let (head, tail) = text.split_once("[[backup-token]]").unwrap();
        let signers = tail.split_once("[[signer]]").map_or("", |(_, signers)| signers);
        format!("{head}[[signer]]{signers}").replace(&moved, &format!("{}/", found.home().display()))
    });
    let lost = world
        .recipients("active")
        .into_iter()
        .find(|id| {
            fs::read_to_string(world.config())
                .unwrap()
                .split("[[backup-token]]")
                .next()
                .unwrap()
                .contains(id.as_str())
        })
        .unwrap();
    let retired = world.run(["token", "retire", &lost, "--yes"]).ok();
    for (whose, number) in [("the key that was retired, ", "11111111"), ("", "22222222")] {
        let told = format!(
            "made earlier can still be opened by {whose}ECDH-ES+A256KW on token `YubiKey PIV #{number}`"
        );
        assert!(retired.stderr.contains(&told), "{told}: {}", retired.stderr);
    }
    assert_eq!(world.recipients("active").len(), 1);
    world.set("before", "written later");
    world.set("new", "written later");
    let after = fingerprint(&world);
    assert_ne!(before, after, "the vault key is the one that the lost YubiKey opens");

    // The finder plugs it in, and nothing else.
    backup.remove();
    first.insert();
    assert_eq!(found.get("before"), b"value 0", "the old copy opens by it, as anybody has to know");
    let store = |world: &World| world.home().join(".local/share/claviger");
    fs::remove_dir_all(store(&found)).unwrap();
    copy(&store(&world), &store(&found));
    for reference in ["before", "new", "after%20the%20loss"] {
        found.run(["get", reference]).fails(7, &["help: "]);
    }
    // Not even where the new vault key is believed.
    found.edit_config(|text| text.replace(&before, &after));
    for reference in ["before", "new", "after%20the%20loss"] {
        found.run(["get", reference]).fails(7, &["this token's key is no recipient of this vault"]);
    }

    // The rightful owner has lost nothing, and enrols a new second one.
    first.remove();
    backup.insert();
    old.is_whole(&world);
    for (reference, value) in
        [("before", "written later"), ("new", "written later"), ("after%20the%20loss", "value 1")]
    {
        assert_eq!(world.get(reference), value.as_bytes());
    }
    let third = world.token().add_yubikey(&softhsm_fixtures::KeySpec::default());
    world.run(["token", "enroll", "--token", &uri(&world, &third)]).ok();
    backup.remove();
    old.is_whole(&world);
    let outcome = world.line("verify").ok();
    assert!(outcome.text().ends_with("everything is whole\n"), "{}", outcome.text());
}
