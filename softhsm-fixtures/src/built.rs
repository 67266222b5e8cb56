//! Modules that a fixture builds from source on first use.

use crate::process;
use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

/// Builds a module unless it is there and newer than its sources; one process builds, the others wait.
pub(crate) fn build(module: &Path, sources: &[PathBuf], build: impl FnOnce()) {
    let directory = module.parent().unwrap_or(module);
    fs::create_dir_all(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let lock = module.with_extension("lock");
    let lock = File::create(&lock)
        .and_then(|file| file.lock().map(|()| file))
        .unwrap_or_else(|error| panic!("{}: {error}", lock.display()));
    if changed(module) > sources.iter().map(|source| changed(source)).max().flatten() {
        return;
    }
    build();
    // A build that had nothing to do leaves the module's time alone, which would send every later test here again.
    let touched = File::open(module).and_then(|file| file.set_modified(SystemTime::now()));
    touched.unwrap_or_else(|error| panic!("{}: {error}", module.display()));
    drop(lock);
}

/// Runs cargo in this directory, with this target directory.
pub(crate) fn cargo(arguments: &[&str], directory: &Path, target: &Path, install: &str) {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments).current_dir(directory).env("CARGO_TARGET_DIR", target);
    process::run(&mut cargo, install);
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|meta| meta.modified()).ok()
}
