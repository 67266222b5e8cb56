//! The management key, by which keys are made on a YubiKey: the maker's, its owner's, or one that the card keeps itself.

use crate::{KEY, OTHER_KEY, VALUE, card, empty, given, lone, said, silent, two, uri};
use claviger_tests::{Terminal, World};
use serde_json::json;
use softhsm_fixtures::{KeySpec, PIN, YubiKey};

/// Sets a management key of its owner's.
fn change(world: &World, key: &YubiKey, new: &str) {
    let line = ["access", "change-management-key", "-m", card::MAKERS_KEY, "-n", new];
    card::ykman(world, key, &line);
}

/// Has the card keep a new one behind its PIN.
fn protect(world: &World, key: &YubiKey, algorithm: &str) {
    let line = ["access", "change-management-key", "-m", card::MAKERS_KEY, "-a", algorithm, "--generate"];
    card::ykman(world, key, &[&line[..], &["--protect", "-P", PIN]].concat());
}

#[test]
fn its_owners_is_asked_for_once() {
    let world = empty();
    let key = world.token().yubikey(0);
    change(&world, &key, KEY);
    let line = format!("init --token {} --accept-loss --touch-policy never", world.uri());
    let mut terminal = Terminal::start(&world, &line.replace('&', "\\&"));
    terminal.sees("Management key of YubiKey PIV #11111111 (hexadecimal digits): ").types(KEY);
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");
    // For the master key and the signer.
    assert_eq!(screen.matches("Management key of").count(), 1, "{screen}");
    silent(&screen);
    world.set("svc", VALUE);

    let mut terminal = Terminal::start(&world, "rotate master");
    terminal.sees("Management key of").sees(": ").types(OTHER_KEY);
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(5), "{screen}");
    assert!(screen.contains("the card's management key is wrong"), "{screen}");
    silent(&screen);
    let info = world.line("token info --json").ok().json();
    let expected = json!({"algorithm": "3DES", "default": false, "on_card": false});
    assert_eq!(info["yubikey"]["management_key"], expected);
    let info = world.line("token info").ok();
    assert!(info.text().contains("management    3DES, its owner's"), "{}", info.text());
}

#[test]
fn one_that_is_none_is_asked_for_again_by_another_run() {
    let world = empty();
    change(&world, &world.token().yubikey(0), KEY);
    let line = format!("init --token {} --accept-loss", world.uri()).replace('&', "\\&");
    for (typed, says) in [("no digits", "hexadecimal digits"), ("a1b2c3d4", "what was given has 4 bytes")] {
        let mut terminal = Terminal::start(&world, &line);
        terminal.sees("Management key of").sees(": ").types(typed);
        let (code, screen) = terminal.ends();
        assert_eq!(code, Some(5), "{screen}");
        assert!(screen.contains(says) && screen.contains("help: run it again and give it"), "{screen}");
        assert!(!screen.contains("on a terminal"), "{screen}");
        silent(&screen);
    }
}

/// Each has its own, and one that was given is nobody else's.
#[test]
fn two_of_their_owners_are_told_apart() {
    let world = two();
    let [first, second] = [0, 1].map(|index| world.token().yubikey(index));
    change(&world, &first, KEY);
    change(&world, &second, OTHER_KEY);
    let line = format!("init --token {} --backup {}", world.uri(), uri(&world, &second)).replace('&', "\\&");
    let mut terminal = Terminal::start(&world, &line);
    for (key, digits) in [(&first, KEY), (&second, OTHER_KEY)] {
        let question = format!("Management key of YubiKey PIV #{} (hexadecimal digits): ", key.serial());
        terminal.sees(&question).types(digits);
    }
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");
    assert_eq!(screen.matches("Management key of").count(), 2, "{screen}");
    silent(&screen);

    let other = world.neighbour("other");
    let line =
        ["init", "--management-key-fd", "3", "--token", world.uri(), "--backup", &uri(&world, &second)];
    let given = other.file("key", KEY);
    let before = card::slots(&world, &second);
    let stderr = other.run(line).descriptors(&[&given]).fails(
        5,
        &[
            "the one of file descriptor 3 is that of the token with serial 11111111",
            "is not tried on YubiKey PIV #22222222",
            "claviger token enroll --token URI",
        ],
    );
    silent(&stderr);
    assert_eq!(card::slots(&world, &second), before);
    let own = other.file("own", OTHER_KEY);
    let line = ["token", "enroll", "--management-key-fd", "3", "--token", &uri(&world, &second)];
    said(&other.run(line).descriptors(&[&own]).ok());
}

#[test]
fn it_comes_from_a_descriptor_too() {
    let world = lone();
    let key = world.token().yubikey(0);
    world.set("svc", VALUE);
    change(&world, &key, KEY);
    let before = card::slots(&world, &key);
    let stderr = world.line("rotate master").fails(
        5,
        &[
            "no management key: there is no terminal to ask at",
            "--management-key-fd N",
            "change-management-key --protect",
        ],
    );
    silent(&stderr);
    let line = "rotate master --management-key-fd 3";
    for (wrong, says) in [
        (OTHER_KEY, "the card's management key is wrong"),
        ("a1b2c3d4", "what was given has 4 bytes"),
        ("a1b2c3d4 or so", "no management key"),
        ("", "no management key"),
    ] {
        let stderr = given(&world, line, &[wrong]).fails(5, &[says, "help: "]);
        silent(&stderr);
    }
    world.line("rotate master --management-key-fd 9").fails(5, &["file descriptor 9: "]);
    world.line("rotate master --management-key-fd 2").fails(2, &["1 and 2 are for output"]);
    assert_eq!(card::slots(&world, &key), before);
    let done = given(&world, &format!("{line} -vvv"), &[&format!("{KEY}\n")]).ok();
    assert!(said(&done).contains("every data key is wrapped anew"), "{}", done.text());
    // Digits as people write them.
    given(&world, line, &[&KEY.to_uppercase()]).ok();
    assert_eq!(world.get("svc"), VALUE.as_bytes());
}

#[test]
fn one_that_the_card_keeps_wants_the_pin_alone() {
    for (firmware, algorithm, name) in [(None, "TDES", "3DES"), (Some("5.7.1"), "AES192", "AES-192")] {
        let world = lone();
        let key = world.token().add_yubikey(&KeySpec { firmware, ..KeySpec::default() });
        protect(&world, &key, algorithm);
        let done = world.run(["token", "enroll", "--token", &uri(&world, &key)]).ok();
        assert!(!said(&done).contains("management key"), "{}", done.stderr);
        assert_eq!(card::slots(&world, &key), ["9d", "95"]);
        // As a lone one's.
        let other = world.neighbour("other");
        let line = "init --yubikey --serial 22222222 --accept-loss --pin-fd 3";
        given(&other, line, &[PIN]).ok();
        let info = other.line("token info").ok();
        let row = format!("management    {name}, kept on the YubiKey behind the PIN");
        assert!(info.text().contains(&row), "{}", info.text());
    }
}

/// Firmware 5.7 has AES keys, and takes keys out of their slots.
#[test]
fn newer_firmware_is_served_with_aes() {
    let world = lone();
    let key = world.token().add_yubikey(&KeySpec { firmware: Some("5.7.1"), ..KeySpec::default() });
    let other = world.neighbour("other");
    given(&other, "init --yubikey --serial 22222222 --accept-loss --pin-fd 3", &[PIN]).ok();
    let info = other.line("token info --json").ok().json();
    let expected = json!({"algorithm": "AES-192", "default": true, "on_card": false});
    assert_eq!((&info["firmware"], &info["yubikey"]["management_key"]), (&json!("5.7.1"), &expected));
    change(&other, &key, OTHER_KEY);
    let files = [PIN, OTHER_KEY];
    let done = given(&other, "rotate master --destroy-old --pin-fd 3 --management-key-fd 4", &files).ok();
    assert!(said(&done).contains("destroyed"), "{}", done.text());
    assert_eq!(card::slots(&other, &key), ["82", "95"]);
    // And back: what is free is taken again.
    given(&other, "rotate master --destroy-old --pin-fd 3 --management-key-fd 4", &files).ok();
    assert_eq!(card::slots(&other, &key), ["9d", "95"]);
}
