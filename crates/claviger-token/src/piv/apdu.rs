//! Commands and answers (ISO/IEC 7816-4): what is sent to a card, cut into pieces that it takes, and its answer put together.

use std::fmt;
use zeroize::Zeroizing;

/// The most data bytes in one command.
const PIECE: usize = 255;
/// The longest answer to one command: 256 bytes and a status word.
pub(super) const LONGEST_ANSWER: usize = 258;
/// More than any object of a card has (3 KiB); one that goes on sending is stopped.
const MOST_DATA: usize = 8192;
/// In the class byte: more of the same command follows.
const CHAINED: u8 = 0x10;
const GET_RESPONSE: u8 = 0xc0;

/// A command, by the name that the standard gives it.
#[derive(Clone, Copy)]
pub(super) struct Command<'a> {
    pub(super) name: &'static str,
    pub(super) ins: u8,
    pub(super) p1: u8,
    pub(super) p2: u8,
    pub(super) data: &'a [u8],
}

/// The two bytes by which a card says how it went (SP 800-73-4 part 1, section 5.6).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Status(pub(super) u16);

impl Status {
    pub(super) const OK: Self = Self(0x9000);
    /// What was to be verified is wrong (SP 800-73-4 lets a card that counts no tries say that of a PIN).
    pub(super) const FAILED: Self = Self(0x6300);
    /// The PIN or a touch is wanting.
    pub(super) const SECURITY: Self = Self(0x6982);
    /// A PIN or PUK without tries.
    pub(super) const BLOCKED: Self = Self(0x6983);
    /// The data are not of the form that it takes.
    pub(super) const WRONG_DATA: Self = Self(0x6a80);
    /// No such object, or no such application.
    pub(super) const NOT_FOUND: Self = Self(0x6a82);
    /// No such key.
    pub(super) const NO_KEY: Self = Self(0x6a88);

    /// The tries that are left after a wrong PIN.
    pub(super) const fn tries_left(self) -> Option<u8> {
        match self.0 {
            0x63c0..=0x63cf => Some((self.0 & 0xf) as u8),
            _ => None,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04X}", self.0)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a card answered. The data may be a secret.
pub(super) struct Answer {
    pub(super) status: Status,
    pub(super) data: Zeroizing<Vec<u8>>,
}

/// Why a card could not be asked, or what it answered is no answer.
#[derive(Debug)]
pub(super) enum Unanswered<E> {
    /// It could not be asked.
    Transport(E),
    /// Not even a status word came: the card was pulled meanwhile.
    Cut,
    /// It never ends.
    Endless,
}

/// Asks a card by `send`, which carries one piece there and the answer back.
pub(super) fn ask<E>(
    command: &Command<'_>,
    mut send: impl FnMut(&[u8], &mut [u8; LONGEST_ANSWER]) -> Result<usize, E>,
) -> Result<Answer, Unanswered<E>> {
    let mut data = Zeroizing::new(Vec::new());
    let mut pieces = command.data.chunks(PIECE).peekable();
    let mut class = 0;
    let status = loop {
        let piece = pieces.next().unwrap_or_default();
        let last = pieces.peek().is_none();
        class = if last { 0 } else { class | CHAINED };
        let header = [class, command.ins, command.p1, command.p2];
        let status = exchange(header, piece, &mut data, &mut send)?;
        if last || status != Status::OK {
            break status;
        }
    };
    Ok(Answer { status, data })
}

/// One piece, and all that comes back for it.
fn exchange<E>(
    header: [u8; 4],
    piece: &[u8],
    data: &mut Zeroizing<Vec<u8>>,
    send: &mut impl FnMut(&[u8], &mut [u8; LONGEST_ANSWER]) -> Result<usize, E>,
) -> Result<Status, Unanswered<E>> {
    let chained = header.first().is_some_and(|class| class & CHAINED != 0);
    let mut bytes = Zeroizing::new(Vec::with_capacity(piece.len() + 6));
    bytes.extend(header);
    if let Some(length) = u8::try_from(piece.len()).ok().filter(|length| *length > 0) {
        bytes.push(length);
        bytes.extend(piece);
    }
    // How much is expected back: all there is. Pieces that are not the last expect nothing.
    if !chained {
        bytes.push(0);
    }
    let mut answer = Zeroizing::new([0; LONGEST_ANSWER]);
    loop {
        let count = send(&bytes, &mut answer).map_err(Unanswered::Transport)?;
        let (body, status) =
            answer.get(..count).and_then(|answer| answer.split_last_chunk::<2>()).ok_or(Unanswered::Cut)?;
        if data.len() + body.len() > MOST_DATA {
            return Err(Unanswered::Endless);
        }
        // Growing would leave the old buffer behind unwiped.
        let mut grown = Zeroizing::new(Vec::with_capacity(data.len() + body.len()));
        grown.extend_from_slice(data);
        grown.extend_from_slice(body);
        *data = grown;
        match *status {
            // More to fetch; a card that never has enough is stopped by the limit above, if it gives anything at all.
            [0x61, more] if !body.is_empty() || bytes.get(1) != Some(&GET_RESPONSE) => {
                bytes = Zeroizing::new(vec![0, GET_RESPONSE, 0, 0, more]);
            }
            [0x61, _] => return Err(Unanswered::Endless),
            status => return Ok(Status(u16::from_be_bytes(status))),
        }
    }
}

#[cfg(test)]
mod tests;
