//! Exact texts: help, and errors that need neither token nor vault.
//!
//! `TRYCMD=overwrite cargo test -p claviger-tests --test cli_text` writes what the program says now; look at the diff.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test that cannot go on has failed.

#[test]
fn texts_are_what_they_were() {
    trycmd::TestCases::new()
        .register_bin("claviger", claviger_tests::claviger())
        .env("HOME", "/nonexistent")
        .env("XDG_CONFIG_HOME", "/nonexistent/config")
        .env("CLAVIGER_CONFIG", "")
        .case("cmd/*.trycmd");
}
