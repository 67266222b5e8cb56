//! Writing a new version.

use super::{ServiceKey, count_seals, read::full_reference, read::only_credential, usual_name};
use crate::{
    DEFAULT_MAX_VERSIONS, MOST_VERSIONS, Set, Vault, VaultError, VersionState, Written,
    draft::Draft,
    format::{CredentialRecord, Leaf, RecipientRecord, VersionRecord},
    index,
    pages::Service,
    session::Step,
    snapshot::Snapshot,
};
use claviger_types::{
    CredentialId, CredentialName, Entropy, Kind, Link, MAX_VALUE_BYTES, ObjectId, Reference, ServiceId,
    ServiceName,
};
use std::collections::BTreeMap;

impl Vault {
    /// Writes a new version of a credential, making service and credential where they are new.
    pub fn set(&self, set: &Set) -> Result<Written, VaultError> {
        if set.value.size() > MAX_VALUE_BYTES {
            return Err(VaultError::Invalid {
                reason: format!(
                    "a value has at most {MAX_VALUE_BYTES} bytes; this one has {}",
                    set.value.size()
                ),
            });
        }
        check_max_versions(set.max_versions)?;
        self.write(|snapshot, draft, _| self.set_on(snapshot, draft, set))
    }

    /// Writes an earlier version's value as a new version.
    pub fn rollback(&self, reference: &Reference, to: u64) -> Result<Written, VaultError> {
        let credential = self.get(reference, Some(to))?;
        let reference = Reference { service: credential.service, name: Some(credential.name) };
        self.set(&Set::new(reference, credential.value))
    }

    fn set_on(&self, snapshot: &Snapshot, draft: &mut Draft, set: &Set) -> Result<Step<Written>, VaultError> {
        let entropy = self.entropy.as_ref();
        let service_name = &set.reference.service;
        let present = snapshot.own_leaf(service_name)?;
        let recipients = if present.is_none() { snapshot.recipients()? } else { Vec::new() };
        let (mut leaf, service, key) =
            self.service_for(snapshot, draft, service_name, present, &recipients)?;
        let present = match &set.reference.name {
            Some(name) => service.find(snapshot, name.as_str())?,
            None => only_credential(snapshot, &service, &set.reference)?,
        };
        let mut record = if let Some(record) = present {
            record
        } else {
            let usual = usual_name(set.value.kind);
            let name = set.reference.name.as_ref().map_or(usual, |name| name.as_str());
            CredentialRecord::new(name, set.value.kind, entropy)?
        };
        let reference = full_reference(service_name, &record)?;
        check(set, &record, &reference)?;

        let n = record.newest + 1;
        let object = self.seal_version(snapshot, &key, record.id, n, &set.value, draft)?;
        count_seals(&self.keyring, &mut leaf, draft, service_name)?;
        let created = self.clock.now();
        let state = VersionState::Live;
        record.versions.push(VersionRecord {
            n,
            object: Some(object),
            key: key.n,
            state,
            created,
            ended: None,
            expires: set.expires,
        });
        record.newest = n;
        record.rotate_by = set.rotate_by;
        record.max_versions = set.max_versions.unwrap_or(record.max_versions);
        let pruned = record.prune(record.max_versions, draft);

        let name = record.name.clone();
        leaf.object = service.write_one(snapshot, &name, Some(record), draft, entropy)?;
        let index = index::edit(snapshot, vec![(leaf.name, Some(leaf))], draft, entropy)?;
        let name =
            CredentialName::new(name).map_err(|error| VaultError::Invalid { reason: error.to_string() })?;
        let written =
            Written { service: service_name.clone(), name, kind: set.value.kind, version: n, pruned };
        Ok(Step::Commit(snapshot.with_index(index), written))
    }

    /// The service that is there, or a new one with a data key of its own.
    pub(crate) fn service_for(
        &self,
        snapshot: &Snapshot,
        draft: &mut Draft,
        name: &ServiceName,
        present: Option<Leaf>,
        recipients: &[RecipientRecord],
    ) -> Result<(Leaf, Service, ServiceKey), VaultError> {
        if let Some(leaf) = present {
            let service = Service::load(snapshot, &leaf)?;
            let key = self.active_service_key(snapshot, &leaf)?;
            draft.replace(&leaf.object);
            return Ok((leaf, service, key));
        }
        let service = ServiceId::random(self.entropy.as_ref())?;
        let (key, record) = self.new_service_key(snapshot, service, 1, recipients, draft)?;
        self.keyring.remember(&key.key);
        // The link to the service object is filled in when the object is written.
        let object = Link::to(ObjectId::from_bytes([0; 16]), &[]);
        let leaf = Leaf { name: snapshot.index_name(name)?, service, object, keys: vec![record] };
        Ok((leaf, Service::new(name, self.clock.now()), key))
    }
}

/// Whether a credential may keep so many versions.
pub(super) fn check_max_versions(most: Option<u32>) -> Result<(), VaultError> {
    if most.is_some_and(|most| most == 0 || most > MOST_VERSIONS) {
        return Err(VaultError::Invalid {
            reason: format!("a credential keeps 1 to {MOST_VERSIONS} versions"),
        });
    }
    Ok(())
}

fn check(set: &Set, record: &CredentialRecord, reference: &Reference) -> Result<(), VaultError> {
    if let Some(expected) = set.cas.filter(|expected| *expected != record.newest) {
        return Err(VaultError::CasMismatch {
            reference: reference.clone(),
            current: record.newest,
            expected,
        });
    }
    if record.kind != set.value.kind.name() {
        return Err(VaultError::Invalid {
            reason: format!("`{reference}` is of kind {}, not {}", record.kind, set.value.kind),
        });
    }
    Ok(())
}

impl CredentialRecord {
    /// A credential that has no version yet.
    pub(crate) fn new(name: &str, kind: Kind, entropy: &dyn Entropy) -> Result<Self, VaultError> {
        Ok(Self {
            name: name.to_owned(),
            kind: kind.name().to_owned(),
            id: CredentialId::random(entropy)?,
            max_versions: DEFAULT_MAX_VERSIONS,
            newest: 0,
            versions: Vec::new(),
            rotate_by: None,
            notes: BTreeMap::new(),
        })
    }

    /// Lets the oldest versions go that are too many. Their objects are deleted, which is no erasure: what was sealed
    /// under the data key opens as long as a copy of both is somewhere.
    pub(crate) fn prune(&mut self, most: u32, draft: &mut Draft) -> Vec<u64> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let excess = self.versions.len().saturating_sub(most);
        let gone = self.versions.drain(..excess).map(|version| {
            if let Some(object) = version.object {
                draft.replace(&object);
            }
            version.n
        });
        gone.collect()
    }
}
