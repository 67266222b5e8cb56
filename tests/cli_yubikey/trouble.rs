//! What goes wrong with a YubiKey in use: the code, what is said, and that nothing wrong is given out.

use crate::{
    NEW_PIN, VALUE, asking,
    card::{self, Bystander, Holder},
    given, lone, pair, said, silent, two,
};
use claviger_tests::{Terminal, World};
use serde_json::Value;
use softhsm_fixtures::{At, CardAction, PIN, PcscFault, Touch};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// GENERAL AUTHENTICATE, GET METADATA, GET VERSION, GET SERIAL.
const USE: u8 = 0x87;
const METADATA: u8 = 0xf7;
const VERSION: u8 = 0xfd;
const SERIAL: u8 = 0xf8;

/// A vault with a value in it.
fn filled() -> World {
    let world = lone();
    world.set("svc", VALUE);
    world
}

/// A failed command's error, as a program reads it: the last line.
#[track_caller]
fn error(world: &World, line: &str) -> Value {
    let outcome = world.line(line).outcome();
    said(&outcome);
    assert!(outcome.stdout.is_empty(), "{}", outcome.text());
    let last = outcome.stderr.lines().last().unwrap();
    let error: Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("{}", outcome.stderr));
    let error = error["error"].clone();
    assert_eq!(error["code"], outcome.code.unwrap(), "{error}");
    for part in ["class", "message", "help"] {
        assert!(error[part].as_str().is_some_and(|text| !text.is_empty()), "{part}: {error}");
    }
    error
}

#[test]
fn without_the_service_it_says_what_to_start() {
    let world = filled();
    world.token().stop_pcscd();
    let made = world.neighbour("made");
    for run in [world.line("get svc"), world.line("rotate master"), made.line("init --yubikey --accept-loss")]
    {
        let stderr = run.fails(
            6,
            &[
                "error: the smart-card service (pcscd) does not answer",
                "sudo systemctl start pcscd.socket",
                "token doctor",
            ],
        );
        silent(&stderr);
    }
    assert_eq!(error(&world, "get svc --json")["class"], "token absent");
    // It comes back, and so does everything.
    world.token().start_pcscd();
    assert_eq!(world.get("svc"), VALUE.as_bytes());
}

#[test]
fn one_that_is_not_there_is_named() {
    let world = filled();
    let key = world.token().yubikey(0);
    key.remove();
    let stderr = world
        .line("get svc")
        .fails(6, &["no token fits `pkcs11:serial=11111111?module-name=piv`", "help: plug the token in"]);
    silent(&stderr);
    assert_eq!(error(&world, "get svc --json")["class"], "token absent");
    // Another one that is plugged in is not it, and is not asked for anything.
    let other = world.token().add_yubikey(&softhsm_fixtures::KeySpec::default());
    let stderr = world.line("get svc").fails(
        6,
        &["no token fits `pkcs11:serial=11111111?module-name=piv`; there are: pkcs11:serial=22222222"],
    );
    silent(&stderr);
    assert_eq!(card::tries(&world, &other), 3);
    key.insert();
    assert_eq!(world.get("svc"), VALUE.as_bytes());
}

#[test]
fn whoever_has_it_alone_is_named_and_not_ended() {
    let world = filled();
    let key = world.token().yubikey(0);
    let held = Holder::of(&world, &key);
    let known = "another program has the card for itself";
    let stderr = world.line("get svc").fails(6, &[known, "usually it is scdaemon", "help: end that program"]);
    silent(&stderr);
    let mut scdaemon = Bystander::called(&world, "scdaemon");
    let named =
        format!("probably scdaemon (process {}; GnuPG's, until `gpgconf --kill scdaemon`", scdaemon.id());
    world.line("get svc").fails(6, &[known, &named]);
    assert!(scdaemon.runs());
    let error = error(&world, "get svc --json");
    assert!(error["message"].as_str().unwrap().contains(&named), "{error}");
    let doctor = world.line("doctor").outcome();
    assert_eq!(doctor.code, Some(6));
    assert!(doctor.text().contains(known), "{}", doctor.text());
    drop(held);
    assert_eq!(world.get("svc"), VALUE.as_bytes());
}

/// Of two, the one that is held is not said to be absent.
#[test]
fn one_of_two_that_is_held_is_said_to_be() {
    let world = two();
    let [first, second] = [0, 1].map(|index| world.token().yubikey(index));
    world.run(["init", "--token", world.uri(), "--accept-loss"]).ok();
    let held = Holder::of(&world, &first);
    let known = "another program has the card for itself";
    world.line("get svc").fails(6, &[known]);
    world.line("token info").fails(6, &[known]);
    let doctor = world.line("doctor").outcome();
    assert!(doctor.text().contains(known), "{}", doctor.text());
    let other = world.neighbour("other");
    other.line("init --yubikey --serial 11111111 --accept-loss").fails(6, &[known]);
    // The one that is free is not kept from anybody.
    given(&other, "init --yubikey --serial 22222222 --accept-loss --pin-fd 3", &[PIN]).ok();
    assert_eq!(card::slots(&world, &second), ["9d", "95"]);
    drop(held);
}

/// The one that is left is neither all that there is, nor taken for the only one.
#[test]
fn one_that_is_held_is_not_passed_over() {
    let world = two();
    let held = Holder::of(&world, &world.token().yubikey(0));
    let known =
        "another program has the card for itself: which one cannot be seen from here; usually it is scdaemon";
    for line in ["token list", "token list --json"] {
        let outcome = world.line(line).ok();
        silent(&outcome.stderr);
        assert!(outcome.stderr.contains(&format!("warning: {known}")), "{line}: {}", outcome.stderr);
        assert!(outcome.text().contains("pkcs11:serial=22222222"), "{line}: {}", outcome.text());
    }
    let json = world.line("token list --json").ok().json();
    assert!(json.as_array().is_some_and(|all| !all.is_empty()), "{json}");
    for line in ["init --yubikey --accept-loss", "init --token pkcs11:?module-name=piv --accept-loss"] {
        world.line(line).fails(6, &[known, "help: end that program"]);
    }
    assert!(card::slots(&world, &world.token().yubikey(1)).is_empty());
    let mut scdaemon = Bystander::called(&world, "scdaemon");
    let outcome = world.line("token list").ok();
    let named = format!("probably scdaemon (process {};", scdaemon.id());
    assert!(outcome.stderr.contains(&named), "{}", outcome.stderr);
    assert!(scdaemon.runs());
    drop(held);
    // What else is installed here may have something to say.
    let said = world.line("token list --json").ok().stderr;
    assert!(!said.contains("card"), "{said}");
    world.line("init --yubikey --accept-loss").fails(2, &["more than one YubiKey is plugged in"]);
    given(&world, "init --yubikey --serial 22222222 --accept-loss --pin-fd 3", &[PIN]).ok();
    // To another key the same goes.
    let _held = Holder::of(&world, &world.token().yubikey(0));
    let known = "another program has the card for itself: probably scdaemon";
    given(&world, "token enroll --yubikey --pin-fd 3", &[PIN]).fails(6, &[known]);
}

#[test]
fn a_touch_is_asked_for_and_waited_for() {
    let world = filled();
    let key = world.token().yubikey(0);
    key.touch(Touch::After(Duration::from_millis(100)));
    let read = world.line("get svc").ok();
    assert_eq!(
        (read.stderr.as_str(), read.text()),
        ("note: touch YubiKey PIV #11111111 when it blinks\n", VALUE)
    );
    // A touch is good for 15 seconds, unless it is pulled.
    key.touch(Touch::Never);
    assert_eq!(world.get("svc"), VALUE.as_bytes());
    key.remove();
    key.insert();
    let stderr = world
        .line("get svc")
        .fails(1, &["error: the token was not touched in time", "help: run it again and touch"]);
    silent(&stderr);
    assert!(stderr.starts_with("note: touch YubiKey PIV #11111111 when it blinks\n"), "{stderr}");
    assert_eq!(error(&world, "get svc --json")["message"], "the token was not touched in time");
    assert_eq!(card::tries(&world, &key), 3);
    key.touch(Touch::Auto);
    assert_eq!(world.get("svc"), VALUE.as_bytes());
}

/// First the PIN, then the touch: nobody touches in vain.
#[test]
fn the_pin_is_asked_for_before_the_touch() {
    let world = filled();
    asking(&world);
    let key = world.token().yubikey(0);
    key.remove();
    key.insert();
    key.reset_counts();
    let mut terminal = Terminal::start(&world, "get svc");
    terminal.sees("PIV PIN of").sees(": ");
    assert_eq!(key.touches(), 0);
    terminal.types(PIN).sees("note: touch YubiKey PIV #11111111 when it blinks");
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");
    assert_eq!(screen.matches("when it blinks").count(), 1, "{screen}");
}

/// Whatever a card answers, a wrong value is never given out for a right one.
#[test]
fn nonsense_is_an_error_and_never_a_value() {
    let world = filled();
    let key = world.token().yubikey(0);
    let lies = [
        (USE, CardAction::Flip(40)),
        (USE, CardAction::Flip(0)),
        (USE, CardAction::Length(0)),
        (USE, CardAction::Length(8)),
        (USE, CardAction::Status(0x6f00)),
        (USE, CardAction::Status(0x9000)),
        (METADATA, CardAction::Length(3)),
        (METADATA, CardAction::Flip(200)),
        (METADATA, CardAction::Status(0x6a80)),
        (VERSION, CardAction::Length(1)),
        (SERIAL, CardAction::Flip(5)),
        (SERIAL, CardAction::Length(2)),
    ];
    for (ins, action) in lies {
        key.inject(ins, At::Every, action);
        let outcome = world.line("get svc").outcome();
        key.clear();
        let told = said_apart_from_value(&outcome);
        match outcome.code {
            // What the card says of itself is only where to look.
            Some(0) => assert_eq!(outcome.text(), VALUE, "{ins:02x} {action}"),
            // Of a card with another number the PIN is another.
            Some(1 | 5 | 6 | 7) => {
                assert!(outcome.stdout.is_empty(), "{ins:02x} {action}: {told}");
                assert!(told.contains("help: "), "{ins:02x} {action}: {told}");
                // None of it is the store's fault.
                assert!(!told.contains("damaged"), "{ins:02x} {action}: {told}");
            }
            code => panic!("{ins:02x} {action}: {code:?}: {told}"),
        }
    }
    assert_eq!(world.get("svc"), VALUE.as_bytes());
    world.line("verify").ok();
}

fn said_apart_from_value(outcome: &claviger_tests::Outcome) -> String {
    silent(&outcome.stderr);
    outcome.stderr.clone()
}

/// A single wrong answer is asked again, and what was right before stays so.
#[test]
fn one_wrong_answer_is_got_over() {
    let world = filled();
    let key = world.token().yubikey(0);
    for (ins, action) in
        [(USE, CardAction::Flip(40)), (USE, CardAction::Reset), (USE, CardAction::RemoveAfter)]
    {
        key.inject(ins, At::Nth(2), action);
        let outcome = world.line("get svc").outcome();
        key.clear();
        if key.is_inserted() {
            assert_eq!((outcome.code, outcome.text()), (Some(0), VALUE), "{action}: {}", outcome.stderr);
        } else {
            assert_eq!(outcome.code, Some(6), "{action}: {}", outcome.stderr);
            key.insert();
        }
    }
    for fault in [PcscFault::Instead(0x8010_0068), PcscFault::Drop] {
        world.token().pcsc_faults().inject("transmit", At::Nth(10), fault);
        let outcome = world.line("get svc").outcome();
        world.token().pcsc_faults().clear();
        assert_eq!((outcome.code, outcome.text()), (Some(0), VALUE), "{fault:?}: {}", outcome.stderr);
    }
}

/// The one that is left has another PIN, and no file says it.
#[test]
fn the_backups_pin_is_its_own() {
    let (world, backup) = pair();
    world.set("svc", VALUE);
    card::ykman(&world, &backup, &["access", "change-pin", "-P", PIN, "-n", NEW_PIN]);
    world.token().yubikey(0).remove();
    backup.remove();
    backup.insert();
    let stderr = world.line("get svc").fails(
        5,
        &[
            "no token fits `pkcs11:serial=11111111",
            "going on with `pkcs11:serial=22222222",
            "error: the PIN is wrong",
        ],
    );
    silent(&stderr);
    assert_eq!(card::tries(&world, &backup), 2);
    let own = world.file("own", NEW_PIN);
    let (old, own) = (world.token().pin_file().display().to_string(), own.display().to_string());
    world.edit_config(|text| {
        let (first, second) = text.split_once("[[backup-token]]").unwrap();
        format!("{first}[[backup-token]]{}", second.replace(&old, &own))
    });
    assert_eq!(world.get("svc"), VALUE.as_bytes());
    // Neither.
    backup.remove();
    world.line("get svc").fails(6, &["no token fits `pkcs11:serial=11111111", "help: plug the token in"]);
}

/// Neither a PIN nor a value is in an argument or in what is traced.
#[test]
fn no_secret_is_traced() {
    let world = filled();
    for line in ["-vvv list", "-vvv rotate master", "-vvv token info", "-vvv doctor", "-vvv token list"] {
        said(&world.line(line).ok());
    }
    let key = world.token().yubikey(0);
    key.inject(USE, At::Every, CardAction::Status(0x6f00));
    let stderr =
        world.line("-vvv get svc").fails(1, &["the card failed: GENERAL AUTHENTICATE answered status 6F00"]);
    silent(&stderr);
}

/// Other programs that come and go, and turn the card off as they go, cost time and nothing else.
#[test]
fn a_crowd_at_the_card_is_no_loss_of_it() {
    let (world, _) = pair();
    world.set("svc", VALUE);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                // It does not get on with the crowd, either.
                let _ = world.token().command("ykman").args(["--device", "11111111", "piv", "info"]).output();
            }
        });
        let turns = |_| {
            for _ in 0..5 {
                let outcome = world.line("get svc").outcome();
                silent(&outcome.stderr);
                assert_eq!((outcome.code, outcome.text()), (Some(0), VALUE), "{}", outcome.stderr);
                assert!(!outcome.stderr.contains("no token fits"), "{}", outcome.stderr);
            }
        };
        let crowd: Vec<_> = (0..6).map(|one| scope.spawn(move || turns(one))).collect();
        let ends: Vec<_> = crowd.into_iter().map(thread::ScopedJoinHandle::join).collect();
        stop.store(true, Ordering::SeqCst);
        assert!(ends.iter().all(Result::is_ok));
    });
}
