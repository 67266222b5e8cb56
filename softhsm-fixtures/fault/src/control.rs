//! The control file: its grammar is described at the head of the crate.

use crate::interpose::NAMES;
use cryptoki_sys::{CK_FLAGS, CK_MECHANISM_TYPE, CK_RV, CK_ULONG};
use std::time::Duration;

/// What the control file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Control {
    pub(crate) generation: u64,
    rules: Vec<Rule>,
}

#[derive(Debug, PartialEq, Eq)]
struct Rule {
    function: &'static str,
    when: When,
    action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Call(u64),
    From(u64),
}

/// What is to happen at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Return(CK_RV),
    After(CK_RV),
    Delay(Duration),
    Abort,
    Segv,
    Intrude,
    Logout,
    CloseSessions,
    Finalize,
    Reinitialize,
    Remove(CK_RV),
    Length(CK_ULONG),
    Flip(u64),
    OwnIv,
    Mechanism { vendor: CK_MECHANISM_TYPE, standard: CK_MECHANISM_TYPE },
    Flags { set: CK_FLAGS, clear: CK_FLAGS },
    Null,
}

impl Control {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        let Some(generation) = lines.next() else { return Ok(Self::default()) };
        let generation = number(generation).ok_or("line 1: no generation")?;
        let rules = lines.enumerate().map(|(index, line)| {
            Rule::parse(line).map_err(|reason| format!("line {}: {reason} in `{line}`", index + 2))
        });
        Ok(Self { generation, rules: rules.collect::<Result<_, _>>()? })
    }

    /// What is to happen at this function's call of this number, counted from 1.
    pub(crate) fn due(&self, function: &str, call: u64) -> Vec<Action> {
        let due = self.rules.iter().filter(|rule| {
            rule.function == function
                && match rule.when {
                    When::Call(number) => call == number,
                    When::From(number) => call >= number,
                }
        });
        due.map(|rule| rule.action).collect()
    }

    /// Whether the function is missing from the list.
    pub(crate) fn is_null(&self, function: &str) -> bool {
        self.rules.iter().any(|rule| rule.function == function && rule.action == Action::Null)
    }
}

impl Rule {
    fn parse(line: &str) -> Result<Self, &'static str> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [function, when, action, arguments @ ..] = &words[..] else { return Err("too few words") };
        Ok(Self {
            function: NAMES.iter().find(|name| *name == function).ok_or("no such function")?,
            when: When::parse(when).ok_or("no such WHEN")?,
            action: Action::parse(action, arguments).ok_or("no such ACTION")?,
        })
    }
}

impl When {
    fn parse(word: &str) -> Option<Self> {
        let counted = |word| number(word).filter(|number| *number > 0);
        match word.strip_suffix('+') {
            _ if word == "every" => Some(Self::From(1)),
            Some(first) => counted(first).map(Self::From),
            None => counted(word).map(Self::Call),
        }
    }
}

impl Action {
    fn parse(name: &str, arguments: &[&str]) -> Option<Self> {
        Some(match (name, arguments) {
            ("return", [ckr]) => Self::Return(number(ckr)?),
            ("after", [ckr]) => Self::After(number(ckr)?),
            ("delay", [milliseconds]) => Self::Delay(Duration::from_millis(number(milliseconds)?)),
            ("abort", []) => Self::Abort,
            ("segv", []) => Self::Segv,
            ("intrude", []) => Self::Intrude,
            ("logout", []) => Self::Logout,
            ("close-sessions", []) => Self::CloseSessions,
            ("finalize", []) => Self::Finalize,
            ("reinitialize", []) => Self::Reinitialize,
            ("remove", [ckr]) => Self::Remove(number(ckr)?),
            ("length", [length]) => Self::Length(number(length)?),
            ("flip", [bit]) => Self::Flip(number(bit)?),
            ("own-iv", []) => Self::OwnIv,
            ("mechanism", [pair]) => {
                let (vendor, standard) = pair.split_once('=')?;
                Self::Mechanism { vendor: number(vendor)?, standard: number(standard)? }
            }
            ("flags", [set, clear]) => Self::Flags { set: number(set)?, clear: number(clear)? },
            ("null", []) => Self::Null,
            _ => return None,
        })
    }
}

fn number<T: TryFrom<u64>>(word: &str) -> Option<T> {
    let number = match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => word.parse(),
    };
    T::try_from(number.ok()?).ok()
}

#[cfg(test)]
mod tests;
