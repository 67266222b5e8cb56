//! An open vault: the newest verified head, reads that follow it, and writes that swap it.

use crate::{
    Anchor, Fault, Host, NoSuccession, Pinned, Pins, Seen, VaultError,
    cache::Cache,
    chain,
    draft::Draft,
    erase::LeftBehind,
    format::{Ancestor, HeadPayload, RecipientRecord, Registry, Root, encode, head::archive_id},
    keys::KeyRing,
    open::Accept,
    snapshot::{Snapshot, vouched},
    succession,
};
use claviger_envelope::{DataKeyEnvelope, ObjectKind, UnverifiedHead, VaultKeys, mac_head};
use claviger_store::{Commit, Object, Store, StoreError};
use claviger_token::TokenError;
use claviger_types::{Clock, Digest, Entropy, ObjectId};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a writer that keeps losing tries again.
const CONTENTION_LIMIT: Duration = Duration::from_secs(30);

/// How many objects go into the transaction that swaps the head; what does not fit goes before or after.
pub(crate) const MOST_PER_COMMIT: usize = 500;

/// How many objects go into one call of any other kind.
pub(crate) const BATCH: usize = 1000;

/// An open vault. Callable from many threads at once.
pub struct Vault {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) keyring: KeyRing,
    pub(crate) pinned: Pinned,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) anchors: Vec<Box<dyn Anchor>>,
    pub(crate) accept: Accept,
    pub(crate) left_behind: LeftBehind,
    cache: Arc<Cache>,
    /// The keys of each vault key that was opened, by its fingerprint.
    opened_keys: Mutex<HashMap<Digest, Arc<VaultKeys>>>,
    newest: Mutex<Option<Arc<Snapshot>>>,
}

/// What one step of a write decided.
pub(crate) enum Step<T> {
    /// Swap the head for one with this payload; epoch and predecessor are filled in.
    Commit(Box<HeadPayload>, T),
    /// There is nothing to write.
    Nothing(T),
}

impl std::fmt::Debug for Vault {
    // Keys and snapshots are nobody's business.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("pinned", &self.pinned).finish_non_exhaustive()
    }
}

impl Vault {
    pub(crate) fn assemble(parts: crate::Parts, accept: Accept) -> Self {
        Self {
            store: parts.store,
            entropy: parts.entropy,
            clock: parts.clock,
            keyring: KeyRing::new(parts.token, parts.pinned.recipient),
            pinned: parts.pinned,
            host: parts.host,
            anchors: parts.anchors,
            accept,
            left_behind: LeftBehind::default(),
            cache: Arc::default(),
            opened_keys: Mutex::default(),
            newest: Mutex::default(),
        }
    }

    /// The newest head, verified. What was verified already is not verified again.
    pub(crate) fn fresh(&self) -> Result<Arc<Snapshot>, VaultError> {
        loop {
            let Some(bytes) = self.store.head()? else { return Err(VaultError::NoVault) };
            if let Some(known) = self.newest().as_ref().filter(|known| *known.bytes == bytes) {
                return Ok(Arc::clone(known));
            }
            let verified = self.verify_head(Arc::new(bytes));
            match verified {
                Ok(snapshot) => {
                    let snapshot = Arc::new(snapshot);
                    *self.newest() = Some(Arc::clone(&snapshot));
                    return Ok(snapshot);
                }
                // Another process may have committed meanwhile: raised the anchor while this one held the older head, or
                // deleted what that head links to.
                Err((
                    VaultError::RolledBack { .. } | VaultError::Object { fault: Fault::Missing, .. },
                    bytes,
                )) if self.store.head()?.as_ref() != Some(&*bytes) => {}
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// The opening order: bounded parse, vault id, fingerprint before any call to the token, unwrap, kid, MAC, anchors;
    /// only then any other field.
    fn verify_head(&self, bytes: Arc<Vec<u8>>) -> Result<Snapshot, (VaultError, Arc<Vec<u8>>)> {
        self.verified(&bytes).map_err(|error| (error, bytes))
    }

    fn verified(&self, bytes: &Arc<Vec<u8>>) -> Result<Snapshot, VaultError> {
        let head =
            UnverifiedHead::parse(bytes).map_err(|source| VaultError::Root { what: "head", source })?;
        let claimed = HeadPayload::decode(head.payload_unverified())?;
        if claimed.vault != self.pinned.vault {
            return Err(VaultError::ForeignVault {
                found: claimed.vault.to_string(),
                expected: self.pinned.vault.to_string(),
            });
        }
        let root = claimed.root()?.clone();
        let pins = self.host.pins()?;
        if head.fingerprint() != root.fingerprint {
            let Some(pinned) = pins.fingerprints.first().copied() else { return Err(VaultError::NoVault) };
            let foreign = |found: &Digest| !pins.fingerprints.contains(found);
            let found = Some(root.fingerprint).filter(foreign).unwrap_or_else(|| head.fingerprint());
            return Err(VaultError::ForeignFingerprint { found, pinned, why: NoSuccession::BadRecord });
        }
        let vouched = self.accepts(&claimed, &root, &pins)?;
        let keys = self.keys_of(&root)?;
        head.verify(&keys.head, claimed.vault)
            .map_err(|_| VaultError::Damaged { what: "the head's MAC does not fit".to_owned() })?;
        let digest = Digest::of(bytes);
        if let Some(last) = &vouched
            && chain::descends(self.store.as_ref(), &claimed, &digest, last)? != Some(true)
        {
            return Err(VaultError::RolledBack {
                what: "the head does not descend from the one at which its vault key was vouched for"
                    .to_owned(),
            });
        }
        self.check_anchors(&claimed, &digest)?;
        // The head shows that the vault key which this host expected, or which was vouched for, has come.
        let moves = pins.fingerprints.first() != Some(&root.fingerprint) && self.accept != Accept::Inspect;
        if moves {
            self.host.settle(root.fingerprint)?;
        }
        let payload = Arc::new(claimed);
        let elder = payload.elder_tree().map(|elder| self.keys_of(elder).map(|keys| (elder.clone(), keys)));
        let elder = elder.transpose()?.map(|(root, keys)| {
            Box::new(self.snapshot(Arc::clone(&payload), (root, keys), digest, Arc::clone(bytes), None))
        });
        let snapshot = self.snapshot(payload, (root, keys), digest, Arc::clone(bytes), elder);
        if moves && let Err(error) = self.believe(&snapshot) {
            // A damaged register keeps nobody from reading; the next command of an owner does this.
            tracing::warn!(%error, "the signers of retired recipients are still pinned");
        }
        Ok(snapshot)
    }

    fn snapshot(
        &self,
        payload: Arc<HeadPayload>,
        (root, keys): (Root, Arc<VaultKeys>),
        digest: Digest,
        bytes: Arc<Vec<u8>>,
        elder: Option<Box<Snapshot>>,
    ) -> Snapshot {
        let (store, cache) = (Arc::clone(&self.store), Arc::clone(&self.cache));
        Snapshot { store, cache, keys, payload, root, digest, bytes, elder }
    }

    /// Whether this host accepts the vault key: it pins it, or a signer that it believes vouches for it. The latter holds
    /// only if the head descends from the one that is returned.
    fn accepts(&self, claimed: &HeadPayload, root: &Root, pins: &Pins) -> Result<Option<Seen>, VaultError> {
        if pins.fingerprints.contains(&root.fingerprint) {
            return Ok(None);
        }
        succession::follow(self.store.as_ref(), claimed, root.fingerprint, pins).map(Some)
    }

    /// The keys of a root's vault key, unwrapped once while the vault is open.
    fn keys_of(&self, root: &Root) -> Result<Arc<VaultKeys>, VaultError> {
        if let Some(keys) = lock(&self.opened_keys).get(&root.fingerprint) {
            return Ok(Arc::clone(keys));
        }
        let keys = Arc::new(self.unwrap_vault_key(root, &root.fingerprint)?);
        self.know_vault_key(root.fingerprint, &keys);
        Ok(keys)
    }

    /// Keeps a vault key's keys at hand.
    pub(crate) fn know_vault_key(&self, fingerprint: Digest, keys: &Arc<VaultKeys>) {
        lock(&self.opened_keys).insert(fingerprint, Arc::clone(keys));
    }

    fn unwrap_vault_key(&self, root: &Root, fingerprint: &Digest) -> Result<VaultKeys, VaultError> {
        const WHAT: &str = "vault key";
        let object = root.envelope.id;
        let bytes = vouched(WHAT, &root.envelope, self.store.get(&[object])?.pop().flatten())?;
        let opened = |source| VaultError::Root { what: WHAT, source };
        let found = DataKeyEnvelope::parse(&bytes).map_err(opened)?.kid();
        if found != *fingerprint {
            let why = NoSuccession::NoRecord;
            return Err(VaultError::ForeignFingerprint { found, pinned: *fingerprint, why });
        }
        let context = KeyRing::vault_key_context(self.pinned.vault);
        match self.keyring.unwrap(&bytes, context, fingerprint) {
            Err(VaultError::Envelope(source)) => Err(opened(source)),
            key => Ok(VaultKeys::derive(&key?)?),
        }
    }

    fn check_anchors(&self, head: &HeadPayload, digest: &Digest) -> Result<(), VaultError> {
        let seen = Seen { epoch: head.epoch, digest: *digest };
        match self.accept {
            Accept::Inspect => return Ok(()),
            Accept::Trust(trusted) if trusted == *digest => {
                return self.anchors.iter().try_for_each(|anchor| anchor.reset(seen));
            }
            Accept::Trust(trusted) => {
                return Err(VaultError::RolledBack {
                    what: format!("the store's head is {digest}, not {trusted}"),
                });
            }
            Accept::Anchored => {}
        }
        for anchor in &self.anchors {
            let known = chain::check(self.store.as_ref(), head, digest, anchor.as_ref())?;
            let milestone = head.milestone.map(|Ancestor(seen)| seen);
            let target = anchor.target(seen, milestone);
            if known != target {
                anchor.raise(target, false)?;
            }
        }
        Ok(())
    }

    /// Raises every anchor to the newest head, those too that are not raised at each commit.
    pub fn settle_anchors(&self) -> Result<(), VaultError> {
        let snapshot = self.fresh()?;
        let seen = Seen { epoch: snapshot.payload.epoch, digest: snapshot.digest };
        self.anchors.iter().try_for_each(|anchor| anchor.settle(seen))
    }

    /// Reads from one head. An object that is not there any more means that the head has moved on; the same head and
    /// still missing is damage.
    pub(crate) fn read<T>(
        &self,
        mut step: impl FnMut(&Snapshot) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        loop {
            let snapshot = self.fresh()?;
            match step(&snapshot) {
                Err(error) if !self.is_overtaken(&snapshot, &error)? => return Err(error),
                Err(_) => {}
                done => return done,
            }
        }
    }

    /// Who has to do with the vault, as the newest head says.
    pub(crate) fn registry(&self) -> Result<Arc<Registry>, VaultError> {
        self.read(Snapshot::registry)
    }

    /// Who new data keys are wrapped to, as the newest head says.
    pub(crate) fn recipients(&self) -> Result<Vec<RecipientRecord>, VaultError> {
        self.read(Snapshot::recipients)
    }

    /// Whether an error comes of looking at a head that is no longer the newest: what it links to is deleted, a key that it
    /// speaks of is destroyed. On the newest head the same is damage.
    pub(crate) fn is_overtaken(&self, snapshot: &Snapshot, error: &VaultError) -> Result<bool, VaultError> {
        let may_be = matches!(
            error,
            VaultError::Object { fault: Fault::Missing, .. }
                | VaultError::NotARecipient
                | VaultError::Unwritable { .. }
                | VaultError::Token(TokenError::KeyMissing { .. })
        );
        Ok(may_be && self.fresh()?.digest != snapshot.digest)
    }

    /// Writes by swapping the head. `step` works on a fresh head each time (its last argument counts from 1); when
    /// another writer was there first it starts again, for thirty seconds.
    pub(crate) fn write<T>(
        &self,
        mut step: impl FnMut(&Snapshot, &mut Draft, u64) -> Result<Step<T>, VaultError>,
    ) -> Result<T, VaultError> {
        if self.accept == Accept::Inspect {
            return Err(VaultError::Invalid {
                reason: "the vault was opened for inspection only".to_owned(),
            });
        }
        let started = Instant::now();
        let mut attempt = 1;
        loop {
            let snapshot = self.fresh()?;
            let mut draft = Draft::default();
            let outcome = step(&snapshot, &mut draft, attempt);
            if !matches!(outcome, Ok(Step::Commit(..))) {
                self.discard(&draft.staged);
            }
            match outcome {
                Ok(Step::Nothing(answer)) => return Ok(answer),
                Ok(Step::Commit(payload, answer)) => {
                    if self.commit(&snapshot, payload, draft)? {
                        return Ok(answer);
                    }
                }
                Err(VaultError::NotMoved { service }) => {
                    self.move_service(&service)?;
                    continue;
                }
                Err(error) if self.is_overtaken(&snapshot, &error)? => {}
                Err(error) => return Err(error),
            }
            if started.elapsed() > CONTENTION_LIMIT {
                return Err(VaultError::Contended);
            }
            self.pause(attempt)?;
            attempt += 1;
        }
    }

    /// Waits a random time that grows with the attempts, so that writers who met once do not meet again.
    pub(crate) fn pause(&self, attempt: u64) -> Result<(), VaultError> {
        let mut random = [0; 2];
        self.entropy.fill(&mut random)?;
        let most = 2_u64 << attempt.min(7);
        std::thread::sleep(Duration::from_millis(u64::from(u16::from_le_bytes(random)) % most));
        Ok(())
    }

    /// Swaps the head; `false` when another writer was there first. Whatever goes wrong, the store holds the old head
    /// or the new one, each with all its objects.
    pub(crate) fn commit(
        &self,
        snapshot: &Snapshot,
        mut payload: Box<HeadPayload>,
        mut draft: Draft,
    ) -> Result<bool, VaultError> {
        payload.epoch = snapshot.payload.epoch + 1;
        payload.previous = Some(snapshot.digest);
        payload.milestone = Some(snapshot.payload.next_milestone(snapshot.digest));
        if let Err(error) = self.note_writer(snapshot, &mut payload, &mut draft) {
            self.discard(&draft.staged);
            // The register of a head that is no longer the newest may be gone.
            return if self.is_overtaken(snapshot, &error)? { Ok(false) } else { Err(error) };
        }
        let wraps = draft.wraps.unwrap_or_default();
        let root = payload.root()?.clone();
        let keys = self.keys_of(&root)?;
        let bytes = mac_head(&keys.head, payload.vault, &root.fingerprint, &encode("the head", &payload)?)?;
        let digest = Digest::of(&bytes);
        draft.puts.push(Object { id: archive_id(&digest), bytes: bytes.clone() });

        let seen = Seen { epoch: payload.epoch, digest };
        let milestone = payload.milestone.map(|Ancestor(seen)| seen);
        for anchor in &self.anchors {
            anchor.prepare()?;
        }

        let late = draft.deletes.split_off(draft.deletes.len().min(MOST_PER_COMMIT));
        let early = draft.puts.len().saturating_sub(MOST_PER_COMMIT);
        let outcome = draft.stage(self.store.as_ref(), early).and_then(|()| {
            match self.store.commit(Some(&snapshot.bytes), &bytes, &draft.puts, &draft.deletes) {
                Err(StoreError::Ambiguous { source }) => self.was_committed(snapshot, &seen, source),
                other => Ok(other? == Commit::Done),
            }
        });
        match outcome {
            Ok(true) => {}
            // Whether the head was swapped is not known: what was staged may be what it reaches. `gc` will tell.
            Err(error) if error.may_be_done() => return Err(error),
            other => {
                self.discard(&draft.staged);
                return other;
            }
        }
        // From here on the commit has happened; what is left cannot undo it.
        self.keyring.counted(&draft.seals, wraps);
        self.discard(&late);
        let payload = Arc::<HeadPayload>::from(payload);
        let bytes = Arc::new(bytes);
        let elder = payload.elder_tree().map(|elder| self.keys_of(elder).map(|keys| (elder.clone(), keys)));
        let elder = elder.transpose()?.map(|tree| {
            Box::new(self.snapshot(Arc::clone(&payload), tree, digest, Arc::clone(&bytes), None))
        });
        *self.newest() = Some(Arc::new(self.snapshot(payload, (root, keys), digest, bytes, elder)));
        for anchor in &self.anchors {
            anchor.raise(anchor.target(seen, milestone), false).map_err(|source| VaultError::Unanchored {
                location: anchor.location(),
                source: Box::new(source),
            })?;
        }
        Ok(true)
    }

    /// Writes into the register what a commit has to leave there: that this host writes under this vault key, and how
    /// often the master key was used where that is counted.
    fn note_writer(
        &self,
        snapshot: &Snapshot,
        payload: &mut HeadPayload,
        draft: &mut Draft,
    ) -> Result<(), VaultError> {
        if draft.wraps.is_some() {
            return Ok(());
        }
        let registry = snapshot.registry()?;
        if self.keyring.uncounted_wraps() > 0 || !registry.knows(self.host.id(), payload.root()?.fingerprint)
        {
            let registry = Registry::clone(&registry);
            payload.recipients = self.put_registry(snapshot, &snapshot.keys, registry, draft)?;
        }
        Ok(())
    }

    /// Puts a changed register, sealed under these keys, with what every commit notes in it.
    pub(crate) fn put_registry(
        &self,
        snapshot: &Snapshot,
        keys: &VaultKeys,
        mut registry: Registry,
        draft: &mut Draft,
    ) -> Result<claviger_types::Link, VaultError> {
        let wraps = self.keyring.uncounted_wraps();
        registry.count_wraps(wraps);
        registry.note_host(self.host.as_ref(), keys.fingerprint, self.clock.now());
        draft.wraps = Some(wraps);
        draft.replace(&snapshot.payload.recipients);
        let plain = encode("the list of recipients", &registry)?;
        let (kind, vault) = (ObjectKind::Recipients, snapshot.payload.vault);
        draft.put_sealed_under(&keys.metadata, vault, kind, &plain, self.entropy.as_ref())
    }

    /// Deletes what no head reaches. What stays behind is garbage that `gc` will find, so an error changes nothing.
    pub(crate) fn discard(&self, ids: &[ObjectId]) {
        for batch in ids.chunks(BATCH) {
            if let Err(error) = self.store.delete(batch) {
                tracing::warn!(%error, "objects that nothing reaches stay behind until `gc`");
                self.left_behind.note();
                return;
            }
        }
    }

    /// After a lost connection: whether our head is the present one or among its ancestors. What cannot be told is an
    /// error, never a "no": so is a head that has not moved, because a disk that failed may yet show the commit, and one
    /// that fails each time would be asked for ever.
    fn was_committed(
        &self,
        before: &Snapshot,
        ours: &Seen,
        cause: claviger_store::Cause,
    ) -> Result<bool, VaultError> {
        let known = self.store.head().ok().flatten().and_then(|bytes| {
            if bytes == *before.bytes {
                return None;
            }
            let head = UnverifiedHead::parse(&bytes).ok()?;
            let payload = HeadPayload::decode(head.payload_unverified()).ok()?;
            chain::descends(self.store.as_ref(), &payload, &Digest::of(&bytes), ours).ok()?
        });
        known.ok_or_else(|| StoreError::Ambiguous { source: cause }.into())
    }

    fn newest(&self) -> MutexGuard<'_, Option<Arc<Snapshot>>> {
        lock(&self.newest)
    }
}

// What these locks guard is replaced whole, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
