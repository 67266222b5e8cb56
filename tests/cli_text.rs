//! Exact texts: help, and errors that need neither token nor vault.
//!
//! `TRYCMD=overwrite cargo test -p claviger-tests --test cli_text` writes what the program says now; look at the diff.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test that cannot go on has failed.

use claviger_tests::Run;

#[test]
fn texts_are_what_they_were() {
    trycmd::TestCases::new()
        .register_bin("claviger", claviger_tests::claviger())
        .env("HOME", "/nonexistent")
        .env("XDG_CONFIG_HOME", "/nonexistent/config")
        .env("CLAVIGER_CONFIG", "")
        .case("cmd/*.trycmd");
}

#[test]
fn every_command_has_a_page_and_every_shell_its_completions() {
    let dir = tempfile::tempdir().unwrap();
    Run::new(["man", "--dir"]).arg(dir.path()).ok();
    let mut pages: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    for page in ["claviger.1", "claviger-get.1", "claviger-import-apex.1", "claviger-token-self-test.1"] {
        assert!(pages.contains(&page.to_owned()), "{page} is not in {pages:?}");
    }
    assert!(Run::new(["man"]).ok().text().starts_with(".ie"), "no roff");
    for shell in ["bash", "zsh", "fish"] {
        let script = Run::new(["completions", shell]).ok();
        assert!(script.text().contains("rollback"), "{shell}: {}", script.text());
    }
}
