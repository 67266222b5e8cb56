//! Modules: loaded by path, initialised once per process however many users they have, finalised with the last.

mod connections;

use super::{fault::Fault, ffi::Raw};
use crate::{ModuleSettings, ModuleSpec, TokenError};
use cryptoki::error::RvError;
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// Pauses between attempts to initialise: modules race with other processes that write the same token.
pub(super) const BACKOFF: [Duration; 4] = [
    Duration::from_millis(10),
    Duration::from_millis(30),
    Duration::from_millis(90),
    Duration::from_millis(270),
];

/// What a process has to know about a module that it uses.
struct Usage {
    // One function list for all: some modules hand out another instance of themselves with each.
    raw: Arc<Raw>,
    users: usize,
    // False where somebody else in this process had initialised it: then it is not ours to finalise.
    ours: bool,
    // In which process it was initialised: a forked child has to do it again (PKCS#11 v2.40, section 5.4).
    process: u32,
    // Whether it has sockets or devices open since.
    connected: bool,
}

impl Usage {
    fn new(raw: Arc<Raw>, settings: &ModuleSettings) -> Result<Self, Fault> {
        let before = connections::open_now();
        let ours = initialise(&raw, settings)?;
        let connected = !connections::open_now().is_subset(&before);
        Ok(Self { raw, users: 1, ours, process: process::id(), connected })
    }

    /// Initialises it in a forked child. One that says that it is initialised already has not noticed: it works with what
    /// it has of the parent's. With files that goes well. A connection would be spoken into by two; a TPM takes that for
    /// wrong passwords, and locks itself.
    fn in_this_process(&mut self, path: &Path, settings: &ModuleSettings) -> Result<(), TokenError> {
        if self.process == process::id() {
            return Ok(());
        }
        let ours = initialise(&self.raw, settings)?;
        if !ours && self.connected {
            return Err(TokenError::ModuleUnusable {
                module: path.display().to_string(),
                reason: "this is a forked process, and the module uses its parent's connection".to_owned(),
            });
        }
        // What it has of the parent's is not finalised either.
        self.ours = ours;
        self.process = process::id();
        Ok(())
    }
}

/// By the library's real path. `C_Initialize` and `C_Finalize` are called under this lock, so that one user's end cannot meet
/// another's beginning.
static IN_USE: Mutex<BTreeMap<PathBuf, Usage>> = Mutex::new(BTreeMap::new());

/// A loaded and initialised module.
pub(super) struct Module {
    path: PathBuf,
    pub(super) raw: Arc<Raw>,
    pub(super) settings: ModuleSettings,
}

impl Module {
    /// Loads and initialises the module. The path is never searched for: it names one file.
    pub(super) fn open(spec: &ModuleSpec) -> Result<Arc<Self>, TokenError> {
        let ModuleSpec { path: given, settings } = spec;
        let unusable =
            |reason: String| TokenError::ModuleUnusable { module: given.display().to_string(), reason };
        let path = given.canonicalize().map_err(|error| unusable(error.to_string()))?;
        let mut in_use = in_use();
        if let Some(usage) = in_use.get_mut(&path) {
            usage.in_this_process(given, settings)?;
            usage.users += 1;
            return Ok(Arc::new(Self { path, raw: Arc::clone(&usage.raw), settings: settings.clone() }));
        }
        let raw = Arc::new(Raw::load(&path, given)?);
        let usage = Usage::new(Arc::clone(&raw), settings)
            .map_err(|fault| unusable(format!("C_Initialize answered {}", super::fault::name(fault.rv))))?;
        in_use.insert(path.clone(), usage);
        Ok(Arc::new(Self { path, raw, settings: settings.clone() }))
    }

    /// Initialises it once more, after a call answered that it is not.
    pub(super) fn initialise_again(&self) -> Result<(), TokenError> {
        let mut in_use = in_use();
        let ours = initialise(&self.raw, &self.settings)?;
        if let Some(usage) = in_use.get_mut(&self.path) {
            usage.ours = ours || (usage.ours && usage.process == process::id());
            usage.process = process::id();
        }
        Ok(())
    }

    /// Initialises it, if this is a forked child and nobody has done so here.
    pub(super) fn in_this_process(&self) -> Result<(), TokenError> {
        in_use().get_mut(&self.path).map_or(Ok(()), |usage| usage.in_this_process(&self.path, &self.settings))
    }

    /// Finalises and initialises it, so that it looks at its slots with fresh eyes. `false`, and nothing done, where another
    /// user in this process would lose its sessions by that; the caller has none itself.
    pub(super) fn restart(self: &Arc<Self>) -> Result<bool, TokenError> {
        let in_use = in_use();
        if !self.is_alone(&in_use) {
            return Ok(false);
        }
        self.raw.finalize()?;
        initialise(&self.raw, &self.settings)?;
        Ok(true)
    }

    /// Whether [`Self::restart`] would do anything.
    pub(super) fn can_restart(self: &Arc<Self>) -> bool {
        self.is_alone(&in_use())
    }

    fn is_alone(self: &Arc<Self>, in_use: &BTreeMap<PathBuf, Usage>) -> bool {
        in_use.get(&self.path).is_some_and(|usage| usage.ours && usage.users == 1)
            && Arc::strong_count(self) == 1
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let mut in_use = in_use();
        let Some(usage) = in_use.get_mut(&self.path) else { return };
        usage.users -= 1;
        if usage.users == 0 {
            // What a forked child has not initialised is its parent's.
            if usage.ours && usage.process == process::id() {
                // At the end there is nobody left to tell.
                let _ = self.raw.finalize();
            }
            in_use.remove(&self.path);
        }
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("path", &self.path).finish_non_exhaustive()
    }
}

fn in_use() -> MutexGuard<'static, BTreeMap<PathBuf, Usage>> {
    // The map is consistent at every step, so a panic elsewhere does not spoil it.
    IN_USE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether it was this call that initialised the module.
fn initialise(raw: &Raw, settings: &ModuleSettings) -> Result<bool, Fault> {
    match with_patience(|| raw.initialize(settings.init_args.as_deref())) {
        Ok(()) => Ok(true),
        Err(Fault { rv: RvError::CryptokiAlreadyInitialized, .. }) => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// Tries again, a few times and not for long, what fails while another process writes the token.
pub(super) fn with_patience<T>(mut attempt: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    for pause in BACKOFF {
        match attempt() {
            Err(fault) if fault.may_pass() => thread::sleep(pause),
            outcome => return outcome,
        }
    }
    attempt()
}
