//! Checks, and how they are told.

use crate::{
    context::Context,
    error::CliError,
    output::{self, text},
    report,
};
use claviger_gate::ErrorClass;
use serde_json::{Value, json};

/// How a check ended.
enum State {
    Ok,
    Warn,
    Fail(ErrorClass),
}

/// One of them.
struct Check {
    name: &'static str,
    state: State,
    detail: String,
    help: Option<String>,
}

/// What has been looked at, in order.
#[derive(Default)]
pub(crate) struct Checks {
    all: Vec<Check>,
    lenient: bool,
}

impl Checks {
    /// Whether what fails from here on is only warned of: it is about something that nobody named.
    pub(crate) const fn lenient(&mut self, lenient: bool) {
        self.lenient = lenient;
    }

    pub(crate) fn ok(&mut self, name: &'static str, detail: impl Into<String>) {
        self.all.push(Check { name, state: State::Ok, detail: detail.into(), help: None });
    }

    pub(crate) fn warn(&mut self, name: &'static str, detail: impl Into<String>, help: impl Into<String>) {
        self.all.push(Check { name, state: State::Warn, detail: detail.into(), help: Some(help.into()) });
    }

    pub(crate) fn fail(
        &mut self,
        name: &'static str,
        class: ErrorClass,
        detail: impl Into<String>,
        help: impl Into<String>,
    ) {
        let state = if self.lenient { State::Warn } else { State::Fail(class) };
        self.all.push(Check { name, state, detail: detail.into(), help: Some(help.into()) });
    }

    /// The value, or the check failed.
    pub(crate) fn need<T>(
        &mut self,
        name: &'static str,
        outcome: Result<T, impl Into<CliError>>,
    ) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                let error = error.into();
                self.fail(name, error.class(), report::chain(&error), report::help(&error));
                None
            }
        }
    }

    /// Prints them all; the first failure's class becomes the exit code.
    pub(crate) fn tell(&self, context: &Context) -> Result<(), CliError> {
        if context.json() {
            let one = |check: &Check| json!({"name": check.name, "state": word(&check.state), "detail": check.detail, "help": check.help});
            output::print_json(&json!({"checks": self.all.iter().map(one).collect::<Value>()}))?;
        } else {
            output::print(&self.all.iter().map(line).collect::<String>())?;
        }
        self.failed().map_or(Ok(()), Err)
    }

    /// What failed, by the class of the first.
    pub(super) fn failed(&self) -> Option<CliError> {
        let mut failed = self.all.iter().filter_map(|check| match check.state {
            State::Fail(class) => Some(class),
            State::Ok | State::Warn => None,
        });
        let class = failed.next()?;
        Some(CliError::ChecksFailed { failed: failed.count() + 1, all: self.all.len(), class })
    }
}

const fn word(state: &State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Warn => "warn",
        State::Fail(_) => "FAIL",
    }
}

fn line(check: &Check) -> String {
    let help =
        check.help.as_deref().map_or_else(String::new, |help| format!("        do: {}\n", text::plain(help)));
    format!("{:<5} {:<13}  {}\n{help}", word(&check.state), check.name, text::plain(&check.detail))
}
