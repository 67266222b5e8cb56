//! The claviger program.
fn main() {}
