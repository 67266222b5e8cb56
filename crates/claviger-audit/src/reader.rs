//! Reading the log: its chain without a key, its entries with the private audit key.

use crate::{
    AuditError, EntryId, Recorded,
    files::Directory,
    frame::{self, Body, End, Frame},
    segment::Segment,
};
use claviger_types::{Digest, Key256, ServiceId, VaultId};
use std::{collections::HashMap, path::Path};

/// The log as a reader sees it.
#[derive(Debug)]
pub struct AuditReader {
    directory: Directory,
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

/// An entry as it lies in a file.
struct Sealed {
    offset: usize,
    before: Digest,
    id: EntryId,
    ciphertext: Vec<u8>,
}

/// One file, read without a key.
#[derive(Default)]
struct Contents {
    /// The envelope of each segment's key, and how many entries the segment has.
    segments: HashMap<ServiceId, (Vec<u8>, u64)>,
    entries: Vec<Sealed>,
}

impl AuditReader {
    /// A reader of the log in this directory.
    pub fn new(directory: &Path, vault: VaultId) -> Self {
        Self { directory: Directory::new(directory.to_owned(), vault) }
    }

    /// Checks, without any key, that every frame is as it was written and in its place. An editor who computed all
    /// hashes anew passes; [`AuditReader::entries`] finds that one too.
    pub fn verify(&self) -> Result<Chain, AuditError> {
        self.walk(&mut |_, _| Ok(()))
    }

    /// Opens every entry, oldest first, checks that each stands where it was written, and hands it to `visit`. What was
    /// handed out before an error is good.
    pub fn entries(
        &self,
        private: &Key256,
        visit: &mut dyn FnMut(EntryId, Recorded),
    ) -> Result<Chain, AuditError> {
        self.walk(&mut |number, contents| {
            let mut opened = HashMap::new();
            for sealed in &contents.entries {
                visit(sealed.id, self.open(number, contents, sealed, &mut opened, private)?);
            }
            Ok(())
        })
    }

    /// The newest entries, oldest first, at most `limit`. Only the files that hold them are read and checked.
    pub fn newest(&self, private: &Key256, limit: usize) -> Result<Vec<Recorded>, AuditError> {
        let mut newest = Vec::new();
        for number in self.numbers()?.into_iter().rev() {
            let wanted = limit.saturating_sub(newest.len());
            if wanted == 0 {
                break;
            }
            let (before, _) = self.directory.chain_after(number - 1)?;
            let (contents, ..) = self.read(number, before)?;
            let mut opened = HashMap::new();
            for sealed in contents.entries.iter().rev().take(wanted) {
                newest.push(self.open(number, &contents, sealed, &mut opened, private)?);
            }
        }
        newest.reverse();
        Ok(newest)
    }

    /// Reads all files in order, checks the chain through them, and hands each to `visit`.
    fn walk(
        &self,
        visit: &mut dyn FnMut(u64, &Contents) -> Result<(), AuditError>,
    ) -> Result<Chain, AuditError> {
        let origin = frame::origin(self.directory.vault());
        let mut found = Chain { entries: 0, segments: 0, torn: 0, digest: origin };
        for number in self.numbers()? {
            let (contents, digest, torn) = self.read(number, found.digest)?;
            visit(number, &contents)?;
            found.digest = digest;
            found.torn += u64::from(torn);
            found.segments += u64::try_from(contents.segments.len()).unwrap_or(u64::MAX);
            found.entries += u64::try_from(contents.entries.len()).unwrap_or(u64::MAX);
        }
        Ok(found)
    }

    /// Reads one file whose first frame follows this chain hash. Says which hash its last one leaves, and whether it is
    /// torn.
    fn read(&self, number: u64, before: Digest) -> Result<(Contents, Digest, bool), AuditError> {
        let mut contents = Contents::default();
        let bytes = self.directory.contents(number)?;
        let (digest, end) = frame::walk(&bytes, before, &mut |frame| contents.take(&frame).is_some());
        match end {
            End::Whole => Ok((contents, digest, false)),
            End::Torn(_) => Ok((contents, digest, true)),
            End::Broken(offset) => Err(self.directory.damaged(number, offset)),
        }
    }

    fn open(
        &self,
        number: u64,
        contents: &Contents,
        sealed: &Sealed,
        opened: &mut HashMap<ServiceId, Segment>,
        private: &Key256,
    ) -> Result<Recorded, AuditError> {
        use std::collections::hash_map::Entry::{Occupied, Vacant};

        let segment = match opened.entry(sealed.id.segment) {
            Occupied(present) => present.into_mut(),
            Vacant(vacant) => {
                let id = sealed.id.segment;
                let (envelope, _) = contents.segments.get(&id).ok_or(AuditError::Key)?;
                vacant.insert(Segment::open(self.directory.vault(), id, envelope, private)?)
            }
        };
        segment
            .unseal(sealed.id.index, &sealed.before, &sealed.ciphertext)
            .map_err(|_| self.directory.damaged(number, sealed.offset))
    }

    /// The numbers of the files; a gap between them is a file that was taken out.
    fn numbers(&self) -> Result<Vec<u64>, AuditError> {
        let numbers = self.directory.numbers()?;
        match (1..).zip(&numbers).find(|(expected, found)| *expected != **found) {
            Some((expected, _)) => Err(self.directory.damaged(expected, 0)),
            None => Ok(numbers),
        }
    }
}

impl Contents {
    /// Takes in one frame, if it is a body of ours and in its place: a segment begins once, and its entries count from 0
    /// without a gap.
    fn take(&mut self, frame: &Frame<'_>) -> Option<()> {
        match Body::decode(frame.body)? {
            Body::Segment { id, envelope } => self.segments.insert(id, (envelope, 0)).is_none().then_some(()),
            Body::Entry { segment, index, sealed: ciphertext } => {
                let (_, count) = self.segments.get_mut(&segment)?;
                if index != *count {
                    return None;
                }
                *count += 1;
                let id = EntryId { segment, index };
                self.entries.push(Sealed { offset: frame.offset, before: frame.before, id, ciphertext });
                Some(())
            }
        }
    }
}
