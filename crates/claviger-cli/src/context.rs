//! What every command has at hand.

use crate::{
    args::Global,
    attendant::Beside,
    config::{self, Config, ConfigFile, ModulesConfig},
    error::CliError,
    modules::Way,
    open::{self, PinOf},
    paths::Paths,
};
use claviger_gate::Api;
use claviger_token::{Attendant, Driver, TokenAdmin, piv::PivDriver, pkcs11::Pkcs11Driver};
use claviger_types::RecipientId;
use std::{
    cell::{OnceCell, RefCell},
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The global options, the environment, and the way to the vault.
pub(crate) struct Context {
    global: Global,
    paths: Paths,
    config: OnceCell<Config>,
    drivers: RefCell<BTreeMap<Way, Arc<dyn Driver>>>,
    attendant: Arc<Beside>,
}

impl Context {
    /// Takes what the command line says.
    pub(crate) fn new(global: Global) -> Self {
        let attendant = Arc::new(Beside::new(global.management_key_fd));
        Self {
            global,
            paths: Paths::from_env(),
            config: OnceCell::new(),
            drivers: RefCell::default(),
            attendant,
        }
    }

    /// Whether results are wanted as JSON.
    pub(crate) const fn json(&self) -> bool {
        self.global.json
    }

    /// The configuration file that was named.
    pub(crate) fn config_option(&self) -> Option<&Path> {
        self.global.config.as_deref()
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

    /// The configuration file, to be changed.
    pub(crate) fn config_file(&self) -> Result<ConfigFile, CliError> {
        Ok(ConfigFile::new(self.config_path()?, self.paths.config_lock()?))
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

    /// The driver for a way to tokens; one for each.
    pub(crate) fn driver(&self, way: &Way) -> Result<Arc<dyn Driver>, CliError> {
        let mut drivers = self.drivers.borrow_mut();
        if let Some(driver) = drivers.get(way) {
            return Ok(Arc::clone(driver));
        }
        let driver = self.modules()?.driver(way);
        drivers.insert(way.clone(), Arc::clone(&driver));
        Ok(driver)
    }

    /// Whoever is beside the tokens.
    pub(crate) fn attendant(&self) -> Arc<dyn Attendant> {
        Arc::clone(&self.attendant) as _
    }

    /// The administrator's way to tokens: in this process, which does nothing else and ends. Nothing may have been
    /// asked for or read before: the process may begin anew, with the environment that the module is to have.
    pub(crate) fn admin(&self, way: &Way) -> Result<Box<dyn TokenAdmin>, CliError> {
        let modules = self.modules()?;
        modules.environment(way).enter()?;
        Ok(match way {
            Way::Module(path) => Box::new(Pkcs11Driver::new(modules.spec(path))),
            Way::Piv => Box::new(PivDriver),
        })
    }

    /// What the machine's modules need.
    pub(crate) fn modules(&self) -> Result<ModulesConfig, CliError> {
        // The configuration may be still to be written.
        let config = self.config_path().or_else(|_| self.new_config_path()).ok();
        ModulesConfig::beside(config.as_deref())
    }

    /// The vault behind its gate.
    pub(crate) fn open(&self) -> Result<Box<dyn Api>, CliError> {
        open::vault(self.config()?, self)
    }

    /// The same for a command that looks after the vault: this host learns whose word for a new vault key to take.
    pub(crate) fn open_as_owner(&self) -> Result<Box<dyn Api>, CliError> {
        open::vault_as_owner(self.config()?, self)
    }

    /// The same by another of this host's tokens than this one. Whoever leaves the first out on purpose means the next one's PIN.
    pub(crate) fn open_without(&self, recipient: RecipientId) -> Result<Box<dyn Api>, CliError> {
        open::vault_without(self.config()?, self, recipient, PinOf::TheTokenMeant)
    }

    /// The same, also where the vault is older than this host has seen it: for looking only.
    pub(crate) fn open_to_inspect(&self) -> Result<Box<dyn Api>, CliError> {
        open::vault_to_inspect(self.config()?, self)
    }
}
