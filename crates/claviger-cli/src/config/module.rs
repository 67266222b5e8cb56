//! `modules.toml`: what the modules of this machine need that differs from the standard, and how they are run. It stands
//! beside the configuration, because it is about libraries and not about a vault, and is needed before there is one.

use super::{Config, read_text};
use crate::{error::CliError, paths::SYSTEM_MODULES};
use claviger_token::{IvSource, Mechanisms, ModuleSettings, ModuleSpec};
use serde::Deserialize;
use std::path::{Path, PathBuf};

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
}

impl ModulesConfig {
    /// The file beside this configuration, else the machine's, else nothing.
    pub(crate) fn beside(config: Option<&Path>) -> Result<Self, CliError> {
        let own = config.and_then(Path::parent).map(|directory| directory.join(FILE));
        for path in own.into_iter().chain([SYSTEM_MODULES.into()]) {
            if path.exists() {
                return Config::parse_as(&path, &read_text(&path)?);
            }
        }
        Ok(Self::default())
    }

    /// What it says of the module at this path, by whatever name.
    pub(crate) fn spec(&self, module: &Path) -> ModuleSpec {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let wanted = real(module);
        let entry = self.modules.iter().find(|entry| real(&entry.path) == wanted);
        let settings = entry.map_or_else(ModuleSettings::default, |entry| ModuleSettings {
            mechanisms: entry.mechanisms.clone(),
            iv: entry.iv,
            init_args: entry.init_args.clone(),
        });
        ModuleSpec { path: module.to_owned(), settings }
    }
}
