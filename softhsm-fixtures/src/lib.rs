//! Private PKCS#11 tokens for tests: real modules, each with a token directory of its own that ends with the fixture.
//!
//! A module finds its tokens through its environment ([`Instance::env`]). Whole-program tests hand it to their
//! child processes. Tests that load a module into their own process cannot set it there (changing the environment of a
//! process with threads is unsafe), so they run through [`in_own_process`], which starts the test binary again with the
//! variable set; that also gives each test logins, sessions and a `C_Finalize` of its own, and a module that crashes takes
//! one test along instead of all.
//!
//! A tool or module that is missing panics with the command that installs it. Nothing is ever skipped.
#![allow(clippy::panic, clippy::missing_panics_doc)] // A fixture that cannot stand fails its test.

mod away;
mod built;
mod daemon;
mod fault;
mod kryoptic;
mod nss;
mod opencryptoki;
mod p11kit;
mod process;
mod softhsm;
mod tpm;
mod yubikey;

pub use fault::{Action, At, Call, Faults};
pub use process::{in_own_process, in_own_processes};
pub use yubikey::{CardAction, KeySpec, PcscFault, PcscFaults, Touch, YubiKey};

use daemon::Daemon;
use std::{
    ffi::OsStr,
    fs,
    ops::Deref,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

/// The label of the token that every fixture begins with.
pub const LABEL: &str = "lab";
/// The user PIN of every token.
pub const PIN: &str = "123456";
/// The security officer's PIN of every token.
pub const SO_PIN: &str = "12345678";

/// Whose module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// SoftHSM 2, from the distribution.
    SoftHsm,
    /// kryoptic, built from its crate on first use.
    Kryoptic,
    /// A TPM 2.0 in software, with a resource manager.
    Tpm,
    /// SoftHSM in another process, through p11-kit's remoting.
    P11Kit,
    /// openCryptoki's software token with its daemon; only root can have one.
    OpenCryptoki,
    /// NSS's softokn, which is to be refused.
    Nss,
    /// Virtual YubiKeys with a pcscd of their own, through Yubico's module.
    YubiKey,
}

impl Provider {
    /// Every provider whose module is in the table of capabilities. [`Self::YubiKey`] is not: its module is another way to
    /// cards that have a driver of their own.
    pub const ALL: [Self; 6] =
        [Self::SoftHsm, Self::Kryoptic, Self::Tpm, Self::P11Kit, Self::OpenCryptoki, Self::Nss];

    /// The name in test and benchmark output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SoftHsm => "softhsm",
            Self::Kryoptic => "kryoptic",
            Self::Tpm => "tpm2-pkcs11",
            Self::P11Kit => "p11-kit",
            Self::OpenCryptoki => "opencryptoki",
            Self::Nss => "nss",
            Self::YubiKey => "yubikey",
        }
    }

    /// Whether this user can have it at all. A test of one that only root can have ends at once for anybody else.
    pub fn is_for_this_user(self) -> bool {
        self != Self::OpenCryptoki || rustix::process::geteuid().is_root()
    }

    /// The module's shared library; kryoptic is built when it is not there yet.
    pub fn module(self) -> PathBuf {
        match self {
            Self::SoftHsm => softhsm::module(),
            Self::Kryoptic => kryoptic::module(),
            Self::Tpm => tpm::module(),
            Self::P11Kit => p11kit::module(),
            Self::OpenCryptoki => opencryptoki::module(),
            Self::Nss => nss::module(),
            Self::YubiKey => yubikey::module(),
        }
    }

    /// A fresh instance with one token, [`LABEL`].
    pub fn instance(self) -> Instance {
        let instance = self.empty();
        instance.add_token(LABEL);
        instance
    }

    /// A fresh instance without any token.
    pub fn empty(self) -> Instance {
        let home = directory();
        let instance = Instance::at(self, home.path().to_owned());
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&instance.pin_file)
            .and_then(|mut file| std::io::Write::write_all(&mut file, format!("{PIN}\n").as_bytes()))
            .unwrap_or_else(|error| panic!("the PIN file: {error}"));
        let mut daemons = Vec::new();
        match self {
            Self::SoftHsm => softhsm::prepare(&instance.home),
            Self::Kryoptic => kryoptic::prepare(&instance.home),
            Self::Tpm => daemons = tpm::start(&instance.home),
            Self::P11Kit => daemons = p11kit::start(&instance.home),
            Self::OpenCryptoki => daemons = opencryptoki::start(&instance.home),
            Self::Nss => {}
            Self::YubiKey => {
                let (started, ports) = yubikey::start(&instance.home);
                instance.hold(ports);
                daemons = started;
            }
        }
        instance.note(&daemons);
        Instance { daemons, _owned: Some(home), ..instance }
    }
}

fn directory() -> tempfile::TempDir {
    let directory = tempfile::Builder::new().prefix("claviger-token-").tempdir();
    directory.unwrap_or_else(|error| panic!("no temporary directory: {error}"))
}

/// One private set of tokens of one module.
#[derive(Debug)]
pub struct Instance {
    provider: Provider,
    home: PathBuf,
    module: PathBuf,
    pin_file: PathBuf,
    // Ended before the directory goes.
    daemons: Vec<Daemon>,
    // Those that were started again.
    later: Mutex<Vec<Daemon>>,
    // Locks of what is one instance's only.
    held: Mutex<Vec<OwnedFd>>,
    // Deletes the directory at the end; absent in the child of `in_own_process`, whose parent owns it.
    _owned: Option<tempfile::TempDir>,
}

impl Instance {
    fn at(provider: Provider, home: PathBuf) -> Self {
        Self {
            provider,
            module: provider.module(),
            pin_file: home.join("pin"),
            home,
            daemons: Vec::new(),
            later: Mutex::default(),
            held: Mutex::default(),
            _owned: None,
        }
    }

    /// Holds this as long as the instance is there.
    fn hold(&self, lock: OwnedFd) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(lock);
    }

    /// Whose module this is.
    pub const fn provider(&self) -> Provider {
        self.provider
    }

    /// The module's shared library.
    pub fn module(&self) -> &Path {
        &self.module
    }

    /// The directory with configuration, tokens and PIN file; free for a test's own files.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The environment that a process needs so that the module finds these tokens, its own variables first; and what
    /// [`Faults`] stands before, for a process that loads that.
    pub fn env(&self) -> Vec<(&'static str, PathBuf)> {
        let mut env = self.own_env();
        env.extend(fault::env(self));
        env
    }

    fn own_env(&self) -> Vec<(&'static str, PathBuf)> {
        match self.provider {
            Provider::SoftHsm => vec![("SOFTHSM2_CONF", softhsm::config(&self.home))],
            Provider::Kryoptic => vec![("KRYOPTIC_CONF", kryoptic::config(&self.home))],
            Provider::Tpm => tpm::env(&self.home),
            Provider::P11Kit => p11kit::env(&self.home),
            Provider::YubiKey => yubikey::env(&self.home),
            Provider::OpenCryptoki | Provider::Nss => Vec::new(),
        }
    }

    /// What `C_Initialize` has to be given so that the module finds these tokens, where the environment cannot say it.
    pub fn init_args(&self) -> Option<String> {
        (self.provider == Provider::Nss).then(|| nss::init_args(&self.home))
    }

    /// A command for this program in a process that finds these tokens: in the environment, and in the namespaces, that
    /// this takes.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let inside = match self.provider {
            Provider::OpenCryptoki => opencryptoki::inside(&self.home),
            _ => Vec::new(),
        };
        let mut command = process::command(&inside, program.as_ref());
        command.envs(self.env());
        command
    }

    /// The URI of the first token.
    pub fn uri(&self) -> String {
        match self.provider {
            Provider::YubiKey => format!("pkcs11:serial={}", self.yubikey(0).serial()),
            _ => format!("pkcs11:token={LABEL}"),
        }
    }

    /// The same with `pin-source=` naming [`Self::pin_file`].
    pub fn uri_with_pin(&self) -> String {
        format!("{}?pin-source=file:{}", self.uri(), self.pin_file.display())
    }

    /// A file (mode 0600) that holds [`PIN`] and a newline.
    pub fn pin_file(&self) -> &Path {
        &self.pin_file
    }

    /// An instance in a directory of its own, which holds what this one's holds now. Only of modules whose tokens are files
    /// and nothing else.
    #[must_use]
    pub fn copy(&self) -> Self {
        let home = directory();
        let from = self.home.join(".");
        process::run(Command::new("cp").arg("-a").arg(from).arg(home.path()), "apt-get install -y coreutils");
        let copy = Self::at(self.provider, home.path().to_owned());
        let (old, new) = (self.home.display().to_string(), copy.home.display().to_string());
        assert!(self.daemons.is_empty(), "{}'s tokens are not files alone", self.provider.name());
        for (_, config) in copy.own_env() {
            fs::read_to_string(&config)
                .and_then(|text| fs::write(&config, text.replace(&old, &new)))
                .unwrap_or_else(|error| panic!("{}: {error}", config.display()));
        }
        Self { _owned: Some(home), ..copy }
    }

    /// Adds a slot whose token is not initialised; most modules show one anyway.
    pub fn add_slot(&self) {
        match self.provider {
            Provider::Kryoptic => drop(kryoptic::add_slot(&self.home)),
            Provider::SoftHsm
            | Provider::P11Kit
            | Provider::Tpm
            | Provider::OpenCryptoki
            | Provider::Nss
            | Provider::YubiKey => {}
        }
    }

    /// Makes one more token, also with a label that is taken; YubiKeys have serial numbers instead. Processes that already
    /// loaded the module may not see it.
    pub fn add_token(&self, label: &str) {
        match self.provider {
            Provider::SoftHsm | Provider::P11Kit => softhsm::add_token(&self.home, label),
            Provider::Kryoptic => kryoptic::add_token(&self.home, label),
            Provider::Tpm => tpm::add_token(&self.home, label),
            Provider::OpenCryptoki => opencryptoki::add_token(&self.home, label),
            Provider::Nss => nss::add_token(&self.home, label, &self.pin_file),
            Provider::YubiKey => drop(self.add_yubikey(&KeySpec::default())),
        }
    }
}

/// SoftHSM with one token.
#[derive(Debug)]
pub struct SoftHsm(Instance);

impl SoftHsm {
    /// A fresh instance with one token, [`LABEL`].
    pub fn new() -> Self {
        Self(Provider::SoftHsm.instance())
    }
}

impl Default for SoftHsm {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for SoftHsm {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self.0
    }
}

/// kryoptic with one token.
#[derive(Debug)]
pub struct Kryoptic(Instance);

impl Kryoptic {
    /// A fresh instance with one token, [`LABEL`].
    pub fn new() -> Self {
        Self(Provider::Kryoptic.instance())
    }
}

impl Default for Kryoptic {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Kryoptic {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self.0
    }
}
