//! What goes wrong between clients and pcscd.

use super::{key::when, line, pcscd};
use crate::At;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// What happens to a command of a client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PcscFault {
    /// This PC/SC code is the answer, and pcscd is not asked.
    Instead(u32),
    /// This PC/SC code is the answer, after pcscd did it.
    After(u32),
    /// The client's connection is closed.
    Drop,
}

/// The way between an instance's clients and its pcscd.
///
/// Commands are `establish-context`, `release-context`, `connect`, `reconnect`, `disconnect`, `begin`, `end`, `transmit`,
/// `status`, `version`, `readers` (the table of readers, which is without readers whatever the code), or `any`.
#[derive(Debug, Clone)]
pub struct PcscFaults {
    control: PathBuf,
}

impl PcscFaults {
    pub(super) fn of(home: &Path) -> Self {
        Self { control: pcscd::proxy_control(home) }
    }

    /// From now on this goes wrong too; commands are counted from here.
    pub fn inject(&self, command: &str, at: At, fault: PcscFault) {
        let fault = match fault {
            PcscFault::Instead(code) => format!("{code:08x}"),
            PcscFault::After(code) => format!("after {code:08x}"),
            PcscFault::Drop => "drop".to_owned(),
        };
        line::tell(&self.control, &format!("inject {command} {} {fault}", when(at)));
    }

    /// From now on nothing goes wrong.
    pub fn clear(&self) {
        line::tell(&self.control, "clear");
    }

    /// How many of each command came since pcscd was started, or [`Self::reset_counts`].
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let answer = line::tell(&self.control, "counts");
        line::counts(&answer).map(|(command, count)| (command.to_owned(), count)).collect()
    }

    /// Counts from zero.
    pub fn reset_counts(&self) {
        line::tell(&self.control, "counts reset");
    }
}
