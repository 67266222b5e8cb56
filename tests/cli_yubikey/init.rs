//! `init --yubikey`: which one, what its key is like, and that a lone one is meant.

use crate::{NEW_PIN, card, empty, given, plain_uri, said, silent, two, uri};
use claviger_tests::{Terminal, World};
use serde_json::json;
use softhsm_fixtures::{PIN, Provider};

const SENTENCE: &str = "I accept to lose everything";
/// Where the master key goes, and from the other end the signer.
const KEYS: [&str; 2] = ["9d", "95"];
/// GENERATE ASYMMETRIC KEY PAIR.
const MAKE: u8 = 0x47;

/// Neither configuration, nor store, nor a key.
#[track_caller]
fn nothing_made(world: &World, keys: usize) {
    assert!(!world.config().exists() && !world.store().exists());
    for key in (0..keys).map(|index| world.token().yubikey(index)) {
        assert_eq!(key.counts().get(&MAKE), None);
        assert!(card::slots(world, &key).is_empty());
    }
}

#[test]
fn of_two_one_is_named() {
    let world = two();
    let stderr = world.line("init --yubikey --accept-loss").fails(
        2,
        &["more than one YubiKey is plugged in: 11111111, 22222222", "help: say which with --serial N"],
    );
    silent(&stderr);
    let stderr = world
        .line("init --yubikey --serial 33333333 --accept-loss")
        .fails(6, &["YubiKey 33333333 is not plugged in; there are: 11111111, 22222222", "help: plug it in"]);
    assert!(!stderr.contains("token init"), "no YubiKey is made with it: {stderr}");
    nothing_made(&world, 2);
    let done = given(&world, "init --yubikey --serial 22222222 --accept-loss --pin-fd 3", &[PIN]).ok();
    assert!(said(&done).contains("`slot 9d` on token `YubiKey PIV #22222222`"), "{}", done.text());
    assert!(card::slots(&world, &world.token().yubikey(0)).is_empty());
    assert_eq!(card::slots(&world, &world.token().yubikey(1)), KEYS);
    let config = std::fs::read_to_string(world.config()).unwrap();
    assert!(config.contains("uri = \"pkcs11:serial=22222222?module-name=piv\""), "{config}");
}

#[test]
fn of_one_nothing_need_be_said_and_of_none_it_is() {
    let world = empty();
    world.token().yubikey(0).remove();
    let line = "init --yubikey --accept-loss --pin-fd 3";
    given(&world, line, &[PIN]).fails(6, &["error: no YubiKey is plugged in", "claviger token doctor"]);
    world.token().yubikey(0).insert();
    given(&world, line, &[PIN]).ok();
    given(&world, line, &[PIN]).fails(9, &["there is a configuration"]);
    assert_eq!(card::slots(&world, &world.token().yubikey(0)), KEYS);
}

#[test]
fn a_lone_one_is_nobodys_default() {
    let world = two();
    let stderr = world.run(["init", "--token", world.uri()]).fails(
        2,
        &[
            "whether a vault under one YubiKey alone is meant",
            "help: name a second token with --backup",
            "--accept-loss",
        ],
    );
    silent(&stderr);
    // The second one must be another one.
    world
        .run(["init", "--token", world.uri(), "--backup", world.uri()])
        .fails(2, &["--backup names the token that the vault is made on"]);
    world
        .run(["init", "--token", world.uri(), "--backup", world.uri(), "--accept-loss"])
        .fails(2, &["cannot be used with"]);
    let missing = "pkcs11:serial=33333333?module-name=piv";
    world.run(["init", "--token", world.uri(), "--backup", missing]).fails(6, &["no token fits"]);
    // Its PIN is asked for when the vault is made already: whether it can be is known before.
    let second = plain_uri(&world.token().yubikey(1));
    world
        .run(["init", "--token", world.uri(), "--backup", &second])
        .fails(2, &["the second token's PIN cannot be asked for", "help: ", "pin-source=file:PATH"]);
    nothing_made(&world, 2);
}

#[test]
fn at_a_terminal_the_whole_sentence_is_typed() {
    let world = empty();
    let line = "init --yubikey --touch-policy never";
    for answer in ["yes", "", "i accept to lose everything", "I accept to lose everything but this"] {
        let mut terminal = Terminal::start(&world, line);
        terminal.sees("alone would open the vault").sees(&format!("type: {SENTENCE}: ")).types(answer);
        let (code, screen) = terminal.ends();
        assert_eq!(code, Some(1), "{screen}");
        assert!(screen.contains("stopped: no vault was made"), "{screen}");
    }
    nothing_made(&world, 1);
    let mut terminal = Terminal::start(&world, line);
    terminal.sees(&format!("type: {SENTENCE}: ")).types(SENTENCE);
    terminal.sees("PIV PIN of token `YubiKey PIV #11111111`, serial 11111111, 3 tries left: ").types(PIN);
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("this is the vault's only recipient"), "{screen}");
    silent(&screen);
    // With the option nobody is asked.
    let world = empty();
    let mut terminal = Terminal::start(&world, &format!("{line} --accept-loss"));
    terminal.sees("PIV PIN of").sees(": ").types(PIN);
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");
    assert!(!screen.contains(SENTENCE), "{screen}");
}

#[test]
fn a_second_yubikey_opens_what_the_first_made() {
    let world = two();
    let [first, second] = [0, 1].map(|index| world.token().yubikey(index));
    let backup = uri(&world, &second);
    let done = world.run(["init", "--token", world.uri(), "--backup", &backup, "--json", "-vvv"]).ok();
    let made = done.json();
    for name in ["vault", "fingerprint", "config", "store", "audit", "token", "recipient", "backup"] {
        assert!(made[name].is_string(), "{name}: {made:#}");
    }
    assert_eq!((&made["key"], &made["self_test"]["scheme"]), (&json!("slot 9d"), &json!("ECDH-ES+A256KW")));
    let said = said(&done);
    for key in [&first, &second] {
        let label = format!("`YubiKey PIV #{}`", key.serial());
        assert!(said.contains(&format!("the key is in slot 9d of {label}, not proven")), "{said}");
        assert!(said.contains(&format!("the PIN of {label} is still its maker's")), "{said}");
        assert!(said.contains(&format!("the PUK of {label} is still its maker's")), "{said}");
        assert!(said.contains(&format!("ykman --device {} piv access", key.serial())), "{said}");
    }
    assert!(!said.contains("only recipient"), "{said}");
    world.set("svc", "value");
    first.remove();
    assert_eq!(world.get("svc"), b"value");
}

#[test]
fn a_second_token_of_another_kind_does_as_well() {
    let world = empty();
    let other = World::empty();
    let backup = other.uri().to_owned();
    let conf = other.token().env()[0].1.clone();
    let run = |line: &[&str]| world.run(line.iter().copied()).env("SOFTHSM2_CONF", &conf);
    run(&["init", "--token", world.uri(), "--backup", &backup]).ok();
    run(&["set", "svc", "--stdin"]).stdin("value").ok();
    world.token().yubikey(0).remove();
    assert_eq!(run(&["get", "svc"]).ok().stdout, b"value");
}

#[test]
fn where_the_key_goes_and_when_it_asks_is_as_asked() {
    let world = empty();
    for slot in ["9c", "9a", "9e", "81", "96", "zz"] {
        world
            .run(["init", "--token", world.uri(), "--accept-loss", "--slot", slot])
            .fails(2, &["a master key goes into slot 9d, or 82 to 95"]);
    }
    world.line("init --yubikey --pin-policy sometimes").fails(2, &["once, always, never"]);
    world.line("init --yubikey --touch-policy sometimes").fails(2, &["cached, always, never"]);
    nothing_made(&world, 1);
    let line = ["--accept-loss", "--slot", "82", "--pin-policy", "always", "--touch-policy", "always"];
    world.run(["init", "--token", world.uri()].into_iter().chain(line)).ok();
    let info = world.line("token info --json").ok().json();
    let key = &info["yubikey"];
    assert_eq!(
        (&key["slot"], &key["pin_policy"], &key["touch_policy"]),
        (&json!("82"), &json!("always"), &json!("always"))
    );
    assert_eq!(card::slots(&world, &world.token().yubikey(0)), ["82", "95"]);
    world.set("svc", "value");
    assert_eq!(world.get("svc"), b"value");
}

/// When they ask is the same for both keys; where the first lies is its own.
#[test]
fn the_second_asks_as_the_first_does() {
    let world = two();
    let second = world.token().yubikey(1);
    let backup = uri(&world, &second);
    let line = ["init", "--token", world.uri(), "--backup", &backup, "--slot", "84"];
    world.run(line.into_iter().chain(["--pin-policy", "always", "--touch-policy", "never"])).ok();
    assert_eq!(card::slots(&world, &second), KEYS);
    let config = std::fs::read_to_string(world.config()).unwrap();
    let profiles: Vec<_> = config.lines().filter(|line| line.starts_with("profile")).collect();
    assert!(profiles.len() == 2 && profiles.iter().all(|one| one.contains("pin=always")), "{profiles:?}");
    assert!(profiles.iter().all(|one| one.contains("touch=never")), "{profiles:?}");
}

#[test]
fn another_token_takes_none_of_that() {
    let world = World::empty();
    let plain = world.uri().to_owned();
    for option in
        [&["--slot", "82"][..], &["--pin-policy", "once"], &["--touch-policy", "never"], &["--existing"]]
    {
        let line = ["init", "--token", &plain].into_iter().chain(option.iter().copied());
        world.run(line).fails(2, &["are for YubiKeys", "help: say --yubikey"]);
    }
    world
        .run(["init", "--token", &plain, "--serial", "11111111"])
        .fails(2, &["--serial says which YubiKey", "help: say --yubikey"]);
    world.run(["init", "--yubikey", "--token", &plain]).fails(2, &["cannot be used with"]);
    assert!(!world.config().exists() && !world.store().exists());
}

/// A PIN that is read once is not enough for a key that wants it at each use.
#[test]
fn a_pin_at_each_use_comes_from_no_descriptor() {
    let world = two();
    let line = "init --yubikey --serial 11111111 --accept-loss --pin-policy always";
    let known = ["a key that wants the PIN at each use", "help: leave --pin-fd out", "pin-source=file:PATH"];
    silent(&given(&world, &format!("{line} --pin-fd 3"), &[PIN]).fails(2, &known));
    nothing_made(&world, 2);
    world.run(["init", "--token", world.uri(), "--accept-loss"]).ok();
    for line in ["enroll", "request"] {
        let line = format!("token {line} --yubikey --serial 22222222 --pin-policy always --pin-fd 3");
        silent(&given(&world, &line, &[PIN]).fails(2, &known));
    }
    assert!(card::slots(&world, &world.token().yubikey(1)).is_empty());
}

#[test]
fn it_says_which_scheme_a_yubikey_does() {
    let world = empty();
    let line = ["init", "--token", world.uri(), "--accept-loss", "--scheme", "RSAES-OAEP-SHA256"];
    let stderr = world.run(line).fails(1, &["help: leave --scheme out", "ECDH-ES+A256KW"]);
    assert!(!stderr.contains("to itself"), "{stderr}");
    nothing_made(&world, 1);
}

/// What makes a token anew is for others.
#[test]
fn a_yubikey_is_not_initialised_by_this_program() {
    let world = two();
    let line = format!("token init --label lab --token {}", plain_uri(&world.token().yubikey(1)));
    let known =
        ["`YubiKey PIV #22222222`", "help: ", "ykman --device 22222222 piv reset", "claviger init --yubikey"];
    for more in ["", " --yes", " --yes --destroy-vault-keys"] {
        let line = format!("{line}{more} --so-pin-fd 3 --new-pin-fd 4");
        silent(&given(&world, &line, &[PIN, NEW_PIN]).fails(2, &known));
    }
    let terminal = Terminal::start(&world, &line);
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(2), "{screen}");
    assert!(!screen.contains("PIN of") && !screen.contains("Type yes"), "{screen}");
}

/// What fails after the key was made takes it away again.
#[test]
fn a_failed_one_leaves_no_key() {
    let world = World::on(Provider::YubiKey);
    let key = world.token().yubikey(0);
    let wrong =
        given(&world, "init --yubikey --accept-loss --pin-fd 3", &[NEW_PIN]).fails(5, &["the PIN is wrong"]);
    silent(&wrong);
    assert_eq!(card::tries(&world, &key), 2);
    assert!(!world.config().exists() && !world.store().exists());
    // Firmware that takes no key out of a slot marks it as free.
    let again = format!("{}&pin-source=file:{}", plain_uri(&key), world.token().pin_file().display());
    world.run(["init", "--token", &again, "--accept-loss"]).ok();
    assert_eq!(card::slots(&world, &key), KEYS);
}
