//! Tracing to standard error, only where it was asked for: setting it up costs time.

use std::{env, io};
use tracing_subscriber::EnvFilter;

/// Turns tracing on as `-v` and `CLAVIGER_LOG` say; by default there is none.
pub(crate) fn start(verbosity: u8) {
    let from_env = env::var("CLAVIGER_LOG").ok().filter(|value| !value.is_empty());
    let filter = match (verbosity, from_env) {
        (0, None) => return,
        (0, Some(filter)) => EnvFilter::new(filter),
        (1, _) => EnvFilter::new("info"),
        (2, _) => EnvFilter::new("debug"),
        _ => EnvFilter::new("trace"),
    };
    // A second subscriber in one process would be refused; there is never one.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(rustix::termios::isatty(rustix::stdio::stderr()))
        .try_init();
}
