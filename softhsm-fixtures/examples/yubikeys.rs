//! A command with virtual YubiKeys plugged in: `yubikeys [COUNT] [COMMAND [ARGUMENT]...]`, or a shell.
//!
//! Their PIN is 123456, their PUK 12345678. `$YUBIKEYS/key-0.control` and its like are sockets that obey a line each: `remove`,
//! `insert`, `touch never`, `touch auto`, and what else softhsm-fixtures/yubikey/src/control.rs names.
#![allow(clippy::panic)]

use softhsm_fixtures::{KeySpec, Provider};
use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1).peekable();
    let count = arguments.peek().and_then(|word| word.to_str()?.parse().ok());
    if count.is_some() {
        arguments.next();
    }
    let instance = Provider::YubiKey.instance();
    for _ in 1..count.unwrap_or(1_usize) {
        instance.add_yubikey(&KeySpec::default());
    }
    let shell = env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    let program = arguments.next().unwrap_or(shell);
    let mut command = instance.command(&program);
    let status = command.args(arguments).env("YUBIKEYS", instance.home()).status();
    let status = status.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
