//! Changing what is known about credentials and services, and letting old versions go.

use super::{Found, set::check_max_versions};
use crate::{
    Amend, AmendService, CredentialInfo, Missing, Vault, VaultError, Written, index, pages::Service,
    session::Step,
};
use claviger_types::{Kind, Reference, ServiceName};

/// The most bytes of a credential's notes, and of a service's tags.
const MOST_NOTES: usize = 16 << 10;

impl Vault {
    /// Changes what is known about a credential.
    pub fn amend(&self, reference: &Reference, amend: &Amend) -> Result<CredentialInfo, VaultError> {
        check_max_versions(amend.max_versions)?;
        self.write(|snapshot, draft, _| {
            let entropy = self.entropy.as_ref();
            let Found { mut leaf, service, mut record, .. } = Found::to_change(snapshot, reference)?;
            let before = record.clone();
            record.max_versions = amend.max_versions.unwrap_or(record.max_versions);
            record.rotate_by = amend.rotate_by.unwrap_or(record.rotate_by);
            for (name, note) in &amend.notes {
                match note {
                    Some(text) => record.notes.insert(name.clone(), text.clone()),
                    None => record.notes.remove(name),
                };
            }
            let bytes: usize = record.notes.iter().map(|(name, note)| name.len() + note.len()).sum();
            check_size("the notes of a credential", bytes)?;
            record.prune(record.max_versions, draft);
            let info = super::read::info(&service, &record)?;
            if record == before {
                return Ok(Step::Nothing(info));
            }
            draft.replace(&leaf.object);
            let name = record.name.clone();
            leaf.object = service.write_one(snapshot, &name, Some(record), draft, entropy)?;
            let index = index::edit(snapshot, vec![(leaf.name, Some(leaf))], draft, entropy)?;
            Ok(Step::Commit(snapshot.with_index(index), info))
        })
    }

    /// Changes what is known about a service.
    pub fn amend_service(&self, name: &ServiceName, amend: &AmendService) -> Result<(), VaultError> {
        let bytes = amend.tags.iter().flatten().map(String::len).sum();
        check_size("the tags of a service", bytes)?;
        self.write(|snapshot, draft, _| {
            let entropy = self.entropy.as_ref();
            let missing = || VaultError::NotFound {
                what: Missing::Service,
                reference: Reference { service: name.clone(), name: None },
            };
            let mut leaf = snapshot.own_leaf(name)?.ok_or_else(missing)?;
            let mut service = Service::load(snapshot, &leaf)?;
            if let Some(days) = amend.rotate_days {
                service.set_rotate_days(days);
            }
            if let Some(tags) = &amend.tags {
                service.set_tags(tags.clone());
            }
            draft.replace(&leaf.object);
            leaf.object = service.write(snapshot, draft, entropy)?;
            let index = index::edit(snapshot, vec![(leaf.name, Some(leaf))], draft, entropy)?;
            Ok(Step::Commit(snapshot.with_index(index), ()))
        })
    }

    /// Lets all but the newest versions of a credential go. That is no erasure: what was sealed under the data key opens
    /// as long as a copy of both is somewhere.
    pub fn prune(&self, reference: &Reference, keep: u32) -> Result<Written, VaultError> {
        check_max_versions(Some(keep))?;
        self.write(|snapshot, draft, _| {
            let entropy = self.entropy.as_ref();
            let Found { mut leaf, service, mut record, .. } = Found::to_change(snapshot, reference)?;
            let info = super::read::info(&service, &record)?;
            let kind: Kind = info.kind;
            let pruned = record.prune(keep, draft);
            let written =
                Written { service: info.service, name: info.name, kind, version: record.newest, pruned };
            if written.pruned.is_empty() {
                return Ok(Step::Nothing(written));
            }
            draft.replace(&leaf.object);
            let name = record.name.clone();
            leaf.object = service.write_one(snapshot, &name, Some(record), draft, entropy)?;
            let index = index::edit(snapshot, vec![(leaf.name, Some(leaf))], draft, entropy)?;
            Ok(Step::Commit(snapshot.with_index(index), written))
        })
    }
}

fn check_size(what: &str, bytes: usize) -> Result<(), VaultError> {
    if bytes > MOST_NOTES {
        return Err(VaultError::Invalid { reason: format!("{what} have at most {MOST_NOTES} bytes") });
    }
    Ok(())
}
