//! Real keys' statements, and chains made here that are wrong in one thing each.

mod chains;
mod made;
mod real;
mod samples;
