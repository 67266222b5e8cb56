//! Talk with a program that obeys lines.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

/// The socket that the program of this file or directory obeys.
pub(super) fn control(of: &Path) -> PathBuf {
    of.with_added_extension("control")
}

/// What it answers to this line; panics when that is an error.
pub(super) fn tell(control: &Path, line: &str) -> String {
    let mut answer = String::new();
    UnixStream::connect(control)
        .and_then(|mut stream| {
            stream.write_all(format!("{line}\n").as_bytes())?;
            BufReader::new(stream).read_line(&mut answer)
        })
        .unwrap_or_else(|error| panic!("{}: {error}", control.display()));
    let rest = answer.trim_end().strip_prefix("ok");
    rest.unwrap_or_else(|| panic!("{}: {answer}", control.display())).trim_start().to_owned()
}

/// `NAME=COUNT` each.
pub(super) fn counts(answer: &str) -> impl Iterator<Item = (&str, u64)> {
    answer.split_whitespace().filter_map(|word| {
        let (name, count) = word.split_once('=')?;
        Some((name, count.parse().ok()?))
    })
}
