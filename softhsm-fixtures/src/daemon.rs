//! Programs that a fixture starts and ends by their process id, with it.

use std::{
    fs,
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

    /// Waits until it has made this file.
    pub(crate) fn wait_for(&mut self, path: &Path) {
        self.wait_until(|| path.exists());
    }

    /// Waits until it listens on this socket. That there is one does not say so: between bind and listen it refuses.
    pub(crate) fn wait_for_socket(&mut self, path: &Path) {
        self.wait_until(|| listens(path));
    }

    /// Waits until it is ready.
    pub(crate) fn wait_until(&mut self, ready: impl FnMut() -> bool) {
        self.ready_within(PATIENCE, ready).unwrap_or_else(|why| panic!("{why}"));
    }

    /// Waits so long; or says why it is not ready then.
    pub(crate) fn ready_within(
        &mut self,
        patience: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<(), String> {
        let deadline = Instant::now() + patience;
        while !ready() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!(
                    "{} ended at once ({status}); is it installed? {}",
                    self.name, self.install
                ));
            }
            if Instant::now() >= deadline {
                return Err(format!("{} is not ready after {patience:?}", self.name));
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

/// Whether a process of this network namespace listens on this Unix socket; seen without a connection, of which some
/// servers accept only one.
fn listens(path: &Path) -> bool {
    /// `__SO_ACCEPTCON` in the fourth column (proc(5)).
    const ACCEPTS: &str = "00010000";
    const SOCKETS: &str = "/proc/net/unix";
    let sockets = fs::read(SOCKETS).unwrap_or_else(|error| panic!("{SOCKETS}: {error}"));
    // Others may call theirs whatever they like.
    String::from_utf8_lossy(&sockets).lines().any(|line| {
        let mut columns = line.split_ascii_whitespace().skip(3);
        columns.next() == Some(ACCEPTS) && columns.nth(3).is_some_and(|end| Path::new(end) == path)
    })
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
