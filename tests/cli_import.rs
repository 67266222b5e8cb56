//! Taking over the old program's file: all of it or nothing, and never "empty" for "unreadable".
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test that cannot go on has failed.

use claviger_tests::{World, legacy};
use serde_json::Value;
use std::{fs, path::PathBuf};

/// A world with a vault, and a copy of an old file with its key beside it.
struct Old {
    world: World,
    file: PathBuf,
    key: PathBuf,
    contents: Value,
}

impl Old {
    fn new(name: &str) -> Self {
        let world = World::new();
        let expected: Value =
            serde_json::from_slice(&fs::read(legacy(&format!("{name}.json"))).unwrap()).unwrap();
        let file = world.file("old.enc", fs::read(legacy(&format!("{name}.enc"))).unwrap());
        let key = world.file("old.key", expected["key"].as_str().unwrap());
        Self { file, key, contents: expected["contents"].clone(), world }
    }

    fn import(&self, more: &[&str]) -> claviger_tests::Run {
        let (file, key) = (self.file.to_str().unwrap(), self.key.to_str().unwrap());
        self.world.run([&["import", "apex", file, "--key-file", key], more].concat())
    }

    fn part(&self, name: &str) -> impl Iterator<Item = (String, Value)> {
        let part = self.contents[name].as_object().cloned().unwrap_or_default();
        part.into_iter()
    }

    fn entries(&self) -> usize {
        self.part("api_keys").count() + self.part("oauth_tokens").count()
    }

    /// Reads everything back and compares it.
    fn compare(&self) {
        let listed = self.world.line("list --json").ok().json();
        assert_eq!(listed.as_array().unwrap().len(), self.entries());
        let reference = |service: &str, name: &str| {
            let escaped = match service {
                "" => "%".to_owned(),
                ".." => "%2E%2E".to_owned(),
                other => other.replace('%', "%25").replace('/', "%2F"),
            };
            format!("{escaped}/{name}")
        };
        for (service, key) in self.part("api_keys") {
            let value = self.world.get(&reference(&service, "api_key"));
            assert_eq!(String::from_utf8(value).unwrap(), key.as_str().unwrap(), "{service:?}");
        }
        for (service, token) in self.part("oauth_tokens") {
            let shown = self.world.run(["get", &reference(&service, "oauth_token"), "--json"]).ok().json();
            assert_eq!((&shown["value"], &shown["kind"]), (&token, &"oauth2".into()), "{service:?}");
        }
    }
}

#[test]
fn typical_goes_in_and_comes_out() {
    let old = Old::new("typical");
    let outcome = old.import(&[]).ok();
    assert!(
        outcome.text().starts_with("imported 10 credentials: 10 new, 0 updated, 0 unchanged\n"),
        "{}",
        outcome.text()
    );
    assert!(outcome.stderr.contains("whoever has it and its key"), "{}", outcome.stderr);
    assert!(old.file.exists());
    old.compare();
    let token = old.contents["oauth_tokens"]["github"]["access_token"].as_str().unwrap();
    assert_eq!(old.world.line("get github/oauth_token --field access_token").ok().text(), token);
    old.world.line("verify").ok();
}

#[test]
fn odd_goes_in_and_comes_out_whole() {
    let old = Old::new("odd");
    old.import(&[]).ok();
    old.compare();
    let big = old.world.line("get nested --field extra").ok();
    assert!(big.text().contains("12345678901234567890"), "{}", big.text());
    old.world.line("verify").ok();
}

#[test]
fn thousands_of_services_are_one_import() {
    let old = Old::new("thousand");
    let report = old.import(&["--json"]).ok().json();
    assert_eq!(report["created"].as_array().unwrap().len(), old.entries());
    assert_eq!(report["verified"].as_u64().unwrap(), old.entries() as u64);
    assert!(report["verified_by_token"].as_u64().unwrap() > 0);
    let listed = old.world.line("list --json").ok().json();
    assert_eq!(listed.as_array().unwrap().len(), old.entries());
}

#[test]
fn only_oauth_and_emptied_are_what_they_are() {
    let old = Old::new("only_oauth");
    old.import(&[]).ok();
    old.compare();
    let old = Old::new("emptied");
    assert!(old.import(&[]).ok().text().contains("0 credentials"));
    old.compare();
}

#[test]
fn the_key_comes_from_a_file_a_variable_or_standard_input() {
    let old = Old::new("typical");
    let (file, key) = (old.file.to_str().unwrap(), fs::read_to_string(&old.key).unwrap());
    old.world.run(["import", "apex", file, "--key-env", "OLD_KEY", "--dry-run"]).env("OLD_KEY", &key).ok();
    old.world.run(["import", "apex", file, "--key-stdin", "--dry-run"]).stdin(format!("{key}\n")).ok();
    old.world.run(["import", "apex", file]).fails(2, &["--key-file"]);
    old.world
        .run(["import", "apex", file, "--key-env", "NOTHING"])
        .fails(2, &["NOTHING is not set", "help: "]);
}

#[test]
fn a_second_run_changes_nothing() {
    let old = Old::new("typical");
    old.import(&[]).ok();
    let head = old.world.line("status --json").ok().json()["head"].clone();
    assert_eq!(old.import(&[]).ok().text(), "unchanged: the vault has all of 10 credentials already\n");
    assert_eq!(old.world.line("status --json").ok().json()["head"], head);
}

#[test]
fn what_differs_is_listed_and_wants_overwrite() {
    let old = Old::new("typical");
    old.world.set("openai/api_key", "mine");
    let outcome = old.import(&[]).outcome();
    assert_eq!(outcome.code, Some(9), "{}", outcome.stderr);
    assert_eq!(outcome.text(), "differs  openai/api_key\n");
    assert!(
        outcome.stderr.contains("nothing was changed") && outcome.stderr.contains("help: "),
        "{}",
        outcome.stderr
    );
    assert_eq!(old.world.line("list --json").ok().json().as_array().unwrap().len(), 1);

    assert!(old.import(&["--overwrite"]).ok().text().contains("9 new, 1 updated, 0 unchanged"));
    old.compare();
    assert_eq!(old.world.line("get openai/api_key --version 1").ok().text(), "mine");
}

#[test]
fn a_dry_run_only_tells() {
    let old = Old::new("typical");
    let outcome = old.import(&["--dry-run", "--after", "shred"]).ok();
    assert!(outcome.text().contains("new      openai/api_key\n"), "{}", outcome.text());
    assert!(outcome.text().ends_with("would import 10 credentials: 10 new, 0 updated, 0 unchanged\n"));
    assert_eq!(old.world.line("list --json").ok().text(), "[]\n");
    assert!(old.file.exists());
}

#[test]
fn the_old_file_is_backed_up_or_shredded_only_afterwards() {
    let old = Old::new("typical");
    old.world.set("openai/api_key", "mine");
    old.import(&["--after", "shred"]).fails(9, &[]);
    assert!(old.file.exists());

    let taken = old.world.file("old.enc.bak", "another backup");
    let outcome = old.import(&["--overwrite", "--after", "bak"]).ok();
    let backup = old.world.home().join("old.enc.bak.2");
    assert!(!old.file.exists() && backup.exists(), "{}", outcome.stderr);
    assert_eq!(fs::read(taken).unwrap(), b"another backup");

    fs::rename(&backup, &old.file).unwrap();
    let outcome = old.import(&["--after", "shred"]).ok();
    assert!(!old.file.exists());
    assert!(
        outcome.stderr.contains("An SSD") && outcome.stderr.contains("copies on write"),
        "{}",
        outcome.stderr
    );
    old.compare();
}

#[test]
fn a_file_that_cannot_be_read_is_never_an_empty_one() {
    let old = Old::new("typical");
    let empty = "[]\n";
    let bad = |bytes: Vec<u8>, code: i32, says: &str| {
        fs::write(&old.file, bytes).unwrap();
        let stderr = old.import(&["--after", "shred"]).fails(code, &[says, "help: "]);
        assert!(old.file.exists(), "{stderr}");
        assert_eq!(old.world.line("list --json").ok().text(), empty, "{stderr}");
    };
    let fixture = |name: &str| fs::read(legacy(name)).unwrap();
    bad(fixture("truncated.enc"), 7, "nothing was changed");
    bad(fixture("flipped.enc"), 7, "nothing was changed");
    bad(fixture("odd.enc"), 7, "the key is not the one it was written with");
    bad(b"{\"api_keys\": {}}".to_vec(), 7, "nothing was changed");
    bad(vec![0; 5000], 7, "nothing was changed");
    bad(fixture("zero_bytes.enc"), 3, "there are no credentials in it, the old program never wrote any");

    fs::remove_file(&old.file).unwrap();
    old.import(&[]).fails(3, &["does not exist: there are no credentials in it"]);

    fs::copy(legacy("typical.enc"), &old.file).unwrap();
    fs::copy(legacy("wrong.key"), &old.key).unwrap();
    old.import(&[]).fails(7, &["the key is not the one it was written with", "help: try the key"]);
    fs::write(&old.key, "no key at all").unwrap();
    old.import(&[]).fails(2, &["the key is not one", "help: "]);
    assert_eq!(old.world.line("list --json").ok().text(), empty);
}
