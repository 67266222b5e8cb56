//! Nothing that is secret is anywhere but where it was asked for.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test that cannot go on has failed.

use claviger_tests::{Terminal, World, legacy};
use softhsm_fixtures::SO_PIN;
use std::{
    fs,
    io::{ErrorKind, Write as _},
    process::Command,
    time::{Duration, Instant},
};

/// Long enough that no digest contains them by chance.
const PLANTED: [&str; 4] =
    ["sk-planted-d41d8cd9", "refresh-planted-98f00b", "pin-planted-204e98", "pass-planted-ecf8427e"];
const SERVICE: &str = "planted-service-name";

/// A vault whose PIN is planted too.
fn world() -> World {
    let world = World::empty();
    let pin = world.file("planted.pin", PLANTED[2]);
    let mut util = Command::new("softhsm2-util");
    util.args(["--init-token", "--free", "--label", "planted", "--so-pin", SO_PIN, "--pin", PLANTED[2]]);
    assert!(util.envs(world.token().env()).output().unwrap().status.success());
    let module = world.token().module().display();
    let uri = format!("pkcs11:token=planted?pin-source=file:{}&module-path={module}", pin.display());
    world.run(["init", "--token", &uri]).ok();
    world
}

/// Everything that the commands say at the most talkative level, but what `get` prints.
fn said(world: &World, level: &str) -> String {
    let mut said = String::new();
    let mut run = |line: &str, stdin: &str| {
        let outcome = world.line(line).arg(level).stdin(stdin).outcome();
        if !line.starts_with("get") {
            said += &String::from_utf8_lossy(&outcome.stdout);
        }
        said += &outcome.stderr;
    };
    let token = format!("{{\"access_token\": \"{}\", \"refresh_token\": \"{}\"}}", PLANTED[0], PLANTED[1]);
    let (api, oauth) = (format!("{SERVICE}/api"), format!("{SERVICE}/oauth"));
    run(&format!("set {api} --stdin"), PLANTED[0]);
    run(&format!("set {api} --stdin"), PLANTED[3]);
    run(&format!("set {oauth} --kind oauth2 --stdin"), &token);
    run(&format!("set {oauth} --stdin"), &token[1..]);
    run(&format!("set {oauth} --stdin --cas 9"), &token);
    run(&format!("set {oauth} --kind basic --stdin"), PLANTED[3]);
    for line in ["get {api}", "get {api} --json", "get {oauth} --field nothing", "get {api} --version 9"] {
        run(&line.replace("{api}", &api).replace("{oauth}", &oauth), "");
    }
    for line in [
        "list",
        "list --json",
        "history {api}",
        "rollback {api} 1",
        "delete {api}",
        "get {api}",
        "undelete {api}",
        "status",
        "verify",
        "gc --now",
        "doctor",
        "token list",
        "token info",
        "token doctor",
        "token pin change",
        "token pin unblock",
        "token self-test",
        "audit show --json",
        "destroy {api} --yes --versions 1",
        "destroy {api} --yes --all",
    ] {
        run(&line.replace("{api}", &api), "");
    }
    let old: serde_json::Value = serde_json::from_slice(&fs::read(legacy("typical.json")).unwrap()).unwrap();
    let key = world.file("old.key", old["key"].as_str().unwrap());
    for file in ["typical.enc", "flipped.enc"] {
        let file = legacy(file);
        run(&format!("import apex {} --key-file {}", file.display(), key.display()), "");
    }
    said
}

#[test]
fn no_output_at_any_level_contains_a_secret() {
    let world = world();
    let said = said(&world, "-vvv");
    assert!(said.len() > 5000, "hardly anything was said: {said}");
    let old: serde_json::Value = serde_json::from_slice(&fs::read(legacy("typical.json")).unwrap()).unwrap();
    let mut secrets: Vec<String> = PLANTED.map(str::to_owned).into();
    secrets.push(old["key"].as_str().unwrap().to_owned());
    secrets.extend(
        old["contents"]["api_keys"].as_object().unwrap().values().map(|key| key.as_str().unwrap().to_owned()),
    );
    for secret in secrets {
        assert!(!said.contains(&secret), "{secret} was said");
    }
}

#[test]
fn no_service_is_named_in_a_log_above_debug() {
    let world = world();
    for level in ["-v", "--verbose"] {
        let outcome = world.line(&format!("set {SERVICE} --stdin")).arg(level).stdin("x").ok();
        assert!(!outcome.stderr.contains(SERVICE), "{}", outcome.stderr);
        let outcome = world.line(&format!("get {SERVICE}")).arg(level).ok();
        assert!(!outcome.stderr.contains(SERVICE), "{}", outcome.stderr);
    }
}

#[test]
fn nothing_at_rest_contains_a_secret_or_a_name() {
    let world = world();
    said(&world, "-vv");
    world.set(&format!("{SERVICE}/api"), PLANTED[0]);
    let mut search = Command::new("grep");
    search.args(["-rlaF"]);
    for text in [PLANTED[0], PLANTED[1], PLANTED[3], SERVICE] {
        search.args(["-e", text]);
    }
    let found = search.arg(world.home()).arg(world.token().home().join("tokens")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[test]
fn the_process_leaves_no_core_and_shows_nothing_in_its_arguments() {
    let world = world();
    // It waits for its value, so there is time to look at it.
    let mut child = world.line(&format!("set {SERVICE} --stdin")).waiting();
    let mut input = child.stdin.take().unwrap();
    input.write_all(PLANTED[0].as_bytes()).unwrap();
    let id = child.id();
    let path = |file: &str| format!("/proc/{id}/{file}");
    let proc = |file: &str| fs::read_to_string(path(file)).unwrap();
    // The limit is set before anything is read; wait for that and not for a time.
    let started = Instant::now();
    loop {
        let limits = proc("limits");
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap().to_owned();
        if core.split_whitespace().skip(4).take(2).all(|limit| limit == "0") {
            break;
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended with {core}");
        assert!(started.elapsed() < Duration::from_secs(10), "it never sets the limit: {core}");
        std::thread::yield_now();
    }
    let cmdline = proc("cmdline");
    assert!(PLANTED.iter().all(|secret| !cmdline.contains(secret)), "{cmdline}");
    // Root sees this; to its own user a process that cannot be dumped does not show it.
    match fs::read_to_string(path("environ")) {
        Ok(environ) => assert!(PLANTED.iter().all(|secret| !environ.contains(secret)), "{environ}"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::PermissionDenied),
    }
    drop(input);
    assert!(child.wait_with_output().unwrap().status.success());
    let report = world.line("doctor --json").ok().json();
    let core =
        report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "core dumps").unwrap();
    assert_eq!(core["state"], "ok", "{core:#}");
}

#[test]
fn files_are_their_owners_alone() {
    let world = World::new();
    world.set("svc", "value");
    let wide =
        Command::new("find").arg(world.home()).args(["-mindepth", "1", "-perm", "/077"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&wide.stdout), "");
}

#[test]
fn an_interrupted_question_leaves_the_terminal_as_it_was() {
    let world = World::new();
    let mut terminal = Terminal::start(&world, "set svc");
    terminal.sees("value: ").types("\u{3}");
    let (code, screen) = terminal.ends();
    assert_ne!(code, Some(0), "{screen}");
    world.line("get svc").fails(3, &[]);
}
