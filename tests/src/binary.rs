//! The program under test, built before it is run: no test ever meets a stale one.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The path of the `claviger` binary, built in the same profile as this test and into the same target directory.
pub fn claviger() -> &'static Path {
    // A build that failed is not tried again by every test.
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BINARY.get_or_init(build).as_ref().unwrap_or_else(|error| panic!("the program does not build:\n{error}"))
}

fn build() -> Result<PathBuf, String> {
    // target/<profile>/deps/<test>
    let test = env::current_exe().unwrap_or_else(|error| panic!("no path of this test: {error}"));
    let above =
        |levels| test.ancestors().nth(levels).unwrap_or_else(|| panic!("{}: too short", test.display()));
    let (profile, target) = (above(2), above(3));
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "claviger-cli", "--bin", "claviger", "--target-dir"]);
    cargo
        .arg(target)
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("Cargo.toml"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let output = cargo.output().unwrap_or_else(|error| panic!("cargo does not start: {error}"));
    if output.status.success() {
        Ok(profile.join("claviger"))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
