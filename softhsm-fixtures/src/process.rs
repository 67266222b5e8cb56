//! Child processes: tools that set tokens up, and tests that need an environment of their own.

use crate::{Instance, Provider};
use std::{env, ffi::OsStr, fs, io::Write as _, path::PathBuf, process::Command, thread, time::Duration};

const HOME: &str = "CLAVIGER_FIXTURE_HOME";
const PROVIDER: &str = "CLAVIGER_FIXTURE_PROVIDER";
/// Says that a body came to its end.
const DONE: &str = "done";
/// Modules can lock up; a test in one then fails instead of holding all others.
const LIMIT: Duration = Duration::from_secs(150);

/// Where Debian and others keep libraries.
const LIBRARIES: [&str; 7] = [
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu/nss",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu/nss",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
];

/// The library of this name, wherever the system keeps it; panics with the command that installs it.
pub(crate) fn installed(library: &str, install: &str) -> PathBuf {
    let mut places = LIBRARIES.iter().map(|directory| PathBuf::from(directory).join(library));
    places.find(|path| path.exists()).unwrap_or_else(|| panic!("{library} is missing: {install}"))
}

/// A program that is started through others.
pub(crate) fn command(through: &[String], program: impl AsRef<OsStr>) -> Command {
    let Some((first, rest)) = through.split_first() else { return Command::new(program) };
    let mut command = Command::new(first);
    command.args(rest).arg(program);
    command
}

/// Runs a tool to its end; what it printed. Panics with what it said, or with the command that installs it.
pub(crate) fn run(command: &mut Command, install: &str) -> String {
    let program = command.get_program().to_owned();
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{} cannot run ({error}): {install}", program.display()));
    assert!(
        output.status.success(),
        "{} failed ({}): {}{}\n(needs: {install})",
        program.display(),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs `body` in a process of its own, with a fresh [`Instance`] of the provider that this process's environment names.
///
/// `test` is the test function's path as libtest knows it: `concat!(module_path!(), "::name")`. Call this as the only
/// statement of a `#[test]`: it starts the test binary again for that one test, and there the body runs.
pub fn in_own_process(test: &str, provider: Provider, body: impl FnOnce(&Instance)) {
    in_own_processes(test, &[provider], body, |_| ());
}

/// The same once for each of these providers, one after the other; `after` sees each instance when its body has run.
pub fn in_own_processes(
    test: &str,
    providers: &[Provider],
    body: impl FnOnce(&Instance),
    mut after: impl FnMut(&Instance),
) {
    if let Some(home) = env::var_os(HOME) {
        let named = env::var(PROVIDER).unwrap_or_default();
        let provider = providers.iter().find(|provider| provider.name() == named);
        let provider = provider.unwrap_or_else(|| panic!("{PROVIDER} is `{named}`"));
        run_here(body, &Instance::at(*provider, PathBuf::from(home)));
        return;
    }
    // libtest leaves the crate's own name out of its paths.
    let name = test.split_once("::").map_or(test, |(_, name)| name);
    for provider in providers {
        let instance = provider.instance();
        run_again(name, &instance);
        after(&instance);
    }
}

fn run_here(body: impl FnOnce(&Instance), instance: &Instance) {
    thread::spawn(|| {
        thread::sleep(LIMIT);
        let _ = writeln!(
            std::io::stderr(),
            "no end after {LIMIT:?}: the module, or the code that calls it, hangs"
        );
        std::process::abort();
    });
    body(instance);
    let done = instance.home().join(DONE);
    fs::write(&done, "").unwrap_or_else(|error| panic!("{}: {error}", done.display()));
}

fn run_again(name: &str, instance: &Instance) {
    let output = env::current_exe()
        .and_then(|binary| {
            instance
                .command(binary)
                .args(["--exact", name, "--include-ignored", "--nocapture", "--test-threads=1"])
                .env(HOME, instance.home())
                .env(PROVIDER, instance.provider().name())
                .output()
        })
        .unwrap_or_else(|error| panic!("the test binary does not start again: {error}"));
    assert!(
        output.status.success(),
        "{name} failed in its own process ({}):\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    // A child that found no test of that name passes too.
    assert!(instance.home().join(DONE).exists(), "no test is called `{name}`");
}

#[cfg(test)]
mod tests;
