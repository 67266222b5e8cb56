//! Reading the log: its chain without a key, its entries with the private audit key.

use crate::{
    AuditError, Recorded,
    frame::{self, Body, End},
    log::{file_numbers, file_path},
    segment::Segment,
};
use claviger_types::{Digest, Key256, ServiceId, VaultId};
use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

/// The log as a reader sees it.
#[derive(Debug)]
pub struct AuditReader {
    directory: PathBuf,
    vault: VaultId,
}

/// What a walk over the chain found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// How many entries there are.
    pub entries: u64,
    /// How many segments they lie in.
    pub segments: u64,
    /// How many files end in a record that a crash cut short.
    pub torn: u64,
    /// The chain hash after the last whole frame.
    pub digest: Digest,
}

impl AuditReader {
    /// A reader of the log in this directory.
    pub fn new(directory: &Path, vault: VaultId) -> Self {
        Self { directory: directory.to_owned(), vault }
    }

    /// Checks that every frame is as it was written and in its place. That nothing was cut off at the end, the log
    /// alone cannot show.
    pub fn verify(&self) -> Result<Chain, AuditError> {
        let mut found = Chain { entries: 0, segments: 0, torn: 0, digest: frame::origin(self.vault) };
        for number in self.numbers()? {
            let bytes = self.read(number)?;
            let mut broken = None;
            let (digest, end) =
                frame::walk(&bytes, found.digest, &mut |offset, body| match Body::decode(body) {
                    Some(Body::Segment { .. }) => found.segments += 1,
                    Some(Body::Entry { .. }) => found.entries += 1,
                    None => broken = broken.or(Some(offset)),
                });
            found.digest = digest;
            match (broken, end) {
                (Some(offset), _) | (None, End::Broken(offset)) => return Err(self.damaged(number, offset)),
                (None, End::Torn(_)) => found.torn += 1,
                (None, End::Whole) => {}
            }
        }
        Ok(found)
    }

    /// The newest entries, oldest first, at most `limit`.
    pub fn newest(&self, private: &Key256, limit: usize) -> Result<Vec<Recorded>, AuditError> {
        let mut newest = Vec::new();
        let numbers = self.numbers()?;
        let mut chain = frame::origin(self.vault);
        // From the front, because the chain is checked on the way; each file is let go before the next is read.
        for number in numbers {
            let bytes = self.read(number)?;
            let mut sealed = Vec::new();
            let mut segments = HashMap::new();
            let (after, end) = frame::walk(&bytes, chain, &mut |offset, body| match Body::decode(body) {
                Some(Body::Segment { id, envelope }) => {
                    segments.insert(id, envelope);
                }
                Some(Body::Entry { segment, index, sealed: entry }) => {
                    sealed.push((offset, segment, index, entry));
                }
                None => {}
            });
            chain = after;
            if let End::Broken(offset) = end {
                return Err(self.damaged(number, offset));
            }
            let wanted = sealed.split_off(sealed.len().saturating_sub(limit));
            let mut opened = HashMap::new();
            for (offset, id, index, entry) in wanted {
                let segment = self.segment(&mut opened, &segments, id, private)?;
                newest.push(segment.unseal(index, &entry).map_err(|_| self.damaged(number, offset))?);
            }
            newest.drain(..newest.len().saturating_sub(limit));
        }
        Ok(newest)
    }

    fn segment<'a>(
        &self,
        opened: &'a mut HashMap<ServiceId, Segment>,
        envelopes: &HashMap<ServiceId, Vec<u8>>,
        id: ServiceId,
        private: &Key256,
    ) -> Result<&'a Segment, AuditError> {
        match opened.entry(id) {
            std::collections::hash_map::Entry::Occupied(present) => Ok(present.into_mut()),
            std::collections::hash_map::Entry::Vacant(vacant) => {
                let envelope = envelopes.get(&id).ok_or(AuditError::Key)?;
                Ok(vacant.insert(Segment::open(self.vault, id, envelope, private)?))
            }
        }
    }

    /// The chain hash after the last whole frame of a file, and how that file ends.
    pub(crate) fn chain_after(&self, last: u64) -> Result<(Digest, End), AuditError> {
        let mut found = (frame::origin(self.vault), End::Whole);
        for number in self.numbers()?.into_iter().take_while(|number| *number <= last) {
            found = frame::walk(&self.read(number)?, found.0, &mut |_, _| {});
        }
        Ok(found)
    }

    /// The numbers of the files; a gap between them is a file that was taken out.
    fn numbers(&self) -> Result<Vec<u64>, AuditError> {
        let numbers = file_numbers(&self.directory)?;
        match (1..).zip(&numbers).find(|(expected, found)| *expected != **found) {
            Some((expected, _)) => Err(self.damaged(expected, 0)),
            None => Ok(numbers),
        }
    }

    fn read(&self, number: u64) -> Result<Vec<u8>, AuditError> {
        let path = file_path(&self.directory, number);
        fs::read(&path).map_err(|source: io::Error| AuditError::Io { path, action: "read", source })
    }

    fn damaged(&self, number: u64, offset: usize) -> AuditError {
        let path = file_path(&self.directory, number);
        AuditError::Damaged { path, offset: u64::try_from(offset).unwrap_or(u64::MAX) }
    }
}
