//! `--existing`: the key that is in a slot already becomes the vault's, and whatever fails, it stays.

use crate::{VALUE, card, lone, said, silent, uri};
use claviger_tests::World;
use softhsm_fixtures::{KeySpec, PIN, YubiKey};
use std::fs;

/// GENERATE ASYMMETRIC KEY PAIR, IMPORT, and DELETE or MOVE.
const DESTROYING: [u8; 3] = [0x47, 0xfe, 0xf6];

/// A vault under a YubiKey, and another one with a key of its owner's in this slot.
fn beside(slot: &str, firmware: Option<&'static str>) -> (World, YubiKey) {
    let world = lone();
    world.set("svc", VALUE);
    let key = world.token().add_yubikey(&KeySpec { firmware, ..KeySpec::default() });
    card::generate(&world, &key, slot);
    (world, key)
}

fn enroll(world: &World, key: &YubiKey, more: &[&str]) -> claviger_tests::Run {
    let uri = uri(world, key);
    world.run([&["token", "enroll", "--token", &uri, "--existing"], more].concat())
}

/// The public half of the key in a slot.
fn public(world: &World, key: &YubiKey, slot: &str) -> String {
    let path = world.home().join("public.pem");
    let path = path.to_str().unwrap();
    card::ykman(world, key, &["keys", "export", slot, path]);
    fs::read_to_string(path).unwrap()
}

#[test]
fn the_owners_key_opens_the_vault() {
    let (world, key) = beside("9d", None);
    let before = public(&world, &key, "9d");
    key.reset_counts();
    let done = enroll(&world, &key, &[]).ok();
    assert!(said(&done).contains("the key is in slot 9d of `YubiKey PIV #22222222`"), "{}", done.stderr);
    assert_eq!(public(&world, &key, "9d"), before);
    world.token().yubikey(0).remove();
    assert_eq!(world.get("svc"), VALUE.as_bytes());
    // Once more it is the same recipient.
    let stderr = enroll(&world, &key, &["--again"]).fails(
        2,
        &[
            "the key in slot 9d of `YubiKey PIV #22222222` is known to the vault: recipient ",
            ", active",
            "it opens the vault",
        ],
    );
    silent(&stderr);
    assert_eq!(public(&world, &key, "9d"), before);
    assert_eq!(world.get("svc"), VALUE.as_bytes());
}

/// Also one that firmware 5.7 could take out.
#[test]
fn whatever_fails_the_key_stays() {
    for firmware in [None, Some("5.7.1")] {
        let (world, key) = beside("84", firmware);
        let before = public(&world, &key, "84");
        key.reset_counts();
        // At the question for the PIN.
        let wrong = world.file("wrong", crate::WRONG);
        let plain = format!("pkcs11:serial=22222222?module-name=piv&pin-source=file:{}", wrong.display());
        world
            .run(["token", "enroll", "--token", &plain, "--existing", "--slot", "84"])
            .fails(5, &["the PIN is wrong"]);
        // In the self-test, and when the signer is made after it.
        for (ins, action) in [
            (0x87, softhsm_fixtures::CardAction::Flip(40)),
            (0xdb, softhsm_fixtures::CardAction::Status(0x6a84)),
        ] {
            key.inject(ins, softhsm_fixtures::At::Every, action);
            let outcome = enroll(&world, &key, &["--slot", "84"]).outcome();
            assert_ne!(outcome.code, Some(0), "{}", outcome.stderr);
            said(&outcome);
            key.clear();
            assert_eq!(public(&world, &key, "84"), before, "{}", outcome.stderr);
        }
        let on_it: Vec<_> = world.recipients("active");
        assert_eq!(on_it.len(), 1);
        enroll(&world, &key, &["--slot", "84"]).ok();
        assert_eq!(public(&world, &key, "84"), before);
    }
}

#[test]
fn one_that_was_brought_there_is_refused() {
    let (world, key) = beside("84", None);
    let pem = world.home().join("own.pem");
    let pem = pem.to_str().unwrap();
    card::tool(
        &world,
        "openssl",
        &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", pem],
    );
    card::piv_tool(&world, &key, &["-a", "import-key", "-s", "9d", "-A", "ECCP256", "-i", pem]);
    let before = public(&world, &key, "9d");
    key.reset_counts();
    let stderr = enroll(&world, &key, &[]).fails(
        1,
        &[
            "slot 9d has no key that can be the vault's",
            "may be copies of it elsewhere",
            "help: leave --existing out",
        ],
    );
    silent(&stderr);
    enroll(&world, &key, &["--slot", "85"])
        .fails(1, &["slot 85 has no key that can be the vault's: it is empty"]);
    let counts = key.counts();
    assert!(DESTROYING.iter().all(|ins| !counts.contains_key(ins)), "{counts:x?}");
    assert_eq!(public(&world, &key, "9d"), before);
    assert_eq!(card::slots(&world, &key), ["9d", "84"]);
}

#[test]
fn one_on_another_curve_is_refused() {
    let world = lone();
    let key = world.token().add_yubikey(&KeySpec::default());
    let done = ["-a", "generate", "-s", "9d", "-A", "ECCP384", "--pin-policy=once", "--touch-policy=never"];
    card::piv_tool(&world, &key, &done);
    enroll(&world, &key, &[]).fails(1, &["its key is not one on P-256"]);
    assert_eq!(card::slots(&world, &key), ["9d"]);
}

/// It may be somebody else's, too: so no command destroys it, in whichever way it comes to it.
#[test]
fn it_is_never_destroyed() {
    let (world, key) = beside("84", Some("5.7.1"));
    let before = public(&world, &key, "84");
    enroll(&world, &key, &["--slot", "84"]).ok();
    let [first, taken] = world.recipients("active").try_into().unwrap();
    let refused = |run: claviger_tests::Run| {
        let says = ["the key in slot 84 was not made by this program", "help: leave the destruction out"];
        silent(&run.fails(1, &says));
        assert_eq!(public(&world, &key, "84"), before);
    };
    let retire = |recipient: &str| world.run(["token", "retire", recipient, "--destroy", "--yes"]);
    refused(retire(&taken));
    // Where it stands in for the first, no key is; and where it is alone.
    world.token().yubikey(0).remove();
    world.line("rotate master --destroy-old").fails(2, &["would destroy the key of another"]);
    world.run(["token", "retire", &first, "--yes"]).ok();
    refused(world.line("rotate master --destroy-old"));
    assert_eq!(card::slots(&world, &key), ["84", "95"], "and nothing was made for it");
    // As a former key: by itself, and with the one that followed.
    world.line("rotate master").ok();
    refused(retire(&taken));
    world.run(["token", "enroll", "--token", &uri(&world, &key), "--again"]).ok();
    let own = world.recipients("active")[0].clone();
    let done = retire(&own).ok();
    assert!(said(&done).contains("sealed anew"), "what it opens is closed otherwise: {}", done.text());
    assert_eq!(public(&world, &key, "84"), before);
    assert!(world.recipients("destroyed").contains(&own) && !world.recipients("destroyed").contains(&taken));
    assert_eq!(world.get("svc"), VALUE.as_bytes());
    world.line("verify").ok();
}

/// Nor by the next enrolment, which clears away what an earlier one left.
#[test]
fn one_that_was_not_taken_up_stays() {
    let world = lone();
    world.set("svc", VALUE);
    let key = world.token().add_yubikey(&KeySpec::default());
    let how = ["-a", "ECCP256", "--pin-policy", "ONCE", "--touch-policy", "ALWAYS", "9d", "-"];
    card::ykman(&world, &key, &[&["keys", "generate", "-m", card::MAKERS_KEY], &how[..]].concat());
    let before = public(&world, &key, "9d");
    let challenge = (1..20).find(|nth| {
        key.inject(0x87, softhsm_fixtures::At::Nth(*nth), softhsm_fixtures::CardAction::Remove);
        let outcome = enroll(&world, &key, &[]).outcome();
        key.clear();
        key.insert();
        assert_ne!(outcome.code, Some(0), "it never came to the challenge");
        !world.recipients("pre-active").is_empty()
    });
    assert!(challenge.is_some());
    let done = world.run(["token", "enroll", "--token", &uri(&world, &key)]).ok();
    assert!(said(&done).contains("the key is in slot 8"), "{}", done.stderr);
    assert_eq!(public(&world, &key, "9d"), before);
    assert!(world.recipients("pre-active").is_empty());
}

/// A key of this program's own is another vault's, or signs.
#[test]
fn one_of_a_vault_is_not_taken_for_another() {
    let world = lone();
    let other = world.neighbour("other");
    let line = ["init", "--token", world.uri(), "--accept-loss", "--existing"];
    other.run(line).fails(1, &["slot 9d has no key that can be the vault's", "program's own"]);
    let line = ["token", "enroll", "--token", world.uri(), "--existing", "--slot", "95", "--again"];
    world.run(line).fails(1, &["slot 95 has no key that can be the vault's", "program's own"]);
    assert_eq!(world.recipients("active").len(), 1);
}

/// One that cannot tell what is in its slots gets no key, and lends the one that it shows.
#[test]
fn an_older_one_is_only_lent() {
    let world = lone();
    world.set("svc", VALUE);
    let key = world.token().add_yubikey(&KeySpec { firmware: Some("5.2.4"), ..KeySpec::default() });
    let new = uri(&world, &key);
    let stderr = world.run(["token", "enroll", "--token", &new]).fails(
        1,
        &[
            "firmware 5.2.4 does not tell what is in a slot",
            "help: make the key with its maker's tool",
            "--existing",
        ],
    );
    silent(&stderr);
    enroll(&world, &key, &[]).fails(1, &["it is empty, or its key has no certificate"]);
    // As it says.
    let public = world.home().join("own.pem");
    let public = public.to_str().unwrap();
    let how = ["-a", "ECCP256", "--pin-policy", "ONCE", "--touch-policy", "NEVER", "9d", public];
    card::ykman(&world, &key, &[&["keys", "generate", "-m", card::MAKERS_KEY], &how[..]].concat());
    let how = ["-m", card::MAKERS_KEY, "-P", PIN, "-s", "its owner", "9d", public];
    card::ykman(&world, &key, &[&["certificates", "generate"], &how[..]].concat());
    key.reset_counts();
    said(&enroll(&world, &key, &[]).ok());
    let writing = |ins: &u8| DESTROYING.contains(ins) || *ins == 0xdb;
    assert!(!key.counts().keys().any(writing), "{:x?}", key.counts());
    world.token().yubikey(0).remove();
    assert_eq!(world.get("svc"), VALUE.as_bytes());
    world.set("another", VALUE);
    world.line("verify").ok();
    // What such firmware does not tell is not said to be well.
    let other = world.neighbour("other");
    other.run(["init", "--token", &new, "--accept-loss", "--existing"]).ok();
    let info = other.line("token info").ok();
    let shown = said(&info);
    assert!(shown.contains("management    3DES, not told whether it is still its maker's"), "{shown}");
    assert!(shown.contains("PUK      not told by this firmware"), "{shown}");
    let doctor = other.line("doctor").ok();
    assert!(said(&doctor).contains("ok    PUK            not told by this firmware"), "{}", doctor.text());
}

/// What was retired stays so; a new vault takes it.
#[test]
fn a_vault_begins_with_the_owners_key() {
    let world = crate::empty();
    let key = world.token().yubikey(0);
    card::generate(&world, &key, "9d");
    let before = public(&world, &key, "9d");
    let done = world.run(["init", "--token", world.uri(), "--accept-loss", "--existing"]).ok();
    said(&done);
    world.set("svc", VALUE);
    assert_eq!(public(&world, &key, "9d"), before);
    // In the middle of a second one, which fails, it stays as well.
    let other = world.neighbour("other");
    fs::create_dir_all(other.home().join(".local/state/claviger")).unwrap();
    claviger_tests::mode(&other.home().join(".local/state/claviger"), 0o500);
    let config = other.home().join("absent/claviger.toml");
    let blocked = other.file("absent", "");
    let outcome = other
        .run([
            "init",
            "--token",
            world.uri(),
            "--accept-loss",
            "--existing",
            "--config",
            config.to_str().unwrap(),
        ])
        .outcome();
    assert_ne!(outcome.code, Some(0), "{}", outcome.stderr);
    drop(blocked);
    assert_eq!(public(&world, &key, "9d"), before);
    assert_eq!(world.get("svc"), VALUE.as_bytes());
}
