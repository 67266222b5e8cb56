//! Backups: everything in one file, which is as safe as the store, and restoring from one (`docs/backup.md`).

use crate::{
    Accept, Anchor, JobKind, JobReport, MemoryHost, Parts, Pinned, Progress, RecipientState, Seen, Vault,
    VaultError, VerifyReport,
    copy::Copied,
    format::{BackupRecord, HeadPayload, Job, Registry, Restored, encode, head::archive_id},
    rotation::Rewrapped,
    rotation::count_services,
    verify::PAST_HEAD,
};
use claviger_envelope::{UnverifiedHead, mac_head};
use claviger_store::{ArchiveStore, ArchiveWriter, Commit, Object, Store};
use claviger_types::{Digest, ObjectId, RecipientId};
use std::{path::Path, sync::Arc};

/// How many objects are put into a restored store at once.
const PER_PUT: usize = 10_000;

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    /// The head in it.
    pub head: Seen,
    /// The vault key in it, which must be known from elsewhere to restore it on a machine that has never seen the vault.
    pub fingerprint: Digest,
    /// How many objects it holds.
    pub objects: u64,
    /// How many services.
    pub services: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// What a restoration did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    /// The head of the backup.
    pub from: Seen,
    /// The head now. Every other host must be told to trust it.
    pub head: Seen,
    /// The job that gave every service a new data key.
    pub job: JobReport,
    /// When the newest head that this host had seen was newer: its epoch.
    pub lost_after: Option<u64>,
}

impl Vault {
    /// Writes everything into a new file.
    pub fn backup(&self, file: &Path, progress: &dyn Progress) -> Result<BackupReport, VaultError> {
        let mut writer = ArchiveWriter::create(file)?;
        // On record before it is made, so that it holds its own record and nothing is newer than it.
        let now = self.fresh()?;
        let record = self.note_backup(file, now.payload.epoch + 1, now.root.fingerprint)?;
        let written = self
            .copy(&mut |objects| Ok(objects.iter().try_for_each(|object| writer.put(object))?), progress)
            .and_then(|copied| Ok((writer.finish(&copied.head)?, copied)));
        if written.is_err() {
            // A backup that is on record and was never made would only frighten; that it stays there is no harm.
            let forget = |registry: &mut Registry| {
                registry.backups.retain(|backup| *backup != record);
                Ok(())
            };
            let _ = self.change_registry(&forget);
        }
        let (summary, Copied { seen, fingerprint, services, .. }) = written?;
        Ok(BackupReport { head: seen, fingerprint, objects: summary.objects, services, bytes: summary.bytes })
    }

    /// Puts a backup on record: what its head and its vault key are, and that today's recipients open it.
    fn note_backup(&self, file: &Path, epoch: u64, fingerprint: Digest) -> Result<BackupRecord, VaultError> {
        let snapshot = self.fresh()?;
        let record = BackupRecord {
            made: self.clock.now(),
            file: file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            epoch,
            fingerprint,
            recipients: snapshot.recipients()?.iter().map(|record| record.id).collect(),
        };
        self.change_registry(&|registry| {
            registry.note_backup(record.clone());
            Ok(())
        })?;
        Ok(record)
    }

    /// Takes backups of this name off the record, because they are destroyed; how many there were.
    pub fn forget_backup(&self, name: &str) -> Result<usize, VaultError> {
        let count = self.registry()?.backups.iter().filter(|backup| backup.file == name).count();
        if count == 0 {
            return Ok(0);
        }
        self.change_registry(&|registry| {
            registry.backups.retain(|backup| backup.file != name);
            Ok(())
        })?;
        Ok(count)
    }

    /// Another store of this vault, opened by the same token to be looked at: a backup, say. It may be under any vault
    /// key that this vault has had.
    pub fn beside(&self, store: Arc<dyn Store>) -> Result<Self, VaultError> {
        let fingerprints = self.read(|snapshot| {
            let mut all = vec![snapshot.root.fingerprint];
            all.extend_from_slice(&snapshot.registry()?.former);
            Ok(all)
        })?;
        Self::open_accepting(
            Parts {
                store,
                token: self.keyring.token_arc(),
                entropy: Arc::clone(&self.entropy),
                clock: Arc::clone(&self.clock),
                anchors: Vec::new(),
                pinned: Pinned { vault: self.pinned.vault, recipient: self.keyring.recipient() },
                host: Arc::new(MemoryHost::new(self.host.id(), fingerprints)),
            },
            Accept::Inspect,
        )
    }

    /// Reads a backup of this vault from its beginning to its end.
    pub fn verify_backup(&self, file: &Path, progress: &dyn Progress) -> Result<VerifyReport, VaultError> {
        self.beside(Arc::new(ArchiveStore::open(file)?))?.verify(progress)
    }

    /// Makes a new backup of an old one, whose data keys are wrapped to the recipients of today. `scratch` is an empty
    /// store to work in.
    pub fn rewrap_backup(
        &self,
        old: &Path,
        new: &Path,
        scratch: Arc<dyn Store>,
        progress: &dyn Progress,
    ) -> Result<(BackupReport, Rewrapped), VaultError> {
        let source = self.beside(Arc::new(ArchiveStore::open(old)?))?;
        let snapshot = source.fresh()?;
        fill(&source, scratch.as_ref(), progress)?;
        if scratch.commit(None, &snapshot.bytes, &[], &[])? == Commit::Conflict {
            return Err(VaultError::VaultExists);
        }
        let mut copy = self.beside(scratch)?;
        copy.accept = Accept::Anchored;
        let rewrapped = copy.rewrap_like(&self.recipients()?, progress)?;
        let report = copy.backup(new, progress)?;
        // The copy's own register names it, and so must that of the vault in use.
        self.note_backup(new, report.head.epoch, report.fingerprint)?;
        Ok((report, rewrapped))
    }
}

/// Puts everything that a vault reaches into another store.
fn fill(source: &Vault, target: &dyn Store, progress: &dyn Progress) -> Result<Copied, VaultError> {
    let mut held: Vec<Object> = Vec::new();
    let copied = source.copy(
        &mut |objects| {
            held.extend(objects);
            if held.len() >= PER_PUT {
                put_missing(target, &std::mem::take(&mut held))?;
            }
            Ok(())
        },
        progress,
    )?;
    put_missing(target, &held)?;
    Ok(copied)
}

/// Puts objects that an earlier attempt may have put already.
fn put_missing(target: &dyn Store, objects: &[Object]) -> Result<(), VaultError> {
    let ids: Vec<ObjectId> = objects.iter().map(|object| object.id).collect();
    let present = target.get(&ids)?;
    let missing: Vec<Object> = objects
        .iter()
        .zip(present)
        .filter(|(_, present)| present.is_none())
        .map(|(object, _)| object.clone())
        .collect();
    Ok(target.put(&missing)?)
}

/// Whether a backup opens by what is meant and pinned, before anything is made for it.
pub fn can_restore(parts: &Parts, source: &Arc<dyn Store>) -> Result<(), VaultError> {
    looking_at(parts, source).map(drop)
}

fn looking_at(parts: &Parts, source: &Arc<dyn Store>) -> Result<Vault, VaultError> {
    Vault::open_accepting(
        Parts {
            store: Arc::clone(source),
            token: Arc::clone(&parts.token),
            entropy: Arc::clone(&parts.entropy),
            clock: Arc::clone(&parts.clock),
            anchors: Vec::new(),
            pinned: parts.pinned,
            host: Arc::new(MemoryHost::new(parts.host.id(), parts.host.pins()?.fingerprints)),
        },
        Accept::Inspect,
    )
}

/// Restores a vault from a backup, or has the older store that lies there stand where it is its own backup.
///
/// Everything in the source is read first; a damaged one is refused. The new head's epoch is above every anchor that can
/// be reached, and it is marked as restored: other hosts refuse it until they are told to trust it. Every service gets a
/// new data key, because the counts of uses are older than the truth. What was begun and cut short is gone on with.
///
/// A recipient that is `lost` is retired with it: nobody can wrap to a secret key whose token is gone.
pub fn restore(
    parts: Parts,
    source: &Arc<dyn Store>,
    accept_rollback: bool,
    lost: &[RecipientId],
    progress: &dyn Progress,
) -> Result<(Vault, RestoreReport), VaultError> {
    let looking = looking_at(&parts, source)?;
    let found = looking.verify(progress)?;
    // No host follows the chain to before a restoration, so what is lost of it is lost no more than it was.
    if let Some(damage) = found.damage.iter().find(|damage| damage.what != PAST_HEAD) {
        return Err(VaultError::Object { what: damage.what, object: damage.object, fault: damage.fault });
    }
    let snapshot = looking.fresh()?;
    let from = Seen { epoch: snapshot.payload.epoch, digest: snapshot.digest };
    let in_place = Arc::ptr_eq(source, &parts.store);
    let resumed = restored_from(parts.store.as_ref(), &from)?;
    let mut lost_after = None;
    let seen = if let Some(seen) = resumed {
        seen
    } else {
        let highest = highest(&parts.anchors, accept_rollback)?;
        lost_after = highest.filter(|epoch| *epoch > from.epoch);
        if let (Some(epoch), false) = (lost_after, accept_rollback) {
            return Err(VaultError::RolledBack {
                what: format!(
                    "the backup is of epoch {}, and this host has seen epoch {epoch}: what was written in between \
                         would be lost",
                    from.epoch
                ),
            });
        }
        // Nobody takes a store that is being filled for one that is nobody's.
        let _lock = parts.store.work_lock()?.ok_or(VaultError::WorkUnderWay { job: None })?;
        if !in_place {
            if parts.store.head()?.is_some() {
                return Err(VaultError::VaultExists);
            }
            fill(&looking, parts.store.as_ref(), progress)?;
        }
        let expected = in_place.then_some(snapshot.bytes.as_slice());
        write_head(&parts, &snapshot, from, highest.unwrap_or_default(), expected)?
    };
    // From here on this host is past what it had seen.
    for anchor in &parts.anchors {
        anchor.reset(seen)?;
    }
    parts.host.settle(snapshot.root.fingerprint)?;
    let vault = Vault::open(parts)?;
    for recipient in lost {
        vault.registry()?.record(*recipient)?;
        vault.leave_out(*recipient)?;
    }
    let mut job = match vault.resume(progress)? {
        // Begun by the head that was just written, if nothing else was going on in the backup.
        Some(report) if report.job.kind == JobKind::Rekey => JobReport { resumed: false, ..report },
        _ => vault.rekey_all(progress)?,
    };
    // What they could read of old copies includes the vault key, and that is the present one.
    for recipient in lost {
        job = vault.replace_without(*recipient, progress)?;
    }
    vault.settle_anchors()?;
    let head = vault.head()?;
    Ok((vault, RestoreReport { from, head, job, lost_after }))
}

/// The highest epoch that an anchor has seen.
fn highest(anchors: &[Box<dyn Anchor>], accept_rollback: bool) -> Result<Option<u64>, VaultError> {
    let mut highest = None;
    for anchor in anchors {
        match anchor.read() {
            // One that was never set, or is gone, has nothing to say: the others may.
            Ok(seen) => highest = highest.max(seen.map(|seen| seen.epoch)),
            Err(VaultError::Anchor { .. }) if accept_rollback => {}
            Err(error) => return Err(error),
        }
    }
    Ok(highest)
}

/// The head of the target, if an earlier attempt has restored it from the same backup.
fn restored_from(target: &dyn Store, from: &Seen) -> Result<Option<Seen>, VaultError> {
    let Some(bytes) = target.head()? else { return Ok(None) };
    let payload = HeadPayload::decode(UnverifiedHead::parse(&bytes)?.payload_unverified())?;
    let same = payload.restored.filter(|restored| restored.head == from.digest);
    Ok(same.map(|_| Seen { epoch: payload.epoch, digest: Digest::of(&bytes) }))
}

fn write_head(
    parts: &Parts,
    source: &crate::snapshot::Snapshot,
    from: Seen,
    highest: u64,
    expected: Option<&[u8]>,
) -> Result<Seen, VaultError> {
    let epoch = highest.max(from.epoch) + 1;
    let mut payload = HeadPayload::clone(&source.payload);
    payload.epoch = epoch;
    payload.previous = Some(from.digest);
    payload.milestone = None;
    payload.restored = Some(Restored { at: epoch, from: from.epoch, head: from.digest });
    if payload.rotation.is_none() {
        let job = Job {
            id: ObjectId::random(parts.entropy.as_ref())?,
            kind: JobKind::Rekey,
            started: parts.clock.now(),
            cursor: None,
            done: 0,
            total: count_services(source)?,
            retiring: Vec::new(),
            end: RecipientState::Deactivated,
            destroy: false,
            made: None,
        };
        payload.rotation = Some(job.encode()?);
    }
    let fingerprint = source.root.fingerprint;
    let bytes = mac_head(&source.keys.head, payload.vault, &fingerprint, &encode("the head", &payload)?)?;
    let digest = Digest::of(&bytes);
    let kept = Object { id: archive_id(&digest), bytes: bytes.clone() };
    match parts.store.commit(expected, &bytes, &[kept], &[])? {
        Commit::Done => Ok(Seen { epoch, digest }),
        Commit::Conflict => Err(VaultError::VaultExists),
    }
}

#[cfg(test)]
mod tests;
