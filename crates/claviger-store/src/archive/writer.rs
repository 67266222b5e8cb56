//! Writing an archive.

use super::{ArchiveSummary, FORMAT, HEAD, NAME, OBJECT};
use crate::{
    Object, StoreError,
    files::{Draft, unreachable},
    limits,
};
use claviger_types::Digest;
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, BufWriter, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

const FILE_MODE: u32 = 0o600;

/// An archive that is being written. It lies under another name until [`ArchiveWriter::finish`], and is removed when it is
/// dropped before; a process that is killed leaves that other file behind (`NAME.PID.N.new`).
pub struct ArchiveWriter {
    path: PathBuf,
    draft: Draft,
    file: BufWriter<File>,
    hasher: Sha256,
    objects: u64,
    bytes: u64,
    /// Something was not written that the digest covers.
    broken: bool,
}

impl ArchiveWriter {
    /// Begins an archive that will have this name, for its owner alone. An existing file is refused here, and once more
    /// when it is finished.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        if fs::symlink_metadata(path).is_ok() {
            return Err(StoreError::Exists { location: path.to_owned() });
        }
        let (draft, file) = Draft::beside(path, make).map_err(|error| failed(path, error))?;
        let mut archive = Self {
            path: path.to_owned(),
            draft,
            file: BufWriter::with_capacity(1 << 17, file),
            hasher: Sha256::new(),
            objects: 0,
            bytes: 0,
            broken: false,
        };
        archive.write(&[NAME, format!("{FORMAT}\n").as_bytes()])?;
        Ok(archive)
    }

    /// Adds an object. After an error the archive cannot be finished.
    pub fn put(&mut self, object: &Object) -> Result<(), StoreError> {
        limits::objects(std::slice::from_ref(object))?;
        let length = length_of(&object.bytes)?;
        self.write(&[&[OBJECT], object.id.as_bytes(), &length, &object.bytes])?;
        self.objects += 1;
        Ok(())
    }

    /// How many objects were added.
    pub fn count(&self) -> u64 {
        self.objects
    }

    /// Adds the head, and gives the archive its name when all of it is on the disk. An existing file is never replaced.
    pub fn finish(mut self, head: &[u8]) -> Result<ArchiveSummary, StoreError> {
        limits::head(head)?;
        let length = length_of(head)?;
        self.write(&[&[HEAD], &length, head, &self.objects.to_be_bytes()])?;
        let digest = Digest::from_bytes(self.hasher.finalize_reset().into());
        self.write(&[digest.as_bytes()])?;
        self.file
            .flush()
            .and_then(|()| self.file.get_ref().sync_all())
            .map_err(|error| failed(&self.path, error))?;
        self.draft.publish(&self.path)?;
        Ok(ArchiveSummary { objects: self.objects, bytes: self.bytes, digest })
    }

    fn write(&mut self, parts: &[&[u8]]) -> Result<(), StoreError> {
        if self.broken {
            return Err(failed(&self.path, io::Error::other("an earlier part was not written")));
        }
        for part in parts {
            if let Err(error) = self.file.write_all(part) {
                self.broken = true;
                return Err(failed(&self.path, error));
            }
            self.hasher.update(part);
            self.bytes += u64::try_from(part.len()).unwrap_or(u64::MAX);
        }
        Ok(())
    }
}

/// The length as it stands in the file. The limits, which were checked, are far below.
fn length_of(bytes: &[u8]) -> Result<[u8; 4], StoreError> {
    let limit = usize::try_from(u32::MAX).unwrap_or(usize::MAX);
    let length = u32::try_from(bytes.len());
    let too_large = |_| StoreError::TooLarge { what: "the record", size: bytes.len(), limit };
    length.map(u32::to_be_bytes).map_err(too_large)
}

fn make(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    match file.set_permissions(Permissions::from_mode(FILE_MODE)) {
        // A memory stick may have a file system without permissions; what is in the archive is sealed.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) => {}
        result => result?,
    }
    Ok(file)
}

fn failed(path: &Path, error: io::Error) -> StoreError {
    unreachable(&format!("writing the archive {}", path.display()), error)
}
