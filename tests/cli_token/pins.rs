//! `token pin change` and `unblock`.

use crate::{NEW_PIN, WRONG, pins, silent};
use claviger_tests::{Terminal, World};
use serde_json::json;
use softhsm_fixtures::{LABEL, PIN, Provider, SO_PIN};
use std::fs;

#[test]
fn a_changed_pin_opens_the_vault_and_the_old_file_is_named() {
    let world = World::new();
    world.set("svc", "value");
    let file = world.token().pin_file().to_str().unwrap().to_owned();
    let changed = world.line("token pin change --new-pin-fd 0").stdin(format!("{NEW_PIN}\n")).ok();
    assert!(changed.text().starts_with("the PIN of token `lab`, serial "), "{}", changed.text());
    assert!(changed.stderr.contains(&format!("{file} still holds the old PIN")), "{}", changed.stderr);
    silent(&format!("{}{}", changed.text(), changed.stderr));
    world.line("get svc").fails(5, &["the PIN is wrong"]);

    // What it says to type.
    let typed = changed.stderr.split_once("Ctrl-D: ").unwrap().1.trim().to_owned();
    let done =
        std::process::Command::new("sh").arg("-c").arg(format!("printf '{NEW_PIN}\\n' | {typed}")).status();
    assert!(done.unwrap().success());
    assert_eq!(world.get("svc"), b"value");
    // A file that holds the new PIN is not called old.
    let changed = world.line("token pin change --pin-fd 3 --new-pin-fd 4 --json");
    let [old, new] = pins(&world, [NEW_PIN, PIN]);
    let changed = changed.descriptors(&[&old, &new]).ok().json();
    assert_eq!((&changed["changed"], &changed["stale_pin_files"]), (&json!("pin"), &json!([file])));
    fs::write(&file, PIN).unwrap();
    let again = world.line("token pin change --pin-fd 3 --new-pin-fd 4 --json").descriptors(&[&new, &new]);
    assert_eq!(again.ok().json()["stale_pin_files"], json!([]));
}

#[test]
fn at_a_terminal_the_old_one_is_asked_for_and_the_new_one_twice() {
    let world = World::empty();
    let line = format!(
        "token pin change --token pkcs11:token={LABEL} --module {}",
        world.token().module().display()
    );
    let mut terminal = Terminal::start(&world, &line);
    terminal.sees("PIN of token `lab`, serial ").sees(": ").types(PIN);
    terminal.sees("new PIN (4 to 255 bytes): ").types(NEW_PIN).sees("again: ").types(NEW_PIN);
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");
    silent(&screen);

    let mut terminal = Terminal::start(&world, &line.replace("change", "unblock"));
    terminal.sees("SO PIN of token `lab`, serial ").sees(": ").types(SO_PIN);
    terminal.sees("new PIN").sees(": ").types(PIN).sees("again: ").types(PIN);
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");
    silent(&screen);
    world.run(["token", "self-test", "--token", world.uri()]).ok();
}

#[test]
fn the_security_officer_changes_a_pin_of_his_own() {
    let world = World::empty();
    let name = format!("pkcs11:token={LABEL}");
    let [so, new] = pins(&world, [SO_PIN, NEW_PIN]);
    let change =
        ["token", "pin", "change", "--so", "--token", &name, "--so-pin-fd", "3", "--new-pin-fd", "4"];
    let said = world.run(change).descriptors(&[&so, &new]).ok();
    assert!(said.text().starts_with("the SO PIN of token `lab`, serial "), "{}", said.text());
    let unblock = ["token", "pin", "unblock", "--token", &name, "--so-pin-fd", "3", "--new-pin-fd", "4"];
    world.run(unblock).descriptors(&[&so, &so]).fails(5, &["the SO PIN is wrong"]);
    world.run(unblock).descriptors(&[&new, &so]).ok();
    // Its user does with the new one, and its officer needs another descriptor than the user's.
    world.run(["token", "self-test", "--token", world.uri(), "--pin-fd", "3"]).descriptors(&[&so]).ok();
    world.run(unblock).arg("--pin-fd").arg("5").fails(2, &["--pin-fd gives the user's PIN", "--so-pin-fd"]);
    world.run(change).arg("--pin-fd").arg("5").fails(2, &["--pin-fd gives the user's PIN"]);
}

#[test]
fn a_wrong_pin_is_told_and_changes_nothing() {
    let world = World::new();
    world.set("svc", "value");
    let [wrong, new] = pins(&world, [WRONG, NEW_PIN]);
    let stderr = world
        .line("token pin change --pin-fd 3 --new-pin-fd 4")
        .descriptors(&[&wrong, &new])
        .fails(5, &["error: the PIN is wrong", "help: check the PIN"]);
    silent(&stderr);
    let stderr =
        world.line("token pin unblock --so-pin-fd 3 --new-pin-fd 4").descriptors(&[&wrong, &new]).fails(
            5,
            &["error: the SO PIN is wrong", "help: it is the one that was set when the token was made"],
        );
    silent(&stderr);
    world.line("token pin unblock").fails(5, &["no SO PIN: there is no terminal", "--so-pin-fd"]);
    world
        .line("token pin change")
        .fails(5, &["the new PIN cannot be set: there is no terminal", "--new-pin-fd"]);
    world.line("token pin change --so-pin-fd 3").fails(2, &["--so"]);
    assert_eq!(world.get("svc"), b"value");
}

/// kryoptic locks at the tenth wrong one: a command that tried twice would get there in half as many.
#[test]
fn a_locked_pin_is_unblocked_and_the_vault_opens() {
    let world = World::on(Provider::Kryoptic);
    world.init();
    world.set("svc", "value");
    let [wrong, so, new] = pins(&world, [WRONG, SO_PIN, NEW_PIN]);
    let mut tries = 0;
    let change = "token pin change --pin-fd 3 --new-pin-fd 4";
    let stderr = loop {
        let stderr = world.line(change).descriptors(&[&wrong, &new]).fails(5, &["error: "]);
        tries += 1;
        assert!(tries < 20, "it never locks: {stderr}");
        if !stderr.contains("the PIN is wrong") {
            break stderr;
        }
    };
    assert!(tries >= 9, "after {tries}: {stderr}");
    // The last one is a person's to spend.
    assert!(stderr.contains("one try left"), "{stderr}");
    let source = format!("pin-source=file:{}&", world.token().pin_file().display());
    world.edit_config(|text| text.replace(&source, ""));
    let mut terminal = Terminal::start(&world, "list");
    terminal.sees("One try is left").sees("Type yes to go on: ").types("yes").sees("last try: ").types(WRONG);
    let (_, screen) = terminal.ends();
    assert!(screen.contains("claviger token pin unblock"), "{screen}");

    let module = crate::module(&world);
    let listed = world.run(["token", "list", "--module", &module]).ok();
    assert!(listed.text().contains("LOCKED; set a new one: claviger token pin unblock --token 'pkcs11:"));
    for line in ["token doctor", "doctor"] {
        let report = world.line(line).outcome();
        assert_eq!(report.code, Some(5), "{line}: {}", report.text());
        let told = "FAIL  PIN            the token has locked it\n        do: claviger token pin unblock --token 'pkcs11:";
        assert!(report.text().contains(told), "{line}: {}", report.text());
    }
    world.line("token pin unblock --so-pin-fd 3 --new-pin-fd 4").descriptors(&[&so, &new]).ok();
    let got = world.line("get svc --pin-fd 3").descriptors(&[&new]).ok();
    assert_eq!(got.stdout, b"value");
}

/// The same of the security officer's.
#[test]
fn a_wrong_so_pin_is_tried_once() {
    let world = World::on(Provider::Kryoptic);
    let [wrong, new] = pins(&world, [WRONG, NEW_PIN]);
    let name = format!("pkcs11:token={LABEL}");
    let module = crate::module(&world);
    let line = [
        "token",
        "pin",
        "unblock",
        "--token",
        &name,
        "--module",
        &module,
        "--so-pin-fd",
        "3",
        "--new-pin-fd",
        "4",
    ];
    let mut tries = 0;
    let stderr = loop {
        let stderr = world.run(line).descriptors(&[&wrong, &new]).fails(5, &["error: "]);
        tries += 1;
        assert!(tries < 20, "it never locks: {stderr}");
        if !stderr.contains("the SO PIN is wrong") {
            break stderr;
        }
    };
    assert!(tries >= 9, "after {tries}: {stderr}");
    assert!(stderr.contains("no SO PIN: token `lab` has one try left"), "{stderr}");
    let report = world.run(["token", "doctor", "--module", &module]).ok();
    assert!(report.text().contains("warn  SO PIN         ONE try left"), "{}", report.text());
    let listed = world.run(["token", "list", "--module", &module]).ok();
    assert!(listed.text().contains("SO PIN   ONE try left"), "{}", listed.text());
}
