//! The log of calls, by which a test sees what was called and how it was answered.

use crate::{give_up, state::control_file};
use cryptoki_sys::CK_RV;
use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    sync::OnceLock,
};

/// One write per line, so that lines of several threads and processes do not mix.
pub(crate) fn call(function: &str, rv: CK_RV) {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    let Some(mut file) = FILE.get_or_init(open).as_ref() else { return };
    if let Err(error) = file.write_all(format!("{function} {rv:#x}\n").as_bytes()) {
        give_up(&format!("the log: {error}"));
    }
}

fn open() -> Option<File> {
    let mut path = control_file()?;
    path.push(".log");
    let file = OpenOptions::new().create(true).append(true).open(&path);
    Some(file.unwrap_or_else(|error| give_up(&format!("{}: {error}", path.display()))))
}
