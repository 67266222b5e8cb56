//! SoftHSM 2: files in a directory, named by a configuration file, named by `SOFTHSM2_CONF`.

use crate::{PIN, SO_PIN, process};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const INSTALL: &str = "apt-get install -y softhsm2";
const MODULES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

pub(crate) fn module() -> PathBuf {
    MODULES
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("libsofthsm2.so is missing: {INSTALL}"))
}

pub(crate) fn config(home: &Path) -> PathBuf {
    home.join("softhsm2.conf")
}

pub(crate) fn prepare(home: &Path) {
    let tokens = home.join("tokens");
    fs::create_dir(&tokens).unwrap_or_else(|error| panic!("{}: {error}", tokens.display()));
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n",
        tokens.display()
    );
    fs::write(config(home), text).unwrap_or_else(|error| panic!("softhsm2.conf: {error}"));
}

pub(crate) fn add_token(home: &Path, label: &str) {
    let mut util = Command::new("softhsm2-util");
    util.args(["--init-token", "--free", "--label", label, "--so-pin", SO_PIN, "--pin", PIN])
        .env("SOFTHSM2_CONF", config(home));
    process::run(&mut util, INSTALL);
}
