//! kryoptic: one SQLite file per token, named by a configuration file, named by `KRYOPTIC_CONF`.
//!
//! The module is built on first use from the package in `softhsm-fixtures/kryoptic`, which stands outside the workspace
//! because it and rusqlite link different builds of `SQLite`.

use crate::{PIN, SO_PIN, built, process};
use std::{
    env,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// To set tokens up, and to build the module: its OpenSSL bindings are generated from the headers of the system's OpenSSL.
const INSTALL: &str = "apt-get install -y opensc libssl-dev pkg-config libclang-dev";

pub(crate) fn module() -> PathBuf {
    static MODULE: OnceLock<PathBuf> = OnceLock::new();
    MODULE.get_or_init(build).clone()
}

pub(crate) fn config(home: &Path) -> PathBuf {
    home.join("kryoptic.conf")
}

pub(crate) fn prepare(home: &Path) {
    File::create(config(home)).unwrap_or_else(|error| panic!("kryoptic.conf: {error}"));
}

/// The number of a new slot, whose token is not initialised.
pub(crate) fn add_slot(home: &Path) -> usize {
    let config = config(home);
    let text = fs::read_to_string(&config).unwrap_or_else(|error| panic!("kryoptic.conf: {error}"));
    let slot = text.matches("[[slots]]").count() + 1;
    let entry = format!(
        "[[slots]]\nslot = {slot}\ndbtype = \"sqlite\"\ndbargs = \"{}/token-{slot}.sql\"\n\n",
        home.display()
    );
    fs::write(&config, text + &entry).unwrap_or_else(|error| panic!("kryoptic.conf: {error}"));
    slot
}

pub(crate) fn add_token(home: &Path, label: &str) {
    let (slot, config) = (add_slot(home), config(home));
    let tool = |args: &[&str]| {
        let mut tool = Command::new("pkcs11-tool");
        tool.arg("--module").arg(module()).args(["--slot", &slot.to_string()]).args(args);
        process::run(tool.env("KRYOPTIC_CONF", &config), INSTALL);
    };
    tool(&["--init-token", "--label", label, "--so-pin", SO_PIN]);
    tool(&["--login", "--login-type", "so", "--so-pin", SO_PIN, "--init-pin", "--pin", PIN]);
}

fn build() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("kryoptic");
    let target = env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| package.join("target"), |dir| PathBuf::from(dir).join("kryoptic"));
    let module = target.join("release").join("libkryoptic_pkcs11.so");
    let sources = ["Cargo.toml", "Cargo.lock", "src/lib.rs"].map(|file| package.join(file));
    built::build(&module, &sources, || {
        let _ = writeln!(std::io::stderr(), "building kryoptic (about a minute, once)");
        built::cargo(&["build", "--release", "--locked"], &package, &target, INSTALL);
    });
    module
}
