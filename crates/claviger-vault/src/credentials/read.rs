//! Finding, reading and listing.

use crate::{
    Credential, CredentialInfo, Missing, Vault, VaultError, VersionState,
    format::{CredentialRecord, Leaf, VersionRecord},
    index,
    pages::Service,
    snapshot::Snapshot,
};
use claviger_types::{CredentialName, Reference, ServiceName, Timestamp};

/// How many names an error lists.
const MOST_NAMES_LISTED: usize = 20;

/// A credential where it stands.
pub(crate) struct Found<'a> {
    /// The head through the vault key that it is under.
    pub(crate) tree: &'a Snapshot,
    pub(crate) leaf: Leaf,
    pub(crate) service: Service,
    pub(crate) record: CredentialRecord,
    pub(crate) reference: Reference,
}

impl<'a> Found<'a> {
    /// Finds a credential. Without a name it is the only one of its service.
    pub(crate) fn at(snapshot: &'a Snapshot, reference: &Reference) -> Result<Self, VaultError> {
        let (tree, leaf) = snapshot.locate(&reference.service)?.ok_or_else(|| no_service(reference))?;
        Self::in_tree(tree, leaf, reference)
    }

    /// The same for whoever will change it.
    pub(crate) fn to_change(snapshot: &'a Snapshot, reference: &Reference) -> Result<Self, VaultError> {
        let leaf = snapshot.own_leaf(&reference.service)?.ok_or_else(|| no_service(reference))?;
        Self::in_tree(snapshot, leaf, reference)
    }

    fn in_tree(tree: &'a Snapshot, leaf: Leaf, reference: &Reference) -> Result<Self, VaultError> {
        let missing = |what| VaultError::NotFound { what, reference: reference.clone() };
        let service = Service::load(tree, &leaf)?;
        let record = match &reference.name {
            Some(name) => service.find(tree, name.as_str())?,
            None => only_credential(tree, &service, reference)?,
        };
        let record = record.ok_or_else(|| missing(Missing::Credential))?;
        let reference = full_reference(&service.name, &record)?;
        Ok(Self { tree, leaf, service, record, reference })
    }

    /// The version with this number, whatever its state.
    pub(crate) fn version(&self, n: u64) -> Result<&VersionRecord, VaultError> {
        self.record.version(n).ok_or_else(|| self.missing(Missing::Version(n)))
    }

    /// The live version with this number, the newest one by default.
    pub(crate) fn live(&self, n: Option<u64>, now: Timestamp) -> Result<&VersionRecord, VaultError> {
        let version = self.version(n.unwrap_or(self.record.newest))?;
        match version.state {
            VersionState::Live if version.expires.is_some_and(|end| end <= now) => {
                Err(self.missing(Missing::Expired(version.n)))
            }
            VersionState::Live => Ok(version),
            VersionState::Deleted => Err(self.missing(Missing::Deleted(version.n))),
            VersionState::Destroyed => Err(self.missing(Missing::Destroyed(version.n))),
        }
    }

    fn missing(&self, what: Missing) -> VaultError {
        VaultError::NotFound { what, reference: self.reference.clone() }
    }
}

fn no_service(reference: &Reference) -> VaultError {
    let reference = Reference { service: reference.service.clone(), name: None };
    VaultError::NotFound { what: Missing::Service, reference }
}

/// The service's only credential, `None` if it has none.
pub(crate) fn only_credential(
    snapshot: &Snapshot,
    service: &Service,
    reference: &Reference,
) -> Result<Option<CredentialRecord>, VaultError> {
    if service.len() > 1 {
        let mut names = service
            .all(snapshot)?
            .iter()
            .map(|record| full_reference(&service.name, record))
            .collect::<Result<Vec<_>, _>>()?;
        names.sort_unstable();
        names.truncate(MOST_NAMES_LISTED);
        return Err(VaultError::NameNeeded { reference: reference.clone(), names });
    }
    Ok(service.all(snapshot)?.pop())
}

pub(crate) fn full_reference(
    service: &ServiceName,
    record: &CredentialRecord,
) -> Result<Reference, VaultError> {
    let name = CredentialName::new(record.name.as_str())
        .map_err(|_| VaultError::Damaged { what: "a credential has no possible name".to_owned() })?;
    Ok(Reference { service: service.clone(), name: Some(name) })
}

pub(super) fn info(service: &Service, record: &CredentialRecord) -> Result<CredentialInfo, VaultError> {
    record
        .info(&service.name, service.tags())
        .ok_or_else(|| VaultError::Damaged { what: "a credential has no possible kind or name".to_owned() })
}

impl Vault {
    /// Reads a version, the newest by default.
    pub fn get(&self, reference: &Reference, version: Option<u64>) -> Result<Credential, VaultError> {
        self.read(|snapshot| {
            let found = Found::at(snapshot, reference)?;
            let version = found.live(version, self.clock.now())?;
            let value = self.open_version(found.tree, &found.leaf, &found.record, version)?;
            let info = info(&found.service, &found.record)?;
            Ok(Credential {
                service: info.service,
                name: info.name,
                version: version.n,
                created: version.created,
                value,
            })
        })
    }

    /// One credential with all versions that are kept.
    pub fn history(&self, reference: &Reference) -> Result<CredentialInfo, VaultError> {
        self.read(|snapshot| {
            let found = Found::at(snapshot, reference)?;
            info(&found.service, &found.record)
        })
    }

    /// The credentials of a service, or of all services, in order of service and name.
    pub fn list(&self, service: Option<&ServiceName>) -> Result<Vec<CredentialInfo>, VaultError> {
        let mut all = self.read(|snapshot| {
            let mut all = Vec::new();
            let mut add = |tree: &Snapshot, leaf: &Leaf| {
                let service = Service::load(tree, leaf)?;
                for record in service.all(tree)? {
                    all.push(info(&service, &record)?);
                }
                Ok(())
            };
            if let Some(name) = service {
                let reference = Reference { service: name.clone(), name: None };
                let (tree, leaf) = snapshot.locate(name)?.ok_or_else(|| no_service(&reference))?;
                add(tree, &leaf)?;
            } else {
                for tree in snapshot.trees() {
                    index::leaves(tree, &mut |leaf| add(tree, &leaf))?;
                }
            }
            Ok(all)
        })?;
        all.sort_unstable_by(|a, b| (&a.service, &a.name).cmp(&(&b.service, &b.name)));
        Ok(all)
    }
}
