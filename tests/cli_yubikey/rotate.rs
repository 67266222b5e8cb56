//! `rotate master` on a YubiKey, whose slots are few.

use crate::{VALUE, card, lone, pair, said, silent};
use claviger_tests::World;
use softhsm_fixtures::{At, CardAction, KeySpec, YubiKey};

/// GENERAL AUTHENTICATE: what uses a key.
const USE: u8 = 0x87;
/// GENERATE ASYMMETRIC KEY PAIR.
const MAKE: u8 = 0x47;
/// Slots for keys: 9d, and 82 to 95. The signer has the last.
const SLOTS: usize = 21;

fn filled(services: usize) -> World {
    let world = lone();
    for service in 0..services {
        world.set(&format!("s{service}"), format!("{VALUE}{service}"));
    }
    world
}

fn is_whole(world: &World, services: usize) {
    for service in 0..services {
        assert_eq!(world.get(&format!("s{service}")), format!("{VALUE}{service}").as_bytes());
    }
    let outcome = world.line("verify").ok();
    assert!(outcome.text().ends_with("everything is whole\n"), "{}", outcome.text());
}

#[test]
fn the_old_key_stays_unless_it_is_destroyed() {
    let world = filled(2);
    let key = world.token().yubikey(0);
    let done = world.line("rotate master -vvv").ok();
    assert!(said(&done).contains("deactivated"), "{}", done.text());
    assert_eq!(card::slots(&world, &key), ["9d", "82", "95"]);
    let done = world.line("rotate master --destroy-old --json").ok();
    said(&done);
    // Firmware that takes no key out: another one is over it, and marked, and the next goes there.
    assert_eq!(card::slots(&world, &key), ["9d", "82", "83", "95"]);
    let info = |field: &str| world.line("token info --json").ok().json()["yubikey"][field].clone();
    assert_eq!(info("slot"), "83");
    world.line("rotate master --destroy-old").ok();
    assert_eq!((info("slot"), card::slots(&world, &key).len()), ("82".into(), 4));
    is_whole(&world, 2);
}

/// Where the YubiKey has another of the vault's besides.
#[test]
fn it_goes_on_with_the_key_that_it_made() {
    let world = filled(1);
    world.run(["token", "enroll", "--token", world.uri(), "--again"]).ok();
    world.line("rotate master").ok();
    let info = world.line("token info --json").ok().json();
    assert_eq!(info["yubikey"]["slot"], "83", "{info}");
    is_whole(&world, 1);
}

/// A vault of two services under a YubiKey that can take keys out.
fn tidy() -> (World, YubiKey) {
    let world = crate::empty();
    let key = world.token().add_yubikey(&KeySpec { firmware: Some("5.7.1"), ..KeySpec::default() });
    let line = ["init", "--token", &crate::uri(&world, &key), "--accept-loss", "--touch-policy", "never"];
    world.run(line).ok();
    for service in 0..2 {
        world.set(&format!("s{service}"), format!("{VALUE}{service}"));
    }
    (world, key)
}

/// How many keys the vault knows. Each must be on the YubiKey, and no other besides the signer.
#[track_caller]
fn known(world: &World, key: &YubiKey) -> usize {
    let known = ["active", "deactivated"].iter().map(|state| world.recipients(state).len()).sum();
    assert_eq!(card::slots(world, key).len(), known + 1, "not those that the vault knows");
    known
}

#[test]
fn one_that_cannot_be_written_leaves_no_key() {
    let (world, key) = tidy();
    // SQLite alone writes by that call, first the eight pages of its log's index, then its log. By its name only root could
    // choose the log: what a command has open, it shows nobody.
    let inject = "inject=pwrite64:error=ENOSPC:when=9+";
    let strace = ["-f", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", inject];
    let outcome = world.line("rotate master").under("strace", &strace).outcome();
    assert_eq!(outcome.code, Some(10), "{}", said(&outcome));
    assert_eq!(
        key.counts().get(&MAKE),
        Some(&3),
        "master key and signer, and the one that was taken out again"
    );
    assert_eq!(known(&world, &key), 1);
    is_whole(&world, 2);
}

#[test]
fn one_that_fails_before_it_begins_leaves_no_key() {
    let (world, key) = tidy();
    let mut failed = 0;
    for nth in 1..=14 {
        let before = known(&world, &key);
        key.inject(USE, At::Nth(nth), CardAction::Status(0x6f00));
        let outcome = world.line("rotate master").outcome();
        key.clear();
        let is_done = outcome.code == Some(0);
        failed += usize::from(!is_done);
        assert_eq!(known(&world, &key), before + usize::from(is_done), "use {nth}: {}", said(&outcome));
    }
    assert!(failed > 3, "{failed}");
    is_whole(&world, 2);
}

/// It goes on with the key that was made, and makes no second one.
#[test]
fn one_that_is_cut_short_is_finished_by_the_same_command() {
    let (world, key) = tidy();
    for nth in (8..=20).rev() {
        let before = known(&world, &key);
        key.inject(USE, At::Nth(nth), CardAction::Remove);
        let outcome = world.line("rotate master").outcome();
        key.clear();
        if outcome.code == Some(0) {
            continue;
        }
        key.insert();
        assert_eq!(outcome.code, Some(6), "use {nth}: {}", said(&outcome));
        assert_eq!(known(&world, &key), before + 1, "use {nth}");
        assert_eq!(world.recipients("active").len(), 2, "its last use is in the middle of the work");
        world.line("rotate master").ok();
        assert_eq!((known(&world, &key), world.recipients("active").len()), (before + 1, 1), "use {nth}");
        is_whole(&world, 2);
        return;
    }
    panic!("it was never cut short");
}

/// At whichever use it is pulled: what is written is whole, and the next command goes on.
#[test]
fn one_that_is_pulled_in_the_middle_goes_on_later() {
    let world = filled(4);
    let key = world.token().yubikey(0);
    for nth in [2, 4, 7] {
        let slots = card::slots(&world, &key).len();
        key.inject(USE, At::Nth(nth), CardAction::Remove);
        let stderr = world.line("rotate master").fails(6, &["serial=11111111", "help: plug the token in"]);
        silent(&stderr);
        key.clear();
        key.insert();
        let resumed = world.line("rotate resume").outcome();
        assert_eq!(resumed.code, Some(0), "use {nth}: {}", resumed.stderr);
        said(&resumed);
        is_whole(&world, 4);
        world.line("rotate master --destroy-old").ok();
        is_whole(&world, 4);
        assert_eq!(world.recipients("active").len(), 1);
        assert!(card::slots(&world, &key).len() <= slots + 2, "use {nth} leaves keys behind");
    }
}

/// By the backup that is plugged in instead.
#[test]
fn the_other_one_finishes_what_was_cut_short() {
    let (world, backup) = pair();
    for service in 0..3 {
        world.set(&format!("s{service}"), format!("{VALUE}{service}"));
    }
    let first = world.token().yubikey(0);
    backup.remove();
    first.inject(USE, At::Nth(5), CardAction::Remove);
    let stderr = world.line("rotate master --compromised").fails(6, &["serial=11111111"]);
    silent(&stderr);
    backup.insert();
    is_whole(&world, 3);
    first.clear();
    first.insert();
    world.line("rotate resume").ok();
    is_whole(&world, 3);
}

#[test]
fn when_the_slots_are_full_it_says_what_to_do() {
    let world = filled(1);
    let key = world.token().yubikey(0);
    for taken in 3..=SLOTS {
        world.line("rotate master").ok();
        assert_eq!(card::slots(&world, &key).len(), taken);
    }
    let config = std::fs::read_to_string(world.config()).unwrap();
    let stderr = world
        .line("rotate master")
        .fails(1, &["the token is full", "help: ", "ykman piv keys delete", "token retire"]);
    silent(&stderr);
    assert_eq!(std::fs::read_to_string(world.config()).unwrap(), config);
    is_whole(&world, 1);
    // As it says.
    let old = world.recipients("deactivated");
    world.run(["token", "retire", &old[0], "--destroy", "--yes"]).ok();
    world.line("rotate master --destroy-old").ok();
    is_whole(&world, 1);
    world.line("rotate master").ok();
}

/// A vault may have grown since its key was made.
#[test]
fn touches_are_told_before_they_are_wanted() {
    let world = crate::empty();
    world.run(["init", "--token", world.uri(), "--accept-loss", "--touch-policy", "always"]).ok();
    for service in 0..3 {
        world.set(&format!("s{service}"), VALUE);
    }
    let done = world.line("rotate master").ok();
    let (before, after) = done.stderr.split_once("one for each of 3 services").unwrap();
    assert!(after.matches("when it blinks").count() > 3, "{before}|{after}");
    let service = world.line("rotate service s1").ok();
    assert!(!service.stderr.contains("one for each"), "{}", service.stderr);
}

/// Those of the key that is used, which may stand in for the first.
#[test]
fn touches_are_those_of_the_key_that_is_used() {
    let world = crate::two();
    let [first, second] = [0, 1].map(|index| world.token().yubikey(index));
    world.run(["init", "--token", world.uri(), "--accept-loss", "--touch-policy", "always"]).ok();
    world.run(["token", "enroll", "--token", &crate::uri(&world, &second)]).ok();
    world.set("svc", VALUE);
    first.remove();
    let done = world.line("rotate master").ok();
    assert!(
        done.stderr.contains("going on with") && !done.stderr.contains("one for each"),
        "{}",
        done.stderr
    );
    // And the other way round.
    let third = world.token().add_yubikey(&KeySpec::default());
    world.run(["token", "enroll", "--token", &crate::uri(&world, &third), "--touch-policy", "always"]).ok();
    let first = world.recipients("active").into_iter().find(|id| {
        std::fs::read_to_string(world.config())
            .unwrap()
            .split("[[backup-token]]")
            .next()
            .unwrap()
            .contains(id)
    });
    world.run(["token", "retire", &first.unwrap(), "--yes"]).ok();
    second.remove();
    let done = world.line("rotate master").ok();
    assert!(done.stderr.contains("a touch at each use: one for each of 1 service"), "{}", done.stderr);
}

#[test]
fn only_a_yubikey_asks_for_the_acceptance_of_a_loss() {
    let world = World::empty();
    let line = ["init", "--token", world.uri(), "--accept-loss"];
    world.run(line).fails(2, &["--accept-loss is for a vault under one YubiKey alone", "help: leave it out"]);
    assert!(!world.config().exists());
}

/// Nor where it was left elsewhere.
#[test]
fn a_stand_ins_key_is_not_destroyed_for_the_firsts() {
    let (world, backup) = pair();
    world.token().yubikey(0).remove();
    let before = card::slots(&world, &backup);
    let known = ["the configuration's first token is not used", "help: plug the first one in"];
    silent(&world.line("rotate master --destroy-old").fails(2, &known));
    assert_eq!(card::slots(&world, &backup), before);
    said(&world.line("rotate master").ok());
}
