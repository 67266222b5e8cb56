//! What is counted and kept between calls, and the control file as it was last read.

use crate::{
    control::{Action, Control},
    give_up,
};
use cryptoki_sys::CK_RV;
use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs, io,
    sync::{Mutex, MutexGuard, PoisonError},
};

#[derive(Default)]
struct State {
    text: String,
    control: Control,
    calls: BTreeMap<&'static str, u64>,
    // What sessions answer, while the token is away.
    removed: Option<CK_RV>,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

/// Where the control file is.
pub(crate) fn control_file() -> Option<OsString> {
    env::var_os("CLAVIGER_FAULT_CONTROL")
}

/// Counts one call; what is to happen at it.
pub(crate) fn due(function: &'static str) -> Vec<Action> {
    with(|state| {
        let calls = state.calls.entry(function).or_default();
        *calls += 1;
        state.control.due(function, *calls)
    })
}

/// Whether the function is to be missing from the list.
pub(crate) fn is_null(function: &str) -> bool {
    with(|state| state.control.is_null(function))
}

/// From now on the token is away, and its sessions answer this.
pub(crate) fn remove(rv: CK_RV) {
    lock().get_or_insert_default().removed = Some(rv);
}

/// What sessions answer while the token is away.
pub(crate) fn removed() -> Option<CK_RV> {
    lock().as_ref()?.removed
}

/// With the control file as it is now.
fn with<T>(work: impl FnOnce(&mut State) -> T) -> T {
    let mut state = lock();
    let state = state.get_or_insert_default();
    state.read_again();
    work(state)
}

fn lock() -> MutexGuard<'static, Option<State>> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn read_again(&mut self) {
        let Some(path) = control_file() else { return };
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => give_up(&format!("{}: {error}", path.display())),
            Ok(text) => text,
        };
        if text == self.text {
            return;
        }
        let control =
            Control::parse(&text).unwrap_or_else(|reason| give_up(&format!("{}: {reason}", path.display())));
        if control.generation != self.control.generation {
            self.calls.clear();
            self.removed = None;
        }
        (self.text, self.control) = (text, control);
    }
}
