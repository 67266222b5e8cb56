//! `token init`.

use crate::{init, module, pins, silent};
use claviger_tests::{Terminal, World};
use softhsm_fixtures::{LABEL, PIN, Provider, SO_PIN};
use std::fs;

#[test]
fn from_nothing_to_a_value() {
    let world = World::without_token(Provider::SoftHsm);
    let module = module(&world);
    let listed = world.run(["token", "list", "--module", &module]).ok();
    let next = listed.text().lines().find_map(|line| line.trim().strip_prefix("next ")).unwrap().trim();
    assert!(next.starts_with("claviger token init --label lab --token 'pkcs11:slot-description="), "{next}");
    // The command that is shown is one that works.
    let [so, user] = pins(&world, [SO_PIN, PIN]);
    let uri = next.split_once('\'').unwrap().1.trim_end_matches('\'');
    let run = world.run([
        "token",
        "init",
        "--label",
        "lab",
        "--token",
        uri,
        "--so-pin-fd",
        "3",
        "--new-pin-fd",
        "4",
    ]);
    let made = run.descriptors(&[&so, &user]).ok();
    assert!(made.text().starts_with("token `lab` is made\n"), "{}", made.text());
    let next = made.text().lines().last().unwrap();
    let uri = next.strip_prefix("Next: claviger init --token '").unwrap().trim_end_matches('\'');

    let listed = world.run(["token", "list", "--json", "--module", &module]).ok().json();
    let token = listed.as_array().unwrap().iter().find(|token| token["label"] == "lab").unwrap();
    assert_eq!((&token["uri"], &token["pin_set"]), (&uri.into(), &true.into()));
    assert_eq!((&token["so_tries"], &token["writable"]), (&"normal".into(), &true.into()));

    let uri = format!("{uri}&pin-source=file:{}", world.token().pin_file().display());
    world.run(["init", "--token", &uri]).ok();
    world.set("svc", "value");
    assert_eq!(world.get("svc"), b"value");
}

#[test]
fn both_pins_are_asked_for_twice_and_not_shown() {
    let world = World::without_token(Provider::SoftHsm);
    let line = format!("token init --label lab --module {}", module(&world));
    let mut terminal = Terminal::start(&world, &line);
    terminal.sees("new SO PIN (4 to 255 bytes): ").types(SO_PIN).sees("the same again: ").types(SO_PIN);
    terminal.sees("new PIN (4 to 255 bytes): ").types(PIN).sees("the same again: ").types("other");
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(5), "{screen}");
    assert!(screen.contains("the two answers differ; nothing was changed"), "{screen}");
    assert!(world.token_directories().is_empty(), "a token was made of half an answer");

    let mut terminal = Terminal::start(&world, &line);
    terminal.sees("new SO PIN").sees(": ").types(SO_PIN).sees("again: ").types(SO_PIN);
    terminal.sees("new PIN").sees(": ").types(PIN).sees("again: ").types(PIN);
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");
    silent(&screen);
    world.run(["token", "self-test", "--token", world.uri()]).ok();
}

#[test]
fn what_makes_no_token_makes_none() {
    let world = World::without_token(Provider::SoftHsm);
    let module = module(&world);
    let line = ["token", "init", "--label", "lab", "--module", &module];
    world.run(line).fails(5, &["error: no SO PIN: there is no terminal", "help: ", "--so-pin-fd N"]);
    world
        .run(line.into_iter().chain(["--so-pin-fd", "0"]))
        .stdin(SO_PIN)
        .fails(5, &["the new PIN cannot be set: there is no terminal", "--new-pin-fd N"]);
    world
        .run(line.into_iter().chain(["--so-pin-fd", "0", "--new-pin-fd", "0"]))
        .stdin(SO_PIN)
        .fails(2, &["two PINs cannot come from one file descriptor", "3<FILE 4<FILE"]);
    let [so, short] = pins(&world, [SO_PIN, "123"]);
    world
        .run(line.into_iter().chain(["--so-pin-fd", "3", "--new-pin-fd", "4"]))
        .descriptors(&[&so, &short])
        .fails(5, &["it has 3 bytes, and this token takes 4 to 255 bytes", "help: nothing was changed"]);
    world
        .run(line.into_iter().chain(["--so-pin-fd", "3", "--new-pin-fd", "4"]))
        .descriptors(&[&short, &so])
        .fails(5, &["it has 3 bytes"]);
    for label in ["", " lab", &"x".repeat(33)] {
        init(&world, label, &[]).fails(2, &["a token cannot have this label", "help: give --label"]);
    }
    init(&world, "lab", &["--token", "pkcs11:serial=0"]).fails(6, &["no token fits `pkcs11:serial=0`"]);
    assert!(world.token_directories().is_empty());
}

#[test]
fn a_token_with_a_vault_is_not_erased_by_mistake() {
    let world = World::new();
    world.set("svc", "value");
    let name = format!("pkcs11:token={LABEL}");
    let with_pin = format!("{name}?pin-source=file:{}", world.token().pin_file().display());
    // A token that is there is not meant unless it is named.
    init(&world, "other", &[]).ok();
    let erase = |more: &[&str]| init(&world, "anew", &[&["--token", &with_pin], more].concat());
    let stderr = erase(&[]).fails(9, &["is initialised already", "help: nothing was changed", "--yes"]);
    silent(&stderr);
    erase(&["--yes"]).fails(9, &["has keys of a vault on it", "claviger ", "--destroy-vault-keys"]);
    // Who cannot look cannot know.
    init(&world, "anew", &["--token", &name, "--yes"]).fails(5, &["no PIN: "]);
    assert_eq!(world.get("svc"), b"value");

    let mut terminal = Terminal::start(
        &world,
        &format!(
            "token init --label anew --token '{with_pin}' --module {} --destroy-vault-keys",
            module(&world)
        ),
    );
    terminal.sees(&format!("Erase token `{LABEL}`, serial ")).sees("Type yes to go on: ").types("y");
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(1), "{screen}");
    assert!(screen.contains("the token was not erased"), "{screen}");
    assert_eq!(world.get("svc"), b"value");

    let erased = erase(&["--yes", "--destroy-vault-keys", "--json"]).ok().json();
    assert_eq!((&erased["label"], &erased["erased"]), (&"anew".into(), &true.into()));
    world.line("get svc").fails(6, &["no token fits"]);
}

#[test]
fn a_token_without_keys_is_erased_where_that_is_said() {
    let world = World::empty();
    let with_pin = format!("pkcs11:token={LABEL}?pin-source=file:{}", world.token().pin_file().display());
    let text = init(&world, "anew", &["--token", &with_pin, "--yes"]).ok();
    assert!(text.text().starts_with("token `anew` is erased and made anew\n"), "{}", text.text());
    assert_eq!(world.token_directories().len(), 1);
}

#[test]
fn a_wrong_so_pin_erases_nothing() {
    let world = World::new();
    world.set("svc", "value");
    let [wrong, user] = pins(&world, [crate::WRONG, PIN]);
    let name = format!("pkcs11:token={LABEL}");
    let line = ["token", "init", "--label", "anew", "--token", &name, "--yes", "--destroy-vault-keys"];
    let stderr = world
        .run(line.into_iter().chain(["--so-pin-fd", "3", "--new-pin-fd", "4"]))
        .descriptors(&[&wrong, &user])
        .fails(
            5,
            &["error: the SO PIN is wrong", "help: it is the one that was set when the token was made"],
        );
    silent(&stderr);
    assert_eq!(world.get("svc"), b"value");
}

#[test]
fn several_free_slots_want_a_name() {
    let world = World::without_token(Provider::Kryoptic);
    world.token().add_slot();
    world.token().add_slot();
    let [so, user] = pins(&world, [SO_PIN, crate::NEW_PIN]);
    let module = module(&world);
    let run = |more: &[&str]| {
        let line =
            ["token", "init", "--label", "lab", "--module", &module, "--so-pin-fd", "3", "--new-pin-fd", "4"];
        world.run(line.into_iter().chain(more.iter().copied())).descriptors(&[&so, &user])
    };
    let stderr = run(&[]).fails(2, &["more than one token may be meant", "help: name one with --token URI"]);
    assert_eq!(stderr.matches("pkcs11:").count(), 2, "{stderr}");
    let listed = world.run(["token", "list", "--module", &module]).ok();
    let next: Vec<_> = listed.text().lines().filter_map(|line| line.trim().strip_prefix("next ")).collect();
    assert!(next[0].ends_with(" --slot-id 1") && next[1].ends_with(" --slot-id 2"), "{next:?}");
    run(&["--slot-id", "2"]).ok();
    let listed = world.run(["token", "list", "--json", "--module", &module]).ok().json();
    let made: Vec<_> =
        listed.as_array().unwrap().iter().filter(|token| token["initialised"] == true).collect();
    assert_eq!((made.len(), &made[0]["slot_id"]), (1, &2.into()), "{listed:#}");
    // A number is no name where there is another.
    let unmade = "pkcs11:manufacturer=Kryoptic%20Project";
    run(&["--token", unmade, "--slot-id", "2"])
        .fails(2, &["the number of a slot names no token", "--token: pkcs11:"]);
    run(&["--slot-id", "2"]).fails(6, &["no token is waiting to be made"]);
    // One is left, and needs no name.
    run(&[]).ok();
    run(&[]).fails(6, &["no token is waiting to be made; there are: pkcs11:", "may be erased"]);
}

/// Of openCryptoki, whose tokens come with an SO PIN.
#[test]
fn a_makers_so_pin_is_asked_for() {
    if !Provider::OpenCryptoki.is_for_this_user() {
        return;
    }
    let instance = Provider::OpenCryptoki.empty();
    let run = |so: &str| {
        let files = [("so", so), ("new", crate::NEW_PIN)].map(|(name, pin)| {
            let file = instance.home().join(name);
            fs::write(&file, pin).unwrap();
            file
        });
        let mut command = instance.command("sh");
        command.args(["-c", "exec \"$@\" 3<\"$0\"/so 4<\"$0\"/new"]).arg(instance.home());
        command.arg(claviger_tests::claviger()).args(["token", "init", "--label", "lab", "--module"]);
        command.arg(instance.module()).args(["--so-pin-fd", "3", "--new-pin-fd", "4"]);
        let output = command.env("HOME", instance.home()).output().unwrap();
        for file in files {
            fs::remove_file(file).unwrap();
        }
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, stderr) = run("12345678");
    assert_eq!(code, Some(5), "{stderr}");
    assert!(stderr.contains("its maker gave it") && stderr.contains("87654321"), "{stderr}");
    let (code, stderr) = run("87654321");
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("claviger token pin change --so --token 'pkcs11:"), "{stderr}");
}

#[test]
fn a_label_that_is_taken_is_said() {
    let world = World::without_token(Provider::SoftHsm);
    let first = crate::init(&world, "lab", &[]).ok();
    assert!(!first.stderr.contains("too"), "{}", first.stderr);
    let second = crate::init(&world, "lab", &[]).ok();
    assert!(second.stderr.contains("another token is called `lab`, too"), "{}", second.stderr);
    assert!(second.text().contains("serial="), "{}", second.text());
}
