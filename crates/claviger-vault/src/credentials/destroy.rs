//! Destroying: the service gets a new data key, everything that remains is sealed again under it, and the old data key
//! goes with what it sealed. Without that, a copy of the envelope and of the data key would open for ever.

use super::{
    Found, count_seals,
    states::{answer, meant},
};
use crate::{
    Changed, Vault, VaultError, VersionState, Versions,
    draft::Draft,
    format::{CredentialRecord, Leaf},
    index,
    session::Step,
    snapshot::Snapshot,
};
use claviger_types::{Digest, Reference};

impl Vault {
    /// Destroys versions for ever; [`Versions::All`] takes the credential itself out.
    pub fn destroy(&self, reference: &Reference, versions: &Versions) -> Result<Changed, VaultError> {
        let mut gone: Vec<Digest> = Vec::new();
        let changed = self.write(|snapshot, draft, _| {
            let Found { leaf, service, record, reference } = Found::at(snapshot, reference)?;
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
            leaf.keys.iter().for_each(|key| draft.replace(&key.envelope));
            draft.replace(&leaf.object);
            let name = leaf.name;
            let leaf = if records.is_empty() {
                service.pages().for_each(|page| draft.replace(page));
                None
            } else {
                let (mut leaf, records) = self.reseal(snapshot, draft, leaf, records, &service.name)?;
                leaf.object = service.write_all(snapshot, records, draft, self.entropy.as_ref())?;
                Some(leaf)
            };
            let index = index::edit(snapshot, vec![(name, leaf)], draft, self.entropy.as_ref())?;
            Ok(Step::Commit(snapshot.with_index(index), answer))
        })?;
        for kid in &gone {
            self.keyring.forget(kid);
        }
        Ok(changed)
    }

    /// Seals every version that has a value again, under a new data key that becomes the service's only one.
    fn reseal(
        &self,
        snapshot: &Snapshot,
        draft: &mut Draft,
        mut leaf: Leaf,
        mut records: Vec<CredentialRecord>,
        service: &claviger_types::ServiceName,
    ) -> Result<(Leaf, Vec<CredentialRecord>), VaultError> {
        let recipients = snapshot.recipients()?;
        let n = leaf.active_key()?.n + 1;
        let (key, key_record) = self.new_service_key(snapshot, leaf.service, n, &recipients, draft)?;
        let mut seals = 0;
        for record in &mut records {
            let owner = record.clone();
            for version in record.versions.iter_mut().filter(|version| version.object.is_some()) {
                let value = self.open_version(snapshot, &leaf, &owner, version)?;
                if let Some(old) = version.object.take() {
                    draft.replace(&old);
                }
                version.object = Some(self.seal_version(snapshot, &key, owner.id, version.n, &value, draft)?);
                version.key = key.n;
                seals += 1;
                draft.spill(self.store.as_ref())?;
            }
        }
        leaf.keys = vec![key_record];
        count_seals(&mut leaf, seals, service)?;
        Ok((leaf, records))
    }
}

fn drop_objects(records: Vec<CredentialRecord>, draft: &mut Draft) {
    for object in records.into_iter().flat_map(|record| record.versions).filter_map(|version| version.object)
    {
        draft.replace(&object);
    }
}
