//! `[piv]` in `modules.toml`: the driver in a process of its own, which finds the service by what the file says.

use crate::{KEY, NEW_PIN, VALUE, WRONG, asking, card, empty, given, said, silent};
use claviger_tests::{Run, Terminal, World};
use softhsm_fixtures::{At, CardAction, PIN, Touch};
use std::{fs, path::Path};

/// GENERAL AUTHENTICATE.
const USE: u8 = 0x87;

fn modules(world: &World, text: &str) {
    let path = world.config().with_file_name("modules.toml");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    claviger_tests::mode(&path, 0o600);
}

/// A YubiKey that is reached through a process of its own alone, and no vault yet.
fn apart() -> World {
    let world = empty();
    let socket = world.token().env().into_iter().find(|(name, _)| *name == "PCSCLITE_CSOCK_NAME").unwrap().1;
    let text = format!(
        "[piv]\nprocess = \"own\"\nenv = {{ PCSCLITE_CSOCK_NAME = \"{}\" }}\nsandbox.write = [\"{}\"]\nattestation-roots = [\"{}\"]\n",
        socket.display(),
        world.token().home().display(),
        world.token().yubikey(0).attestation_root().display(),
    );
    modules(&world, &text);
    world
}

/// A command that is not told itself where the service is.
fn line(world: &World, line: &str) -> Run {
    world.line(line).without("PCSCLITE_CSOCK_NAME")
}

fn init(world: &World) {
    let uri = world.uri().to_owned();
    let done =
        world.run(["init", "--token", &uri, "--accept-loss", "-vvv"]).without("PCSCLITE_CSOCK_NAME").ok();
    let told = said(&done);
    assert!(told.contains("note: touch YubiKey PIV #11111111 when it blinks"), "{told}");
    assert!(told.contains("made in this YubiKey and nowhere else"), "{told}");
}

/// Looks for secrets in what other programs see of the program's processes; how many those are.
fn looked_into() -> usize {
    let mut processes = 0;
    for process in fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()) {
        let read = |name: &str| {
            let bytes = fs::read(process.join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let arguments = read("cmdline");
        let mut words = arguments.split('\0');
        if words.next().is_some_and(|program| program.ends_with("/claviger"))
            || words.next() == Some("token-host")
        {
            silent(&arguments);
            silent(&read("environ"));
            processes += 1;
        }
    }
    processes
}

#[test]
fn everything_works_there() {
    let world = apart();
    init(&world);
    line(&world, "set svc --stdin").stdin(VALUE).ok();
    let read = line(&world, "get svc").ok();
    assert_eq!(
        (read.text(), read.stderr.as_str()),
        (VALUE, "note: touch YubiKey PIV #11111111 when it blinks\n")
    );
    let info = line(&world, "token info").ok();
    assert!(said(&info).contains("  slot          9d\n"), "{}", info.text());
    let doctor = line(&world, "doctor").ok();
    let told = said(&doctor);
    for row in ["ok    pcscd          it runs", "ok    sandbox", "ok    self-test"] {
        assert!(told.contains(row), "{row}:\n{told}");
    }
    let list = line(&world, "token list").ok();
    assert!(list.text().contains("pkcs11:serial=11111111?module-name=piv"), "{}", list.text());
    let done = line(&world, "rotate master --destroy-old").ok();
    assert!(said(&done).contains("destroyed"), "{}", done.text());
    assert_eq!(line(&world, "get svc").ok().text(), VALUE);
    // The administrator's commands begin anew with that environment.
    let files = [PIN, NEW_PIN].map(|pin| world.file(&format!("pin-{pin}"), pin));
    let change =
        line(&world, "token pin change --pin-fd 3 --new-pin-fd 4").descriptors(&[&files[0], &files[1]]).ok();
    assert!(said(&change).contains("is changed"), "{}", change.text());
    world.line("verify --pin-fd 3").without("PCSCLITE_CSOCK_NAME").descriptors(&[&files[1]]).ok();
}

#[test]
fn questions_and_trouble_come_through() {
    let world = apart();
    let key = world.token().yubikey(0);
    init(&world);
    line(&world, "set svc --stdin").stdin(VALUE).ok();
    // A touch that does not come.
    key.touch(Touch::Never);
    key.remove();
    key.insert();
    let stderr =
        line(&world, "get svc").fails(1, &["note: touch YubiKey", "the token was not touched in time"]);
    silent(&stderr);
    key.touch(Touch::Auto);
    // The management key, by descriptor and at the terminal.
    card::ykman(&world, &key, &["access", "change-management-key", "-m", card::MAKERS_KEY, "-n", KEY]);
    line(&world, "rotate master").fails(5, &["no management key: there is no terminal to ask at"]);
    let file = world.file("management", KEY);
    let done = line(&world, "rotate master --management-key-fd 3").descriptors(&[&file]).ok();
    said(&done);
    asking(&world);
    key.remove();
    key.insert();
    let mut terminal = Terminal::start(&world, "rotate master");
    terminal.sees("PIV PIN of token `YubiKey PIV #11111111`, serial 11111111, 3 tries left: ").types(PIN);
    terminal.sees("Management key of YubiKey PIV #11111111 (hexadecimal digits): ");
    assert!(looked_into() >= 2, "the program and the token's process");
    terminal.types(KEY);
    let (code, screen) = terminal.ends();
    assert_eq!(code, Some(0), "{screen}");
    silent(&screen);
    // A wrong PIN, once.
    key.remove();
    key.insert();
    let wrong = world.file("wrong", WRONG);
    let stderr = line(&world, "get svc --pin-fd 3").descriptors(&[&wrong]).fails(5, &["the PIN is wrong"]);
    silent(&stderr);
    assert_eq!(card::tries(&world, &key), 2);
}

#[test]
fn one_that_is_pulled_and_comes_back_is_found_again() {
    let world = apart();
    let key = world.token().yubikey(0);
    init(&world);
    line(&world, "set svc --stdin").stdin(VALUE).ok();
    key.inject(USE, At::Nth(2), CardAction::Remove);
    line(&world, "get svc").fails(6, &["serial=11111111", "help: plug the token in"]);
    key.clear();
    line(&world, "get svc").fails(6, &["no token fits"]);
    key.insert();
    assert_eq!(line(&world, "get svc").ok().text(), VALUE);
    // The service as well.
    world.token().restart_pcscd();
    assert_eq!(line(&world, "get svc").ok().text(), VALUE);
    world.token().stop_pcscd();
    line(&world, "get svc").fails(6, &["the smart-card service (pcscd) does not answer"]);
}

#[test]
fn a_wrong_entry_is_named() {
    let world = empty();
    given(&world, "init --yubikey --accept-loss --pin-fd 3", &[PIN]).ok();
    let path = world.config().with_file_name("modules.toml");
    let cases = [
        ("[piv]\nproces = \"own\"\n", "proces"),
        ("[piv]\nprocess = \"elsewhere\"\n", "elsewhere"),
        ("[piv]\nenv = { A = \"b\" }\n", "`sandbox` and `env` of [piv] are for a process of its own"),
        ("[piv]\nsandbox.write = [\"/tmp\"]\n", "of [piv] are for a process of its own"),
        ("[piv]\nprocess = \"own\"\nsandbox.read = [\"here\"]\n", "`here` is no absolute path"),
        ("[piv]\nattestation-roots = \"/tmp/root.pem\"\n", "expected a sequence"),
        ("[[piv]]\nprocess = \"own\"\n", "line 2, is not valid"),
    ];
    for (text, says) in cases {
        modules(&world, text);
        for command in ["list", "token info", "token list"] {
            world.line(command).fails(1, &[path.to_str().unwrap(), says, "help: correct the file"]);
        }
        let doctor = world.line("doctor").outcome();
        assert_eq!(doctor.code, Some(1), "{}", doctor.text());
        assert!(doctor.text().contains(says), "{}", doctor.text());
    }
    // One that leads to nowhere.
    modules(&world, "[piv]\nprocess = \"own\"\nenv = { PCSCLITE_CSOCK_NAME = \"/nowhere\" }\n");
    world.line("list").fails(6, &["the smart-card service (pcscd) does not answer"]);
    let doctor = world.line("doctor").outcome();
    assert!(doctor.text().contains("FAIL  pcscd          nothing is at /nowhere"), "{}", doctor.text());
    assert!(Path::new(&path).exists());
}
