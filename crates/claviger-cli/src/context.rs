//! What every command has at hand.

use crate::{
    args::Global,
    config::{self, Config},
    error::CliError,
    open,
    paths::Paths,
};
use claviger_gate::Api;
use std::{cell::OnceCell, path::PathBuf};

/// The global options, the environment, and the way to the vault.
pub(crate) struct Context {
    global: Global,
    paths: Paths,
    config: OnceCell<Config>,
}

impl Context {
    /// Takes what the command line says.
    pub(crate) fn new(global: Global) -> Self {
        Self { global, paths: Paths::from_env(), config: OnceCell::new() }
    }

    /// Whether results are wanted as JSON.
    pub(crate) const fn json(&self) -> bool {
        self.global.json
    }

    /// The descriptor that the PIN comes from, if one was named.
    pub(crate) const fn pin_fd(&self) -> Option<u32> {
        self.global.pin_fd
    }

    /// Whether the PIN comes from standard input.
    pub(crate) const fn pin_is_stdin(&self) -> bool {
        matches!(self.global.pin_fd, Some(0))
    }

    /// Where things lie by default.
    pub(crate) const fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The configuration file that there is.
    pub(crate) fn config_path(&self) -> Result<PathBuf, CliError> {
        config::locate(self.global.config.as_deref(), &self.paths)
    }

    /// The configuration file that `init` writes.
    pub(crate) fn new_config_path(&self) -> Result<PathBuf, CliError> {
        config::locate_new(self.global.config.as_deref(), &self.paths)
    }

    /// The configuration, read once.
    pub(crate) fn config(&self) -> Result<&Config, CliError> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let path = self.config_path()?;
        let config = Config::read(&path)?;
        tracing::info!(path = %path.display(), vault = %config.vault, "configuration read");
        Ok(self.config.get_or_init(|| config))
    }

    /// The vault behind its gate.
    pub(crate) fn open(&self) -> Result<Box<dyn Api>, CliError> {
        open::vault(self.config()?, self)
    }

    /// The same, also where the vault is older than this host has seen it: for looking only.
    pub(crate) fn open_to_inspect(&self) -> Result<Box<dyn Api>, CliError> {
        open::vault_to_inspect(self.config()?, self)
    }
}
