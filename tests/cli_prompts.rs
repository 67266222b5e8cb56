//! At a terminal: what is asked, and what is not shown.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test that cannot go on has failed.

use claviger_tests::{Terminal, World};
use rusqlite::Connection;
use softhsm_fixtures::{PIN, Provider};
use std::fs;

/// A vault whose PIN has to be typed.
fn asking() -> World {
    let world = World::new();
    let source = format!("pin-source=file:{}&", world.token().pin_file().display());
    world.edit_config(|text| text.replace(&source, ""));
    world
}

#[test]
fn pin_and_value_are_asked_for_and_not_shown() {
    let world = asking();
    let mut terminal = Terminal::start(&world, "set openai");
    terminal.sees("PIN of token `lab`, serial ").sees(": ").types(PIN);
    terminal.sees("value: ").types("sk-hidden").sees("the same again: ").types("sk-hidden");
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("openai/api_key: version 1"), "{screen}");
    assert!(!screen.contains("sk-hidden") && !screen.contains(PIN), "{screen}");

    let mut terminal = Terminal::start(&world, "get openai");
    terminal.sees("PIN of token").sees(": ").types(PIN);
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.ends_with("sk-hidden\r\n"), "no newline for a person: {screen:?}");
}

#[test]
fn two_answers_must_agree() {
    let world = World::new();
    let mut terminal = Terminal::start(&world, "set openai");
    terminal.sees("value: ").types("one").sees("the same again: ").types("two");
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(2), "{screen}");
    assert!(screen.contains("the two answers differ; nothing was written"), "{screen}");
    world.line("get openai").fails(3, &[]);
}

#[test]
fn a_user_name_is_shown_and_a_password_is_not() {
    let world = World::new();
    let mut terminal = Terminal::start(&world, "set db --kind basic");
    terminal
        .sees("username: ")
        .types("ada")
        .sees("password: ")
        .types("hidden")
        .sees("again: ")
        .types("hidden");
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("ada") && !screen.contains("hidden"), "{screen}");
    assert_eq!(world.line("get db --field password").ok().text(), "hidden");
    assert_eq!(world.line("get db --field username").ok().text(), "ada");
}

#[test]
fn destroying_is_confirmed_with_the_whole_word() {
    let world = World::new();
    world.set("svc", "value");
    for (answer, expected) in [("y", 1), ("no", 1), ("yes", 0)] {
        let mut terminal = Terminal::start(&world, "destroy svc --all");
        terminal.sees("Destroy every version of svc for ever? Type yes to go on: ").types(answer);
        let (code, screen) = terminal.ends();
        assert_eq!(code, Some(expected), "{answer}: {screen}");
        if expected == 1 {
            assert!(screen.contains("nothing was destroyed"), "{screen}");
            assert_eq!(world.get("svc"), b"value");
        }
    }
    world.line("get svc").fails(3, &[]);
}

#[test]
fn a_wrong_pin_is_asked_for_once() {
    let world = asking();
    let mut terminal = Terminal::start(&world, "list");
    terminal.sees("PIN of token").sees(": ").types("654321");
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(5), "{screen}");
    assert_eq!(screen.matches("PIN of token").count(), 1, "{screen}");
}

#[test]
fn the_last_try_wants_a_yes_of_its_own() {
    let world = World::on(Provider::Kryoptic);
    world.init();
    std::fs::write(world.token().pin_file(), "654321").unwrap();
    for tries in 0.. {
        assert!(tries < 20, "the token never comes to its last try");
        if !world.line("list").fails(5, &[]).contains("the PIN is wrong") {
            break;
        }
    }
    let last = |answer: &str| {
        let mut terminal = Terminal::start(&world, "list");
        terminal
            .sees("One try is left: another wrong PIN locks the token. Use it? Type yes to go on: ")
            .types(answer);
        terminal
    };
    let (code, screen) = last("no").ends();
    assert_eq!(code, Some(5), "{screen}");
    assert!(screen.contains("the last try was not confirmed"), "{screen}");
    let mut terminal = last("yes");
    terminal.sees("last try: ").types(PIN);
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");
}

#[test]
fn an_init_that_was_killed_is_begun_again() {
    let world = World::empty();
    let source = format!("pin-source=file:{}&", world.token().pin_file().display());
    let init = format!("init --token '{}'", world.uri().replace(&source, ""));
    let mut terminal = Terminal::start(&world, &init);
    terminal.sees("PIN of token").sees(": ");
    assert!(world.store().exists());
    // While one is at work, another keeps away; and when the first is gone, it does not.
    let busy = "another command makes or restores a vault at sqlite://";
    world.run(["init", "--token", world.uri()]).fails(9, &[busy, "help: nothing was changed; wait"]);
    terminal.kills();
    assert!(world.store().exists() && !world.config().exists());
    let stderr = world.run(["init", "--token", world.uri()]).ok().stderr;
    assert!(stderr.contains("is an empty store that was left behind, and is taken up"), "{stderr}");
    world.set("svc", "value");
    assert_eq!(world.get("svc"), b"value");
}

#[test]
fn a_store_that_lost_its_head_is_not_taken_for_an_empty_one() {
    let world = World::new();
    let store = Connection::open(world.store()).unwrap();
    store.execute("UPDATE head SET bytes = NULL, commits = 0", ()).unwrap();
    drop(store);
    fs::remove_file(world.config()).unwrap();
    world.run(["init", "--token", world.uri()]).fails(9, &["vault.db", "help: nothing was changed"]);
    assert!(world.store().exists());
}

/// Nor does it take another vault away with it that was put there meanwhile.
#[test]
fn an_init_that_is_overtaken_leaves_what_is_there() {
    let world = World::new();
    let (config, store) = (fs::read(world.config()).unwrap(), world.home().join("new/vault.db"));
    fs::remove_file(world.config()).unwrap();
    let source = format!("pin-source=file:{}&", world.token().pin_file().display());
    let init =
        format!("init --token '{}' --store sqlite://{}", world.uri().replace(&source, ""), store.display());
    let mut terminal = Terminal::start(&world, &init);
    terminal.sees("PIN of token").sees(": ");
    // As if a restoration had not looked whether somebody was at work there.
    fs::copy(world.store(), &store).unwrap();
    terminal.types(PIN);
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(9), "{screen}");
    assert_eq!(fs::read(&store).unwrap(), fs::read(world.store()).unwrap());
    fs::write(world.config(), config).unwrap();
    world.line("verify").ok();
}

#[test]
fn a_restoration_keeps_away_from_an_init_at_work() {
    let world = World::new();
    world.set("svc", "value");
    let backup = world.home().join("vault.backup");
    world.run(["backup", "create", backup.to_str().unwrap()]).ok();
    let status = world.line("status --json").ok().json();
    let fingerprint = status["fingerprint"].as_str().unwrap();
    fs::remove_file(world.config()).unwrap();
    let store = format!("sqlite://{}", world.home().join("new/vault.db").display());
    let source = format!("pin-source=file:{}&", world.token().pin_file().display());
    let init = format!("init --token '{}' --store {store}", world.uri().replace(&source, ""));
    let mut terminal = Terminal::start(&world, &init);
    terminal.sees("PIN of token").sees(": ");
    let restore = ["restore", backup.to_str().unwrap(), "--token", world.uri(), "--store", &store];
    let restore = restore.into_iter().chain(["--fingerprint", fingerprint, "--accept-rollback"]);
    world.run(restore.clone()).fails(9, &["another process is at work"]);
    terminal.kills();
    world.run(restore).ok();
    assert_eq!(world.get("svc"), b"value");
}
