//! kryoptic: one SQLite file per token, named by a configuration file, named by `KRYOPTIC_CONF`.
//!
//! The module is built on first use from the package in `softhsm-fixtures/kryoptic`, which stands outside the workspace
//! because it and rusqlite link different builds of `SQLite`.

use crate::{PIN, SO_PIN, process};
use std::{
    env,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::SystemTime,
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

pub(crate) fn add_token(home: &Path, label: &str) {
    let config = config(home);
    let text = fs::read_to_string(&config).unwrap_or_else(|error| panic!("kryoptic.conf: {error}"));
    let slot = text.matches("[[slots]]").count() + 1;
    let entry = format!(
        "[[slots]]\nslot = {slot}\ndbtype = \"sqlite\"\ndbargs = \"{}/token-{slot}.sql\"\n\n",
        home.display()
    );
    fs::write(&config, text + &entry).unwrap_or_else(|error| panic!("kryoptic.conf: {error}"));

    let tool = |args: &[&str]| {
        let mut tool = Command::new("pkcs11-tool");
        tool.arg("--module").arg(module()).args(["--slot", &slot.to_string()]).args(args);
        process::run(tool.env("KRYOPTIC_CONF", &config), INSTALL);
    };
    tool(&["--init-token", "--label", label, "--so-pin", SO_PIN]);
    tool(&["--login", "--login-type", "so", "--so-pin", SO_PIN, "--init-pin", "--pin", PIN]);
}

/// Builds the module unless it is there and newer than its sources; one process builds, the others wait.
fn build() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("kryoptic");
    let target = env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| package.join("target"), |dir| PathBuf::from(dir).join("kryoptic"));
    let module = target.join("release").join("libkryoptic_pkcs11.so");

    fs::create_dir_all(&target).unwrap_or_else(|error| panic!("{}: {error}", target.display()));
    let lock = File::create(target.join("fixture.lock"))
        .and_then(|file| file.lock().map(|()| file))
        .unwrap_or_else(|error| panic!("the lock in {}: {error}", target.display()));
    if changed(&module)
        > ["Cargo.toml", "Cargo.lock", "src/lib.rs"]
            .map(|file| changed(&package.join(file)))
            .into_iter()
            .max()
            .flatten()
    {
        return module;
    }

    let _ = writeln!(std::io::stderr(), "building kryoptic (about a minute, once)");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--locked"]).current_dir(&package).env("CARGO_TARGET_DIR", &target);
    process::run(&mut cargo, INSTALL);
    // A build that had nothing to do leaves the module's time alone, which would send every later test here again.
    let touched = File::open(&module).and_then(|file| file.set_modified(SystemTime::now()));
    touched.unwrap_or_else(|error| panic!("{}: {error}", module.display()));
    drop(lock);
    module
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|meta| meta.modified()).ok()
}
