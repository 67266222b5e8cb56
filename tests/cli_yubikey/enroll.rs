//! `token enroll --yubikey`: a new key beside what is there, of a vault on files and of one on a YubiKey.

use crate::{NEW_PIN, VALUE, WRONG, card, given, lone, pair, said, silent, uri};
use claviger_tests::{Run, Terminal, World};
use serde_json::json;
use softhsm_fixtures::{At, CardAction, KeySpec, PIN, Provider, YubiKey};
use std::path::PathBuf;

/// GENERATE ASYMMETRIC KEY PAIR.
const MAKE: u8 = 0x47;
/// GENERAL AUTHENTICATE: what uses a key.
const USE: u8 = 0x87;
/// The most services for a key that wants a touch each time.
const MOST: usize = 50;

/// A vault in files, and a YubiKey beside it.
struct Mixed {
    world: World,
    other: World,
    conf: PathBuf,
}

impl Mixed {
    fn new() -> Self {
        let (world, other) = (World::on(Provider::YubiKey), World::empty());
        let mixed = Self { conf: other.token().env()[0].1.clone(), world, other };
        mixed.run(&["init", "--token", mixed.other.uri()]).ok();
        mixed
    }

    fn run(&self, line: &[&str]) -> Run {
        self.world.run(line.iter().copied()).env("SOFTHSM2_CONF", &self.conf)
    }

    /// Enrols the YubiKey, with its PIN on a descriptor. That of the vault's token is in its file.
    fn enroll(&self, more: &[&str]) -> Run {
        let uri = uri(&self.world, &self.key());
        self.run(&[&["token", "enroll", "--token", &uri], more].concat())
    }

    fn key(&self) -> YubiKey {
        self.world.token().yubikey(0)
    }
}

#[test]
fn a_vault_in_files_opens_by_a_yubikey_too() {
    let mixed = Mixed::new();
    mixed.run(&["set", "svc", "--stdin"]).stdin(VALUE).ok();
    let options = ["--slot", "83", "--pin-policy", "once", "--touch-policy", "never", "--json", "-vvv"];
    let done = mixed.enroll(&options).ok();
    assert!(said(&done).contains("the key is in slot 83 of `YubiKey PIV #11111111`"), "{}", done.stderr);
    assert!(!done.stderr.contains("touch YubiKey"), "{}", done.stderr);
    let recipient = done.json()["recipient"].as_str().unwrap().to_owned();
    assert_eq!(card::slots(&mixed.world, &mixed.key()), ["83", "95"]);
    // Without the files.
    let away = mixed.world.run(["get", "svc"]).env("SOFTHSM2_CONF", "/nowhere").ok();
    assert_eq!(away.stdout, VALUE.as_bytes());

    // Once more is noted and does nothing.
    let again = mixed.enroll(&[]).ok();
    assert!(again.stderr.contains("`YubiKey PIV #11111111` opens the vault already"), "{}", again.stderr);
    assert!(again.text().contains(&recipient), "{}", again.text());
    assert_eq!(card::slots(&mixed.world, &mixed.key()), ["83", "95"]);
    mixed.enroll(&["--again"]).ok();
    assert_eq!(card::slots(&mixed.world, &mixed.key()), ["9d", "83", "94", "95"]);
}

#[test]
fn a_key_that_asks_for_nothing_is_warned_of() {
    let warned = |pin: &str, touch: &str| {
        let mixed = Mixed::new();
        let done = mixed.enroll(&["--pin-policy", pin, "--touch-policy", touch]).ok();
        said(&done).contains("this key asks for neither PIN nor touch")
    };
    assert!(warned("never", "never"));
    assert!(!warned("never", "always") && !warned("once", "never"));
}

#[test]
fn what_is_in_a_slot_is_never_overwritten() {
    let mixed = Mixed::new();
    let key = mixed.key();
    card::generate(&mixed.world, &key, "9d");
    card::generate(&mixed.world, &key, "84");
    key.reset_counts();
    for slot in ["9d", "84"] {
        let stderr = mixed.enroll(&["--slot", slot]).fails(
            9,
            &[
                &format!(
                    "slot {slot} has a key already, and nothing is overwritten; free are: 82 and 18 more"
                ),
                "help: take a free one with --slot, or the key that is there with --existing",
                "ykman piv keys delete",
            ],
        );
        silent(&stderr);
    }
    assert_eq!(key.counts().get(&MAKE), None);
    assert_eq!(card::slots(&mixed.world, &key), ["9d", "84"]);
    // What is not named goes where there is room.
    let done = mixed.enroll(&[]).ok();
    assert!(done.stderr.contains("the key is in slot 82"), "{}", done.stderr);
}

#[test]
fn a_second_yubikey_is_enrolled_by_its_number() {
    let world = lone();
    world.set("svc", VALUE);
    world.token().add_yubikey(&KeySpec::default());
    world.line("token enroll --yubikey").fails(2, &["more than one YubiKey", "--serial N"]);
    world
        .line("token enroll --yubikey --serial 5")
        .fails(6, &["YubiKey 5 is not plugged in; there are: 11111111, 22222222"]);
    // Without a PIN nothing is made.
    let stderr = world.line("token enroll --yubikey --serial 22222222").fails(5, &["no PIN", "--pin-fd"]);
    silent(&stderr);
    // Whoever is at the terminal is asked for it.
    let mut terminal = Terminal::start(&world, "token enroll --yubikey --serial 22222222");
    terminal.sees("PIV PIN of token `YubiKey PIV #22222222`").sees(": ").types(PIN);
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("1 service: every data key is wrapped anew"), "{screen}");
    world.token().yubikey(0).remove();
    let second = world.token().yubikey(1);
    second.remove();
    second.insert();
    // Its PIN is in no file: the question has nobody.
    world.line("get svc").fails(5, &["no PIN: there is no terminal"]);
    // Nor is it the one that is given for the first.
    let first = given(&world, "get svc --pin-fd 3", &[WRONG]);
    let stderr =
        first.fails(5, &["is the first token's and is not tried on another", "pin-source=file:PATH"]);
    silent(&stderr);
    assert_eq!(card::tries(&world, &second), 3);
    // A file says whose it is.
    let source = format!("serial=22222222?pin-source=file:{}&", world.token().pin_file().display());
    world.edit_config(|text| text.replace("serial=22222222?", &source));
    assert_eq!(world.get("svc"), VALUE.as_bytes());
    // And the one that is left is the first.
    let gone = world.recipients("active")[0].clone();
    world.run(["token", "retire", &gone, "--compromised", "--yes"]).ok();
    second.remove();
    second.insert();
    world.edit_config(|text| text.replace(&source, "serial=22222222?"));
    assert_eq!(given(&world, "get svc --pin-fd 3", &[PIN]).ok().stdout, VALUE.as_bytes());
}

#[test]
fn a_wrong_pin_costs_one_try_and_leaves_no_key() {
    let mixed = Mixed::new();
    let key = mixed.key();
    let files = [WRONG, NEW_PIN].map(|pin| mixed.world.file(&format!("pin-{pin}"), pin));
    let uri = format!("pkcs11:serial=11111111?module-name=piv&pin-source=file:{}", files[0].display());
    let stderr = mixed.run(&["token", "enroll", "--token", &uri]).fails(5, &["the PIN is wrong"]);
    silent(&stderr);
    assert_eq!(card::tries(&mixed.world, &key), 2);
    assert_eq!(mixed.run(&["token", "recipients", "--json"]).ok().json().as_array().unwrap().len(), 1);
    // The slot is free for the next.
    let done = mixed.enroll(&[]).ok();
    assert!(done.stderr.contains("the key is in slot 9d"), "{}", done.stderr);
}

/// A rotation would want a touch for each service.
#[test]
fn a_touch_for_each_of_many_services_is_refused() {
    let mixed = Mixed::new();
    let key = mixed.key();
    for service in 0..MOST {
        mixed.run(&["set", &format!("s{service}"), "--stdin"]).stdin("value").ok();
    }
    let done = mixed.enroll(&["--touch-policy", "always"]).ok();
    assert!(done.text().contains("50 services"), "{}", done.text());
    let before = card::slots(&mixed.world, &key);
    key.reset_counts();
    mixed.run(&["set", "one/more", "--stdin"]).stdin("value").ok();
    let stderr = mixed.enroll(&["--again", "--touch-policy", "always"]).fails(
        2,
        &["the vault has 51 services", "help: take --touch-policy cached; always is for at most 50 services"],
    );
    silent(&stderr);
    assert_eq!((key.counts().get(&MAKE), key.touches()), (None, 0), "refused before anything is made");
    // Nor does the one that was taken become the master key, by which all would be opened.
    let uri = uri(&mixed.world, &key);
    mixed.run(&["rotate", "master", "--token", &uri]).fails(2, &["the vault has 51 services"]);
    // One that is there already says so itself, and stays.
    let how = ["-m", card::MAKERS_KEY, "-a", "ECCP256", "--touch-policy", "ALWAYS", "84", "-"];
    card::ykman(&mixed.world, &key, &[&["keys", "generate"], &how[..]].concat());
    key.reset_counts();
    mixed.enroll(&["--again", "--slot", "84", "--existing"]).fails(2, &["the vault has 51 services"]);
    let now = card::slots(&mixed.world, &key);
    assert!(now.contains(&"84".to_owned()), "{now:?}");
    // Only a signer was made and unmade for it.
    assert!(key.counts().get(&MAKE).is_none_or(|made| *made <= 2), "{:?}", key.counts());
    mixed.enroll(&["--again", "--touch-policy", "cached", "--slot", "82"]).ok();
    assert!(!before.contains(&"82".to_owned()), "{before:?}");
    let states = mixed.run(&["token", "recipients", "--json"]).ok().json();
    assert_eq!(states.as_array().unwrap().len(), 3, "{states:#}");
}

/// A key of the vault's on a YubiKey that wants a touch each time does not become its master key where there are many.
#[test]
fn the_master_key_moves_to_a_yubikey() {
    let mixed = Mixed::new();
    mixed.run(&["set", "svc", "--stdin"]).stdin(VALUE).ok();
    let uri = uri(&mixed.world, &mixed.key());
    let line = ["rotate", "master", "--token", &uri, "--destroy-old"];
    // It would open the vault alone, as no vault comes to be unasked.
    let stderr = mixed.run(&line).fails(
        2,
        &[
            "whether a vault under one YubiKey alone is meant",
            "help: enroll another token first",
            "--accept-loss",
        ],
    );
    silent(&stderr);
    assert!(card::slots(&mixed.world, &mixed.key()).is_empty());
    let done = mixed.run(&[&line[..], &["--accept-loss"]].concat()).ok();
    let told = said(&done);
    for part in [
        "destroyed",
        "the key is in slot 9d of `YubiKey PIV #11111111`, not proven",
        "the management key of `YubiKey PIV #11111111` is still its maker's",
        "the PIN of `YubiKey PIV #11111111` is still its maker's",
        "token `YubiKey PIV #11111111` alone opens the vault now",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(mixed.world.get("svc"), VALUE.as_bytes());
    let info = mixed.world.line("token info --json").ok().json();
    assert_eq!((&info["serial"], &info["yubikey"]["touch_policy"]), (&json!("11111111"), &json!("cached")));
}

#[test]
fn a_move_to_one_alone_is_meant() {
    let mixed = Mixed::new();
    let uri = crate::uri(&mixed.world, &mixed.key());
    let plain = mixed.other.uri();
    mixed
        .run(&["rotate", "master", "--token", plain, "--accept-loss"])
        .fails(2, &["--accept-loss is for a vault under one YubiKey alone"]);
    mixed.run(&["rotate", "master", "--accept-loss"]).fails(2, &["--token"]);
    // Beside another recipient it is not alone.
    let second = mixed.world.token().add_yubikey(&KeySpec::default());
    mixed.run(&["token", "enroll", "--token", &crate::uri(&mixed.world, &second)]).ok();
    let done = mixed.run(&["rotate", "master", "--token", &uri]).ok();
    assert!(!said(&done).contains("alone"), "{}", done.stderr);
    assert_eq!(mixed.world.recipients("active").len(), 2);
}

/// A request from afar says what its key wants, and what it proves is said where it is made.
#[test]
fn a_request_tells_as_much_as_an_enrolment() {
    let mixed = Mixed::new();
    for service in 0..=MOST {
        mixed.run(&["set", &format!("s{service}"), "--stdin"]).stdin("value").ok();
    }
    let away = mixed.world.neighbour("away");
    let uri = uri(&mixed.world, &mixed.key());
    let made = away.run(["token", "request", "--token", &uri, "--touch-policy", "always"]).ok();
    let told = said(&made);
    for part in [
        "the key is in slot 9d of `YubiKey PIV #11111111`, not proven",
        "the management key of `YubiKey PIV #11111111` is still its maker's",
        "the PIN of `YubiKey PIV #11111111` is still its maker's",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let propose = |name: &str, request: &serde_json::Value| {
        let file = mixed.world.file(name, request.to_string());
        mixed.run(&["token", "enroll", "--request", file.to_str().unwrap()])
    };
    let mut request = made.json();
    propose("request", &request).fails(2, &["the vault has 51 services", "--touch-policy cached"]);
    assert_eq!(mixed.run(&["token", "recipients", "--json"]).ok().json().as_array().unwrap().len(), 1);
    // Older programs do not say it.
    assert!(request.as_object_mut().unwrap().remove("profile").is_some());
    propose("older", &request).ok();
    let made = away.run(["token", "request", "--token", &uri]).ok();
    propose("cached", &made.json()).ok();
}

#[test]
fn one_is_retired_and_its_key_destroyed() {
    let (world, backup) = pair();
    world.set("svc", VALUE);
    let config = std::fs::read_to_string(world.config()).unwrap();
    let second = config.rsplit("recipient = \"").next().unwrap()[..32].to_owned();
    let before = card::slots(&world, &backup);
    let done = world.run(["token", "retire", &second, "--destroy", "--yes"]).ok();
    assert!(said(&done).contains("destroyed"), "{}", done.text());
    let told = "made earlier can still be opened by ECDH-ES+A256KW on token `YubiKey PIV #11111111`";
    assert!(done.stderr.contains(told) && !done.stderr.contains("that was retired"), "{}", done.stderr);
    assert_eq!(world.recipients("destroyed"), [second]);
    // Firmware that takes none out makes another over it, which is nobody's.
    assert_eq!(card::slots(&world, &backup), before);
    world.run(["token", "enroll", "--token", &uri(&world, &backup), "--slot", "9d"]).ok();
    world.token().yubikey(0).remove();
    assert_eq!(world.get("svc"), VALUE.as_bytes());
}

/// From then on only that key opens what is sealed to it.
#[test]
fn a_key_that_was_taken_up_stays_when_the_rest_fails() {
    let world = lone();
    for service in ["one", "two", "three", "four"] {
        world.set(service, VALUE);
    }
    let (first, second) = (world.token().yubikey(0), world.token().add_yubikey(&KeySpec::default()));
    let enroll = || world.run(["token", "enroll", "--token", &uri(&world, &second)]);
    first.inject(USE, At::Nth(4), CardAction::Remove);
    let stderr = enroll().fails(6, &["serial=11111111", "note: the new key stays"]);
    silent(&stderr);
    first.insert();
    assert!(said(&enroll().ok()).contains("4 services: every data key is wrapped anew"));
    first.remove();
    assert_eq!(world.get("four"), VALUE.as_bytes());
}

/// Its serial number stays, and its key does not.
#[test]
fn a_backup_that_was_reset_gets_another_key() {
    let (world, backup) = pair();
    world.set("svc", VALUE);
    let lost = world.recipients("active");
    card::ykman(&world, &backup, &["reset", "-f"]);
    let told = world.line("doctor").outcome();
    assert_eq!(told.code, Some(6), "{}", told.text());
    assert!(said(&told).contains("`pkcs11:serial=22222222?module-name=piv` has its key"), "{}", told.text());
    let done = world.run(["token", "enroll", "--token", &uri(&world, &backup)]).ok();
    assert!(said(&done).contains("is not on `YubiKey PIV #22222222` any more"), "{}", done.stderr);
    let active = world.recipients("active");
    let again = world.run(["token", "enroll", "--token", &uri(&world, &backup)]).ok();
    assert!(said(&again).contains("opens the vault already, and got no second key"), "{}", again.stderr);
    assert_eq!(world.recipients("active"), active);
    let new = active.into_iter().find(|id| !lost.contains(id)).unwrap();
    let old = lost.iter().find(|id| done.stderr.contains(id.as_str())).unwrap();
    assert!(done.stderr.contains(&format!("claviger token retire {old}")), "{}", done.stderr);
    world.line(&format!("token retire {old} --yes")).ok();
    let doctor = world.line("doctor").ok();
    for part in ["has its key", "2 tokens open this vault, each by itself"] {
        assert!(doctor.text().contains(part), "{part}: {}", doctor.text());
    }
    world.token().yubikey(0).remove();
    assert_eq!(world.get("svc"), VALUE.as_bytes());
    assert!(world.recipients("active").contains(&new));
}

/// What was made beside a key goes with it: a card's slots are few.
#[test]
fn a_destroyed_key_leaves_no_signer() {
    let (world, backup) = pair();
    let of_backup = || {
        let all = world.line("token recipients --json").ok().json();
        let all = all.as_array().unwrap().clone();
        let here = |one: &&serde_json::Value| one["token_serial"] == "22222222" && one["state"] == "active";
        all.iter().find(here).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let first = of_backup();
    let done = world.line(&format!("token retire {first} --destroy --yes")).ok();
    assert!(!said(&done).contains("stays on the token"), "{}", done.stderr);
    assert!(!card::ykman(&world, &backup, &["info"]).contains("claviger sign"));
    // So its slots are used again.
    world.run(["token", "enroll", "--token", &uri(&world, &backup)]).ok();
    assert_eq!(card::slots(&world, &backup).len(), 2);
    // An attempt that was cut short between the two is finished by the next.
    let config = std::fs::read(world.config()).unwrap();
    let retire = format!("token retire {} --destroy --yes", of_backup());
    backup.inject(MAKE, At::Nth(2), CardAction::Status(0x6f00));
    let done = world.line(&retire).ok();
    backup.clear();
    assert!(said(&done).contains("stays on the token"), "{}", done.stderr);
    assert!(card::ykman(&world, &backup, &["info"]).contains("claviger sign"));
    std::fs::write(world.config(), config).unwrap();
    let done = world.line(&retire).ok();
    assert!(said(&done).contains("is destroyed already"), "{}", done.stderr);
    assert!(!card::ykman(&world, &backup, &["info"]).contains("claviger sign"));
}
