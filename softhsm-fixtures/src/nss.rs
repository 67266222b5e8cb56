//! NSS's softokn: a database in a directory, named by what `C_Initialize` is given.
//!
//! It wraps keys that are not extractable, so nothing may ever come to live on it: the driver is tested that it refuses it.

use crate::{LABEL, process};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const INSTALL: &str = "apt-get install -y libnss3 libnss3-tools";

pub(crate) fn module() -> PathBuf {
    process::installed("libsoftokn3.so", INSTALL)
}

fn database(home: &Path) -> PathBuf {
    home.join("nss")
}

/// The reserved argument of `C_Initialize`.
pub(crate) fn init_args(home: &Path) -> String {
    format!(
        "configdir='sql:{}' certPrefix='' keyPrefix='' secmod='' flags= \
         dbTokenDescription='{LABEL}' dbSlotDescription='labslot'",
        database(home).display()
    )
}

/// There is one token for each initialisation, and it is called what that says.
pub(crate) fn add_token(home: &Path, label: &str, pin_file: &Path) {
    let database = database(home);
    assert!(label == LABEL && !database.exists(), "NSS has one token, called {LABEL}");
    fs::create_dir(&database).unwrap_or_else(|error| panic!("{}: {error}", database.display()));
    let mut certutil = Command::new("certutil");
    certutil.args(["-N", "-d", &format!("sql:{}", database.display()), "-f"]).arg(pin_file);
    process::run(&mut certutil, INSTALL);
}
