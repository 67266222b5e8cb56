//! Reads a manifest of envelopes on standard input and opens all of them with the keys that it tells, as the vault
//! would, but without a token: `tests/interop/check.py` has other libraries write what this reads. Exit code 1 with a
//! word on the first that does not open to what the manifest says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    dead_code,
    reason = "it shares code with the tests"
)]

#[path = "../tests/envelope/manifest.rs"]
mod manifest;
#[path = "../tests/envelope/software.rs"]
mod software;

use manifest::Manifest;
use std::process::ExitCode;

fn main() -> ExitCode {
    let manifest: Manifest = match serde_json::from_reader(std::io::stdin()) {
        Ok(manifest) => manifest,
        Err(error) => {
            eprintln!("no manifest: {error}");
            return ExitCode::FAILURE;
        }
    };
    let entries = manifest.entries();
    for (number, entry) in entries.iter().enumerate() {
        if let Err(failure) = manifest.open(*entry, &manifest.bytes(*entry)) {
            eprintln!("envelope {number}: {failure:?}");
            return ExitCode::FAILURE;
        }
    }
    println!("{}: opened {} by claviger", manifest.comment, entries.len());
    ExitCode::SUCCESS
}
