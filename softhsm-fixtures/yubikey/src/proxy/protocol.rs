//! The part of pcsc-lite's client protocol that matters here.
//!
//! A request is a header (size and number of the command, 32 bits each in the machine's order) and a structure of that size;
//! the answer is the same structure without a header, and in most of them the last field is the code. Two commands carry
//! data behind their structure: as many bytes as a field of it says, in the answer only when the code says success.

/// Number of readers times size of a reader's state.
pub(crate) const READERS: usize = 16 * 184;
pub(crate) const HEADER: usize = 8;

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Command {
    EstablishContext = 0x01,
    ReleaseContext = 0x02,
    Connect = 0x04,
    Reconnect = 0x05,
    Disconnect = 0x06,
    Begin = 0x07,
    End = 0x08,
    Transmit = 0x09,
    Status = 0x0b,
    Version = 0x11,
    Readers = 0x12,
}

/// `SCardControl`, which is passed on as it is but has data behind it.
pub(crate) const CONTROL: u32 = 0x0a;

impl Command {
    /// All, with their names.
    pub(crate) const ALL: [(&'static str, Self); 11] = [
        ("establish-context", Self::EstablishContext),
        ("release-context", Self::ReleaseContext),
        ("connect", Self::Connect),
        ("reconnect", Self::Reconnect),
        ("disconnect", Self::Disconnect),
        ("begin", Self::Begin),
        ("end", Self::End),
        ("transmit", Self::Transmit),
        ("status", Self::Status),
        ("version", Self::Version),
        ("readers", Self::Readers),
    ];

    /// The command with this number, unless it is passed on as it is.
    pub(crate) fn of(number: u32) -> Option<Self> {
        Self::ALL.into_iter().map(|(_, command)| command).find(|command| *command as u32 == number)
    }

    /// The command with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(known, command)| (known == name).then_some(command))
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL
            .into_iter()
            .find_map(|(name, command)| (command == self).then_some(name))
            .unwrap_or_default()
    }
}

/// Where the structure of a request says how much data follows it, if it does.
pub(crate) fn request_data(number: u32) -> Option<usize> {
    match number {
        CONTROL => Some(8),
        number if number == Command::Transmit as u32 => Some(12),
        _ => None,
    }
}

/// Where the structure of an answer to `transmit` says how much data follows it.
pub(crate) const ANSWER_DATA: usize = 24;

/// The field of a structure that begins here.
pub(crate) fn field(structure: &[u8], at: usize) -> u32 {
    let bytes = structure.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_ne_bytes)
}

/// The code of an answer.
pub(crate) fn code(structure: &[u8]) -> u32 {
    field(structure, structure.len().saturating_sub(4))
}

/// The same structure with another code.
pub(crate) fn with_code(mut structure: Vec<u8>, code: u32) -> Vec<u8> {
    structure.truncate(structure.len().saturating_sub(4));
    structure.extend(code.to_ne_bytes());
    structure
}
