//! What the process does for its secrets before it has any.

use rustix::{
    fs::Mode,
    process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask},
};

/// No core dump, no debugger of the same user, no file that others may read.
///
/// Best effort: where the kernel refuses, the program still works, and `claviger doctor` says what is missing.
pub(crate) fn harden() {
    umask(Mode::RWXG | Mode::RWXO);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}
