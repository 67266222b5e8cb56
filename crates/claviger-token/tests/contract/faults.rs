//! The driver before a module that fails at the call, and in the way, that each test says.
//!
//! Whatever fails: no panic and no hang, no wrong key, no PIN asked for or tried again while the login stands, an error that
//! says what happened, and work goes on with the same handles once the fault is over.

mod bench;
mod codes;
mod lengths;
mod losses;
mod matrix;
mod pins;
mod recovery;

pub(crate) use self::{lengths::*, losses::*, matrix::*, pins::*, recovery::*};
