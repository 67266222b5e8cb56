//! Reading a line that is not shown. Echo is off before the question appears, so that nothing typed early is seen; the
//! terminal works byte by byte meanwhile, so that a pasted secret may be longer than the kernel's line of 4095 bytes.

use claviger_types::SecretBytes;
use rustix::{
    io::Errno,
    termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr},
};
use std::{
    fs::File,
    io::{self, Write as _},
};

const INTERRUPT: u8 = 0x03;
const END_OF_FILE: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const CLEAR_LINE: u8 = 0x15;
const ESCAPE: u8 = 0x1b;
const DELETE: u8 = 0x7f;

/// The longest line.
const MAX_BYTES: usize = claviger_types::MAX_VALUE_BYTES;

/// The terminal with echo off; as it was before when this is dropped, whatever happened.
struct Quiet<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn on(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        // Signals are keys here: a process that dies of one would leave the terminal silent.
        quiet.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal, OptionalActions::Now, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // There is nothing else to try.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Shows the question and reads the answer. `Interrupted` when the person gave up.
pub(super) fn read(mut terminal: &File, question: &str) -> io::Result<SecretBytes> {
    let quiet = Quiet::on(terminal)?;
    terminal.write_all(question.as_bytes())?;
    let answer = line(|| next(terminal));
    drop(quiet);
    terminal.write_all(b"\n")?;
    answer
}

fn next(terminal: &File) -> io::Result<Option<u8>> {
    let mut byte = [0];
    loop {
        match rustix::io::read(terminal, &mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(byte.first().copied()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// One line of what the keys say, edited as a line is.
fn line(mut next: impl FnMut() -> io::Result<Option<u8>>) -> io::Result<SecretBytes> {
    let mut answer = SecretBytes::default();
    loop {
        let Some(byte) = next()? else {
            return if answer.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(answer) };
        };
        match byte {
            b'\n' | b'\r' => return Ok(answer),
            INTERRUPT => return Err(io::ErrorKind::Interrupted.into()),
            END_OF_FILE if answer.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            BACKSPACE | DELETE => {
                let kept = answer.expose().iter().rposition(|byte| !is_continuation(*byte)).unwrap_or(0);
                answer = SecretBytes::copy_of(answer.expose().get(..kept).unwrap_or_default());
            }
            CLEAR_LINE => answer = SecretBytes::default(),
            ESCAPE => skip_key(&mut next)?,
            // A key without a letter.
            0..=0x1f => {}
            _ if answer.len() == MAX_BYTES => return Err(io::ErrorKind::FileTooLarge.into()),
            _ => answer.extend(&[byte]),
        }
    }
}

/// Whether the byte goes on with a character that another one began (RFC 3629).
const fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// Passes over the rest of an arrow or function key: `ESC [ ... final` or `ESC O final` (ECMA-48, section 5.4).
fn skip_key(next: &mut impl FnMut() -> io::Result<Option<u8>>) -> io::Result<()> {
    match next()? {
        Some(b'[') => while next()?.is_some_and(|byte| !(0x40..=0x7e).contains(&byte)) {},
        Some(b'O') => drop(next()?),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests;
