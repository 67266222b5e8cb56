//! The machine: what it does with memory, and its clock.

use super::Checks;
use crate::output::text;
use claviger_gate::ErrorClass;
use claviger_types::{Clock as _, SystemClock, Timestamp};
use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};
use std::fs;

/// No clock that is right shows a moment before this one: 2026-01-01.
const NOT_BEFORE: Timestamp = Timestamp::from_millis(1_767_225_600_000);
/// Nor after this one: 2100-01-01.
const NOT_AFTER: Timestamp = Timestamp::from_millis(4_102_444_800_000);

pub(super) fn process(checks: &mut Checks) {
    let no_core = getrlimit(Resource::Core).current == Some(0);
    let hidden = dumpable_behavior().is_ok_and(|now| now == DumpableBehavior::NotDumpable);
    if no_core && hidden {
        checks.ok("core dumps", "off for this program");
    } else {
        checks.warn("core dumps", "the kernel does not let this program turn them off", "ulimit -c 0");
    }
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    match swaps.lines().skip(1).count() {
        0 => checks.ok("swap", "none"),
        some => checks.warn(
            "swap",
            format!("{some} in use: memory may be written to disk"),
            "encrypt it, or turn it off with: swapoff -a",
        ),
    }
}

/// Whether it shows a time that can be.
pub(crate) fn clock(checks: &mut Checks) {
    clock_shows(checks, SystemClock.now());
}

fn clock_shows(checks: &mut Checks, now: Timestamp) {
    if (NOT_BEFORE..NOT_AFTER).contains(&now) {
        checks.ok("clock", text::time(now));
    } else {
        checks.fail(
            "clock",
            ErrorClass::Other,
            format!("it shows {}", text::time(now)),
            "timedatectl set-ntp true",
        );
    }
}

#[cfg(test)]
mod tests;
