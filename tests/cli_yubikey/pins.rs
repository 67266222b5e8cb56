//! `token pin change` and `unblock` of a YubiKey: its PIV PIN, and its PUK.

use crate::{NEW_PIN, NEW_PUK, VALUE, WRONG, asking, card, empty, given, lone, plain_uri, said, silent};
use claviger_tests::{Terminal, World};
use serde_json::json;
use softhsm_fixtures::{PIN, Provider, SO_PIN, YubiKey};

/// What the maker sets.
const PUK: &str = SO_PIN;
const NAME: &str = "token `YubiKey PIV #11111111`, serial 11111111";

fn replug(key: &YubiKey) {
    key.remove();
    key.insert();
}

/// Spends a try of the PIN.
fn spend(world: &World, key: &YubiKey) {
    let wrong = WRONG.bytes().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().concat();
    assert_eq!(card::statuses(world, key, &[format!("0020008008{wrong}")])[0] & 0xfff0, 0x63c0);
}

#[test]
fn the_question_says_whose_pin_and_how_many_tries() {
    let world = empty();
    let key = world.token().yubikey(0);
    world.run(["init", "--token", world.uri(), "--accept-loss", "--touch-policy", "never"]).ok();
    world.set("svc", VALUE);
    asking(&world);
    for (left, typed) in [(3, WRONG), (2, WRONG)] {
        replug(&key);
        let mut terminal = Terminal::start(&world, "get svc");
        terminal.sees(&format!("PIV PIN of {NAME}, {left} tries left: ")).types(typed);
        let (code, screen) = terminal.ends();
        assert_eq!(code, Some(5), "{screen}");
        assert!(screen.contains("error: the PIN is wrong"), "{screen}");
        silent(&screen);
        assert_eq!(card::tries(&world, &key), left - 1);
    }
    // The last one only after a word of its own.
    let question = format!(
        "{NAME}: One try is left: another wrong PIV PIN locks the token. Use it? Type yes to go on: "
    );
    let mut terminal = Terminal::start(&world, "get svc");
    terminal.sees(&question).types("y");
    let (code, screen) = terminal.ends();
    assert_eq!((code, card::tries(&world, &key)), (Some(5), 1), "{screen}");
    assert!(screen.contains("the last try was not confirmed"), "{screen}");
    assert!(screen.contains("help: no try was spent: run it again when you know the PIN"), "{screen}");
    let mut terminal = Terminal::start(&world, "get svc");
    terminal.sees(&question).types("yes").sees("last try: ").types("\u{3}");
    let (code, screen) = terminal.ends();
    assert_eq!((code, card::tries(&world, &key)), (Some(5), 1), "{screen}");
    assert!(screen.contains("help: no try was spent") && !screen.contains("on a terminal"), "{screen}");
    let mut terminal = Terminal::start(&world, "get svc");
    terminal.sees(&question).types("yes").sees(&format!("PIV PIN of {NAME}, last try: ")).types(PIN);
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains(VALUE) && !screen.contains(PIN), "{screen}");
    replug(&key);
    assert_eq!(card::tries(&world, &key), 3);
}

#[test]
fn a_file_with_a_wrong_pin_spends_one_try_and_never_the_last() {
    let world = lone();
    let key = world.token().yubikey(0);
    world.set("svc", VALUE);
    std::fs::write(world.token().pin_file(), WRONG).unwrap();
    for left in [2, 1] {
        replug(&key);
        let stderr = world.line("get svc").fails(5, &["error: the PIN is wrong", "help: "]);
        silent(&stderr);
        assert_eq!(card::tries(&world, &key), left);
    }
    for _ in 0..2 {
        let stderr = world.line("get svc").fails(5, &["one try left", "help: "]);
        silent(&stderr);
        assert_eq!(card::tries(&world, &key), 1);
    }
    let stderr = given(&world, "get svc --pin-fd 3", &[WRONG]).fails(5, &["one try left"]);
    silent(&stderr);
    assert_eq!(card::tries(&world, &key), 1);
}

#[test]
fn pin_and_puk_are_changed_at_a_terminal() {
    let world = empty();
    let line = format!("token pin change --token {}", plain_uri(&world.token().yubikey(0)));
    let mut terminal = Terminal::start(&world, &line);
    terminal.sees(&format!("PIV PIN of {NAME}, 3 tries left: ")).types(PIN);
    terminal.sees("new PIV PIN (6 to 8 bytes): ").types(NEW_PIN).sees("the same again: ").types(NEW_PIN);
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains(&format!("the PIV PIN of {NAME}, is changed")), "{screen}");
    silent(&screen);

    let mut terminal = Terminal::start(&world, &format!("{line} --so"));
    terminal.sees(&format!("PUK of {NAME}, 3 tries left: ")).types(PUK);
    terminal.sees("new PUK (6 to 8 bytes): ").types(NEW_PUK).sees("the same again: ").types(NEW_PUK);
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");
    silent(&screen);

    let mut terminal = Terminal::start(&world, &line.replace("change", "unblock"));
    terminal.sees(&format!("PUK of {NAME}, 3 tries left: ")).types(NEW_PUK);
    terminal.sees("new PIV PIN (6 to 8 bytes): ").types(PIN).sees("the same again: ").types(PIN);
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("is set anew"), "{screen}");
    silent(&screen);
    // Two that differ are none, and nothing is spent.
    let mut terminal = Terminal::start(&world, &line);
    terminal.sees("PIV PIN of").sees(": ").types(PIN).sees("new PIV PIN").sees(": ").types(NEW_PIN);
    terminal.sees("again: ").types(NEW_PUK);
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(5), "{screen}");
    assert!(screen.contains("the two answers differ"), "{screen}");
    given(&world, "init --yubikey --accept-loss --pin-fd 3", &[PIN]).ok();
}

#[test]
fn by_descriptors_and_the_stale_file_is_named() {
    let world = lone();
    world.set("svc", VALUE);
    let key = world.token().yubikey(0);
    let file = world.token().pin_file().to_str().unwrap().to_owned();
    let changed = world.line("token pin change --new-pin-fd 0 -vvv").stdin(format!("{NEW_PIN}\n")).ok();
    let told = said(&changed);
    assert!(told.contains(&format!("the PIV PIN of {NAME}, is changed")), "{told}");
    assert!(told.contains(&format!("{file} still holds the old PIN. Type this")), "{told}");
    replug(&key);
    world.line("get svc").fails(5, &["the PIN is wrong"]);
    let changed = given(&world, "token pin change --pin-fd 3 --new-pin-fd 4 --json", &[NEW_PIN, PIN]).ok();
    let told = changed.json();
    assert_eq!((&told["changed"], &told["stale_pin_files"]), (&json!("pin"), &json!([])));
    assert_eq!(told["uri"], json!("pkcs11:serial=11111111?module-name=piv"));
    replug(&key);
    assert_eq!(world.get("svc"), VALUE.as_bytes());
    let changed =
        given(&world, "token pin change --so --so-pin-fd 3 --new-pin-fd 4 --json", &[PUK, NEW_PUK]).ok();
    assert_eq!(changed.json()["changed"], json!("so_pin"));
    said(&changed);
    // Neither is the maker's now, and the PIN is no more after this.
    given(&world, "token pin unblock --so-pin-fd 3 --new-pin-fd 4", &[NEW_PUK, NEW_PIN]).ok();
    let info = world.line("token info --json").ok().json();
    assert_eq!((&info["pin_is_due"], &info["so_pin_is_due"]), (&json!(false), &json!(false)));
}

#[test]
fn one_that_cannot_be_is_refused_before_anything_is_spent() {
    let world = lone();
    let key = world.token().yubikey(0);
    for new in ["12345", "123456789", ""] {
        for line in [
            "token pin change --pin-fd 3",
            "token pin unblock --so-pin-fd 3",
            "token pin change --so --so-pin-fd 3",
        ] {
            let what = if line.contains("--so ") { "PUK" } else { "PIN" };
            let stderr = given(&world, &format!("{line} --new-pin-fd 4"), &[WRONG, new])
                .fails(5, &[&format!("the new {what} cannot be set: "), "help: nothing was changed"]);
            assert!(!stderr.contains("12345"), "{stderr}");
        }
    }
    replug(&key);
    assert_eq!(card::tries(&world, &key), 3);
    let info = world.line("token list --json").ok().json();
    assert_eq!(info[0]["so_tries_left"], json!(3));
    for line in ["token pin change", "token pin unblock"] {
        world.line(line).fails(5, &["there is no terminal to ask at"]);
    }
    assert_eq!(card::tries(&world, &key), 3);
    // An SO PIN by the user's option.
    given(&world, "token pin unblock --pin-fd 3", &[PIN]).fails(2, &["--pin-fd gives the user's PIN"]);
}

#[test]
fn a_wrong_one_costs_one_try_and_locks_in_the_end() {
    let world = lone();
    let key = world.token().yubikey(0);
    world.set("svc", VALUE);
    let change = "token pin change --pin-fd 3 --new-pin-fd 4";
    for left in [2, 1] {
        replug(&key);
        let stderr = given(&world, change, &[WRONG, NEW_PIN]).fails(5, &["error: the PIN is wrong"]);
        silent(&stderr);
        assert_eq!(card::tries(&world, &key), left);
    }
    given(&world, change, &[WRONG, NEW_PIN]).fails(5, &["one try left"]);
    spend(&world, &key);
    for line in ["get svc", "token pin change --new-pin-fd 3", "rotate master"] {
        let stderr = given(&world, line, &[NEW_PIN])
            .fails(5, &["error: the token has locked its PIN", "claviger token pin unblock"]);
        silent(&stderr);
    }
    for line in ["token doctor", "doctor"] {
        let report = world.line(line).outcome();
        assert_eq!(report.code, Some(5), "{}", report.text());
        let told = "FAIL  PIN            the token has locked it\n        do: claviger token pin unblock --token 'pkcs11:";
        assert!(report.text().contains(told), "{}", report.text());
    }
    let unblock = "token pin unblock --so-pin-fd 3 --new-pin-fd 4";
    let stderr =
        given(&world, unblock, &[WRONG, NEW_PIN]).fails(5, &["error: the PUK is wrong; 2 tries left"]);
    silent(&stderr);
    given(&world, unblock, &[PUK, PIN]).ok();
    assert_eq!(world.get("svc"), VALUE.as_bytes());
}

#[test]
fn the_puks_last_try_is_a_persons() {
    let world = lone();
    let unblock = "token pin unblock --so-pin-fd 3 --new-pin-fd 4";
    given(&world, unblock, &[WRONG, NEW_PIN]).fails(5, &["the PUK is wrong; 2 tries left"]);
    given(&world, unblock, &[WRONG, NEW_PIN]).fails(5, &["the PUK is wrong", "one more wrong PUK locks it"]);
    let stderr = given(&world, unblock, &[WRONG, NEW_PIN]).fails(5, &["one try left"]);
    silent(&stderr);
    let doctor = world.line("token doctor").ok();
    assert!(doctor.text().contains("warn  PUK            ONE try left"), "{}", doctor.text());
    let mut terminal = Terminal::start(&world, "token pin unblock");
    terminal
        .sees("One try is left: another wrong PUK locks the token. Use it? Type yes to go on: ")
        .types("yes");
    terminal.sees("last try: ").types(WRONG).sees("new PIV PIN").sees(": ").types(NEW_PIN);
    terminal.sees("again: ").types(NEW_PIN);
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(5), "{screen}");
    assert!(screen.contains("the card has locked its PUK"), "{screen}");
    silent(&screen);
    given(&world, unblock, &[PUK, NEW_PIN]).fails(5, &["the card has locked its PUK", "ykman piv reset"]);
}

/// The yes is asked for also where the other tries were spent while the new PIN was thought of.
#[test]
fn the_puks_last_try_is_a_persons_when_others_spent_the_rest() {
    let world = lone();
    let mut terminal = Terminal::start(&world, "token pin unblock");
    terminal.sees("3 tries left: ").types(WRONG).sees("new PIV PIN").sees(": ");
    for _ in 0..2 {
        given(&world, "token pin unblock --so-pin-fd 3 --new-pin-fd 4", &[WRONG, NEW_PIN]).fails(5, &[]);
    }
    terminal.types(NEW_PIN).sees("again: ").types(NEW_PIN);
    terminal
        .sees("One try is left: another wrong PUK locks the token. Use it? Type yes to go on: ")
        .types("no");
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(5), "{screen}");
    assert!(screen.contains("help: no try was spent"), "{screen}");
    let mut terminal = Terminal::start(&world, "token pin unblock");
    terminal.sees("Type yes to go on: ").types("yes").sees("last try: ").types(PUK);
    terminal.sees("new PIV PIN").sees(": ").types(NEW_PIN).sees("again: ").types(NEW_PIN);
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");
}

/// One that no card can have is not shown to it, and not called wrong.
#[test]
fn a_pin_that_is_none_costs_nothing_and_is_said_to_be_none() {
    let world = lone();
    let key = world.token().yubikey(0);
    world.set("svc", VALUE);
    asking(&world);
    replug(&key);
    let known = ["a PIV PIN has 6 to 8 bytes", "it was not tried", "help: no try was spent"];
    for pin in ["12345", "123456789"] {
        let stderr = given(&world, "get svc --pin-fd 3", &[pin]).fails(5, &known);
        assert!(!stderr.contains("12345") && !stderr.contains("the PIN is wrong"), "{stderr}");
    }
    for pin in ["", "12345", "123456789"] {
        let mut terminal = Terminal::start(&world, "get svc");
        terminal.sees(", 3 tries left: ").types(pin);
        let (code, screen) = terminal.ends();
        assert_eq!(code, Some(5), "{screen}");
        assert!(known.iter().all(|part| screen.contains(part)), "{screen}");
    }
    assert_eq!(card::tries(&world, &key), 3);
}

/// What another token's user calls theirs is not changed by that.
#[test]
fn another_token_has_no_piv_pin() {
    let world = World::on(Provider::SoftHsm);
    let line =
        format!("token pin change --token pkcs11:token=lab --module {}", world.token().module().display());
    let mut terminal = Terminal::start(&world, &line);
    terminal.sees("PIN of token `lab`, serial ").sees(": ").types(PIN).sees("new PIN (").types(NEW_PIN);
    terminal.sees("again: ").types(NEW_PIN);
    let (code, screen) = terminal.ends();
    assert!(code == Some(0) && !screen.contains("PIV"), "{screen}");
}
