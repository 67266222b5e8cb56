//! SoftHSM: a configuration file, which names a directory, which holds the tokens.

use super::{
    Checks,
    rights::{access_help, may_write},
};
use crate::config::{Environment, shell_word};
use claviger_gate::ErrorClass;
use std::{
    env, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

const NAME: &str = "SoftHSM";
const VARIABLE: &str = "SOFTHSM2_CONF";
const ABSENT: ErrorClass = ErrorClass::TokenAbsent;
/// Where it looks without the variable and without a file of the user's.
const SYSTEM_CONFIG: &str = "/etc/softhsm/softhsm2.conf";
/// Where tokens lie if the configuration does not say.
const SYSTEM_TOKENS: &str = "/var/lib/softhsm/tokens";

/// Whether it can read its configuration, and read and write its tokens.
pub(super) fn ready(checks: &mut Checks, environment: &Environment) -> bool {
    let named = environment.get(VARIABLE).map(PathBuf::from);
    if let (None, Some(elsewhere)) = (&named, env::var_os(VARIABLE)) {
        checks.warn(
            NAME,
            format!(
                "{VARIABLE} is set to {} here, and does not reach the module's own process",
                elsewhere.display()
            ),
            format!(
                "write it into modules.toml, under [module.env]: {VARIABLE} = \"{}\"",
                elsewhere.display()
            ),
        );
    }
    let own = environment.get("HOME").map(|home| Path::new(&home).join(".config/softhsm2/softhsm2.conf"));
    let own = own.filter(|file| file.exists());
    let config = named.clone().or(own).unwrap_or_else(|| SYSTEM_CONFIG.into());
    let text = match fs::read_to_string(&config) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let shown = config.display();
            let detail = match named {
                Some(_) => format!("{VARIABLE} names {shown}, which does not exist"),
                None => format!("its configuration {shown} does not exist"),
            };
            let help = match named {
                Some(_) => {
                    format!("unset {VARIABLE}, or name the file that there is: export {VARIABLE}=PATH")
                }
                None => "sudo apt-get install --reinstall softhsm2-common".to_owned(),
            };
            checks.fail(NAME, ABSENT, detail, help);
            return false;
        }
        Err(error) => {
            let detail = format!("its configuration {} cannot be read: {error}", config.display());
            checks.fail(NAME, ABSENT, detail, of_ones_own(&config));
            return false;
        }
    };
    let tokens = tokens(&text);
    let shown = tokens.display();
    match tokens.metadata() {
        Ok(_) if may_write(&tokens) => {
            checks.ok(NAME, format!("tokens in {shown}, as {} says", config.display()));
            true
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let detail = format!("{} names {shown} for the tokens, which does not exist", config.display());
            checks.fail(NAME, ABSENT, detail, format!("mkdir -p -m 700 {}", shell_word(&tokens)));
            false
        }
        _ => {
            let detail = format!("its tokens in {shown} may not be read and written by this user");
            checks.fail(NAME, ABSENT, detail, of_ones_own(&tokens));
            false
        }
    }
}

/// The directory that the configuration names (`directories.tokendir = ...`).
fn tokens(config: &str) -> PathBuf {
    let mut named = config.lines().rev().filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == "directories.tokendir").then(|| PathBuf::from(value.trim()))
    });
    named.next().unwrap_or_else(|| SYSTEM_TOKENS.into())
}

/// What lets this user in, or does without.
fn of_ones_own(path: &Path) -> String {
    format!("{}; or name a configuration of your own: export {VARIABLE}=PATH", access_help(path))
}

#[cfg(test)]
mod tests;
