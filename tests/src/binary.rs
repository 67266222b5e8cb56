//! The program under test, built before it is run: no test ever meets a stale one.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The path of the `claviger` binary, built in the same profile as this test and into the same target directory.
pub fn claviger() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(build)
}

fn build() -> PathBuf {
    // target/<profile>/deps/<test>
    let test = env::current_exe().unwrap_or_else(|error| panic!("no path of this test: {error}"));
    let above =
        |levels| test.ancestors().nth(levels).unwrap_or_else(|| panic!("{}: too short", test.display()));
    let (profile, target) = (above(2), above(3));
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "claviger-cli", "--bin", "claviger", "--target-dir"]);
    cargo.arg(target).current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let output = cargo.output().unwrap_or_else(|error| panic!("cargo does not start: {error}"));
    assert!(
        output.status.success(),
        "the program does not build:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    profile.join("claviger")
}
