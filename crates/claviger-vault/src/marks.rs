//! The ids that a walk reached, kept in temporary files so that a vault of any size is verified in bounded memory.

use crate::{VaultError, session::BATCH};
use claviger_store::{Listed, Store};
use claviger_types::ObjectId;
use std::{
    fs::File,
    io::{BufWriter, Read, Seek, Write},
};

/// Ids are kept in as many files as a nibble has values, so that each is sorted in memory by itself.
const BUCKETS: usize = 16;

/// A set of ids, first written and then held against the store's listing.
pub(crate) struct Marks {
    buckets: Vec<BufWriter<File>>,
    count: u64,
}

impl Marks {
    pub(crate) fn new() -> Result<Self, VaultError> {
        let bucket = |_| Ok(BufWriter::new(tempfile::tempfile().map_err(VaultError::Scratch)?));
        Ok(Self { buckets: (0..BUCKETS).map(bucket).collect::<Result<_, VaultError>>()?, count: 0 })
    }

    /// Adds an id.
    pub(crate) fn add(&mut self, id: ObjectId) -> Result<(), VaultError> {
        self.count += 1;
        match self.buckets.get_mut(bucket(&id)) {
            Some(file) => file.write_all(id.as_bytes()).map_err(VaultError::Scratch),
            None => Ok(()),
        }
    }

    /// How many ids were added.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// Calls `visit` with every object of the store that was not added, a page at a time in order of id.
    pub(crate) fn unmarked(
        mut self,
        store: &dyn Store,
        visit: &mut dyn FnMut(&Listed) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        let mut after = None;
        let mut marked: Option<(usize, Vec<[u8; 16]>)> = None;
        loop {
            let page = store.list(after, BATCH)?;
            for listed in &page {
                let bucket = bucket(&listed.id);
                let sorted = match &marked {
                    Some((present, sorted)) if *present == bucket => sorted,
                    _ => &marked.insert((bucket, self.sorted(bucket)?)).1,
                };
                if sorted.binary_search(listed.id.as_bytes()).is_err() {
                    visit(listed)?;
                }
            }
            match page.last() {
                Some(last) if page.len() == BATCH => after = Some(last.id),
                _ => return Ok(()),
            }
        }
    }

    fn sorted(&mut self, bucket: usize) -> Result<Vec<[u8; 16]>, VaultError> {
        let Some(writer) = self.buckets.get_mut(bucket) else { return Ok(Vec::new()) };
        let mut bytes = Vec::new();
        writer.flush().map_err(VaultError::Scratch)?;
        let file = writer.get_mut();
        file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(VaultError::Scratch)?;
        let mut ids: Vec<[u8; 16]> = bytes.as_chunks::<16>().0.to_vec();
        ids.sort_unstable();
        Ok(ids)
    }
}

fn bucket(id: &ObjectId) -> usize {
    id.as_bytes().first().map_or(0, |byte| usize::from(byte >> 4))
}
