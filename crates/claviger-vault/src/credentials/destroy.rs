//! Destroying: the service gets a new data key, everything that remains is sealed again under it, and the old data key
//! goes with what it sealed. Without that, a copy of the envelope and of the data key would open for ever.

use super::{
    Found,
    states::{answer, meant},
};
use crate::{
    Changed, Vault, VaultError, VersionState, Versions, draft::Draft, format::CredentialRecord, index,
    session::Step,
};
use claviger_types::{Digest, Reference};

impl Vault {
    /// Destroys versions for ever; [`Versions::All`] takes the credential itself out.
    pub fn destroy(&self, reference: &Reference, versions: &Versions) -> Result<Changed, VaultError> {
        // A reference that leads nowhere is no reason to go over the whole store.
        self.read(|snapshot| Found::at(snapshot, reference).map(drop))?;
        let (mut changed, erasure) = self.erasing(|| self.destroy_versions(reference, versions))?;
        changed.erasure = Some(erasure);
        Ok(changed)
    }

    fn destroy_versions(&self, reference: &Reference, versions: &Versions) -> Result<Changed, VaultError> {
        let mut gone: Vec<Digest> = Vec::new();
        let changed = self.write(|snapshot, draft, _| {
            let Found { leaf, service, record, reference, .. } = Found::to_change(snapshot, reference)?;
            let meant = meant(&record, versions, &reference)?;
            let removed = *versions == Versions::All;
            let numbers: Vec<u64> = record
                .versions
                .iter()
                .filter(|version| version.state != VersionState::Destroyed && meant.contains(&version.n))
                .map(|version| version.n)
                .collect();
            let answer = answer(&reference, numbers, removed)?;
            if answer.versions.is_empty() && !removed {
                return Ok(Step::Nothing(answer));
            }

            let mut records = service.all(snapshot)?;
            if removed {
                let (out, rest): (Vec<_>, Vec<_>) =
                    records.into_iter().partition(|other| other.name == record.name);
                records = rest;
                drop_objects(out, draft);
            } else {
                let now = self.clock.now();
                for version in records
                    .iter_mut()
                    .filter(|other| other.name == record.name)
                    .flat_map(|record| &mut record.versions)
                    .filter(|version| answer.versions.contains(&version.n))
                {
                    version.state = VersionState::Destroyed;
                    version.ended = Some(now);
                    if let Some(object) = version.object.take() {
                        draft.replace(&object);
                    }
                }
            }

            gone = leaf.keys.iter().map(|key| key.kid).collect();
            let name = leaf.name;
            let leaf = if records.is_empty() {
                leaf.keys.iter().for_each(|key| draft.replace(&key.envelope));
                draft.replace(&leaf.object);
                service.pages().for_each(|page| draft.replace(page));
                None
            } else {
                let trees = (snapshot, snapshot);
                Some(self.reseal(trees, &leaf, service, records, &snapshot.recipients()?, draft)?)
            };
            let index = index::edit(snapshot, vec![(name, leaf)], draft, self.entropy.as_ref())?;
            Ok(Step::Commit(snapshot.with_index(index), answer))
        })?;
        for kid in &gone {
            self.keyring.forget(kid);
        }
        Ok(changed)
    }
}

fn drop_objects(records: Vec<CredentialRecord>, draft: &mut Draft) {
    for object in records.into_iter().flat_map(|record| record.versions).filter_map(|version| version.object)
    {
        draft.replace(&object);
    }
}
