//! Jobs: long work on keys, begun by one commit, carried on in bounded ones, ended by another (`docs/adr/0012`).
//!
//! Whoever begins a job holds the store's work lock, finishes first what was left behind, and says what is to become of
//! whom in one commit (`begin`). [`Vault::carry_on`] takes batches of services (`batch`) until none is left, and then
//! ends the job.

mod ahead;
mod batch;
mod begin;
mod end;
mod like;
mod master;
mod retire;

pub use like::Rewrapped;
pub use master::RotateMaster;
pub use retire::{KeyFate, Retire, answer_challenge};

use crate::{
    JobInfo, JobKind, JobReport, Progress, Vault, VaultError,
    draft::Draft,
    format::{HeadPayload, Job, Registry},
    index,
    snapshot::Snapshot,
};
use ahead::{Prepared, Workshop};
use begin::Plan;
pub(crate) use begin::count_services;
use claviger_store::WorkLock;
use claviger_types::{ObjectId, ServiceName, Timestamp};
use std::thread;

/// The most services of one commit.
const MOST_SERVICES: usize = 256;

impl Vault {
    /// The right to work on the vault's keys; an error while somebody else who is alive has it.
    pub(crate) fn work_lock(&self) -> Result<WorkLock, VaultError> {
        if let Some(lock) = self.store.work_lock()? {
            return Ok(lock);
        }
        let job = self.fresh().ok().and_then(|snapshot| snapshot.payload.job().ok().flatten());
        Err(VaultError::WorkUnderWay { job: job.map(|job| JobInfo::of(&job).to_string()) })
    }

    /// Finishes a job that was left behind. `None` if there is none.
    pub fn resume(&self, progress: &dyn Progress) -> Result<Option<JobReport>, VaultError> {
        let lock = self.work_lock()?;
        self.finish_left_over(&lock, progress)
    }

    pub(crate) fn finish_left_over(
        &self,
        lock: &WorkLock,
        progress: &dyn Progress,
    ) -> Result<Option<JobReport>, VaultError> {
        let Some(job) = self.fresh()?.payload.job()? else { return Ok(None) };
        tracing::info!(kind = job.kind.name(), "finishing a job that was left behind");
        let erases = erases(job.kind, job.destroy);
        let mut report = self.maybe_erasing(erases, || self.carry_on(lock, job.id, progress))?;
        report.resumed = true;
        Ok(Some(report))
    }

    /// Begins a job and carries it on to its end.
    fn run(
        &self,
        lock: &WorkLock,
        plan: &Plan,
        change: &dyn Fn(&mut Registry, Timestamp) -> Result<(), VaultError>,
        progress: &dyn Progress,
    ) -> Result<JobReport, VaultError> {
        self.maybe_erasing(erases(plan.kind, plan.destroy), || {
            let job = self.begin(plan, change)?;
            self.carry_on(lock, job, progress)
        })
    }

    fn maybe_erasing(
        &self,
        erases: bool,
        work: impl FnOnce() -> Result<JobReport, VaultError>,
    ) -> Result<JobReport, VaultError> {
        if !erases {
            return work();
        }
        let (mut report, erasure) = self.erasing(work)?;
        report.erasure = Some(erasure);
        Ok(report)
    }

    /// Has this host no longer believe the signers of recipients that are retired.
    fn disbelieve(&self, job: &Job) {
        if job.retiring.is_empty() {
            return;
        }
        if let Err(error) = self.believe_signers() {
            // The job is done; the next command of an owner does this.
            tracing::warn!(%error, "the signers of retired recipients are still pinned");
        }
    }

    /// Carries a job on to its end. The lock shows that nobody else does.
    fn carry_on(
        &self,
        _lock: &WorkLock,
        id: ObjectId,
        progress: &dyn Progress,
    ) -> Result<JobReport, VaultError> {
        let job = self.fresh()?.payload.job()?.filter(|job| job.id == id).ok_or(VaultError::Contended)?;
        if job.kind != JobKind::Rewrap {
            return self.commit_batches(id, Prepared::default(), progress);
        }
        let workshop = Workshop::new(self, job.cursor);
        thread::scope(|scope| self.commit_batches(id, Prepared::ahead(scope, &workshop), progress))
    }

    /// Takes a job's batches one by one until it is over.
    fn commit_batches(
        &self,
        id: ObjectId,
        mut prepared: Prepared<'_>,
        progress: &dyn Progress,
    ) -> Result<JobReport, VaultError> {
        let mut most = MOST_SERVICES;
        let mut lost = 0;
        let mut begun = false;
        loop {
            let snapshot = self.fresh()?;
            let Some(job) = snapshot.payload.job()?.filter(|job| job.id == id) else {
                return Err(VaultError::Contended);
            };
            if !begun {
                progress.begin(job.kind.name(), Some(job.total));
                progress.advance(job.done);
                begun = true;
            }
            let mut draft = Draft::default();
            let outcome =
                self.next(&snapshot, &job, most, &mut prepared, &mut draft).and_then(|next| match next {
                    Next::Commit(payload, services) => Ok(Next::Commit(payload, services)),
                    Next::Done => {
                        self.end(&snapshot, &job, &mut draft).map(|payload| Next::Commit(payload, 0))
                    }
                });
            let committed = match outcome {
                Ok(Next::Commit(payload, services)) => {
                    let over = payload.rotation.is_none();
                    let reached = payload.job()?.and_then(|job| job.cursor);
                    let done = self.commit(&snapshot, payload, draft)?;
                    if done && let Some(place) = reached {
                        prepared.committed(&place);
                    }
                    if done && over {
                        self.disbelieve(&job);
                        return self.report(&job);
                    }
                    done.then_some(services)
                }
                Err(error) if self.is_overtaken(&snapshot, &error)? => {
                    self.discard(&draft.staged);
                    None
                }
                Ok(Next::Done) => None,
                Err(error) => {
                    self.discard(&draft.staged);
                    return Err(error);
                }
            };
            if let Some(services) = committed {
                progress.advance(services);
                most = MOST_SERVICES.min(most * 2);
                lost = 0;
            } else {
                // Another writer was there first. A smaller bite is ready sooner.
                most = (most / 2).max(1);
                lost += 1;
                self.pause(lost)?;
            }
        }
    }

    /// The next batch of services, as the payload of a new head.
    fn next(
        &self,
        snapshot: &Snapshot,
        job: &Job,
        most: usize,
        prepared: &mut Prepared<'_>,
        draft: &mut Draft,
    ) -> Result<Next, VaultError> {
        let from = match job.kind {
            JobKind::Rewrap | JobKind::Rekey => snapshot,
            JobKind::Replace => match snapshot.elder.as_deref() {
                Some(elder) => elder,
                None => return Ok(Next::Done),
            },
        };
        let cursor = job.cursor.as_ref().filter(|_| job.kind != JobKind::Replace);
        let leaves = index::after(from, cursor, most)?;
        let Some(last) = leaves.last().map(|leaf| leaf.name) else { return Ok(Next::Done) };
        let services = u64::try_from(leaves.len()).unwrap_or(u64::MAX);
        let mut payload = match job.kind {
            JobKind::Rewrap => self.rewrap_batch(snapshot, leaves, prepared, draft)?,
            JobKind::Rekey => self.rekey_batch(snapshot, snapshot, &leaves, draft)?,
            JobKind::Replace => self.rekey_batch(from, snapshot, &leaves, draft)?,
        };
        let mut job = job.clone();
        job.cursor = Some(last);
        job.done += services;
        payload.rotation = Some(job.encode()?);
        Ok(Next::Commit(payload, services))
    }

    /// Moves one service from the vault key that is being replaced, because somebody wants to change it.
    pub(crate) fn move_service(&self, name: &ServiceName) -> Result<(), VaultError> {
        let mut lost = 0;
        loop {
            let snapshot = self.fresh()?;
            let Some(elder) = snapshot.elder.as_deref() else { return Ok(()) };
            let leaf = match elder.leaf(name) {
                Err(error) if self.is_overtaken(&snapshot, &error)? => continue,
                found => found?,
            };
            let Some(leaf) = leaf else { return Ok(()) };
            let mut draft = Draft::default();
            let moved = self.rekey_batch(elder, &snapshot, &[leaf], &mut draft);
            let payload = match moved {
                Ok(payload) => payload,
                Err(error) => {
                    self.discard(&draft.staged);
                    if self.is_overtaken(&snapshot, &error)? {
                        continue;
                    }
                    return Err(error);
                }
            };
            if self.commit(&snapshot, payload, draft)? {
                return Ok(());
            }
            lost += 1;
            if lost > MOST_LOST {
                return Err(VaultError::Contended);
            }
            self.pause(lost)?;
        }
    }

    /// Moves these services, so that what is built on them stays true.
    pub(crate) fn move_services<'a>(
        &self,
        names: impl Iterator<Item = &'a ServiceName>,
    ) -> Result<(), VaultError> {
        if self.fresh()?.elder.is_none() {
            return Ok(());
        }
        names.into_iter().try_for_each(|name| self.move_service(name))
    }
}

/// How often the mover of one service may lose to other writers: at up to a quarter of a second each, half a minute.
const MOST_LOST: u64 = 240;

/// Whether what a job replaces must leave no bytes.
fn erases(kind: JobKind, destroy: bool) -> bool {
    destroy || kind != JobKind::Rewrap
}

/// What a job does next.
enum Next {
    /// Commit a batch of so many services.
    Commit(Box<HeadPayload>, u64),
    /// Nothing is left.
    Done,
}

#[cfg(test)]
mod tests;
