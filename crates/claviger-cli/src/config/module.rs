//! `modules.toml`: what the modules of this machine need that differs from the standard, and how they are run. It stands
//! beside the configuration, because it is about libraries and not about a vault, and is needed before there is one.

mod environment;

pub(crate) use environment::Environment;

use super::{Config, read_text};
use crate::{error::CliError, paths::SYSTEM_MODULES};
use claviger_token::{
    Driver, IvSource, Mechanisms, ModuleSettings, ModuleSpec,
    host::{Deadlines, HostDriver, HostSpec, Sandbox},
    pkcs11::Pkcs11Driver,
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Its name, beside the configuration file.
const FILE: &str = "modules.toml";

/// What the file says.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModulesConfig {
    #[serde(default, rename = "module")]
    modules: Vec<ModuleConfig>,
}

/// One `[[module]]`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ModuleConfig {
    /// The library's path.
    path: PathBuf,
    /// The vendor's numbers for mechanisms.
    #[serde(default)]
    mechanisms: Mechanisms,
    /// Whose IV it takes under AES-GCM.
    #[serde(default)]
    iv: IvSource,
    /// What `C_Initialize` is given.
    init_args: Option<String>,
    /// In which process it runs.
    #[serde(default)]
    process: Process,
    /// All of that process's environment, where it is its own.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// What it may do there besides what every module may.
    #[serde(default)]
    sandbox: Sandbox,
}

/// In which process a module runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Process {
    /// In that of the command.
    #[default]
    Shared,
    /// In one of its own, which can do little.
    Own,
}

impl ModulesConfig {
    /// The file beside this configuration, else the machine's, else nothing.
    pub(crate) fn beside(config: Option<&Path>) -> Result<Self, CliError> {
        let own = config.and_then(Path::parent).map(|directory| directory.join(FILE));
        for path in own.into_iter().chain([SYSTEM_MODULES.into()]) {
            // One that cannot be looked at is no reason to do without what it says.
            let absent = path
                .symlink_metadata()
                .is_err_and(|error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory));
            if !absent {
                let file: Self = Config::parse_as(&path, &read_text(&path)?)?;
                let invalid = |problem| CliError::ConfigInvalid { path: path.clone(), line: None, problem };
                return file.is_sensible().map(|()| file).map_err(invalid);
            }
        }
        Ok(Self::default())
    }

    /// What its shape does not show: that nothing is said in vain.
    fn is_sensible(&self) -> Result<(), String> {
        for (number, entry) in self.modules.iter().enumerate() {
            let name = entry.path.display();
            if self.modules.iter().take(number).any(|earlier| real(&earlier.path) == real(&entry.path)) {
                return Err(format!("the module {name} stands in it twice"));
            }
            let granted = entry.sandbox.read.iter().chain(&entry.sandbox.write);
            if let Some(path) = granted.chain([&entry.path]).find(|path| !path.is_absolute()) {
                return Err(format!("`{}` is no absolute path", path.display()));
            }
            let confined = entry.sandbox != Sandbox::default() || !entry.env.is_empty();
            if entry.process == Process::Shared && confined {
                return Err(format!(
                    "`sandbox` and `env` of the module {name} are for a process of its own: process = \"own\""
                ));
            }
        }
        Ok(())
    }

    /// The way to the tokens of the module at this path.
    pub(crate) fn driver(&self, module: &Path) -> Arc<dyn Driver> {
        let spec = self.spec(module);
        let Some(entry) = self.entry(module).filter(|entry| entry.process == Process::Own) else {
            return Arc::new(Pkcs11Driver::new(spec));
        };
        Arc::new(HostDriver::new(HostSpec {
            // The program that runs now, also where another was put in its place.
            program: "/proc/self/exe".into(),
            args: vec!["token-host".into()],
            env: entry.env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            backend: spec.into(),
            sandbox: entry.sandbox.clone(),
            deadlines: Deadlines::default(),
        }))
    }

    /// What the module at this path finds in its environment.
    pub(crate) fn environment(&self, module: &Path) -> Environment {
        let own = self.entry(module).filter(|entry| entry.process == Process::Own);
        Environment::new(own.map(|entry| entry.env.clone()))
    }

    /// What it says of the module at this path, by whatever name.
    fn entry(&self, module: &Path) -> Option<&ModuleConfig> {
        let wanted = real(module);
        self.modules.iter().find(|entry| real(&entry.path) == wanted)
    }

    /// What of the module at this path differs from the standard.
    pub(crate) fn spec(&self, module: &Path) -> ModuleSpec {
        let entry = self.entry(module);
        let settings = entry.map_or_else(ModuleSettings::default, |entry| ModuleSettings {
            mechanisms: entry.mechanisms.clone(),
            iv: entry.iv,
            init_args: entry.init_args.clone(),
        });
        ModuleSpec { path: module.to_owned(), settings }
    }
}

/// The file that a path leads to.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
