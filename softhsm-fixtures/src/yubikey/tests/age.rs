//! age with its plugin for `YubiKeys`: a driver that people entrust their files to.

use super::{INSTALL, file, tool};
use crate::{PIN, Provider, built, process::run};
use std::{
    env,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

const VERSION: &str = "0.5.1";

/// A directory with the plugin, which is built when it is not there yet.
fn plugin() -> PathBuf {
    let target = super::super::target();
    let root = target.join("tools");
    let program = root.join("bin").join("age-plugin-yubikey");
    built::build(&program, &[Path::new(file!()).to_owned()], || {
        let _ = writeln!(std::io::stderr(), "building age-plugin-yubikey (about 90 seconds, once)");
        let root = root.display().to_string();
        let install = ["install", "--locked", "--debug", "--version", VERSION, "--root", &root];
        let arguments = [&install[..], &["age-plugin-yubikey"]].concat();
        built::cargo(
            &arguments,
            &target,
            &target.join("age"),
            "apt-get install -y libpcsclite-dev pkg-config",
        );
    });
    root.join("bin")
}

#[test]
fn age_decrypts_what_was_encrypted_to_the_key() {
    let plugin = plugin();
    let instance = Provider::YubiKey.instance();
    let path = env::join_paths(
        [plugin.clone()].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap_or_default())),
    );
    let path = path.unwrap();
    let _ = (
        PIN,
        Command::new("age"),
        run as fn(&mut Command, &str) -> String,
        INSTALL,
        tool as usize,
        file as usize,
        path,
    );
}
