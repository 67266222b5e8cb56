//! A module that stands before an instance's own and fails as a test says.
//!
//! It is the package `softhsm-fixtures/fault`, built on first use; what it can do is described at the head of its crate.

use crate::{Instance, built};
use std::{
    env, fmt, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{Duration, SystemTime},
};

/// At which calls of a function, counted from 1 since the last [`Faults::inject`] or [`Faults::clear`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// At this one.
    Nth(u64),
    /// At all.
    Every,
    /// At this one and all later ones.
    From(u64),
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The answer is this return value, and the real module is not called.
    Return(u64),
    /// The answer is this return value, after the real module was called.
    After(u64),
    /// The call takes so much longer.
    Delay(Duration),
    /// The process aborts.
    Abort,
    /// The process dies of a segmentation fault.
    Segv,
    /// First, the module tries what [`Faults::targets`] names.
    Intrude,
    /// First, somebody else logs out.
    Logout,
    /// First, all sessions are closed.
    CloseSessions,
    /// First, the module is finalised.
    Finalize,
    /// First, the module is finalised and initialised again.
    Reinitialize,
    /// First, the token is pulled; sessions answer this until it is put back by [`Faults::inject`] or [`Faults::clear`].
    Remove(u64),
    /// The length or count that comes back is this.
    Length(u64),
    /// This bit of what comes back is flipped.
    Flip(u64),
    /// `C_EncryptInit` with AES-GCM uses an IV of the module's own, and writes it over the caller's.
    OwnIv,
    /// What the standard calls `standard` is called `vendor` here.
    Mechanism {
        /// The vendor's number.
        vendor: u64,
        /// The standard's number, which is unknown here.
        standard: u64,
    },
    /// `C_GetTokenInfo` shows these flags set and those clear.
    Flags {
        /// `CKF_*` that are set.
        set: u64,
        /// `CKF_*` that are not.
        clear: u64,
    },
    /// The function is missing from the list, for whoever loads the module from now on; at whatever calls.
    Null,
}

/// A call that the module has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The C function.
    pub function: String,
    /// The answer.
    pub rv: u64,
}

/// The faulty module before one instance's, and what is wrong with it.
///
/// [`Instance::env`] says to a process where both are, so its control file is the same wherever this is made.
#[derive(Debug)]
pub struct Faults {
    module: PathBuf,
    control: PathBuf,
    log: PathBuf,
}

impl Faults {
    /// In front of this instance's module.
    pub fn of(instance: &Instance) -> Self {
        let control = control(instance.home());
        Self { module: module(), log: control.with_extension("log"), control }
    }

    /// The faulty module.
    pub fn module(&self) -> &Path {
        &self.module
    }

    /// From now on one thing goes wrong and nothing else.
    pub fn inject(&self, function: &str, at: At, action: Action) {
        self.inject_all(&[(function, at, action)]);
    }

    /// From now on these things go wrong and nothing else.
    pub fn inject_all(&self, faults: &[(&str, At, Action)]) {
        // Another number each time, also of another process.
        let generation =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let lines = faults.iter().map(|(function, at, action)| format!("\n{function} {at} {action}"));
        let text = std::iter::once(generation.to_string()).chain(lines).collect::<String>();
        let new = self.control.with_extension("new");
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &self.control))
            .and_then(|()| fs::write(&self.log, ""))
            .unwrap_or_else(|error| panic!("{}: {error}", self.control.display()));
    }

    /// From now on nothing goes wrong.
    pub fn clear(&self) {
        self.inject_all(&[]);
    }

    /// What [`Action::Intrude`] tries: `exec PATH`, `read PATH`, `write PATH`, `chmod PATH`, `connect PORT`, `datagram PORT`,
    /// `signal PID`, `fork ONCE`.
    pub fn targets(&self, attempts: &[String]) {
        let path = self.control.with_extension("targets");
        fs::write(&path, attempts.join("\n")).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// How each attempt ended: itself, and `done` or the system's refusal.
    pub fn intruded(&self) -> Vec<(String, String)> {
        let path = self.control.with_extension("intruded");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let outcome = |line: &str| line.split_once(": ").map(|(what, how)| (what.to_owned(), how.to_owned()));
        text.lines().filter_map(outcome).collect()
    }

    /// What was called since the last [`Faults::inject`] or [`Faults::clear`], by all processes.
    pub fn calls(&self) -> Vec<Call> {
        let text = match fs::read_to_string(&self.log) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            text => text.unwrap_or_else(|error| panic!("{}: {error}", self.log.display())),
        };
        let call = |line: &str| {
            let (function, rv) = line.split_once(" 0x")?;
            Some(Call { function: function.to_owned(), rv: u64::from_str_radix(rv, 16).ok()? })
        };
        text.lines().map(|line| call(line).unwrap_or_else(|| panic!("no call: {line}"))).collect()
    }

    /// How often this function was called since then.
    pub fn count(&self, function: &str) -> usize {
        self.calls().iter().filter(|call| call.function == function).count()
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nth(call) => write!(f, "{call}"),
            Self::Every => f.write_str("every"),
            Self::From(call) => write!(f, "{call}+"),
        }
    }
}

/// In the words of the control file.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Return(rv) => write!(f, "return {rv:#x}"),
            Self::After(rv) => write!(f, "after {rv:#x}"),
            Self::Delay(time) => write!(f, "delay {}", time.as_millis()),
            Self::Abort => f.write_str("abort"),
            Self::Segv => f.write_str("segv"),
            Self::Intrude => f.write_str("intrude"),
            Self::Logout => f.write_str("logout"),
            Self::CloseSessions => f.write_str("close-sessions"),
            Self::Finalize => f.write_str("finalize"),
            Self::Reinitialize => f.write_str("reinitialize"),
            Self::Remove(rv) => write!(f, "remove {rv:#x}"),
            Self::Length(length) => write!(f, "length {length:#x}"),
            Self::Flip(bit) => write!(f, "flip {bit}"),
            Self::OwnIv => f.write_str("own-iv"),
            Self::Mechanism { vendor, standard } => write!(f, "mechanism {vendor:#x}={standard:#x}"),
            Self::Flags { set, clear } => write!(f, "flags {set:#x} {clear:#x}"),
            Self::Null => f.write_str("null"),
        }
    }
}

/// What tells the faulty module its part, in a process that may load it.
pub(crate) fn env(instance: &Instance) -> [(&'static str, PathBuf); 2] {
    [
        ("CLAVIGER_FAULT_MODULE", instance.module().to_owned()),
        ("CLAVIGER_FAULT_CONTROL", control(instance.home())),
    ]
}

fn control(home: &Path) -> PathBuf {
    home.join("fault")
}

fn module() -> PathBuf {
    static MODULE: OnceLock<PathBuf> = OnceLock::new();
    MODULE.get_or_init(build).clone()
}

fn build() -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (package, workspace) = (fixtures.join("fault"), fixtures.join(".."));
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
    let module = target.join("debug").join("libclaviger_fault.so");
    let sources =
        fs::read_dir(package.join("src")).unwrap_or_else(|error| panic!("{}: {error}", package.display()));
    let mut sources: Vec<PathBuf> = sources.flatten().map(|entry| entry.path()).collect();
    sources.extend(["Cargo.toml", "build.rs"].map(|file| package.join(file)));
    built::build(&module, &sources, || {
        built::cargo(&["build", "--package", "claviger-fault", "--locked"], &workspace, &target, "rustup");
    });
    module
}

#[cfg(test)]
mod tests;
