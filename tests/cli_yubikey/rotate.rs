//! `rotate master` on a YubiKey, whose slots are few.

use crate::{VALUE, card, lone, pair, said, silent};
use claviger_tests::World;
use softhsm_fixtures::{At, CardAction};

/// GENERAL AUTHENTICATE: what uses a key.
const USE: u8 = 0x87;
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

#[test]
fn only_a_yubikey_asks_for_the_acceptance_of_a_loss() {
    let world = World::empty();
    let line = ["init", "--token", world.uri(), "--accept-loss"];
    world.run(line).fails(2, &["--accept-loss is for a vault under one YubiKey alone", "help: leave it out"]);
    assert!(!world.config().exists());
}
