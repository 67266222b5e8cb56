//! Programs that a fixture starts and ends by their process id, with it.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long one may take until it answers; on a machine at work some take seconds.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(10);

/// A running program. It is killed when this is dropped, or when the thread that started it dies first.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    name: String,
    install: &'static str,
}

impl Daemon {
    /// Starts a program that stays in the foreground. What it says goes nowhere.
    pub(crate) fn start(command: &Command, install: &'static str) -> Self {
        Self::start_with(command, Stdio::null(), install)
    }

    /// The same with something for it to hold, or to read.
    pub(crate) fn start_with(command: &Command, input: Stdio, install: &'static str) -> Self {
        let name = command.get_program().display().to_string();
        // The kernel kills it when this thread is gone, however the test ends.
        let mut guarded = Command::new("setpriv");
        guarded.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => guarded.env(key, value),
                None => guarded.env_remove(key),
            };
        }
        let child = guarded
            .stdin(input)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot run ({error}): {install}"));
        Self { child, name, install }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has made this file or socket.
    pub(crate) fn wait_for(&mut self, path: &Path) {
        self.wait_until(|| path.exists());
    }

    /// Waits until it is ready.
    pub(crate) fn wait_until(&mut self, mut ready: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !ready() {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("{} ended at once ({status}); is it installed? {}", self.name, self.install);
            }
            assert!(Instant::now() < deadline, "{} is not ready after {PATIENCE:?}", self.name);
            thread::sleep(PAUSE);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
