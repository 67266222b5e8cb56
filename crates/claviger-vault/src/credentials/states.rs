//! Deleting and undeleting: a version's state changes, its envelope stays.

use super::Found;
use crate::{
    Changed, Vault, VaultError, VersionState, Versions, format::CredentialRecord, index, session::Step,
};
use claviger_types::{CredentialName, Reference, Timestamp};

impl Vault {
    /// Hides versions until they are undeleted.
    pub fn delete(&self, reference: &Reference, versions: &Versions) -> Result<Changed, VaultError> {
        let now = self.clock.now();
        self.change_state(reference, versions, VersionState::Live, VersionState::Deleted, Some(now))
    }

    /// Brings deleted versions back.
    pub fn undelete(&self, reference: &Reference, versions: &Versions) -> Result<Changed, VaultError> {
        self.change_state(reference, versions, VersionState::Deleted, VersionState::Live, None)
    }

    fn change_state(
        &self,
        reference: &Reference,
        versions: &Versions,
        from: VersionState,
        to: VersionState,
        ended: Option<Timestamp>,
    ) -> Result<Changed, VaultError> {
        self.write(|snapshot, draft, _| {
            let entropy = self.entropy.as_ref();
            let Found { mut leaf, service, mut record, reference, .. } =
                Found::to_change(snapshot, reference)?;
            let meant = meant(&record, versions, &reference)?;
            let mut changed = Vec::new();
            for version in record.versions.iter_mut().filter(|version| meant.contains(&version.n)) {
                if version.state == from {
                    version.state = to;
                    version.ended = ended;
                    changed.push(version.n);
                }
            }
            let answer = answer(&reference, changed, false)?;
            if answer.versions.is_empty() {
                return Ok(Step::Nothing(answer));
            }
            draft.replace(&leaf.object);
            let name = record.name.clone();
            leaf.object = service.write_one(snapshot, &name, Some(record), draft, entropy)?;
            let index = index::edit(snapshot, vec![(leaf.name, Some(leaf))], draft, entropy)?;
            Ok(Step::Commit(snapshot.with_index(index), answer))
        })
    }
}

/// The numbers of the versions that are meant; naming one that is not there is an error.
pub(super) fn meant(
    record: &CredentialRecord,
    versions: &Versions,
    reference: &Reference,
) -> Result<Vec<u64>, VaultError> {
    let present = |n: &u64| record.version(*n).is_some();
    let numbers = match versions {
        Versions::Newest => vec![record.newest],
        Versions::These(numbers) => numbers.clone(),
        Versions::All => record.versions.iter().map(|version| version.n).collect(),
    };
    match numbers.iter().find(|n| !present(n)) {
        Some(n) => {
            Err(VaultError::NotFound { what: crate::Missing::Version(*n), reference: reference.clone() })
        }
        None => Ok(numbers),
    }
}

pub(super) fn answer(
    reference: &Reference,
    versions: Vec<u64>,
    removed: bool,
) -> Result<Changed, VaultError> {
    let name: CredentialName = reference
        .name
        .clone()
        .ok_or_else(|| VaultError::Damaged { what: "a credential was found without a name".to_owned() })?;
    Ok(Changed { service: reference.service.clone(), name, versions, removed, erasure: None })
}
