//! A token that fails half-way or says unusual things of itself, and a module in a process of its own.

use crate::{
    NEW_PIN, WRONG,
    doctor::{doctor, finds},
    pins, silent,
};
use claviger_tests::{Run, World, mode};
use softhsm_fixtures::{Action, At, Faults, LABEL, PIN, Provider, SO_PIN};
use std::fs;

const GENERAL_ERROR: u64 = 0x05;
const SESSION_EXISTS: u64 = 0xb6;
const PIN_TOO_WEAK: u64 = 0x1b8;
const WRITE_PROTECTED: u64 = 0x02;
const PIN_TO_BE_CHANGED: u64 = 0x0008_0000;
const SO_PIN_LOCKED: u64 = 0x0040_0000;

/// `token init` through a module that may fail.
fn init(world: &World, faults: &Faults, more: &[&str]) -> Run {
    let [so, user] = pins(world, [SO_PIN, PIN]);
    let module = faults.module().to_str().unwrap();
    let line =
        ["token", "init", "--label", "lab", "--module", module, "--so-pin-fd", "3", "--new-pin-fd", "4"];
    world.run(line.into_iter().chain(more.iter().copied())).descriptors(&[&so, &user])
}

#[test]
fn a_token_that_was_half_made_can_be_finished() {
    let world = World::without_token(Provider::SoftHsm);
    let faults = Faults::of(world.token());
    faults.inject("C_InitPIN", At::Every, Action::Return(GENERAL_ERROR));
    let stderr = init(&world, &faults, &[]).fails(
        1,
        &["warning: token `lab` is made but has no PIN yet; set one: claviger token pin unblock --token '"],
    );
    assert_eq!((faults.count("C_InitToken"), faults.count("C_InitPIN")), (1, 1), "something was tried twice");
    silent(&stderr);
    faults.clear();
    let uri = stderr.split_once("--token '").unwrap().1.split_once('\'').unwrap().0.to_owned();
    let [so, user] = pins(&world, [SO_PIN, PIN]);
    let line = ["token", "pin", "unblock", "--token", &uri, "--so-pin-fd", "3", "--new-pin-fd", "4"];
    world.run(line).descriptors(&[&so, &user]).ok();
    world.run(["token", "self-test", "--token", world.uri()]).ok();
}

/// Whatever the answer, nothing that takes a PIN is called again.
#[test]
fn no_pin_is_given_twice() {
    let world = World::empty();
    let faults = Faults::of(world.token());
    let [user, so, new, wrong] = pins(&world, [PIN, SO_PIN, NEW_PIN, WRONG]);
    let uri = format!("pkcs11:token={LABEL}?module-path={}", faults.module().display());
    let change = |old| {
        let line = ["token", "pin", "change", "--token", &uri, "--pin-fd", "3", "--new-pin-fd", "4"];
        world.run(line).descriptors(&[old, &new])
    };
    faults.clear();
    change(&wrong).fails(5, &["the PIN is wrong"]);
    assert_eq!((faults.count("C_Login"), faults.count("C_SetPIN")), (1, 0));
    faults.inject("C_Login", At::Every, Action::Return(GENERAL_ERROR));
    change(&user).fails(1, &["C_Login answered CKR_GENERAL_ERROR"]);
    assert_eq!((faults.count("C_Login"), faults.count("C_SetPIN")), (1, 0));
    faults.inject("C_SetPIN", At::Every, Action::Return(GENERAL_ERROR));
    change(&user).fails(1, &["C_SetPIN answered CKR_GENERAL_ERROR"]);
    assert_eq!((faults.count("C_Login"), faults.count("C_SetPIN")), (1, 1));
    faults.inject("C_SetPIN", At::Every, Action::Return(PIN_TOO_WEAK));
    change(&user)
        .fails(5, &["the new PIN cannot be set: the token finds it too easy to guess", "choose another"]);
    faults.clear();
    let unblock = ["token", "pin", "unblock", "--token", &uri, "--so-pin-fd", "3", "--new-pin-fd", "4"];
    world.run(unblock).descriptors(&[&wrong, &new]).fails(5, &["the SO PIN is wrong"]);
    assert_eq!((faults.count("C_Login"), faults.count("C_InitPIN")), (1, 0));
    world.run(unblock).descriptors(&[&so, &user]).ok();
    world.run(["token", "self-test", "--token", world.uri()]).ok();
}

#[test]
fn a_token_in_use_is_told() {
    let world = World::without_token(Provider::SoftHsm);
    let faults = Faults::of(world.token());
    faults.inject("C_InitToken", At::Every, Action::Return(SESSION_EXISTS));
    init(&world, &faults, &[]).fails(9, &["the token is in use", "help: end the programs that use it"]);
    assert_eq!(faults.count("C_InitToken"), 1);
}

#[test]
fn what_a_token_says_of_itself_is_told() {
    let world = World::empty();
    let faults = Faults::of(world.token());
    let module = faults.module().to_str().unwrap().to_owned();
    let list = || world.run(["token", "list", "--module", &module]).ok().text().to_owned();
    let say = |flags| faults.inject("C_GetTokenInfo", At::Every, Action::Flags { set: flags, clear: 0 });

    say(WRITE_PROTECTED);
    assert!(list().contains("  writing  refused: it takes no new keys\n"), "{}", list());
    finds(doctor(&world, &module), 0, &["warn  writing        the token takes no new keys\n"]);
    let uri = format!("pkcs11:token={LABEL}");
    init(&world, &faults, &["--token", &uri, "--yes", "--destroy-vault-keys"])
        .fails(1, &["the token is write-protected", "help: see the token's papers"]);
    assert_eq!(faults.count("C_InitToken"), 0);

    say(PIN_TO_BE_CHANGED);
    assert!(list().contains("and to be changed: claviger token pin change --token 'pkcs11:"), "{}", list());
    finds(
        doctor(&world, &module),
        0,
        &[
            "warn  PIN            it has to be changed before use\n",
            "do: claviger token pin change --token 'pkcs11:",
        ],
    );

    say(SO_PIN_LOCKED);
    assert!(list().contains("SO PIN   LOCKED: a PIN that is lost cannot be set anew"), "{}", list());
    finds(
        doctor(&world, &module),
        0,
        &["warn  SO PIN         the token has locked it", "do: see that the vault opens by another"],
    );
    let uri = format!("{uri}?module-path={module}");
    let [so, new] = pins(&world, [SO_PIN, NEW_PIN]);
    let unblock = ["token", "pin", "unblock", "--token", &uri, "--so-pin-fd", "3", "--new-pin-fd", "4"];
    let run = world.run(unblock).descriptors(&[&so, &new]);
    run.fails(5, &["the token has locked its SO PIN", "help: nobody can set the user's PIN anew now"]);
    assert_eq!(faults.count("C_Login"), 0);
}

#[test]
fn a_module_that_crashes_takes_no_report_along() {
    let world = World::empty();
    let faults = Faults::of(world.token());
    let module = faults.module().to_str().unwrap().to_owned();
    faults.inject("C_GetSlotList", At::Every, Action::Segv);
    finds(
        doctor(&world, &module),
        6,
        &["ok    clock", "FAIL  module         ", "crashes when it is used (signal 11)\n"],
    );
    faults.inject("C_Initialize", At::Every, Action::Return(GENERAL_ERROR));
    finds(
        doctor(&world, &module),
        6,
        &["FAIL  module         ", "C_Initialize answered CKR_GENERAL_ERROR\n"],
    );
}

/// What `modules.toml` gives to a module that runs by itself is what an administrator's command gives it, and what is checked.
#[test]
fn a_module_with_an_environment_of_its_own() {
    let (world, elsewhere) = (World::without_token(Provider::SoftHsm), World::empty());
    let module = crate::module(&world);
    let conf = world.token().home().join("softhsm2.conf");
    let file = world.config().with_file_name("modules.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let write = |conf: &str| {
        let text = format!(
            "[[module]]\npath = \"{module}\"\nprocess = \"own\"\nsandbox.write = [\"{}\"]\n[module.env]\nSOFTHSM2_CONF = \"{conf}\"\n",
            world.token().home().display()
        );
        fs::write(&file, text).unwrap();
        mode(&file, 0o600);
    };
    write(conf.to_str().unwrap());
    // The shell's points at other tokens.
    let (name, other) = &elsewhere.token().env()[0];
    assert_eq!(*name, "SOFTHSM2_CONF");
    let made = crate::init(&world, "lab", &[]).env(name, other).ok();
    assert!(made.text().starts_with("token `lab` is made\n"), "{}", made.text());
    assert_eq!((world.token_directories().len(), elsewhere.token_directories().len()), (1, 1));
    finds(
        doctor(&world, &module).env(name, other),
        0,
        &["as ", conf.to_str().unwrap(), "ok    token          `lab`"],
    );

    let [user, new] = pins(&world, [PIN, NEW_PIN]);
    let uri = format!("pkcs11:token=lab?module-path={module}");
    let change = ["token", "pin", "change", "--token", &uri, "--pin-fd", "3", "--new-pin-fd", "4"];
    world.run(change).env(name, other).descriptors(&[&user, &new]).ok();
    world.run(["token", "self-test", "--token", &uri, "--pin-fd", "3"]).descriptors(&[&new]).ok();

    let without = fs::read_to_string(&file).unwrap().replace("SOFTHSM2_CONF", "OTHER");
    fs::write(&file, without).unwrap();
    finds(
        doctor(&world, &module).env(name, other),
        6,
        &[
            "warn  SoftHSM        SOFTHSM2_CONF is set to",
            "do: write it into modules.toml, under [module.env]",
        ],
    );
    write("/nowhere/softhsm2.conf");
    finds(doctor(&world, &module), 6, &["FAIL  SoftHSM        SOFTHSM2_CONF names /nowhere/softhsm2.conf"]);
}
