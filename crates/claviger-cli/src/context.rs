//! What every command has at hand.

use crate::{
    args::Global,
    config::{self, Config},
    error::CliError,
    open,
    paths::Paths,
    pin::PinFd,
};
use claviger_gate::Api;
use std::{cell::OnceCell, path::PathBuf};

/// The global options, the environment, and the way to the vault.
pub(crate) struct Context {
    global: Global,
    paths: Paths,
    pin_fd: Option<PinFd>,
    config: OnceCell<Config>,
}

impl Context {
    /// Takes what the command line says. The PIN's descriptor is opened now, while the kernel still lets it be, and read
    /// only when a PIN is needed.
    pub(crate) fn new(global: Global) -> Result<Self, CliError> {
        let pin_fd = global.pin_fd.map(PinFd::open).transpose()?;
        Ok(Self { global, paths: Paths::from_env(), pin_fd, config: OnceCell::new() })
    }

    /// Whether results are wanted as JSON.
    pub(crate) const fn json(&self) -> bool {
        self.global.json
    }

    /// Whether the PIN comes from standard input.
    pub(crate) fn pin_is_stdin(&self) -> bool {
        self.global.pin_fd == Some(0)
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
        let config = Config::read(&self.config_path()?)?;
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
