//! What pcscd says of its readers, asked for as its client library does.

use super::pcscd;
use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// Of pcsc-lite 1.9: the command, and the table that is the answer.
const GET_READERS: u32 = 0x12;
const ENTRIES: usize = 16;
const ENTRY: usize = 184;
/// In an entry: a name of so many bytes, a counter, and the state.
const NAME: usize = 128;
const STATE: usize = NAME + 4;
const PRESENT: u32 = 0x0004;
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether there is a card, for each reader in the order of their names; none when pcscd does not answer.
pub(super) fn states(home: &Path) -> Option<Vec<bool>> {
    let mut pcscd = UnixStream::connect(pcscd::own_socket(home)).ok()?;
    pcscd.set_read_timeout(Some(PATIENCE)).ok()?;
    pcscd.write_all(&[0, GET_READERS].map(u32::to_ne_bytes).concat()).ok()?;
    let mut table = vec![0; ENTRIES * ENTRY];
    pcscd.read_exact(&mut table).ok()?;
    let mut readers: Vec<(&[u8], bool)> = table
        .chunks_exact(ENTRY)
        .filter_map(|entry| {
            let name = entry.get(..NAME)?;
            let state = u32::from_ne_bytes(entry.get(STATE..STATE + 4)?.try_into().ok()?);
            (name.first() != Some(&0)).then_some((name, state & PRESENT != 0))
        })
        .collect();
    readers.sort_unstable();
    Some(readers.into_iter().map(|(_, present)| present).collect())
}
