//! What goes wrong, when, and what was counted.

use crate::{at::At, lines::Obeyed, protocol::Command};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// What happens to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// This code is the answer, and pcscd is not asked.
    Instead(u32),
    /// This code is the answer, after pcscd did it.
    After(u32),
    /// The client's connection is closed.
    Drop,
}

#[derive(Debug)]
struct Fault {
    /// Any, when absent.
    command: Option<Command>,
    at: At,
    action: Action,
    seen: u64,
}

/// All faults, and how many commands came.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    injected: Vec<Fault>,
    counts: BTreeMap<Command, u64>,
}

impl Faults {
    /// Counts this command; what is to happen to it, the first that was injected first.
    pub(crate) fn count(&mut self, command: Command) -> Option<Action> {
        *self.counts.entry(command).or_default() += 1;
        let mut action = None;
        for fault in self.injected.iter_mut().filter(|fault| fault.command.is_none_or(|only| only == command))
        {
            fault.seen += 1;
            if fault.at.is(fault.seen) {
                action = action.or(Some(fault.action));
            }
        }
        action
    }
}

/// Does what these words say.
pub(crate) fn obey(words: &[&str], faults: &Mutex<Faults>) -> Obeyed {
    let mut faults = faults.lock().unwrap_or_else(PoisonError::into_inner);
    match words {
        ["inject", command, rest @ ..] => {
            let command = match *command {
                "any" => None,
                name => Some(Command::named(name).ok_or("no such PC/SC command")?),
            };
            let (at, action) = At::parse(rest)?;
            let code = |word: &str| u32::from_str_radix(word, 16).map_err(|_| "no code");
            let action = match action {
                ["drop"] => Action::Drop,
                ["after", word] => Action::After(code(word)?),
                [word] => Action::Instead(code(word)?),
                _ => return Err("no such action"),
            };
            faults.injected.push(Fault { command, at, action, seen: 0 });
        }
        ["clear"] => faults.injected.clear(),
        ["counts"] => {
            let counts = faults.counts.iter().map(|(command, count)| format!("{}={count}", command.name()));
            return Ok(counts.collect::<Vec<_>>().join(" "));
        }
        ["counts", "reset"] => faults.counts.clear(),
        _ => return Err("no such command"),
    }
    Ok(String::new())
}
