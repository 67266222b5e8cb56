//! Several tokens: either opens alone, one is retired, and what a retired one still opens.

use crate::{check, copy_store, filled, filled_under_a_pair, fingerprint, put_store};
use std::fs;

#[test]
fn a_vault_on_two_tokens_survives_the_loss_of_either() {
    for lose_first in [true, false] {
        let world = filled();
        let first = world.token_directories().pop().unwrap();
        let (uri, second) = world.another_token("backup");
        world.run(["token", "enroll", "--token", &uri, "--move"]).ok();
        let lost = if lose_first { &first } else { &second };
        let away = world.home().join("lost");
        fs::rename(lost, &away).unwrap();
        check(&world);
        world.set("svc0", "value 0");
        world.set("a new service", "value");
        assert_eq!(world.get("a%20new%20service"), b"value");
        check(&world);
        // The lost one is retired by the one that is left, and then nothing is missing.
        let gone = world
            .recipients("active")
            .into_iter()
            .find(|id| {
                let config = fs::read_to_string(world.config()).unwrap();
                let first_entry = config.split("[[backup-token]]").next().unwrap().contains(id.as_str());
                first_entry == lose_first
            })
            .unwrap();
        world.run(["token", "retire", &gone, "--yes"]).ok();
        let again = world.run(["token", "retire", &gone, "--yes"]).ok();
        assert!(again.stderr.contains("deactivated already, and nothing was changed"), "{}", again.stderr);
        // Only now it turns out that somebody may have it.
        let before = fingerprint(&world);
        let changed = world.run(["token", "retire", &gone, "--compromised", "--yes"]).ok();
        assert!(changed.text().contains("svc1/api_key"), "{}", changed.text());
        assert_ne!(fingerprint(&world), before);
        assert_eq!(world.recipients("compromised"), [gone]);
        let outcome = world.line("list").ok();
        assert_eq!(outcome.stderr, "", "no token is missed any more");
        let config = fs::read_to_string(world.config()).unwrap();
        assert_eq!(
            config.matches("[[signer]]").count(),
            1,
            "nobody believes the retired token's signer: {config}"
        );
        check(&world);
    }
}

/// `--move` leaves the token's former key there, and that one goes with the token too.
#[test]
fn a_tokens_former_keys_are_destroyed_with_it() {
    let world = filled();
    let (uri, _) = world.another_token("backup");
    world.run(["token", "enroll", "--token", &uri, "--move"]).ok();
    let former = world.recipients("deactivated");
    let config = fs::read_to_string(world.config()).unwrap();
    let first = config.split("recipient = \"").nth(1).unwrap()[..32].to_owned();
    world.run(["token", "retire", &first, "--destroy", "--yes"]).ok();
    let mut gone = world.recipients("destroyed");
    gone.sort();
    let mut all = [former, vec![first]].concat();
    all.sort();
    assert_eq!(gone, all);
    let keys = std::process::Command::new("pkcs11-tool")
        .args([
            "--module",
            world.token().module().to_str().unwrap(),
            "--token-label",
            softhsm_fixtures::LABEL,
        ])
        .args(["--login", "--pin", softhsm_fixtures::PIN, "--list-objects"])
        .envs(world.token().env())
        .output()
        .unwrap();
    let keys = String::from_utf8_lossy(&keys.stdout).into_owned();
    assert!(keys.contains("claviger anchor"), "what is there was not listed: {keys}");
    assert!(!keys.contains("Private Key Object") && !keys.contains("Secret Key"), "{keys}");
    check(&world);
}

#[test]
fn a_secret_key_stays_the_only_one_and_the_move_is_offered() {
    let world = filled();
    let (uri, _) = world.another_token("backup");
    world
        .run(["token", "enroll", "--token", &uri, "--scheme", "A256KW"])
        .fails(2, &["at most one recipient", "rotate master"]);
    let enrolled = world.run(["token", "enroll", "--token", &uri]).ok();
    assert!(
        enrolled.stderr.contains("claviger rotate master --scheme ECDH-ES+A256KW"),
        "{}",
        enrolled.stderr
    );
    let again = world.run(["token", "enroll", "--token", &uri]).ok();
    assert!(again.stderr.contains("opens the vault already, and got no second key"), "{}", again.stderr);
    assert_eq!(world.recipients("active").len(), 2);
    world.line("rotate master --scheme ECDH-ES+A256KW").ok();
    check(&world);
}

/// An attacker has the retired token, its PIN, the old configuration and an old copy of everything.
#[test]
fn a_retired_token_with_an_old_copy_reads_nothing_written_later() {
    let world = filled_under_a_pair();
    let (uri, _) = world.another_token("backup");
    world.run(["token", "enroll", "--token", &uri]).ok();
    let retired = fs::read_to_string(world.config()).unwrap();
    let retired = retired.split("recipient = \"").nth(1).unwrap()[..32].to_owned();
    let old = world.copy();
    // Only the token that will be retired is the attacker's.
    let config = fs::read_to_string(old.config()).unwrap();
    old.edit_config(|_| {
        let (head, tail) = config.split_once("[[backup-token]]").unwrap();
        let rest = tail.split_once("[[signer]]").map_or("", |(_, signers)| signers);
        format!("{head}[[signer]]{rest}")
    });
    check(&old);

    let before = fingerprint(&world);
    let done = world.run(["token", "retire", &retired, "--yes"]).ok();
    assert!(
        done.stderr.contains("copies of the store that were made earlier can still be opened"),
        "{}",
        done.stderr
    );
    let after = fingerprint(&world);
    assert_ne!(before, after);
    world.set("svc1", "written later");
    world.set("later", "written later");

    // The new store, with the old configuration, and with one that pins the new vault key.
    let new = world.home().join("new store");
    copy_store(&world, &new);
    put_store(&old, &new);
    for reference in ["svc1", "svc2", "later"] {
        old.line(&format!("get {reference}")).fails(7, &["help: "]);
    }
    old.edit_config(|text| text.replace(&before, &after));
    for reference in ["svc1", "svc2", "later"] {
        old.line(&format!("get {reference}")).fails(7, &["this token's key is no recipient of this vault"]);
    }
    // No envelope of the new store is for the retired recipient.
    let names = |text: &str| {
        (0..16).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect::<Vec<_>>()
    };
    let id = names(&retired);
    let store = rusqlite::Connection::open(world.store()).unwrap();
    let mut envelopes =
        store.prepare("SELECT bytes FROM object WHERE hex(substr(bytes, 1, 2)) = 'D860'").unwrap();
    let envelopes: Vec<Vec<u8>> =
        envelopes.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(envelopes.len() > 5);
    let names_it = |bytes: &Vec<u8>| bytes.windows(16).any(|window| window == id);
    assert!(!envelopes.iter().any(names_it), "an envelope still names the retired recipient");
    check_others(&world);
}

fn check_others(world: &claviger_tests::World) {
    assert_eq!(world.get("svc1"), b"written later");
    assert_eq!(world.get("svc2"), b"value 2");
    world.line("verify").ok();
}

#[test]
fn a_destroyed_master_key_opens_no_old_copy() {
    let world = filled();
    let copy = world.home().join("old copy");
    copy_store(&world, &copy);
    let config = fs::read_to_string(world.config()).unwrap();
    let done = world.line("rotate master --destroy-old").ok();
    assert!(done.text().contains("destroyed"), "{}", done.text());
    check(&world);
    put_store(&world, &copy);
    fs::write(world.config(), config).unwrap();
    world.line("get svc1").fails(6, &["the token has no key"]);
}

#[test]
fn a_moved_master_key_needs_the_old_token_no_more() {
    let world = filled();
    let old = world.token_directories().pop().unwrap();
    let (uri, _) = world.another_token("new");
    world.run(["rotate", "master", "--token", &uri]).ok();
    fs::remove_dir_all(old).unwrap();
    check(&world);
    world.set("new", "value");
    assert_eq!(world.recipients("active").len(), 1);
    let again = world.run(["rotate", "master", "--token", &uri]).ok();
    assert!(again.stderr.contains("is on token `new` already, and nothing was changed"), "{}", again.stderr);
    world.run(["rotate", "master", "--token", &uri, "--compromised"]).fails(2, &["leave --token out"]);
}
