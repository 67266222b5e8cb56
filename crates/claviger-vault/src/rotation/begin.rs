//! The commit that begins a job: the new list of recipients, who is on their way out, and for a replacement the new vault
//! key with its succession record.

use crate::{
    JobKind, Vault, VaultError,
    draft::Draft,
    format::{HeadPayload, Job, RecipientRecord, Registry, Root},
    index,
    keys::KeyRing,
    report::RecipientState,
    session::Step,
    snapshot::Snapshot,
    succession,
};
use claviger_envelope::{ContentAlg, DataKey, ObjectKind, Succession, VaultKeys};
use claviger_types::{Digest, Link, ObjectId, RecipientId, Timestamp};
use std::sync::Arc;

/// What a job is to do.
pub(super) struct Plan {
    pub(super) kind: JobKind,
    /// Recipients on their way out.
    pub(super) retiring: Vec<RecipientId>,
    /// What becomes of them.
    pub(super) end: RecipientState,
    /// Whether their keys are destroyed on this host's token in the end.
    pub(super) destroy: bool,
    /// The master key that it introduces.
    pub(super) made: Option<RecipientId>,
}

/// A vault key that is to follow.
struct Successor {
    key: DataKey,
    keys: Arc<VaultKeys>,
}

impl Vault {
    /// Begins a job, with a change to the register in the same commit; the job's id.
    pub(super) fn begin(
        &self,
        plan: &Plan,
        change: &dyn Fn(&mut Registry, Timestamp) -> Result<(), VaultError>,
    ) -> Result<ObjectId, VaultError> {
        let id = ObjectId::random(self.entropy.as_ref())?;
        let former = self.fresh()?.root.fingerprint;
        let successor = match plan.kind {
            JobKind::Replace => Some(self.successor()?),
            JobKind::Rewrap | JobKind::Rekey => None,
        };
        if let Some(successor) = &successor {
            // Beside the old pin, and before the head is swapped: a crash in between locks nobody out.
            self.host.expect(successor.keys.fingerprint)?;
        }
        let begun = self.write(|snapshot, draft, _| {
            if let Some(job) = snapshot.payload.job()? {
                return Err(VaultError::WorkUnderWay { job: Some(crate::JobInfo::of(&job).to_string()) });
            }
            let mut registry = Registry::clone(&*snapshot.registry()?);
            change(&mut registry, self.clock.now())?;
            let recipients = registry.writable(&plan.retiring);
            check_recipients(&recipients)?;
            let job = Job {
                id,
                kind: plan.kind,
                started: self.clock.now(),
                cursor: None,
                done: 0,
                total: count_services(snapshot)?,
                retiring: plan.retiring.clone(),
                end: plan.end,
                destroy: plan.destroy,
                made: plan.made,
            };
            let mut payload = Box::new(HeadPayload::clone(&snapshot.payload));
            payload.rotation = Some(job.encode()?);
            let mut keys = Arc::clone(&snapshot.keys);
            match &successor {
                None if plan.kind == JobKind::Rewrap => {
                    let key = self.vault_key(snapshot)?;
                    let envelope = self.vault_key_envelope(&key, &recipients, draft)?;
                    draft.replace(&snapshot.root.envelope);
                    if let Some(root) = payload.roots.first_mut() {
                        root.envelope = envelope;
                    }
                }
                None => {}
                Some(successor) => {
                    registry.former.push(former);
                    self.succeed(snapshot, successor, (&registry, plan, &recipients), &mut payload, draft)?;
                    keys = Arc::clone(&successor.keys);
                }
            }
            payload.recipients = self.put_registry(snapshot, &keys, registry, draft)?;
            Ok(Step::Commit(payload, ()))
        });
        match (begun, &successor) {
            (Ok(()), Some(successor)) => self.host.settle(successor.keys.fingerprint)?,
            (Err(error), successor) => {
                // The successor is forgotten only where it is certain that no head is under it.
                if successor.is_some() && self.fresh().is_ok_and(|now| now.root.fingerprint == former) {
                    self.host.settle(former)?;
                }
                return Err(error);
            }
            (Ok(()), None) => {}
        }
        Ok(id)
    }

    fn successor(&self) -> Result<Successor, VaultError> {
        let key = DataKey::generate(ContentAlg::A256Gcm, self.entropy.as_ref())?;
        let keys = Arc::new(VaultKeys::derive(&key)?);
        self.know_vault_key(keys.fingerprint, &keys);
        Ok(Successor { key, keys })
    }

    /// Puts a second root before the present one, under the new vault key, and seals anew what hangs under the head.
    fn succeed(
        &self,
        snapshot: &Snapshot,
        successor: &Successor,
        (registry, plan, recipients): (&Registry, &Plan, &[RecipientRecord]),
        payload: &mut HeadPayload,
        draft: &mut Draft,
    ) -> Result<(), VaultError> {
        let entropy = self.entropy.as_ref();
        let (vault, fingerprint) = (payload.vault, successor.keys.fingerprint);
        let envelope = self.vault_key_envelope(&successor.key, recipients, draft)?;
        payload.roots.insert(0, Root { fingerprint, envelope, index: None });
        let anew = |what, kind, link: &Link, draft: &mut Draft| -> Result<Link, VaultError> {
            let content = snapshot.read_sealed(what, kind, link)?;
            draft.replace(link);
            draft.put_sealed_under(&successor.keys.metadata, vault, kind, content.expose(), entropy)
        };
        payload.audit.key = anew("audit key", ObjectKind::AuditKey, &snapshot.payload.audit.key, draft)?;
        if let Some(policy) = &snapshot.payload.policy {
            payload.policy = Some(anew("policy", ObjectKind::Policy, policy, draft)?);
        }
        if let Some(plugins) = &snapshot.payload.plugins {
            payload.plugins = Some(anew("plugins", ObjectKind::Plugins, plugins, draft)?);
        }
        let record = Succession {
            vault,
            old: snapshot.root.fingerprint,
            new: fingerprint,
            epoch: snapshot.payload.epoch,
            head: snapshot.digest,
            previous: snapshot.payload.succession,
        };
        if let Some(bytes) = succession::vouch(self.host.as_ref(), registry, &plan.retiring, &record)? {
            payload.succession = Some(draft.put(bytes, entropy)?);
        } else {
            tracing::warn!("no signer vouches for the new vault key: other hosts have to `trust` it");
        }
        Ok(())
    }

    /// The vault key itself, for an envelope that is made anew.
    fn vault_key(&self, snapshot: &Snapshot) -> Result<DataKey, VaultError> {
        let bytes = snapshot.read("vault key", &snapshot.root.envelope)?;
        let context = KeyRing::vault_key_context(snapshot.payload.vault);
        self.keyring.unwrap(&bytes, context, &snapshot.root.fingerprint)
    }

    /// An envelope of a vault key, put, and opened again by this host's token before anything is entrusted to it.
    fn vault_key_envelope(
        &self,
        key: &DataKey,
        recipients: &[RecipientRecord],
        draft: &mut Draft,
    ) -> Result<Link, VaultError> {
        let entropy = self.entropy.as_ref();
        let context = KeyRing::vault_key_context(self.pinned.vault);
        let bytes = self.keyring.seal(key, context, recipients, entropy)?;
        let kid: Digest = key.kid();
        match self.keyring.unwrap(&bytes, context, &kid) {
            Ok(_) => draft.put(bytes, entropy),
            Err(VaultError::NotARecipient) => Err(not_by_this_token()),
            Err(error) => Err(error),
        }
    }
}

pub(super) fn not_by_this_token() -> VaultError {
    let reason = "the token by which the vault is open now would no longer open it; open it by another one";
    VaultError::Invalid { reason: reason.to_owned() }
}

/// Whether a vault may have these recipients: somebody can open it, and every writer can wrap to each of them.
pub(super) fn check_recipients(recipients: &[RecipientRecord]) -> Result<(), VaultError> {
    let invalid = |reason: String| Err(VaultError::Invalid { reason });
    if recipients.is_empty() {
        return invalid("nobody would be left who can open the vault; enroll another token first".to_owned());
    }
    if recipients.len() > claviger_envelope::MAX_RECIPIENTS {
        return invalid(format!("a vault has at most {} recipients", claviger_envelope::MAX_RECIPIENTS));
    }
    let mut symmetric = recipients.iter().filter(|record| record.is_symmetric());
    if let (Some(first), Some(second)) = (symmetric.next(), symmetric.next()) {
        return invalid(format!(
            "the keys on the tokens `{}` and `{}` are both secret keys, to which only their own tokens can wrap; at \
             most one recipient may be that. `claviger rotate master --scheme ECDH-ES+A256KW` makes one a key pair",
            first.token_label, second.token_label
        ));
    }
    Ok(())
}

pub(crate) fn count_services(snapshot: &Snapshot) -> Result<u64, VaultError> {
    let mut count = 0;
    index::leaves(snapshot, &mut |_| {
        count += 1;
        Ok(())
    })?;
    Ok(count)
}
