//! The driver before a card, and a way to it, that fails at the command, and in the way, that each test says.
//!
//! Whatever fails: no panic and no hang, no wrong key, no PIN spent or given twice by itself, no slot overwritten, no key left
//! behind; and work goes on with the same handles once the fault is over.

mod bench;
mod cases;
mod matrix;

pub(crate) use self::matrix::*;
