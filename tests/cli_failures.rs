//! Everything that can stand in the way, each with its exit code, its message and its help.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test that cannot go on has failed.

use claviger_tests::{Run, World, mode};
use softhsm_fixtures::PIN;
use std::{fs, path::Path, process::Command};

/// Replaces the value of `key = "..."` in the configuration.
fn set_key(world: &World, key: &str, value: &str) {
    world.edit_config(|text| {
        let line = text.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap().to_owned();
        text.replace(&line, &format!("{key} = \"{value}\""))
    });
}

fn uri_of(world: &World) -> String {
    let text = fs::read_to_string(world.config()).unwrap();
    text.lines().find_map(|line| line.strip_prefix("uri = \"")).unwrap().trim_end_matches('"').to_owned()
}

fn without_pin_source(world: &World) -> String {
    let uri = uri_of(world);
    let source = format!("pin-source=file:{}&", world.token().pin_file().display());
    assert!(uri.contains(&source), "{uri}");
    uri.replace(&source, "")
}

#[test]
fn names_that_are_not_there() {
    let world = World::new();
    world.set("openai/main", "sk");
    world.line("get nothing").fails(3, &["error: there is no service `nothing`", "help: `claviger list`"]);
    world.line("get openai/other").fails(3, &["there is no credential", "help: `claviger list openai`"]);
    world.line("delete nothing").fails(3, &["nothing"]);
    world.line("history nothing").fails(3, &["nothing"]);
    world.line("rollback openai/main 7").fails(3, &["version 7"]);
}

#[test]
fn a_wrong_pin_is_not_tried_twice() {
    let world = World::new();
    fs::write(world.token().pin_file(), "654321").unwrap();
    world.line("list").fails(5, &["error: the PIN is wrong", "help: check the PIN"]);
}

#[test]
fn no_pin_and_nobody_to_ask() {
    let world = World::new();
    let uri = without_pin_source(&world);
    set_key(&world, "uri", &uri);
    world.line("list").fails(5, &["error: no PIN: there is no terminal to ask at", "help: ", "--pin-fd"]);
}

#[test]
fn the_pin_comes_from_a_descriptor_or_the_service_manager() {
    let world = World::new();
    let uri = without_pin_source(&world);
    set_key(&world, "uri", &uri);
    world.line("list --pin-fd 0").stdin(format!("{PIN}\n")).ok();
    world.line("list --pin-fd 0").stdin("wrong").fails(5, &["the PIN is wrong"]);
    world.line("list --pin-fd 0").stdin("").fails(5, &["no PIN", "empty"]);
    world.line("list --pin-fd 9").fails(5, &["no PIN", "/dev/fd/9"]);
    world.line("list --pin-fd 1").fails(2, &["--pin-fd"]);
    world.line("set svc --stdin --pin-fd 0").stdin("x").fails(2, &["cannot both come from standard input"]);

    let credentials = world.home().join("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("claviger-pin"), PIN).unwrap();
    world.line("list").env("CREDENTIALS_DIRECTORY", &credentials).ok();
}

#[test]
fn a_pin_file_that_others_can_read_is_refused() {
    let world = World::new();
    mode(world.token().pin_file(), 0o644);
    world.line("list").fails(5, &["is open to others", "help: chmod 600 "]);
}

#[test]
fn a_missing_or_foreign_module() {
    let world = World::new();
    let uri = uri_of(&world);
    let module = world.token().module().to_str().unwrap().to_owned();
    set_key(&world, "uri", &uri.replace(&module, "/nonexistent/module.so"));
    world.line("list").fails(6, &["/nonexistent/module.so cannot be loaded", "help: check module-path"]);
    let none = world.file("module.so", "no library");
    set_key(&world, "uri", &uri.replace(&module, none.to_str().unwrap()));
    world.line("list").fails(6, &["module.so cannot be loaded", "help: check module-path"]);
    set_key(&world, "uri", &uri.replace(&format!("&module-path={module}"), ""));
    world.line("list").fails(2, &["module-path= is missing", "claviger token list"]);
}

#[test]
fn a_token_or_key_that_is_not_there() {
    let (world, other) = (World::new(), World::empty());
    let elsewhere = &other.token().env()[0];
    world.line("list").env(elsewhere.0, &elsewhere.1).fails(6, &["no token fits", "help: plug the token in"]);
    let uri = uri_of(&world);
    let start = uri.find("id=%").unwrap() + 3;
    set_key(&world, "uri", &uri.replace(&uri[start..start + 48], &"%00".repeat(16)));
    // The configuration may be behind a rotation on the same token: the head's own names are tried, too.
    world.line("list").ok();
    let tokens = world.token().home().join("tokens");
    let objects = Command::new("find").arg(&tokens).args(["-name", "*.object"]).output().unwrap();
    for object in String::from_utf8(objects.stdout).unwrap().lines() {
        if !object.ends_with("/token.object") {
            fs::remove_file(object).unwrap();
        }
    }
    world
        .line("list")
        .fails(6, &["the token has no key", "help: the token is there but the master key is not"]);
}

#[test]
fn two_tokens_of_one_name() {
    let world = World::empty();
    world.token().add_token(softhsm_fixtures::LABEL);
    world.run(["init", "--token", world.uri()]).fails(2, &["fits more than one", "help: add serial="]);
}

#[test]
fn a_token_that_is_locked() {
    let world = World::on(softhsm_fixtures::Provider::Kryoptic);
    world.init();
    fs::write(world.token().pin_file(), "654321").unwrap();
    let mut tries = 0;
    let stderr = loop {
        let stderr = world.line("list").fails(5, &["error: "]);
        tries += 1;
        assert!(tries < 20, "it never locks: {stderr}");
        if !stderr.contains("the PIN is wrong") {
            break stderr;
        }
    };
    assert!(tries > 1);
    // With one try left nothing but a person may go on; the right PIN in a file does not unlock it either.
    assert!(stderr.contains("one try left") || stderr.contains("has locked its PIN"), "{stderr}");
}

#[test]
fn another_vault_than_the_one_that_was_pinned() {
    let (world, other) = (World::new(), World::new());
    fs::copy(other.store(), world.store()).unwrap();
    world.line("list").fails(7, &["the store holds the vault", "help: check `store`"]);

    let world = World::new();
    set_key(&world, "fingerprint", &"ab".repeat(32));
    world
        .line("list")
        .fails(7, &["this host pins abab", "help: if somebody replaced the vault key on purpose"]);
}

#[test]
fn a_store_that_is_away_or_no_store() {
    let world = World::new();
    fs::rename(world.store(), world.home().join("away")).unwrap();
    world.line("list").fails(10, &["there is no store at", "help: check `store`"]);
    fs::write(world.store(), "SQLite format 3\0 and then nothing of it").unwrap();
    mode(&world.store(), 0o600);
    world.line("list").fails(7, &["the store is damaged", "help: put a copy"]);
    set_key(&world, "store", "mysql://somewhere/else");
    world.line("list").fails(2, &["names no store", "help: write it as sqlite:///"]);
}

#[test]
fn a_store_that_others_may_touch() {
    let world = World::new();
    world.set("svc", "value");
    mode(&world.store(), 0o640);
    let stderr = world.line("get svc").fails(10, &["vault.db", "help: chmod "]);
    let mend = stderr.lines().find_map(|line| line.strip_prefix("help: ")).unwrap();
    assert!(Command::new("sh").args(["-c", mend]).status().unwrap().success());
    assert_eq!(world.get("svc"), b"value");
    mode(world.store().parent().unwrap(), 0o777);
    world.line("get svc").fails(10, &["help: chmod "]);
}

#[test]
fn a_configuration_that_is_missing_exposed_or_wrong() {
    let world = World::new();
    world
        .line("list --config /nonexistent.toml")
        .fails(1, &["no configuration at /nonexistent.toml", "claviger init"]);
    world.line("list").env("CLAVIGER_CONFIG", "/nowhere.toml").fails(1, &["/nowhere.toml"]);
    world
        .line("list")
        .without("HOME")
        .fails(1, &["neither XDG_CONFIG_HOME nor HOME is set", "help: set HOME"]);

    mode(&world.config(), 0o622);
    let stderr = world.line("list").fails(1, &["others may change it", "help: chmod go-w "]);
    let mend = stderr.lines().find_map(|line| line.strip_prefix("help: ")).unwrap();
    assert!(Command::new("sh").args(["-c", mend]).status().unwrap().success());
    world.line("list").ok();

    world.edit_config(|text| text.replace("[audit]", "[audit]\nsurprise = true"));
    world.line("list").fails(1, &["is not valid", "surprise", ", line "]);
}

#[test]
fn an_audit_log_that_cannot_be_written_stops_every_answer() {
    let world = World::new();
    world.set("svc", "value");
    let audit = world.home().join(".local/state/claviger/audit");
    let log = fs::read_dir(&audit).unwrap().next().unwrap().unwrap().path();
    mode(&log, 0o755);
    let outcome = world.line("get svc").outcome();
    assert_eq!((outcome.code, outcome.stdout.as_slice()), (Some(11), &b""[..]), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("chmod 700"), "{}", outcome.stderr);
    fs::rename(&log, audit.join("away")).unwrap();
    fs::write(&log, "a file where the directory was").unwrap();
    world.line("get svc").fails(11, &["audit"]);
}

#[test]
fn init_overwrites_nothing() {
    let world = World::new();
    let config = fs::read(world.config()).unwrap();
    world
        .run(["init", "--token", world.uri()])
        .fails(9, &["there is a configuration at", "help: nothing was changed"]);
    let second = world.home().join("second.toml");
    world
        .run(["init", "--token", world.uri(), "--config", second.to_str().unwrap()])
        .fails(9, &["vault.db", "help: nothing was changed; give another --store"]);
    assert!(!second.exists());
    assert_eq!(fs::read(world.config()).unwrap(), config);
    world.line("verify").ok();
}

#[test]
fn init_that_fails_leaves_nothing_behind() {
    let world = World::empty();
    let files = |below: &Path| {
        let output = Command::new("find").arg(below).args(["-type", "f"]).output().unwrap();
        let mut files: Vec<_> =
            String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        files.sort();
        files
    };
    let (tokens, home) = (world.token().home().join("tokens"), world.home().to_owned());
    let before = (files(&tokens), files(&home));
    // The configuration is written last: a directory that is a file stops it after everything else was made.
    let blocked = world.file("blocked", "");
    let config = blocked.join("claviger.toml");
    world
        .run(["init", "--token", world.uri(), "--config", config.to_str().unwrap()])
        .fails(1, &["cannot write", "help: "]);
    let mut after = (files(&tokens), files(&home));
    after.1.retain(|file| !file.ends_with("blocked"));
    assert_eq!(after, before);

    fs::write(world.token().pin_file(), "654321").unwrap();
    world.run(["init", "--token", world.uri()]).fails(5, &["the PIN is wrong"]);
    assert_eq!((files(&tokens), files(&home).len()), (before.0, 1));
}

#[test]
fn init_without_a_token_says_how_to_make_one() {
    let world = World::empty();
    let uri = world.uri().replace("token=lab", "token=nothing");
    world.run(["init", "--token", &uri]).fails(6, &["no token fits", "claviger token init --label nothing"]);
}

#[test]
fn values_never_come_from_the_command_line() {
    let world = World::new();
    for line in ["set svc hunter2", "set svc --kind fields --field name=hunter2", "set svc --stdin hunter2"] {
        let stderr = world.line(line).fails(2, &["help: values never come from the command line"]);
        assert!(!stderr.contains("hunter2"), "{stderr}");
    }
    let stderr =
        world.line("init --token pkcs11:token=lab?pin-value=hunter2").fails(2, &["pin-value is refused"]);
    assert!(!stderr.contains("hunter2"), "{stderr}");
    world
        .line("set svc")
        .fails(2, &["cannot be asked without a terminal", "help: give --file FILE or --stdin"]);
}

#[test]
fn a_value_that_is_not_what_its_kind_wants_is_refused_without_being_shown() {
    let world = World::new();
    for (kind, value) in
        [("oauth2", "hunter2"), ("basic", "\"hunter2\""), ("fields", "{\"a\": {\"$base64\": \"hunter2\"}}")]
    {
        let stderr = world
            .run(["set", "svc", "--kind", kind, "--stdin"])
            .stdin(value)
            .fails(2, &["caused by: ", "help: give a JSON object"]);
        assert!(!stderr.contains("hunter2"), "{stderr}");
    }
}

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let world = World::new();
    let of = |run: Run| -> serde_json::Value { serde_json::from_str(&run.outcome().stderr).unwrap() };
    let error = of(world.line("get nothing --json"));
    assert_eq!(error["error"]["code"], 3);
    assert_eq!(error["error"]["class"], "not found");
    assert!(error["error"]["message"].as_str().unwrap().contains("`nothing`"));
    assert!(error["error"]["help"].as_str().unwrap().contains("claviger list"));
    let error = of(world.line("get --json"));
    assert_eq!((&error["error"]["code"], &error["error"]["class"]), (&2.into(), &"usage".into()));
}
