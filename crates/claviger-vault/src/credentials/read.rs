//! Finding, reading and listing.

use crate::{
    Credential, CredentialInfo, Missing, RecipientInfo, Status, Vault, VaultError, VersionState,
    format::{CredentialRecord, Leaf, VersionRecord},
    index,
    pages::Service,
    snapshot::Snapshot,
};
use claviger_types::{CredentialName, Reference, Scheme, ServiceName};

/// How many names an error lists.
const MOST_NAMES_LISTED: usize = 20;

/// A credential where it stands.
pub(crate) struct Found {
    pub(crate) leaf: Leaf,
    pub(crate) service: Service,
    pub(crate) record: CredentialRecord,
    pub(crate) reference: Reference,
}

impl Found {
    /// Finds a credential. Without a name it is the only one of its service.
    pub(crate) fn at(snapshot: &Snapshot, reference: &Reference) -> Result<Self, VaultError> {
        let missing = |what| VaultError::NotFound { what, reference: reference.clone() };
        let service_only = || Reference { service: reference.service.clone(), name: None };
        let no_service = || VaultError::NotFound { what: Missing::Service, reference: service_only() };
        let leaf = snapshot.leaf(&reference.service)?.ok_or_else(no_service)?;
        let service = Service::load(snapshot, &leaf)?;
        let record = match &reference.name {
            Some(name) => service.find(snapshot, name.as_str())?,
            None => only_credential(snapshot, &service, reference)?,
        };
        let record = record.ok_or_else(|| missing(Missing::Credential))?;
        let reference = full_reference(&service.name, &record)?;
        Ok(Self { leaf, service, record, reference })
    }

    /// The version with this number, whatever its state.
    pub(crate) fn version(&self, n: u64) -> Result<&VersionRecord, VaultError> {
        self.record.version(n).ok_or_else(|| self.missing(Missing::Version(n)))
    }

    /// The live version with this number, the newest one by default.
    pub(crate) fn live(&self, n: Option<u64>) -> Result<&VersionRecord, VaultError> {
        let version = self.version(n.unwrap_or(self.record.newest))?;
        match version.state {
            VersionState::Live => Ok(version),
            VersionState::Deleted => Err(self.missing(Missing::Deleted(version.n))),
            VersionState::Destroyed => Err(self.missing(Missing::Destroyed(version.n))),
        }
    }

    fn missing(&self, what: Missing) -> VaultError {
        VaultError::NotFound { what, reference: self.reference.clone() }
    }
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

fn info(service: &ServiceName, record: &CredentialRecord) -> Result<CredentialInfo, VaultError> {
    record
        .info(service)
        .ok_or_else(|| VaultError::Damaged { what: "a credential has no possible kind or name".to_owned() })
}

impl Vault {
    /// Reads a version, the newest by default.
    pub fn get(&self, reference: &Reference, version: Option<u64>) -> Result<Credential, VaultError> {
        self.read(|snapshot| {
            let found = Found::at(snapshot, reference)?;
            let version = found.live(version)?;
            let value = self.open_version(snapshot, &found.leaf, &found.record, version)?;
            let info = info(&found.service.name, &found.record)?;
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
            info(&found.service.name, &found.record)
        })
    }

    /// The credentials of a service, or of all services, in order of service and name.
    pub fn list(&self, service: Option<&ServiceName>) -> Result<Vec<CredentialInfo>, VaultError> {
        let mut all = self.read(|snapshot| {
            let mut all = Vec::new();
            let mut add = |leaf: Leaf| {
                let service = Service::load(snapshot, &leaf)?;
                for record in service.all(snapshot)? {
                    all.push(info(&service.name, &record)?);
                }
                Ok(())
            };
            match service {
                None => index::leaves(snapshot, &mut add)?,
                Some(name) => {
                    let reference = Reference { service: name.clone(), name: None };
                    let missing = VaultError::NotFound { what: Missing::Service, reference };
                    add(snapshot.leaf(name)?.ok_or(missing)?)?;
                }
            }
            Ok(all)
        })?;
        all.sort_unstable_by(|a, b| (&a.service, &a.name).cmp(&(&b.service, &b.name)));
        Ok(all)
    }

    /// The state of the vault at large.
    pub fn status(&self) -> Result<Status, VaultError> {
        self.read(|snapshot| {
            let (mut services, mut credentials) = (0, 0);
            index::leaves(snapshot, &mut |leaf| {
                services += 1;
                credentials += u64::try_from(Service::load(snapshot, &leaf)?.len()).unwrap_or(u64::MAX);
                Ok(())
            })?;
            let local = self.keyring.recipient();
            let recipients: Vec<RecipientInfo> = snapshot
                .recipients()?
                .into_iter()
                .filter_map(|record| {
                    let scheme: Scheme = record.scheme()?;
                    let (token_label, token_serial) = (record.token_label, record.token_serial);
                    Some(RecipientInfo {
                        id: record.id,
                        scheme,
                        token_label,
                        token_serial,
                        local: record.id == local,
                    })
                })
                .collect();
            let mut warnings = Vec::new();
            if recipients.len() == 1 {
                warnings.push(
                    "one token alone opens this vault: if it is lost, everything in it is lost".to_owned(),
                );
            }
            Ok(Status {
                vault: snapshot.payload.vault,
                fingerprint: snapshot.payload.root()?.fingerprint,
                epoch: snapshot.payload.epoch,
                head: snapshot.digest,
                services,
                credentials,
                recipients,
                warnings,
            })
        })
    }
}
