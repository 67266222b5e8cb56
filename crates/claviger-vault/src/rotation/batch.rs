//! A batch of services: their envelopes made anew, or everything in them sealed anew. The token is asked from as many
//! threads as there are processors.

use crate::{
    Vault, VaultError,
    draft::Draft,
    format::{HeadPayload, Leaf, RecipientRecord},
    index::{self, Change},
    session::BATCH,
    snapshot::Snapshot,
};
use claviger_envelope::DataKeyContext;
use claviger_types::{Link, ObjectId};
use std::{collections::HashMap, num::NonZero, thread};

/// More threads than this only wait for the token.
const MOST_THREADS: usize = 8;

/// Envelopes that were made ahead of their commit, by the one that each replaces: while the batch before was committed, or
/// for a commit that another writer won.
#[derive(Default)]
pub(super) struct Prepared {
    made: HashMap<ObjectId, Vec<u8>>,
    used: Vec<ObjectId>,
}

impl Prepared {
    /// Forgets what the last batch used; it is in the store by now.
    pub(super) fn committed(&mut self) {
        for id in self.used.drain(..) {
            self.made.remove(&id);
        }
    }

    /// Takes over what was made ahead.
    pub(super) fn extend(&mut self, made: Made) {
        self.made.extend(made);
    }
}

/// Envelopes, by the one that each replaces.
pub(super) type Made = Vec<(ObjectId, Vec<u8>)>;

impl Vault {
    /// Wraps every data key of these services to the present recipients.
    pub(super) fn rewrap_batch(
        &self,
        snapshot: &Snapshot,
        mut leaves: Vec<Leaf>,
        prepared: &mut Prepared,
        draft: &mut Draft,
    ) -> Result<Box<HeadPayload>, VaultError> {
        let made = self.rewrapped(snapshot, &leaves, |id| prepared.made.contains_key(id))?;
        prepared.extend(made);
        prepared.used.clear();

        let mut changes: Vec<Change> = Vec::with_capacity(leaves.len());
        for mut leaf in leaves.drain(..) {
            for key in &mut leaf.keys {
                let Some(bytes) = prepared.made.get(&key.envelope.id).cloned() else {
                    let reason = "a data key of the batch was not wrapped anew".to_owned();
                    return Err(VaultError::Invalid { reason });
                };
                prepared.used.push(key.envelope.id);
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
        is_there: impl Fn(&ObjectId) -> bool,
    ) -> Result<Made, VaultError> {
        let recipients = snapshot.recipients()?;
        let wanted: Vec<Wanted> = leaves
            .iter()
            .flat_map(|leaf| leaf.keys.iter().map(move |key| (leaf, key)))
            .filter(|(_, key)| !is_there(&key.envelope.id))
            .map(|(leaf, key)| Wanted {
                context: DataKeyContext { vault: snapshot.payload.vault, service: leaf.service, n: key.n },
                kid: key.kid,
                link: key.envelope,
            })
            .collect();
        let old = read_all(snapshot, &wanted)?;
        let work: Vec<_> = wanted.iter().zip(old).collect();
        let made = in_parallel(&work, |(wanted, bytes)| self.rewrap(wanted, bytes, &recipients))?;
        Ok(wanted.iter().map(|wanted| wanted.link.id).zip(made).collect())
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
    context: DataKeyContext,
    kid: claviger_types::Digest,
    link: Link,
}

fn read_all(snapshot: &Snapshot, wanted: &[Wanted]) -> Result<Vec<Vec<u8>>, VaultError> {
    const WHAT: &str = "data key";
    let mut all = Vec::with_capacity(wanted.len());
    for batch in wanted.chunks(BATCH) {
        let ids: Vec<ObjectId> = batch.iter().map(|wanted| wanted.link.id).collect();
        for (wanted, bytes) in batch.iter().zip(snapshot.store.get(&ids)?) {
            let fault = match bytes {
                Some(bytes) if wanted.link.fits(&bytes) => {
                    all.push(bytes);
                    continue;
                }
                Some(_) => crate::Fault::Altered,
                None => crate::Fault::Missing,
            };
            return Err(VaultError::Object { what: WHAT, object: wanted.link.id, fault });
        }
    }
    Ok(all)
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
