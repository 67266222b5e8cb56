//! A new data key for a service: everything that it holds is sealed again under it, and the old key goes.

use super::{count_seals, open_under};
use crate::{
    Erasure, Progress, Vault, VaultError,
    draft::Draft,
    format::{CredentialRecord, Leaf, RecipientRecord},
    index,
    pages::Service,
    session::Step,
    snapshot::Snapshot,
};
use claviger_envelope::DataKey;
use claviger_types::{Digest, Reference, ServiceName};
use std::collections::{BTreeMap, btree_map::Entry};

impl Vault {
    /// Gives a service a new data key: the number of versions that were sealed again, and whether the bytes of what was
    /// there before are gone.
    pub fn rotate_service(&self, name: &ServiceName) -> Result<(u64, Erasure), VaultError> {
        self.rotate_services(std::slice::from_ref(name), &crate::Silent)
    }

    /// The same for many services; the bytes go once, in the end.
    pub fn rotate_services(
        &self,
        names: &[ServiceName],
        progress: &dyn Progress,
    ) -> Result<(u64, Erasure), VaultError> {
        self.read(|snapshot| {
            names.iter().try_for_each(|name| snapshot.locate(name)?.map(drop).ok_or_else(|| no_service(name)))
        })?;
        progress.begin("rotating", Some(u64::try_from(names.len()).unwrap_or(u64::MAX)));
        self.erasing(|| {
            names.iter().try_fold(0, |sealed, name| {
                let more = self.rotate_one(name)?;
                progress.advance(1);
                Ok(sealed + more)
            })
        })
    }

    fn rotate_one(&self, name: &ServiceName) -> Result<u64, VaultError> {
        let mut gone: Vec<Digest> = Vec::new();
        let sealed = self.write(|snapshot, draft, _| {
            let leaf = snapshot.own_leaf(name)?.ok_or_else(|| no_service(name))?;
            gone = leaf.keys.iter().map(|key| key.kid).collect();
            let place = leaf.name;
            let leaf = self.rekey(snapshot, snapshot, &leaf, &snapshot.recipients()?, draft)?;
            let sealed = leaf.keys.last().map_or(0, |key| key.seals);
            let index = index::edit(snapshot, vec![(place, Some(leaf))], draft, self.entropy.as_ref())?;
            Ok(Step::Commit(snapshot.with_index(index), sealed))
        })?;
        for kid in &gone {
            self.keyring.forget(kid);
        }
        Ok(sealed)
    }

    /// Takes a service from one tree to another (or the same one), under a new data key. What it leaves behind goes.
    pub(crate) fn rekey(
        &self,
        from: &Snapshot,
        to: &Snapshot,
        leaf: &Leaf,
        recipients: &[RecipientRecord],
        draft: &mut Draft,
    ) -> Result<Leaf, VaultError> {
        let service = Service::load(from, leaf)?;
        let records = service.all(from)?;
        self.reseal((from, to), leaf, service, records, recipients, draft)
    }

    /// Seals every version that has a value again, under a new data key that becomes the service's only one, and writes
    /// the service with these credentials.
    pub(crate) fn reseal(
        &self,
        (from, to): (&Snapshot, &Snapshot),
        leaf: &Leaf,
        mut service: Service,
        mut records: Vec<CredentialRecord>,
        recipients: &[RecipientRecord],
        draft: &mut Draft,
    ) -> Result<Leaf, VaultError> {
        let n = leaf.active_key()?.n + 1;
        // Each old key is unwrapped once, and not kept: it is used here for the last time.
        let mut old: BTreeMap<u64, DataKey> = BTreeMap::new();
        let (key, key_record) = self.new_service_key(to, leaf.service, n, recipients, draft)?;
        for record in &mut records {
            let owner = record.clone();
            for version in record.versions.iter_mut().filter(|version| version.object.is_some()) {
                let under = match old.entry(version.key) {
                    Entry::Occupied(opened) => opened.into_mut(),
                    Entry::Vacant(place) => place.insert(self.old_key(from, leaf, version.key)?),
                };
                let value = open_under(from, under, leaf.service, &owner, version)?;
                if let Some(gone) = version.object.take() {
                    draft.replace(&gone);
                }
                version.object = Some(self.seal_version(to, &key, owner.id, version.n, &value, draft)?);
                version.key = key.n;
                draft.spill(self.store.as_ref())?;
            }
        }
        leaf.keys.iter().for_each(|key| draft.replace(&key.envelope));
        draft.replace(&leaf.object);
        service.key_is_new(self.clock.now());
        let name = service.name.clone();
        let keys = vec![key_record];
        let mut leaf = Leaf { name: to.index_name(&name)?, service: leaf.service, object: leaf.object, keys };
        count_seals(&self.keyring, &mut leaf, draft, &name)?;
        leaf.object = service.write_all(to, records, draft, self.entropy.as_ref())?;
        Ok(leaf)
    }

    fn old_key(&self, from: &Snapshot, leaf: &Leaf, n: u64) -> Result<DataKey, VaultError> {
        let record = leaf.keys.iter().find(|key| key.n == n).ok_or_else(|| VaultError::Damaged {
            what: "a credential is under a data key that its service does not have".to_owned(),
        })?;
        self.keyring.unwrap_record(from, leaf.service, record)
    }
}

fn no_service(name: &ServiceName) -> VaultError {
    VaultError::NotFound {
        what: crate::Missing::Service,
        reference: Reference { service: name.clone(), name: None },
    }
}
