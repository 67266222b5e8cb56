//! Recipients come by a proposal and an answered challenge, and go by retirement.

use super::begin::{Plan, check_recipients, not_by_this_token};
use crate::{
    JobKind, JobReport, PinnedSigner, Progress, Proposal, Vault, VaultError,
    format::{HeadPayload, RecipientRecord, Registry, SignerRecord},
    report::RecipientState,
    session::Step,
};
use claviger_envelope::{ContentAlg, DataKey, DataKeyContext, DataKeyEnvelope, answer};
use claviger_token::{KeyDescription, Token, TokenError, Unwrapped};
use claviger_types::{Digest, RecipientId, ServiceId, VaultId};
use std::sync::Arc;

/// How to retire a recipient.
#[derive(Clone, Default)]
pub struct Retire {
    /// Whether somebody else may have its key.
    pub compromised: bool,
    /// What becomes of its key.
    pub key: KeyFate,
}

/// What becomes of the key of a recipient that is retired.
#[derive(Clone, Default)]
pub enum KeyFate {
    /// It stays, or nobody knows: the token may be lost.
    #[default]
    Kept,
    /// It is destroyed on its token, which this reaches, and read back as absent; and so are former keys of the vault there.
    /// Then nothing need be sealed anew.
    DestroyedOn(Arc<dyn Token>),
    /// It is absent from its token already.
    Gone,
}

/// Which keys of a token were destroyed.
#[derive(Default)]
struct Gone {
    keys: Vec<RecipientId>,
    /// Whether no other is there that opens old copies.
    all: bool,
}

impl Retire {
    const fn destroys(&self) -> bool {
        !matches!(self.key, KeyFate::Kept)
    }
}

/// The place of a challenge: no service has this number of data key.
fn challenge_context(vault: VaultId, recipient: RecipientId) -> DataKeyContext {
    DataKeyContext { vault, service: ServiceId::from_bytes(*recipient.as_bytes()), n: 0 }
}

/// Answers a recipient's challenge with its token.
pub fn answer_challenge(token: &dyn Token, vault: VaultId, challenge: &[u8]) -> Result<Digest, VaultError> {
    let envelope = DataKeyEnvelope::parse(challenge)?;
    let recipient = token.describe().recipient;
    let context = challenge_context(vault, recipient);
    let wrapped = envelope
        .recipients()
        .iter()
        .find(|wrapped| wrapped.recipient == recipient)
        .ok_or(VaultError::NotARecipient)?;
    match token.unwrap(wrapped, &envelope.wrap_context(wrapped, context))? {
        Unwrapped::Key(cek) => Ok(answer(&envelope.open(&cek, context, &envelope.kid())?)?),
        Unwrapped::NotMine => Err(VaultError::NotARecipient),
    }
}

impl Vault {
    /// Enters a key pair as a recipient, pre-active, and makes the challenge that only its token can answer.
    pub fn propose(
        &self,
        key: &KeyDescription,
        signer: Option<PinnedSigner>,
    ) -> Result<Proposal, VaultError> {
        if key.scheme.is_symmetric() {
            return Err(VaultError::Invalid {
                reason: format!(
                    "a further recipient must be a key pair, because every writer has to wrap to it; {} is a secret key",
                    key.scheme
                ),
            });
        }
        let entropy = self.entropy.as_ref();
        let mut record = RecipientRecord::of(key, RecipientState::PreActive, self.clock.now());
        record.signer = signer.map(|PinnedSigner { id, public_key }| SignerRecord { id, public_key });
        let secret = DataKey::generate(ContentAlg::A256Gcm, entropy)?;
        let context = challenge_context(self.pinned.vault, record.id);
        let challenge = self.keyring.seal(&secret, context, std::slice::from_ref(&record), entropy)?;
        record.answer = Some(Digest::of(answer(&secret)?.as_bytes()));
        self.change_registry(&|registry| {
            let known = |other: &&RecipientRecord| {
                other.id == record.id
                    || (other.public_key == record.public_key && other.state != RecipientState::Destroyed)
            };
            if let Some(known) = registry.recipients.iter().find(known) {
                return Err(VaultError::Invalid {
                    reason: format!(
                        "that key is known already: recipient {}, {}",
                        known.id,
                        known.state.name()
                    ),
                });
            }
            registry.add(record.clone())
        })?;
        Ok(Proposal { recipient: record.id, challenge })
    }

    /// Takes up a proposed recipient that has answered its challenge: every data key is wrapped to it too.
    pub fn activate(
        &self,
        recipient: RecipientId,
        given: Digest,
        progress: &dyn Progress,
    ) -> Result<JobReport, VaultError> {
        let lock = self.work_lock()?;
        self.finish_left_over(&lock, progress)?;
        let plan = Plan {
            kind: JobKind::Rewrap,
            retiring: Vec::new(),
            end: RecipientState::Deactivated,
            destroy: false,
            made: None,
        };
        let take_up = |registry: &mut Registry, now| {
            let record = registry.recipient_mut(recipient)?;
            if record.state != RecipientState::PreActive {
                return Err(VaultError::Invalid {
                    reason: format!("the recipient {recipient} is {} already", record.state.name()),
                });
            }
            if record.answer != Some(Digest::of(given.as_bytes())) {
                return Err(VaultError::WrongAnswer { recipient });
            }
            record.answer = None;
            record.become_state(RecipientState::Active, now);
            Ok(())
        };
        self.run(&lock, &plan, &take_up, progress)
    }

    /// Retires a recipient. Unless its key and every former key of the vault on its token are known to be destroyed, the
    /// token could open old copies, so the vault key and every data key are replaced and everything is sealed anew. There
    /// is no report where nothing had to be done for it: a recipient that is only proposed is forgotten, and one that was
    /// retired before is noted as destroyed. A retirement of it that was left behind is finished, and that is all.
    ///
    /// Nothing is destroyed before it is this process's turn, and what was left behind is done. Where that waits for the
    /// very recipient to retire, whose token is gone, it goes on without it.
    pub fn retire(
        &self,
        recipient: RecipientId,
        how: &Retire,
        progress: &dyn Progress,
    ) -> Result<Option<JobReport>, VaultError> {
        let lock = self.work_lock()?;
        let (left_over, was_stuck) = match self.finish_left_over(&lock, progress) {
            Err(VaultError::Unwritable { recipient: stuck, .. }) if stuck == recipient => {
                self.leave_out(recipient)?;
                (self.finish_left_over(&lock, progress)?, true)
            }
            finished => (finished?, false),
        };
        let registry = self.registry()?;
        if let Some(report) = left_over.filter(|_| !was_stuck)
            && report.job.retiring.contains(&recipient)
            && (!how.compromised || report.job.kind == JobKind::Replace)
            && (!how.destroys()
                || registry.recipient(recipient).is_some_and(|it| it.state == RecipientState::Destroyed))
        {
            return Ok(Some(report));
        }
        match registry.record(recipient)?.state {
            RecipientState::Active => {}
            RecipientState::PreActive => {
                destroy_key(registry.record(recipient)?, &how.key)?;
                self.change_registry(&|registry| {
                    registry
                        .recipients
                        .retain(|record| record.id != recipient || record.state != RecipientState::PreActive);
                    Ok(())
                })?;
                return Ok(None);
            }
            RecipientState::Deactivated if was_stuck || (how.compromised && !how.destroys()) => {}
            RecipientState::Deactivated | RecipientState::Compromised if how.destroys() => {
                destroy_key(registry.record(recipient)?, &how.key)?;
                self.change_registry(&|registry| {
                    let now = self.clock.now();
                    registry.recipient_mut(recipient)?.become_state(RecipientState::Destroyed, now);
                    Ok(())
                })?;
                return Ok(None);
            }
            gone => {
                return Err(VaultError::Invalid {
                    reason: format!("the recipient {recipient} is {} already", gone.name()),
                });
            }
        }
        let staying = registry.writable(&[recipient]);
        check_recipients(&staying)?;
        self.opens_by_one_of(&staying)?;
        let gone = Self::destroy_with_former_keys(&registry, recipient, &how.key)?;
        let plan = Plan {
            kind: if gone.all && !how.compromised && !was_stuck { JobKind::Rewrap } else { JobKind::Replace },
            retiring: vec![recipient],
            end: match (how.destroys(), how.compromised) {
                (true, _) => RecipientState::Destroyed,
                (false, true) => RecipientState::Compromised,
                (false, false) => RecipientState::Deactivated,
            },
            destroy: false,
            made: None,
        };
        let note_gone = |registry: &mut Registry, now| {
            gone.keys.iter().copied().filter(|id| *id != recipient).try_for_each(|id| {
                registry.recipient_mut(id)?.become_state(RecipientState::Destroyed, now);
                Ok(())
            })
        };
        self.run(&lock, &plan, &note_gone, progress).map(Some)
    }

    /// That the token by which the vault is open has the key of one of these: another may be out of reach for good.
    fn opens_by_one_of(&self, recipients: &[RecipientRecord]) -> Result<(), VaultError> {
        for record in recipients {
            if let Some(scheme) = record.scheme()
                && self.keyring.key_of(record.id, scheme)?.is_some()
            {
                return Ok(());
            }
        }
        Err(not_by_this_token())
    }

    /// Replaces the vault key and every data key, so that a recipient which was left out opens nothing of it.
    pub(crate) fn replace_without(
        &self,
        recipient: RecipientId,
        progress: &dyn Progress,
    ) -> Result<JobReport, VaultError> {
        let lock = self.work_lock()?;
        let plan = Plan {
            kind: JobKind::Replace,
            retiring: vec![recipient],
            end: RecipientState::Deactivated,
            destroy: false,
            made: None,
        };
        self.run(&lock, &plan, &|_, _| Ok(()), progress)
    }

    /// Destroys a recipient's key and every former key of the vault on the same token, each of which could open old copies.
    /// Former ones that somebody else may need stay.
    fn destroy_with_former_keys(
        registry: &Registry,
        recipient: RecipientId,
        fate: &KeyFate,
    ) -> Result<Gone, VaultError> {
        let retired = registry.record(recipient)?;
        let on_it: Vec<&RecipientRecord> = registry
            .recipients
            .iter()
            .filter(|other| other.is_on_token_of(retired) && other.state != RecipientState::Destroyed)
            .filter(|other| other.id == recipient || other.state != RecipientState::Active)
            .collect();
        let mut gone = Gone::default();
        match fate {
            KeyFate::Kept => {}
            KeyFate::Gone => {
                gone.all = on_it.len() == 1;
                gone.keys.extend(Some(recipient).filter(|_| gone.all));
            }
            KeyFate::DestroyedOn(token) => {
                let may = |record: &RecipientRecord| {
                    record.scheme().map_or(Ok(true), |scheme| token.owns(record.id, scheme))
                };
                // Before any is destroyed.
                if !may(retired)? {
                    return Err(TokenError::KeyNotOurs { key: retired.key_label.clone() }.into());
                }
                gone.all = true;
                for record in on_it {
                    if may(record)? {
                        destroy_key(record, fate)?;
                        gone.keys.push(record.id);
                    } else {
                        gone.all = false;
                    }
                }
            }
        }
        Ok(gone)
    }

    /// Has the job that is under way go on without a recipient to which nobody can wrap any more.
    pub(crate) fn leave_out(&self, recipient: RecipientId) -> Result<(), VaultError> {
        self.write(|snapshot, _, _| {
            let Some(mut job) = snapshot.payload.job()? else { return Ok(Step::Nothing(())) };
            if job.retiring.contains(&recipient) {
                return Ok(Step::Nothing(()));
            }
            job.retiring.push(recipient);
            check_recipients(&snapshot.registry()?.writable(&job.retiring))?;
            let mut payload = Box::new(HeadPayload::clone(&snapshot.payload));
            payload.rotation = Some(job.encode()?);
            Ok(Step::Commit(payload, ()))
        })
    }

    /// Changes the register and nothing else.
    pub(crate) fn change_registry(
        &self,
        change: &dyn Fn(&mut Registry) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        self.write(|snapshot, draft, _| {
            let before = snapshot.registry()?;
            let mut registry = Registry::clone(&before);
            change(&mut registry)?;
            if registry == *before {
                return Ok(Step::Nothing(()));
            }
            let mut payload = Box::new(HeadPayload::clone(&snapshot.payload));
            payload.recipients = self.put_registry(snapshot, &snapshot.keys, registry, draft)?;
            Ok(Step::Commit(payload, ()))
        })
    }
}

/// Destroys a key on the token that is given for it, which must be its own.
fn destroy_key(record: &RecipientRecord, fate: &KeyFate) -> Result<(), VaultError> {
    match fate {
        KeyFate::DestroyedOn(token) if !record.destroy_on(token.as_ref())? => Err(VaultError::Invalid {
            reason: format!(
                "the key of the recipient {} is not on the token that was given for it",
                record.id
            ),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
