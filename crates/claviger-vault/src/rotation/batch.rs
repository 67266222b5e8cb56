//! A batch of services: their envelopes made anew, or everything in them sealed anew.

use super::ahead::Prepared;
use crate::{
    Vault, VaultError,
    draft::Draft,
    format::{HeadPayload, Leaf, RecipientRecord},
    index::{self, Change},
    snapshot::Snapshot,
};
use claviger_envelope::DataKeyContext;
use claviger_types::{Digest, Link, ObjectId};
use std::{num::NonZero, thread};

/// More threads than this only wait for the token.
const MOST_THREADS: usize = 8;

/// Envelopes, each by the place of its service in the index and the envelope that it replaces.
pub(super) type Made = Vec<((Digest, ObjectId), Vec<u8>)>;

impl Vault {
    /// Wraps every data key of these services to the present recipients.
    pub(super) fn rewrap_batch(
        &self,
        snapshot: &Snapshot,
        leaves: Vec<Leaf>,
        prepared: &mut Prepared<'_>,
        draft: &mut Draft,
    ) -> Result<Box<HeadPayload>, VaultError> {
        if let Some(last) = leaves.last() {
            prepared.reach(&last.name);
        }
        let made = self.rewrapped(snapshot, &leaves, |at| prepared.get(at).is_some())?;
        prepared.add(made);

        let mut changes: Vec<Change> = Vec::with_capacity(leaves.len());
        for mut leaf in leaves {
            for key in &mut leaf.keys {
                let Some(bytes) = prepared.get(&(leaf.name, key.envelope.id)).cloned() else {
                    let reason = "a data key of the batch was not wrapped anew".to_owned();
                    return Err(VaultError::Invalid { reason });
                };
                draft.replace(&key.envelope);
                key.envelope = draft.put(bytes, self.entropy.as_ref())?;
            }
            changes.push((leaf.name, Some(leaf)));
        }
        let index = index::edit(snapshot, changes, draft, self.entropy.as_ref())?;
        Ok(snapshot.with_index(index))
    }

    /// The envelopes of these services' data keys made anew, but for those that are there already.
    pub(super) fn rewrapped(
        &self,
        snapshot: &Snapshot,
        leaves: &[Leaf],
        is_there: impl Fn(&(Digest, ObjectId)) -> bool,
    ) -> Result<Made, VaultError> {
        let recipients = snapshot.recipients()?;
        let wanted: Vec<Wanted> = leaves
            .iter()
            .flat_map(|leaf| leaf.keys.iter().map(move |key| (leaf, key)))
            .filter(|(leaf, key)| !is_there(&(leaf.name, key.envelope.id)))
            .map(|(leaf, key)| Wanted {
                place: leaf.name,
                context: DataKeyContext { vault: snapshot.payload.vault, service: leaf.service, n: key.n },
                kid: key.kid,
                link: key.envelope,
            })
            .collect();
        let links: Vec<Link> = wanted.iter().map(|wanted| wanted.link).collect();
        let old = snapshot.read_all("data key", &links)?;
        wanted
            .iter()
            .zip(old)
            .map(|(wanted, old)| {
                let made = self.rewrap(wanted, &old, &recipients)?;
                Ok(((wanted.place, wanted.link.id), made))
            })
            .collect()
    }

    /// One envelope, opened by the token and made anew under another one-time key.
    fn rewrap(
        &self,
        wanted: &Wanted,
        bytes: &[u8],
        recipients: &[RecipientRecord],
    ) -> Result<Vec<u8>, VaultError> {
        let key = self.keyring.unwrap(bytes, wanted.context, &wanted.kid)?;
        self.keyring.seal(&key, wanted.context, recipients, self.entropy.as_ref())
    }

    /// Takes services from one tree to another (or the same one), everything in them sealed anew.
    pub(super) fn rekey_batch(
        &self,
        from: &Snapshot,
        to: &Snapshot,
        leaves: &[Leaf],
        draft: &mut Draft,
    ) -> Result<Box<HeadPayload>, VaultError> {
        let recipients = to.recipients()?;
        let gone: Vec<Change> = leaves.iter().map(|leaf| (leaf.name, None)).collect();
        let made = in_parallel(leaves, |leaf| {
            let mut draft = Draft::default();
            let outcome = self.rekey(from, to, leaf, &recipients, &mut draft);
            if outcome.is_err() {
                self.discard(&draft.staged);
            }
            outcome.map(|leaf| (leaf, draft))
        })?;
        let mut changes: Vec<Change> = Vec::with_capacity(made.len());
        for (leaf, part) in made {
            changes.push((leaf.name, Some(leaf)));
            draft.append(part);
            draft.spill(self.store.as_ref())?;
        }
        let entropy = self.entropy.as_ref();
        let index = index::edit(to, changes, draft, entropy)?;
        let mut payload = to.with_index(index);
        if !std::ptr::eq(from, to) {
            let emptied = index::edit(from, gone, draft, entropy)?;
            if let Some(elder) = payload.roots.get_mut(1) {
                elder.index = emptied;
            }
        }
        Ok(payload)
    }
}

/// An envelope that is to be made anew.
struct Wanted {
    /// Where its service stands in the index.
    place: Digest,
    context: DataKeyContext,
    kid: Digest,
    link: Link,
}

/// Does the same to every item, on all processors; the results in order, or the first error.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, VaultError> + Sync,
) -> Result<Vec<R>, VaultError> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS);
    let share = items.len().div_ceil(threads).max(1);
    if items.len() <= 1 {
        return items.iter().map(work).collect();
    }
    let work = &work;
    thread::scope(|scope| {
        let shares: Vec<_> = items
            .chunks(share)
            .map(|share| scope.spawn(move || share.iter().map(work).collect::<Result<Vec<R>, _>>()))
            .collect();
        let mut all = Vec::with_capacity(items.len());
        let mut failed = None;
        for share in shares {
            match share.join() {
                Ok(Ok(done)) => all.extend(done),
                Ok(Err(error)) => failed = failed.or(Some(error)),
                Err(_) => {
                    let what = "a thread died over the vault's keys".to_owned();
                    failed = failed.or(Some(VaultError::Invalid { reason: what }));
                }
            }
        }
        failed.map_or(Ok(all), Err)
    })
}
