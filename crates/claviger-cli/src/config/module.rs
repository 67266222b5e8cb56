//! `modules.toml`: what the modules of this machine need that differs from the standard, and how they are run. It stands
//! beside the configuration, because it is about libraries and not about a vault, and is needed before there is one.

mod environment;

pub(crate) use environment::Environment;

use super::{Config, read_text};
use crate::{error::CliError, modules::Way, paths::SYSTEM_MODULES};
use claviger_token::{
    Driver, IvSource, Mechanisms, ModuleSettings, ModuleSpec,
    host::{Backend, Deadlines, HostDriver, HostSpec, Sandbox},
    piv::{PivDriver, attestation::Roots},
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
pub(crate) const MODULES_FILE: &str = "modules.toml";

/// What the file says.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModulesConfig {
    #[serde(default, rename = "module")]
    modules: Vec<ModuleConfig>,
    /// The PIV driver.
    #[serde(default)]
    piv: PivConfig,
}

/// `[piv]`.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct PivConfig {
    /// In which process it runs, and with it the client library of the smart-card service.
    process: Process,
    /// All of that process's environment, where it is its own.
    env: BTreeMap<String, String>,
    /// What it may do there besides what every module may.
    sandbox: Sandbox,
    /// Files with certificates by which a YubiKey's word for its keys is taken, besides its maker's.
    attestation_roots: Vec<PathBuf>,
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
        let own = config.and_then(Path::parent).map(|directory| directory.join(MODULES_FILE));
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
            confined_in_vain(entry.process, &entry.env, &entry.sandbox, &format!("the module {name}"))?;
        }
        let piv = &self.piv;
        let granted = piv.sandbox.read.iter().chain(&piv.sandbox.write).chain(&piv.attestation_roots);
        if let Some(path) = granted.into_iter().find(|path| !path.is_absolute()) {
            return Err(format!("`{}` is no absolute path", path.display()));
        }
        confined_in_vain(piv.process, &piv.env, &piv.sandbox, "[piv]")
    }

    /// The driver for a way to tokens.
    pub(crate) fn driver(&self, way: &Way) -> Arc<dyn Driver> {
        let backend = match way {
            Way::Module(path) => Backend::Module(self.spec(path)),
            Way::Piv => Backend::Piv,
        };
        match (self.own_process(way), backend) {
            (None, Backend::Module(spec)) => Arc::new(Pkcs11Driver::new(spec)),
            (None, Backend::Piv) => Arc::new(PivDriver),
            (Some((env, sandbox)), backend) => Arc::new(HostDriver::new(HostSpec {
                // The program that runs now, also where another was put in its place.
                program: "/proc/self/exe".into(),
                args: vec!["token-host".into()],
                env: env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
                backend,
                sandbox: sandbox.clone(),
                deadlines: Deadlines::default(),
            })),
        }
    }

    /// What it finds in its environment.
    pub(crate) fn environment(&self, way: &Way) -> Environment {
        Environment::new(self.own_process(way).map(|(env, _)| env.clone()))
    }

    /// Environment and sandbox, where it has a process of its own.
    fn own_process(&self, way: &Way) -> Option<(&BTreeMap<String, String>, &Sandbox)> {
        let (process, env, sandbox) = match way {
            Way::Module(path) => {
                let entry = self.entry(path)?;
                (entry.process, &entry.env, &entry.sandbox)
            }
            Way::Piv => (self.piv.process, &self.piv.env, &self.piv.sandbox),
        };
        (process == Process::Own).then_some((env, sandbox))
    }

    /// By whose word a YubiKey's keys are its own: its maker's, and whose certificates the file names.
    pub(crate) fn attestation_roots(&self) -> Result<Roots, CliError> {
        let mut roots = Roots::yubico();
        for path in &self.piv.attestation_roots {
            let bytes = std::fs::read(path).map_err(|source| CliError::file("read", path, source))?;
            roots = roots.with(&bytes).map_err(|error| CliError::ConfigInvalid {
                path: path.clone(),
                line: None,
                problem: error.to_string(),
            })?;
        }
        Ok(roots)
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

/// What is said of a process of its own is said in vain where it has none.
fn confined_in_vain(
    process: Process,
    env: &BTreeMap<String, String>,
    sandbox: &Sandbox,
    whose: &str,
) -> Result<(), String> {
    if process == Process::Own || (*sandbox == Sandbox::default() && env.is_empty()) {
        return Ok(());
    }
    Err(format!("`sandbox` and `env` of {whose} are for a process of its own: process = \"own\""))
}

/// The file that a path leads to.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
