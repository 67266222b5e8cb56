//! `token doctor`, and the same checks in `doctor`: what is wrong with a module, a token, a PIN.

use crate::{NEW_PIN, init, module, pins};
use claviger_tests::{Run, World, mode};
use softhsm_fixtures::{LABEL, Provider, SO_PIN};
use std::{fs, path::Path, process::Command};

/// Runs it: it must end with this code and say each of these lines, in this order.
#[track_caller]
pub(crate) fn finds(run: Run, code: i32, lines: &[&str]) -> String {
    let outcome = run.outcome();
    let said = outcome.text().to_owned();
    assert_eq!(outcome.code, Some(code), "{said}{}", outcome.stderr);
    let mut rest = said.as_str();
    for line in lines {
        let Some(at) = rest.find(line) else { panic!("says nothing of {line:?}:\n{said}") };
        rest = &rest[at + line.len()..];
    }
    said
}

pub(crate) fn doctor(world: &World, module: &str) -> Run {
    world.run(["token", "doctor", "--module", module])
}

#[test]
fn a_sound_token_passes() {
    let world = World::empty();
    let said = finds(
        doctor(&world, &module(&world)),
        0,
        &[
            "ok    clock",
            "ok    SoftHSM        tokens in ",
            "ok    module         /",
            "ok    token          `lab`",
            "ok    PIN            no wrong PIN lately",
        ],
    );
    assert!(!said.contains("do:"), "{said}");
    let name = format!("pkcs11:token={LABEL}");
    let report = world.run(["token", "doctor", "--token", &name, "--json"]).ok().json();
    let named =
        |name: &str| report["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).cloned();
    assert_eq!(named("token").unwrap()["state"], "ok");
    // Nothing asks for a PIN, and no vault is needed; where there is one, it is about that one's token.
    world.line("token doctor").ok();
    world.init();
    let said = world.line("token doctor").ok();
    assert!(said.text().contains("ok    token          `lab`"), "{}", said.text());
    assert!(!said.text().contains("pcscd"), "looked elsewhere: {}", said.text());
}

#[test]
fn a_module_that_is_none() {
    let world = World::empty();
    let sound = module(&world);
    let help = format!("        do: name one that is installed with --module or module-path=: {sound}");
    finds(
        doctor(&world, "/nowhere/module.so"),
        6,
        &["FAIL  module         /nowhere/module.so does not exist\n", &help],
    );
    for (name, bytes) in [("text", b"not a library at all".as_slice()), ("empty", b""), ("directory", b"")] {
        let path = world.home().join(name);
        if name == "directory" {
            fs::create_dir(&path).unwrap();
        } else {
            fs::write(&path, bytes).unwrap();
        }
        let shown = path.to_str().unwrap();
        let says = if name == "directory" { "cannot be read" } else { "is no shared library\n" };
        finds(doctor(&world, shown), 6, &[&format!("FAIL  module         {shown} {says}"), &help]);
    }
    let library = Path::new("/lib").join(format!("{}-linux-gnu/libm.so.6", std::env::consts::ARCH));
    finds(
        doctor(&world, library.to_str().unwrap()),
        6,
        &["is a library, but no PKCS#11 module\n", "        do: claviger token doctor --help names modules"],
    );
    // A header is enough to know the processor by: this one's own, with another in its place.
    let mut header = fs::read(&sound).unwrap()[..64].to_vec();
    header[18..20].copy_from_slice(&[0x16, 0]);
    let foreign = world.file("foreign.so", &header);
    finds(
        doctor(&world, foreign.to_str().unwrap()),
        6,
        &[
            "is made for another processor (number 22) than this program (",
            "        do: install the module's package for this machine",
        ],
    );
    // It begins like one and ends there: what the loader says is passed on.
    header[18..20].copy_from_slice(&fs::read(&sound).unwrap()[18..20]);
    let cut = world.file("cut.so", &header);
    finds(
        doctor(&world, cut.to_str().unwrap()),
        6,
        &["FAIL  module         the PKCS#11 module ", "cannot be loaded: "],
    );
}

#[test]
fn a_vaults_module_that_is_gone() {
    let world = World::new();
    let sound = module(&world);
    world.edit_config(|text| text.replace(&sound, "/nowhere/module.so"));
    let help = format!("do: name one that is installed with --module or module-path=: {sound}");
    for line in ["doctor", "token doctor"] {
        finds(world.line(line), 6, &["FAIL  module         /nowhere/module.so does not exist\n", &help]);
    }
}

#[test]
fn a_softhsm_that_leads_nowhere() {
    let world = World::empty();
    let sound = module(&world);
    let run = || doctor(&world, &sound);
    finds(
        run().env("SOFTHSM2_CONF", "/nowhere/softhsm2.conf"),
        6,
        &[
            "FAIL  SoftHSM        SOFTHSM2_CONF names /nowhere/softhsm2.conf, which does not exist\n",
            "        do: unset SOFTHSM2_CONF",
        ],
    );
    let tokens = world.token().home().join("tokens");
    let away = world.token().home().join("away");
    fs::rename(&tokens, &away).unwrap();
    let said = finds(run(), 6, &["FAIL  SoftHSM        ", "which does not exist\n"]);
    let typed = said.split_once("do: ").unwrap().1.lines().next().unwrap().to_owned();
    assert!(Command::new("sh").args(["-c", &typed]).status().unwrap().success(), "{typed}");
    finds(run(), 6, &["ok    SoftHSM", "FAIL  token          there is none yet"]);
}

#[test]
fn a_token_that_is_none_yet() {
    let world = World::without_token(Provider::SoftHsm);
    let sound = module(&world);
    let said = finds(
        doctor(&world, &sound),
        6,
        &["ok    module", "FAIL  token          there is none yet in SoftHSM slot"],
    );
    let typed = said.split_once("do: claviger ").unwrap().1.lines().next().unwrap().to_owned();
    let typed = typed.replace('\'', "");
    let [so, user] = pins(&world, [SO_PIN, NEW_PIN]);
    let line = typed.split(' ').chain(["--so-pin-fd", "3", "--new-pin-fd", "4"]);
    world.run(line).descriptors(&[&so, &user]).ok();
    finds(doctor(&world, &sound), 0, &["ok    token          `lab`"]);
    finds(
        world.run(["token", "doctor", "--token", "pkcs11:token=other"]),
        6,
        &["FAIL  token          no token fits"],
    );
}

#[test]
fn a_token_without_a_pin() {
    let world = World::without_token(Provider::SoftHsm);
    let sound = module(&world);
    let mut tool = Command::new("pkcs11-tool");
    tool.args([
        "--module",
        &sound,
        "--slot-index",
        "0",
        "--init-token",
        "--label",
        "lab",
        "--so-pin",
        SO_PIN,
    ]);
    assert!(tool.envs(world.token().env()).output().unwrap().status.success());
    let said = finds(doctor(&world, &sound), 5, &["FAIL  PIN            the token has none yet\n"]);
    let typed = said.split_once("do: claviger ").unwrap().1.lines().next().unwrap().replace('\'', "");
    let listed = world.run(["token", "list", "--module", &sound]).ok();
    assert!(listed.text().contains("not set yet; set one: claviger token pin unblock"), "{}", listed.text());
    let [so, user] = pins(&world, [SO_PIN, NEW_PIN]);
    let line = typed.split(' ').chain(["--so-pin-fd", "3", "--new-pin-fd", "4"]);
    world.run(line).descriptors(&[&so, &user]).ok();
    finds(doctor(&world, &sound), 0, &["ok    PIN "]);
}

#[test]
fn tokens_of_one_name() {
    let world = World::empty();
    init(&world, LABEL, &[]).ok();
    let sound = module(&world);
    let said = finds(
        doctor(&world, &sound),
        0,
        &[
            "warn  names          2 tokens are called `lab`\n",
            "        do: say which by its serial number: pkcs11:serial=",
            " or pkcs11:serial=",
        ],
    );
    let uri = said.split_once("number: ").unwrap().1.split(' ').next().unwrap().to_owned();
    finds(world.run(["token", "doctor", "--token", &uri]), 0, &["ok    token          `lab`"]);
    let both = format!("pkcs11:token={LABEL}?module-path={sound}");
    finds(
        world.run(["token", "doctor", "--token", &both]),
        2,
        &[
            "FAIL  token          `pkcs11:token=lab",
            "fits more than one",
            "        do: add serial=",
            "warn  names ",
        ],
    );
}

/// Two whose files are the same.
#[test]
fn tokens_that_nothing_tells_apart() {
    let world = World::on(Provider::Kryoptic);
    world.token().add_slot();
    let file = |number| world.token().home().join(format!("token-{number}.sql"));
    fs::copy(file(1), file(2)).unwrap();
    finds(
        doctor(&world, &module(&world)),
        0,
        &[
            "warn  names          2 tokens are called `lab` and have the same serial number: nothing tells them apart\n",
            "        do: pull all but one",
        ],
    );
}

/// SoftHSM 2.6.1 ends the whole process where two of its tokens have one serial number.
#[test]
fn a_module_that_crashes() {
    let world = World::empty();
    let tokens = world.token().home().join("tokens");
    let first = world.token_directories().remove(0);
    let copied = Command::new("cp").arg("-a").arg(&first).arg(tokens.join("copy")).status();
    assert!(copied.unwrap().success());
    finds(
        doctor(&world, &module(&world)),
        6,
        &[
            "FAIL  module         ",
            " crashes when it is used (signal 6)\n",
            "        do: it is the module's own fault",
        ],
    );
}

#[test]
fn a_broken_modules_toml() {
    let world = World::new();
    let file = world.config().with_file_name("modules.toml");
    fs::write(&file, "[[module]]\npath = \"/x.so\"\nvi = 1\n").unwrap();
    mode(&file, 0o600);
    for line in ["doctor", "token doctor"] {
        finds(
            world.line(line),
            1,
            &["FAIL  modules.toml   the configuration ", "modules.toml, line 3, is not valid"],
        );
    }
}

#[test]
fn a_low_pin_is_a_warning() {
    let world = World::on(Provider::Kryoptic);
    let [wrong, new] = pins(&world, [crate::WRONG, NEW_PIN]);
    let name = format!("pkcs11:token={LABEL}?module-path={}", module(&world));
    let mut said = Vec::new();
    for _ in 0..9 {
        let line = ["token", "pin", "change", "--token", &name, "--pin-fd", "3", "--new-pin-fd", "4"];
        world.run(line).descriptors(&[&wrong, &new]).fails(5, &["the PIN is wrong"]);
        said.push(world.run(["token", "doctor", "--token", &name]).ok().text().to_owned());
    }
    assert!(
        said[0].contains("PIN            no wrong PIN lately") || said[0].contains("warn  PIN "),
        "{}",
        said[0]
    );
    let last = said.last().unwrap();
    let told = "warn  PIN            ONE try left: the next wrong PIN locks it\n        do: make sure of the PIN before the next try\n";
    assert!(last.contains(told), "{last}");
}
