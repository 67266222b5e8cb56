//! Recipients come by a proposal and an answered challenge, and go by retirement.

use super::begin::Plan;
use crate::{
    JobKind, JobReport, PinnedSigner, Progress, Proposal, Vault, VaultError,
    format::{HeadPayload, RecipientRecord, Registry, SignerRecord},
    report::RecipientState,
    session::Step,
};
use claviger_envelope::{ContentAlg, DataKey, DataKeyContext, DataKeyEnvelope, answer};
use claviger_token::{KeyDescription, Token, Unwrapped};
use claviger_types::{Digest, RecipientId, ServiceId, VaultId};

/// How to retire a recipient.
#[derive(Debug, Clone, Copy, Default)]
pub struct Retire {
    /// Whether somebody else may have its key.
    pub compromised: bool,
    /// Whether its key was destroyed on its token, and read back as absent: then nothing need be sealed anew.
    pub destroyed: bool,
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

    /// Retires a recipient. Unless its key is known to be destroyed, it could open old copies, so the vault key and every
    /// data key are replaced and everything is sealed anew. There is no report where nothing had to be done for it: a
    /// recipient that is only proposed is forgotten, and one that was retired before is noted as destroyed. A retirement
    /// of it that was left behind is finished, and that is all.
    pub fn retire(
        &self,
        recipient: RecipientId,
        how: Retire,
        progress: &dyn Progress,
    ) -> Result<Option<JobReport>, VaultError> {
        let lock = self.work_lock()?;
        let left_over = self.finish_left_over(&lock, progress)?;
        let registry = self.fresh()?.registry()?;
        if let Some(report) = left_over
            && report.job.retiring.contains(&recipient)
            && (!how.compromised || report.job.kind == JobKind::Replace)
            && (!how.destroyed
                || registry.recipient(recipient).is_some_and(|it| it.state == RecipientState::Destroyed))
        {
            return Ok(Some(report));
        }
        let state = Registry::clone(&registry).recipient_mut(recipient)?.state;
        match state {
            RecipientState::Active => {}
            RecipientState::PreActive => {
                self.change_registry(&|registry| {
                    registry
                        .recipients
                        .retain(|record| record.id != recipient || record.state != RecipientState::PreActive);
                    Ok(())
                })?;
                return Ok(None);
            }
            RecipientState::Deactivated | RecipientState::Compromised if how.destroyed => {
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
        let plan = Plan {
            kind: if how.destroyed && !how.compromised { JobKind::Rewrap } else { JobKind::Replace },
            retiring: vec![recipient],
            end: match (how.destroyed, how.compromised) {
                (true, _) => RecipientState::Destroyed,
                (false, true) => RecipientState::Compromised,
                (false, false) => RecipientState::Deactivated,
            },
            destroy: false,
            made: None,
        };
        self.run(&lock, &plan, &|_, _| Ok(()), progress).map(Some)
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
