//! Where things lie by default: the XDG Base Directory Specification, version 0.8.

use crate::error::CliError;
use claviger_types::VaultId;
use std::{
    env,
    path::{Path, PathBuf},
};

/// The configuration that serves the whole machine.
pub(crate) const SYSTEM_CONFIG: &str = "/etc/claviger/claviger.toml";
/// What the modules of the machine need.
pub(crate) const SYSTEM_MODULES: &str = "/etc/claviger/modules.toml";

/// The part of the environment that says where things lie.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    home: Option<PathBuf>,
    config_home: Option<PathBuf>,
    data_home: Option<PathBuf>,
    state_home: Option<PathBuf>,
}

impl Paths {
    /// What this process's environment says. Relative paths count as unset, as the specification demands.
    pub(crate) fn from_env() -> Self {
        let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        Self {
            home: absolute("HOME"),
            config_home: absolute("XDG_CONFIG_HOME"),
            data_home: absolute("XDG_DATA_HOME"),
            state_home: absolute("XDG_STATE_HOME"),
        }
    }

    /// The user's own configuration file.
    pub(crate) fn config(&self) -> Result<PathBuf, CliError> {
        self.base(self.config_home.as_deref(), "XDG_CONFIG_HOME", ".config")
            .map(|base| base.join("claviger.toml"))
    }

    /// The SQLite file of the default store.
    pub(crate) fn store(&self) -> Result<PathBuf, CliError> {
        self.base(self.data_home.as_deref(), "XDG_DATA_HOME", ".local/share")
            .map(|base| base.join("vault.db"))
    }

    /// The directory of a vault's audit log.
    pub(crate) fn audit(&self, vault: VaultId) -> Result<PathBuf, CliError> {
        Ok(self.state()?.join("audit").join(vault.to_string()))
    }

    /// The directory of a vault's file anchors.
    pub(crate) fn anchors(&self, vault: VaultId) -> Result<PathBuf, CliError> {
        Ok(self.state()?.join("anchors").join(vault.to_string()))
    }

    /// The lock by which processes take turns at the token.
    pub(crate) fn token_lock(&self) -> Result<PathBuf, CliError> {
        Ok(self.state()?.join("token.lock"))
    }

    /// The lock by which processes take turns at changing the configuration.
    pub(crate) fn config_lock(&self) -> Result<PathBuf, CliError> {
        Ok(self.state()?.join("config.lock"))
    }

    fn state(&self) -> Result<PathBuf, CliError> {
        self.base(self.state_home.as_deref(), "XDG_STATE_HOME", ".local/state")
    }

    fn base(
        &self,
        set: Option<&Path>,
        variable: &'static str,
        below_home: &str,
    ) -> Result<PathBuf, CliError> {
        match (set, &self.home) {
            (Some(base), _) => Ok(base.join("claviger")),
            (None, Some(home)) => Ok(home.join(below_home).join("claviger")),
            (None, None) => Err(CliError::NoHome { variable }),
        }
    }
}

#[cfg(test)]
mod tests;
