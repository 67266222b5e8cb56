//! What goes wrong, when, and what was counted.

use crate::at::At;
use std::{collections::BTreeMap, time::Duration};

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// This status is the answer, and the card does nothing.
    Status(u16),
    /// This status is the answer, after the card did it.
    After(u16),
    /// The answer's data have this length.
    Length(usize),
    /// This bit of the answer's data is flipped.
    Flip(usize),
    /// It says that it agreed on a secret, and does nothing.
    Secret,
    /// The card is pulled instead.
    Remove,
    /// The card is pulled after it did it.
    RemoveAfter,
    /// First, the card loses what it knows since it has power.
    Reset,
    /// It takes so much longer.
    Delay(Duration),
}

#[derive(Debug)]
struct Fault {
    /// Any instruction, when absent.
    ins: Option<u8>,
    at: At,
    action: Action,
    seen: u64,
}

/// All faults of a card, and how many commands it got.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    injected: Vec<Fault>,
    counts: BTreeMap<u8, u64>,
    touches: u64,
}

impl Faults {
    pub(crate) fn inject(&mut self, ins: Option<u8>, at: At, action: Action) {
        self.injected.push(Fault { ins, at, action, seen: 0 });
    }

    pub(crate) fn clear(&mut self) {
        self.injected.clear();
    }

    /// Counts this command; what is to go wrong with it, in the order in which it was injected.
    pub(crate) fn count(&mut self, ins: u8) -> Vec<Action> {
        *self.counts.entry(ins).or_default() += 1;
        let mut actions = Vec::new();
        for fault in self.injected.iter_mut().filter(|fault| fault.ins.is_none_or(|only| only == ins)) {
            fault.seen += 1;
            if fault.at.is(fault.seen) {
                actions.push(fault.action);
            }
        }
        actions
    }

    pub(crate) fn count_touch(&mut self) {
        self.touches += 1;
    }

    /// `INS=COUNT` for each that came, and `touches=COUNT`.
    pub(crate) fn counts(&self) -> String {
        let counts = self.counts.iter().map(|(ins, count)| format!("{ins:02x}={count} "));
        format!("{}touches={}", counts.collect::<String>(), self.touches)
    }

    pub(crate) fn reset_counts(&mut self) {
        self.counts.clear();
        self.touches = 0;
    }
}
