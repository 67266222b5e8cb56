//! SoftHSM in another process, reached through p11-kit's remoting, as tokens are that were forwarded over SSH.

use crate::{daemon::Daemon, process, softhsm};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const INSTALL: &str = "apt-get install -y p11-kit p11-kit-modules softhsm2";

pub(crate) fn module() -> PathBuf {
    process::installed("pkcs11/p11-kit-client.so", INSTALL)
}

fn socket(home: &Path) -> PathBuf {
    home.join("p11-kit")
}

pub(crate) fn env(home: &Path) -> Vec<(&'static str, PathBuf)> {
    vec![("P11_KIT_SERVER_ADDRESS", PathBuf::from(format!("unix:path={}", socket(home).display())))]
}

pub(crate) fn start(home: &Path) -> Vec<Daemon> {
    if !softhsm::config(home).exists() {
        softhsm::prepare(home);
    }
    // Of one that was killed; without it there is nothing to remove.
    let _ = fs::remove_file(socket(home));
    let mut server = Daemon::start(
        Command::new("p11-kit")
            .args(["server", "--foreground", "--name"])
            .arg(socket(home))
            .arg("--provider")
            .arg(softhsm::module())
            .arg("pkcs11:")
            .env("SOFTHSM2_CONF", softhsm::config(home)),
        INSTALL,
    );
    server.wait_for_socket(&socket(home));
    vec![server]
}
