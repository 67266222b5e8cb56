//! A progress bar on a terminal, for work that takes long enough to wonder.

use claviger_gate::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Work that is done sooner needs no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shows a bar on standard error from the second second on, and nothing where standard error is no terminal.
#[derive(Debug)]
pub(crate) struct Bar {
    started: Instant,
    shown: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stage: &'static str,
    total: Option<u64>,
    done: u64,
    bar: Option<ProgressBar>,
}

impl Bar {
    /// A bar for work that begins now.
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            shown: rustix::termios::isatty(rustix::stdio::stderr()),
            state: Mutex::default(),
        }
    }

    fn draw(&self, state: &mut State) {
        if !self.shown || self.started.elapsed() < PATIENCE {
            return;
        }
        let bar = state.bar.get_or_insert_with(|| begin(state.stage, state.total));
        bar.set_position(state.done);
    }
}

fn begin(stage: &'static str, total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{msg:>12} [{bar:30}] {human_pos}/{human_len}, {eta} left"),
        None => (ProgressBar::new_spinner(), "{msg:>12} {spinner} {human_pos}"),
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(stage);
    bar
}

impl Progress for Bar {
    fn begin(&self, stage: &'static str, total: Option<u64>) {
        let mut now = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = now.bar.take() {
            bar.finish_and_clear();
        }
        *now = State { stage, total, ..State::default() };
        self.draw(&mut now);
    }

    fn advance(&self, steps: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done += steps;
        self.draw(&mut state);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = state.bar.take() {
            bar.finish_and_clear();
        }
    }
}
