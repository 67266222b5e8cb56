//! What a module finds in its environment: this process's, or where it has a process of its own, what `modules.toml` says.

use crate::error::CliError;
use std::{
    collections::BTreeMap, env, ffi::OsString, os::unix::process::CommandExt as _, path::Path,
    process::Command,
};

/// What this program itself reads, and its libraries: a module's own environment has no say in it.
const OURS: [&str; 12] = [
    "CLAVIGER_CONFIG",
    "CREDENTIALS_DIRECTORY",
    "HOME",
    "LANG",
    "PATH",
    "RUST_BACKTRACE",
    "TERM",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
];

/// The environment of one module.
pub(crate) struct Environment(Option<BTreeMap<String, String>>);

impl Environment {
    /// This process's, or all of another's.
    pub(super) const fn new(own: Option<BTreeMap<String, String>>) -> Self {
        Self(own)
    }

    /// Whether the module runs in a process of its own.
    pub(crate) const fn is_own(&self) -> bool {
        self.0.is_some()
    }

    /// What a variable says there.
    pub(crate) fn get(&self, name: &str) -> Option<OsString> {
        match &self.0 {
            None => env::var_os(name),
            Some(own) => own.get(name).map(OsString::from),
        }
    }

    /// All of it, with what is ours, where this process has another.
    fn differs(&self) -> Option<BTreeMap<OsString, OsString>> {
        let is_ours = |name: &OsString| OURS.iter().any(|ours| name == ours);
        let wanted: BTreeMap<OsString, OsString> =
            self.0.as_ref()?.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let wanted: BTreeMap<_, _> = wanted.into_iter().filter(|(name, _)| !is_ours(name)).collect();
        let (ours, now): (BTreeMap<_, _>, BTreeMap<_, _>) =
            env::vars_os().partition(|(name, _)| is_ours(name));
        (now != wanted).then(|| wanted.into_iter().chain(ours).collect())
    }

    /// Begins this program anew in that environment, unless it is in it already: what the user's shell says would lead the
    /// module to other tokens. Open descriptors stay.
    pub(crate) fn enter(&self) -> Result<(), CliError> {
        let Some(environment) = self.differs() else { return Ok(()) };
        tracing::info!("beginning anew with the module's own environment");
        let program = Path::new("/proc/self/exe");
        let mut again = Command::new(program);
        again.args(env::args_os().skip(1)).env_clear().envs(environment);
        // It comes back only where it fails.
        Err(CliError::file("run", program, again.exec()))
    }
}
