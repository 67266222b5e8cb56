//! Another key in place of the first: whose PIN it is, what is said before it is used, and what is said where none opens.

use crate::{
    NEW_PIN, VALUE, asking,
    card::{self, Holder},
    given, pair, plain_uri, said, silent, uri,
};
use claviger_tests::{Terminal, World};
use softhsm_fixtures::{KeySpec, PIN, YubiKey};

/// The id of the recipient whose key the configuration names first.
fn first_recipient(world: &World) -> String {
    let config = std::fs::read_to_string(world.config()).unwrap();
    config.split("recipient = \"").nth(1).unwrap()[..32].to_owned()
}

/// A vault with a value under three, of which the third has a PIN of its own, and no PIN is in a file.
fn three() -> (World, [YubiKey; 3]) {
    let (world, second) = pair();
    world.set("svc", VALUE);
    let third = world.token().add_yubikey(&KeySpec::default());
    world.run(["token", "enroll", "--token", &uri(&world, &third)]).ok();
    card::ykman(&world, &third, &["access", "change-pin", "-P", PIN, "-n", NEW_PIN]);
    third.remove();
    third.insert();
    asking(&world);
    let first = world.token().yubikey(0);
    (world, [first, second, third])
}

/// Whoever retires the first means the next one's PIN, and no later one's.
#[test]
fn a_pin_in_passing_is_for_one_key_alone() {
    let (world, [first, second, third]) = three();
    second.remove();
    let retire = format!("token retire {} --yes --pin-fd 3", first_recipient(&world));
    let stderr = given(&world, &retire, &[PIN]).fails(
        5,
        &[
            "no token fits `pkcs11:serial=22222222",
            "going on with `pkcs11:serial=33333333?module-name=piv`",
            "is the first token's and is not tried on another",
        ],
    );
    silent(&stderr);
    assert_eq!(card::tries(&world, &third), 3);
    second.insert();
    first.remove();
    given(&world, &retire, &[PIN]).ok();
    assert_eq!(card::tries(&world, &third), 3);
}

/// Nor is it shown to the one whose key is to be destroyed.
#[test]
fn the_pin_of_one_destroys_nothing_on_another() {
    let (world, [_, _, third]) = three();
    let recipients = world.line("token recipients --json --pin-fd 3");
    let pin = world.file("pin-of-first", PIN);
    let recipients = recipients.descriptors(&[&pin]).ok().json();
    let of_third =
        recipients.as_array().unwrap().iter().find(|one| one["token_serial"] == "33333333").unwrap();
    let retire = format!("token retire {} --destroy --yes --pin-fd 3", of_third["id"].as_str().unwrap());
    given(&world, &retire, &[PIN]).fails(5, &["is the first token's and is not tried on another"]);
    assert_eq!(card::tries(&world, &third), 3);
}

/// A move of the master key is not made by a third that stands before the new one.
#[test]
fn a_move_asks_the_new_key_and_no_other() {
    let (world, [first, second, third]) = three();
    given(&world, &format!("token retire {} --yes --pin-fd 3", first_recipient(&world)), &[PIN]).ok();
    // The second and the third are left; the first gets a new key, as another that its owner has bought.
    let line = "rotate master --token pkcs11:serial=11111111?module-name=piv --pin-fd 3";
    // Nor is it the new one's.
    second.remove();
    second.insert();
    first.remove();
    first.insert();
    let known = ["is the first token's and is not tried on another"];
    silent(&given(&world, line, &[PIN]).fails(5, &known));
    assert_eq!(card::tries(&world, &first), 3);
    let named = format!("rotate master --token {} --pin-fd 3", uri(&world, &first));
    said(&given(&world, &named, &[PIN]).ok());
    assert_eq!(card::tries(&world, &third), 3);
}

/// A vault under two of which each has a PIN of its own, in a file that its URI names.
fn with_a_pin_each() -> (World, [YubiKey; 2]) {
    let (world, second) = pair();
    world.set("svc", VALUE);
    card::ykman(&world, &second, &["access", "change-pin", "-P", PIN, "-n", NEW_PIN]);
    let new = world.file("pin-of-second", NEW_PIN);
    world.edit_config(|text| {
        let (first, rest) = text.split_once("[[backup-token]]").unwrap();
        let old = world.token().pin_file().display().to_string();
        format!("{first}[[backup-token]]{}", rest.replace(&old, &new.display().to_string()))
    });
    let first = world.token().yubikey(0);
    for key in [&first, &second] {
        key.remove();
        key.insert();
    }
    (world, [first, second])
}

/// The first one's key is not to be had: the second opens the vault, and has lost no try.
#[track_caller]
fn the_second_opens_it(world: &World, second: &YubiKey) {
    let read = world.line("get svc").ok();
    assert_eq!(read.text(), VALUE);
    assert!(read.stderr.contains("; going on with `pkcs11:serial=22222222"), "{}", read.stderr);
    assert_eq!(card::tries(world, second), 3);
}

/// Where its key is gone, what has replaced it is looked for on the same card, not with its PIN on all others.
#[test]
fn a_card_that_was_reset_costs_the_other_no_try() {
    let (world, [first, second]) = with_a_pin_each();
    card::ykman(&world, &first, &["reset", "-f"]);
    the_second_opens_it(&world, &second);
}

/// Another host has rotated the first one's key.
#[test]
fn a_successor_is_not_looked_for_with_its_pin_on_another_card() {
    let (world, [first, second]) = with_a_pin_each();
    let before = std::fs::read_to_string(world.config()).unwrap();
    world.line("rotate master --destroy-old").ok();
    world.edit_config(|_| before);
    for key in [&first, &second] {
        key.remove();
        key.insert();
    }
    let read = world.line("get svc").ok();
    assert_eq!(read.text(), VALUE);
    assert!(!read.stderr.contains("going on with"), "{}", read.stderr);
    assert_eq!(card::tries(&world, &second), 3);
}

/// Nor on a machine that knows no vault yet, where every recipient of the backup is looked for.
#[test]
fn a_restored_vault_costs_the_other_card_no_try() {
    let (world, [first, second]) = with_a_pin_each();
    let file = world.home().join("backup").display().to_string();
    world.run(["backup", "create", &file]).ok();
    let fingerprint = world.line("status --json").ok().json()["fingerprint"].as_str().unwrap().to_owned();
    for (key, pin, other) in [(&second, NEW_PIN, &first), (&first, PIN, &second)] {
        for key in [&first, &second] {
            key.remove();
            key.insert();
        }
        let uri = format!("{}&pin-source=file:{}", plain_uri(key), world.file("pin", pin).display());
        let line = ["restore", &file, "--token", &uri, "--fingerprint", &fingerprint];
        world.neighbour(&format!("machine-{}", key.serial())).run(line).ok();
        assert_eq!((card::tries(&world, key), card::tries(&world, other)), (3, 3));
    }
}

/// A URI that any card fits is no reason to try its PIN on one that has another entry's key.
#[test]
fn a_card_that_has_its_own_entry_is_not_tried_with_anothers_pin() {
    let (world, [first, second]) = with_a_pin_each();
    world.edit_config(|text| text.replacen("pkcs11:serial=11111111?", "pkcs11:?", 1));
    first.remove();
    the_second_opens_it(&world, &second);
}

/// Of two, a wrong PIN is said with the one that it was tried on.
#[test]
fn a_wrong_pin_is_said_with_its_card() {
    let (world, [first, second]) = with_a_pin_each();
    let stderr =
        given(&world, "get svc --pin-fd 3", &[NEW_PIN]).fails(5, &["the PIN is wrong; 2 tries left"]);
    assert!(stderr.contains("that PIN was tried on `pkcs11:serial=11111111"), "{stderr}");
    assert_eq!((card::tries(&world, &first), card::tries(&world, &second)), (2, 3));
}

/// Nor is it before it is clear who is meant to be retired.
#[test]
fn nobody_is_retired_by_no_name() {
    let (world, [_, second]) = with_a_pin_each();
    let pin = world.file("pin", PIN);
    let nobody = ["token", "retire", "", "--yes", "--pin-fd", "3"];
    silent(&world.run(nobody).descriptors(&[&pin]).fails(2, &["the vault has no recipient ``"]));
    assert_eq!(card::tries(&world, &second), 3);
}

/// A key that is looked for may turn up on another card than the one that was named, and whose PIN was given.
#[test]
fn an_answer_by_another_card_costs_it_no_try() {
    let (world, [first, second]) = with_a_pin_each();
    let uri = |key: &YubiKey, pin| {
        format!("{}&pin-source=file:{}", plain_uri(key), world.file("pin", pin).display())
    };
    let right = uri(&second, NEW_PIN);
    let request = world.run(["token", "request", "--token", &right, "--touch-policy", "never"]).ok();
    let request = world.file("request", request.stdout).display().to_string();
    let challenge = world.run(["token", "enroll", "--request", &request]).ok();
    let challenge = world.file("challenge", challenge.stdout).display().to_string();
    second.remove();
    second.insert();
    let wrong = uri(&first, PIN);
    let known = "is of the token with serial number 11111111, and is not tried on another";
    silent(&world.run(["token", "answer", &challenge, "--token", &wrong]).fails(5, &[known]));
    let one_of_them = ["token", "answer", &challenge, "--pin-fd", "3", "--token", &plain_uri(&first)];
    let pin = world.file("pin", PIN);
    silent(&world.run(one_of_them).descriptors(&[&pin]).fails(5, &[known]));
    assert_eq!((card::tries(&world, &first), card::tries(&world, &second)), (3, 3));
    world.file("pin", NEW_PIN);
    world.run(["token", "answer", &challenge, "--token", &right]).ok();
}

/// The PIN that is given to enrol another one is the vault's own token's.
#[test]
fn enrolment_tries_no_pin_of_another() {
    let (world, [_, second]) = with_a_pin_each();
    let line = "token enroll --again --yubikey --serial 22222222 --pin-fd 3";
    silent(&given(&world, line, &[PIN]).fails(5, &["is the first token's and is not tried on another"]));
    assert_eq!(card::tries(&world, &second), 3);
    let again = "token enroll --again --yubikey --serial 11111111 --pin-fd 3";
    said(&given(&world, again, &[PIN]).ok());
}

#[test]
fn that_another_one_is_used_is_said_before_its_pin_is_asked_for() {
    let (world, backup) = pair();
    world.set("svc", VALUE);
    asking(&world);
    world.token().yubikey(0).remove();
    backup.remove();
    backup.insert();
    let mut terminal = Terminal::start(&world, "get svc");
    terminal.sees("warning: no token fits `pkcs11:serial=11111111?module-name=piv`");
    terminal.sees("; going on with `pkcs11:serial=22222222?module-name=piv`\r\n");
    terminal.sees("PIV PIN of token `YubiKey PIV #22222222`").sees(": ").types(PIN);
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");
    assert_eq!(screen.matches("going on with").count(), 1, "{screen}");
    assert!(screen.contains(VALUE), "{screen}");
}

/// Its owner has reset the PIV application, and the first is elsewhere.
#[test]
fn where_none_opens_every_key_is_named() {
    let (world, backup) = pair();
    let first = world.token().yubikey(0);
    first.remove();
    card::ykman(&world, &backup, &["reset", "-f"]);
    let known = [
        "error: no token fits `pkcs11:serial=11111111?module-name=piv`",
        "`pkcs11:serial=22222222?module-name=piv`: the token has no key",
        "help: plug the token in",
    ];
    silent(&world.line("get svc").fails(6, &known));
    let told = world.line("get svc --json").outcome();
    let error: serde_json::Value = serde_json::from_str(told.stderr.lines().last().unwrap()).unwrap();
    assert_eq!((told.code, &error["error"]["class"]), (Some(6), &"token absent".into()));
    let causes = error["error"]["causes"].to_string();
    assert!(causes.contains("serial=22222222") && causes.contains("has no key"), "{error}");
}

#[test]
fn one_that_is_held_does_not_block_the_other() {
    let (world, backup) = pair();
    world.set("svc", VALUE);
    let held = Holder::of(&world, &world.token().yubikey(0));
    let read = world.line("get svc").ok();
    assert_eq!(read.text(), VALUE);
    let told = "`pkcs11:serial=11111111?module-name=piv`: another program has the card for itself: ";
    assert!(read.stderr.contains(told), "{}", read.stderr);
    assert!(read.stderr.contains("; going on with `pkcs11:serial=22222222"), "{}", read.stderr);
    // Of the two that do not open it is the first one's trouble that is shown.
    let both = Holder::of(&world, &backup);
    world
        .line("get svc")
        .fails(6, &["error: another program has the card for itself", "help: end that program"]);
    drop(both);
    backup.remove();
    let stderr = world.line("get svc").fails(
        6,
        &[
            "error: another program has the card for itself",
            "`pkcs11:serial=22222222",
            "help: end that program",
        ],
    );
    silent(&stderr);
    drop(held);
    let read = world.line("get svc").ok();
    assert!(!read.stderr.contains("going on"), "{}", read.stderr);
}
