//! The child: started when it is first needed, and again after it ended, but not at once each time; ended by a signal that
//! no C code can hold up.

use super::{
    Backend, Sandbox,
    channel::{Channel, Closed},
    wire::{Ask, Told, VERSION},
};
use crate::TokenError;
use std::{
    ffi::OsString,
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::ExitStatusExt as _},
    },
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long the pause before a start is at most, and after how long without an end the next one counts as the first.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const FORGIVEN_AFTER: Duration = Duration::from_mins(1);
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// What the child is, and which module it holds.
#[derive(Debug, Clone)]
pub struct HostSpec {
    /// The program that calls [`super::serve`] on its standard input.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// All of its environment.
    pub env: Vec<(OsString, OsString)>,
    /// What it drives.
    pub backend: Backend,
    /// What the module may do.
    pub sandbox: Sandbox,
    /// How long it may take.
    pub deadlines: Deadlines,
}

/// How long the child may take before it counts as hung and is ended. The time in which a person is asked for a PIN is not
/// counted.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// To start, and for everything but the following; a person may have to touch the token.
    pub call: Duration,
    /// To make a key and test it; an RSA key takes a small chip minutes.
    pub generate: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { call: Duration::from_mins(1), generate: Duration::from_mins(10) }
    }
}

/// A child that runs.
pub(super) struct Running {
    pub(super) channel: Channel,
    /// Counts the children: an object in an earlier one is gone.
    pub(super) generation: u64,
    /// What of its sandbox the kernel does not enforce.
    pub(super) unenforced: Vec<String>,
    child: Mutex<Child>,
}

/// The one child that runs, or why none does.
pub(super) struct Process {
    pub(super) spec: HostSpec,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: Option<Arc<Running>>,
    generation: u64,
    // Ends that came soon after each other.
    ends: u32,
    last_end: Option<Instant>,
    // The last that was ended on purpose.
    ended: u64,
    // One ended by itself while it had a PIN: whether that cost a try, nobody knows.
    ended_with_pin: bool,
}

impl Process {
    pub(super) fn new(spec: HostSpec) -> Self {
        Self { spec, state: Mutex::default() }
    }

    /// The child that runs, started if need be.
    pub(super) fn running(&self) -> Result<Arc<Running>, TokenError> {
        let mut state = self.state();
        if let Some(running) = &state.running {
            return Ok(Arc::clone(running));
        }
        let pause = state
            .last_end
            .map(|ended| (ended + pause_after(state.ends)).saturating_duration_since(Instant::now()));
        if let Some(pause) = pause.filter(|pause| !pause.is_zero()) {
            return Err(TokenError::HostUnusable {
                reason: format!(
                    "it ended {} times in a row; it is started again at the first call in {} ms",
                    state.ends,
                    pause.as_millis()
                ),
            });
        }
        match self.start(state.generation + 1) {
            Ok(running) => {
                let running = Arc::new(running);
                state.generation += 1;
                state.running = Some(Arc::clone(&running));
                Ok(running)
            }
            Err(error) => {
                state.count_an_end();
                Err(error)
            }
        }
    }

    /// What a call answers whose channel was closed: the child is ended, whatever state it is in.
    pub(super) fn crashed(&self, running: &Running, closed: Closed, had_pin: bool) -> TokenError {
        let status = running.end();
        let mut state = self.state();
        // What was ended on purpose has cost no try that nobody knows of.
        state.ended_with_pin |= had_pin && running.generation > state.ended;
        if state.running.as_ref().is_some_and(|now| now.generation == running.generation) {
            state.running = None;
            state.count_an_end();
        }
        drop(state);
        TokenError::ModuleCrashed { module: self.spec.backend.to_string(), how: how(closed, status) }
    }

    /// The same of one whose reply answers something else than what was asked.
    pub(super) fn spoke_nonsense(&self, running: &Running) -> TokenError {
        // Whatever it did with what it was given.
        self.crashed(running, Closed::Nonsense, true)
    }

    /// The child that runs, if one does.
    pub(super) fn now(&self) -> Option<Arc<Running>> {
        self.state().running.clone()
    }

    /// Its process id.
    pub(super) fn id(&self) -> Option<u32> {
        let running = self.now()?;
        let child = running.child.lock().unwrap_or_else(PoisonError::into_inner);
        Some(child.id())
    }

    /// Whether a child ended while it had a PIN.
    pub(super) fn ended_with_pin(&self) -> bool {
        self.state().ended_with_pin
    }

    /// Ends the child, and with it its memory. The next call starts another, as if nothing had been.
    pub(super) fn end(&self) {
        let mut state = self.state();
        if let Some(running) = state.running.take() {
            running.end();
        }
        state.ended = state.generation;
        (state.ends, state.last_end, state.ended_with_pin) = (0, None, false);
    }

    fn start(&self, generation: u64) -> Result<Running, TokenError> {
        let unusable = |reason: String| TokenError::HostUnusable { reason };
        let failed = |error: std::io::Error| unusable(error.to_string());
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        ours.set_write_timeout(Some(self.spec.deadlines.call)).map_err(failed)?;
        let child = Command::new(&self.spec.program)
            .args(&self.spec.args)
            .env_clear()
            .envs(self.spec.env.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            // A terminal there would be one to write into.
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| unusable(format!("{}: {error}", self.spec.program.display())))?;
        let channel = Channel::new(ours).map_err(failed)?;
        let mut running = Running { channel, generation, unenforced: Vec::new(), child: Mutex::new(child) };
        let hello = Ask::Hello {
            version: VERSION,
            backend: self.spec.backend.clone(),
            sandbox: self.spec.sandbox.clone(),
        };
        let told = running.channel.ask(hello).and_then(|exchange| exchange.told(self.spec.deadlines.call));
        match told {
            Ok(Told::Ready { version: VERSION, unenforced }) => {
                running.unenforced = unenforced;
                Ok(running)
            }
            Ok(Told::Failed(error)) => Err(error),
            Ok(_) => Err(unusable("it is of another version of this program".to_owned())),
            Err(closed) => Err(unusable(how(closed, running.end()))),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change to it is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count_an_end(&mut self) {
        let now = Instant::now();
        let long_ago = self.last_end.is_none_or(|last| now.duration_since(last) > FORGIVEN_AFTER);
        self.ends = if long_ago { 1 } else { self.ends.saturating_add(1) };
        self.last_end = Some(now);
    }
}

/// None after the first end: a crash costs one error. Then twice as long each time.
fn pause_after(ends: u32) -> Duration {
    match ends.checked_sub(2) {
        None => Duration::ZERO,
        Some(more) => FIRST_PAUSE.saturating_mul(1 << more.min(16)).min(LONGEST_PAUSE),
    }
}

impl Running {
    /// Ends it and waits until it is gone; how it ended.
    fn end(&self) -> Option<ExitStatus> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // One that ended by itself is not killed, and tells how it was.
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        let _ = child.kill();
        child.wait().ok()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

fn how(closed: Closed, status: Option<ExitStatus>) -> String {
    match (closed, status) {
        (Closed::Late, _) => "gave no answer in time and was ended".to_owned(),
        (Closed::Nonsense, _) => "answered nonsense and was ended".to_owned(),
        (Closed::Ended, Some(status)) => match (status.signal(), status.code()) {
            (Some(signal), _) => format!("crashed its process (signal {signal}{})", named(signal)),
            (None, Some(code)) => format!("ended its process (exit code {code})"),
            (None, None) => "ended its process".to_owned(),
        },
        (Closed::Ended, None) => "ended its process".to_owned(),
    }
}

/// The names of the signals by which C code ends.
const fn named(signal: i32) -> &'static str {
    match signal {
        libc::SIGSEGV => ", SIGSEGV",
        libc::SIGABRT => ", SIGABRT",
        libc::SIGBUS => ", SIGBUS",
        libc::SIGFPE => ", SIGFPE",
        libc::SIGILL => ", SIGILL",
        libc::SIGKILL => ", SIGKILL",
        _ => "",
    }
}
