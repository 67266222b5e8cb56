//! The main job, from nothing to a value that is read back.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test that cannot go on has failed.

use claviger_tests::World;
use serde_json::json;

#[test]
fn a_value_goes_in_and_comes_out() {
    let world = World::new();
    world.set("openai", "sk-test-1");
    assert_eq!(world.get("openai"), b"sk-test-1");
    assert_eq!(world.get("openai/api_key"), b"sk-test-1");
    assert_eq!(
        world.line("list --json").ok().json(),
        json!([{"service": "openai", "name": "api_key", "kind": "api-key", "version": 1}])
    );
    assert_eq!(world.line("list").ok().text(), "openai/api_key  api-key  1\n");
    assert!(world.line("verify").ok().text().ends_with("everything is whole\n"));
}

#[test]
fn init_shows_where_everything_lies_and_warns() {
    let world = World::empty();
    assert_eq!(world.line("list").outcome().code, Some(1));
    let outcome = world.run(["init", "--token", world.uri()]).ok();
    for shown in [
        "A256KW: passed",
        "fingerprint  ",
        world.config().to_str().unwrap(),
        world.store().to_str().unwrap(),
        "Next: claviger set",
    ] {
        assert!(outcome.text().contains(shown), "{shown}:\n{}", outcome.text());
    }
    assert!(outcome.stderr.contains("everything in the vault is lost"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("SoftHSM is software"), "{}", outcome.stderr);
    assert_eq!(world.line("list --json").ok().json(), json!([]));
}

#[test]
fn values_of_any_bytes_and_sizes_survive() {
    let world = World::new();
    let all_bytes: Vec<u8> = (0..=255).collect();
    let largest: Vec<u8> = all_bytes.iter().copied().cycle().take(1 << 20).collect();
    for (name, value) in
        [("empty", &[][..]), ("newline", b"\n"), ("bytes", &all_bytes), ("largest", &largest)]
    {
        world.set(name, value);
        assert_eq!(world.get(name), value, "{name}");
        let file = world.file("value", value);
        world.run(["set", "from-file", "--kind", "file", "--file", file.to_str().unwrap()]).ok();
        assert_eq!(world.get("from-file"), value, "{name} from a file");
    }
    let mut more = largest;
    more.push(0);
    world
        .run(["set", "more", "--stdin"])
        .stdin(&more)
        .fails(2, &["larger than 1048576 bytes (1 MiB)", "help: "]);
    world.line("get more").fails(3, &["there is no"]);
}

#[test]
fn bytes_that_are_no_text_are_base64_in_json() {
    let world = World::new();
    world.set("text", "line\nbreak");
    world.set("binary", [0, 0xff, 0xfe]);
    assert_eq!(
        world.line("get text --json").ok().json(),
        json!({"service": "text", "name": "api_key", "kind": "api-key", "version": 1, "value": {"value": "line\nbreak"}})
    );
    assert_eq!(world.line("get binary --json").ok().json()["value"]["value"], json!({"$base64": "AP/+"}));
}

#[test]
fn the_fields_of_every_kind_come_back_to_the_letter() {
    let world = World::new();
    let token = r#"{"access_token":"a\u00e9\/b","big":12345678901234567890123,"expires_at":1700000000.50,"extra":{"z":[1, 2.50,null]},"raw":{"$base64":"AP8="}}"#;
    world.line("set google/oauth --kind oauth2 --stdin").stdin(token).ok();
    assert_eq!(world.line("get google").ok().text(), format!("{token}\n"));
    assert_eq!(world.line("get google --field access_token").ok().text(), "aé/b");
    assert_eq!(world.line("get google --field expires_at").ok().text(), "1700000000.50");
    assert_eq!(world.line("get google --field extra").ok().text(), r#"{"z":[1, 2.50,null]}"#);
    assert_eq!(world.line("get google --field raw").ok().stdout, [0, 0xff]);
    world
        .line("get google --field nothing")
        .fails(3, &["no field `nothing`", "help: it has: access_token, big"]);

    let user = world.file("user", "ada");
    let password = world.file("password", "pass word\n");
    let fields = [format!("username=@{}", user.display()), format!("password=@{}", password.display())];
    world
        .run(["set", "db", "--kind", "basic", "--field", &fields[0], "--field", &fields[1], "--trim-newline"])
        .ok();
    assert_eq!(world.line("get db").ok().text(), "{\"password\":\"pass word\",\"username\":\"ada\"}\n");

    // Without --kind a credential stays what it is.
    world.line("set google --stdin").stdin(r#"{"access_token":"new"}"#).ok();
    assert_eq!(world.line("get google --json").ok().json()["kind"], "oauth2");
}

#[test]
fn versions_go_forward_and_back() {
    let world = World::new();
    for value in ["one", "two", "three"] {
        world.set("svc", value);
    }
    assert_eq!(world.line("get svc --version 1").ok().text(), "one");
    assert_eq!(world.line("rollback svc 1").ok().text(), "svc/api_key: version 4\n");
    assert_eq!(world.get("svc"), b"one");

    world.line("delete svc").ok();
    world.line("get svc").fails(3, &["is deleted", "help: `claviger undelete svc"]);
    assert_eq!(world.line("undelete svc --json").ok().json()["versions"], json!([4]));
    assert_eq!(world.get("svc"), b"one");

    world.line("destroy svc --versions 2,3").fails(2, &["without a terminal", "help: give --yes"]);
    assert_eq!(
        world.line("destroy svc --versions 2,3 --yes").ok().text(),
        "svc/api_key: versions 2, 3 destroyed\n"
    );
    world.line("get svc --version 2").fails(3, &["destroyed", "claviger history svc"]);
    world.line("get svc --version 9").fails(3, &["version 9"]);
    let states: Vec<_> = world.line("history svc --json").ok().json()["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| version["state"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(states, ["live", "destroyed", "destroyed", "live"]);

    world.line("destroy svc --all --yes").ok();
    world.line("get svc").fails(3, &["there is no service `svc`"]);
}

#[test]
fn check_and_set_and_the_number_of_versions_hold() {
    let world = World::new();
    world.line("set svc --stdin --cas 0").stdin("one").ok();
    world.line("set svc --stdin --cas 0").stdin("no").fails(9, &["at version 1, not 0", "--cas"]);
    world.line("set svc --stdin --cas 1 --max-versions 2").stdin("two").ok();
    let third = world.line("set svc --stdin").stdin("three").ok();
    assert_eq!(third.text(), "svc/api_key: version 3 (no longer kept: 1)\n");
    assert_eq!(world.get("svc"), b"three");
    world.line("get svc --version 1").fails(3, &["version 1"]);
    world.line("set svc --stdin --max-versions 0").fails(2, &["--max-versions"]);
}

#[test]
fn a_service_with_several_credentials_wants_a_name() {
    let world = World::new();
    world.set("openai/a", "1");
    world.set("openai/b", "2");
    world.line("get openai").fails(2, &["openai/a", "openai/b", "help: name one of them"]);
    assert_eq!(world.line("list openai --json").ok().json().as_array().unwrap().len(), 2);
    world.line("list nothing").fails(3, &["there is no service `nothing`"]);
}

#[test]
fn names_of_any_kind_are_shown_so_that_they_can_be_typed() {
    let world = World::new();
    for reference in ["new%0Aline/a%1B[2J", "%/%", "a%2Fb/%2E%2E", "Ünïcødé 服务 🔑/x"] {
        world.set(reference, reference);
    }
    let listed = world.line("list").ok();
    assert_eq!(listed.text().lines().count(), 4, "{}", listed.text());
    assert!(!listed.text().contains('\u{1b}'));
    for line in listed.text().lines() {
        let reference = line.rsplit_once("  api-key").unwrap().0.trim_end();
        assert!(!world.get(reference).is_empty(), "{reference}");
    }
}

#[test]
fn the_audit_log_tells_who_did_what() {
    let world = World::new();
    world.set("openai", "sk");
    world.get("openai");
    world.line("get nothing").fails(3, &[]);
    let records = world.line("audit show --json").ok().json();
    let told: Vec<_> = records
        .as_array()
        .unwrap()
        .iter()
        .map(|record| {
            let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
            (text("action"), text("reference"), text("outcome"))
        })
        .collect();
    for (action, reference, outcome) in
        [("set", "openai", "done"), ("get", "openai", "allowed"), ("get", "nothing", "failed")]
    {
        let expected = (action.to_owned(), reference.to_owned(), outcome.to_owned());
        assert!(told.contains(&expected), "{expected:?} is not in {told:?}");
    }
}

#[test]
fn doctor_is_content_with_a_sound_vault() {
    let world = World::new();
    let report = world.line("doctor --json").ok().json();
    let states: Vec<_> = report["checks"].as_array().unwrap().iter().map(|check| &check["state"]).collect();
    assert!(states.len() >= 12, "{report:#}");
    assert!(states.iter().all(|state| **state != "FAIL"), "{report:#}");
    assert!(world.line("doctor").ok().text().contains("one token alone opens this vault"));
}

#[test]
fn tokens_are_listed_and_tested_without_a_vault() {
    let world = World::empty();
    let module = world.token().module().to_str().unwrap().to_owned();
    let listed = world.run(["token", "list", "--json", "--module", &module]).ok().json();
    assert_eq!(listed[0]["label"], softhsm_fixtures::LABEL);
    let uri = listed[0]["uri"].as_str().unwrap().to_owned();
    let pin = format!("{uri}&pin-source=file:{}", world.token().pin_file().display());
    let report = world.run(["token", "self-test", "--token", &pin, "--json"]).ok().json();
    assert_eq!(report["scheme"], "A256KW");
    // The key that was made for the test is gone: a vault can still be made, and has the only key.
    world.run(["init", "--token", &pin]).ok();
    world.line("token self-test").ok();
    assert!(world.line("token info").ok().text().contains("A256KW"));
}

#[test]
fn garbage_is_counted_and_collected() {
    let world = World::new();
    world.set("svc", "one");
    let report = world.line("gc --dry-run --json").ok().json();
    assert_eq!(report["deleted"], 0);
    assert_eq!(world.line("gc --now --json").ok().json()["dry_run"], false);
    assert_eq!(world.get("svc"), b"one");
}

#[test]
fn what_is_due_is_listed() {
    let world = World::new();
    world.set("svc", "value");
    assert_eq!(world.line("rotate credential --due").ok().text(), "");
    world.line("set svc --stdin --rotate-by 2020-01-01").stdin("other").ok();
    let due = world.line("rotate credential --due").ok();
    assert!(due.text().contains("svc/api_key"), "{}", due.text());
    let due = world.line("rotate credential --due --json").ok().json();
    assert_eq!(due.as_array().unwrap().len(), 1);
    world.line("rotate credential svc --due").fails(2, &["--due"]);
    world.line("rotate credential").fails(2, &["REF"]);
    assert!(world.line("rotate service --due").ok().text().contains("nothing is due"));
    assert!(world.line("rotate master --due").ok().text().contains("not due"));
    world.line("rotate master --due --compromised").fails(2, &["--compromised"]);
}
