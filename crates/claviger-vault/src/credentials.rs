//! Reading and writing credentials.

mod amend;
mod destroy;
mod read;
mod rekey;
mod set;
mod states;

pub(crate) use read::Found;

use crate::{
    Vault, VaultError,
    draft::Draft,
    format::{CredentialRecord, KeyRecord, KeyState, Leaf, RecipientRecord, VersionRecord},
    keys::{KeyRing, MOST_USES},
    snapshot::Snapshot,
};
use claviger_envelope::{
    ContentAlg, CredentialContext, DataKey, DataKeyContext, open_credential, seal_credential,
};
use claviger_types::{Kind, Link, Reference, ServiceId, ServiceName, Value};
use std::sync::Arc;

/// The name that a service's first credential of a kind gets when none is given; those of the old manager's kinds are
/// the ones under which its entries are imported.
pub(crate) const fn usual_name(kind: Kind) -> &'static str {
    match kind {
        Kind::ApiKey => "api_key",
        Kind::Oauth2 => "oauth_token",
        Kind::Basic => "login",
        Kind::File => "file",
        Kind::Fields => "fields",
    }
}

/// A data key with its number, as it seals and opens the credentials of one service.
pub(crate) struct ServiceKey {
    pub(crate) service: ServiceId,
    pub(crate) n: u64,
    pub(crate) key: Arc<DataKey>,
}

impl Vault {
    /// Makes a data key for a service, seals it to every recipient and puts the envelope.
    pub(crate) fn new_service_key(
        &self,
        snapshot: &Snapshot,
        service: ServiceId,
        n: u64,
        recipients: &[RecipientRecord],
        draft: &mut Draft,
    ) -> Result<(ServiceKey, KeyRecord), VaultError> {
        let entropy = self.entropy.as_ref();
        let key = Arc::new(DataKey::generate(ContentAlg::A256Gcm, entropy)?);
        let context = DataKeyContext { vault: snapshot.payload.vault, service, n };
        let envelope = draft.put(self.keyring.seal(&key, context, recipients, entropy)?, entropy)?;
        let record = KeyRecord { n, kid: key.kid(), state: KeyState::Active, envelope, seals: 0 };
        Ok((ServiceKey { service, n, key }, record))
    }

    /// The data key that a service seals with now.
    pub(crate) fn active_service_key(
        &self,
        snapshot: &Snapshot,
        leaf: &Leaf,
    ) -> Result<ServiceKey, VaultError> {
        let record = leaf.active_key()?;
        let key = self.keyring.data_key(snapshot, leaf.service, record)?;
        Ok(ServiceKey { service: leaf.service, n: record.n, key })
    }

    /// Seals one version and puts its envelope; what was sealed is opened again and compared before it counts.
    pub(crate) fn seal_version(
        &self,
        snapshot: &Snapshot,
        key: &ServiceKey,
        credential: claviger_types::CredentialId,
        n: u64,
        value: &Value,
        draft: &mut Draft,
    ) -> Result<Link, VaultError> {
        let context =
            CredentialContext { vault: snapshot.payload.vault, service: key.service, credential, n };
        self.keyring.count_seal(&key.key.kid());
        let bytes = seal_credential(&key.key, context, value, self.entropy.as_ref())?;
        if !open_credential(&key.key, context, &bytes)?.same_as(value) {
            return Err(VaultError::Damaged { what: "a sealed value did not open to itself".to_owned() });
        }
        draft.put(bytes, self.entropy.as_ref())
    }

    /// Opens one version.
    pub(crate) fn open_version(
        &self,
        snapshot: &Snapshot,
        leaf: &Leaf,
        record: &CredentialRecord,
        version: &VersionRecord,
    ) -> Result<Value, VaultError> {
        let key = leaf.keys.iter().find(|key| key.n == version.key).ok_or_else(|| VaultError::Damaged {
            what: "a credential is under a data key that its service does not have".to_owned(),
        })?;
        let key = self.keyring.data_key(snapshot, leaf.service, key)?;
        open_under(snapshot, &key, leaf.service, record, version)
    }
}

/// Opens one version with its data key.
pub(crate) fn open_under(
    snapshot: &Snapshot,
    key: &DataKey,
    service: ServiceId,
    record: &CredentialRecord,
    version: &VersionRecord,
) -> Result<Value, VaultError> {
    let link = version
        .object
        .as_ref()
        .ok_or_else(|| VaultError::Damaged { what: "a credential has no object".to_owned() })?;
    let bytes = snapshot.read("credential", link)?;
    let context =
        CredentialContext { vault: snapshot.payload.vault, service, credential: record.id, n: version.n };
    Ok(open_credential(key, context, &bytes)?)
}

/// Writes into a leaf how often its active data key was used, attempts that failed included, or says that it is worn
/// out. The new head will count them.
pub(crate) fn count_seals(
    keyring: &KeyRing,
    leaf: &mut Leaf,
    draft: &mut Draft,
    service: &ServiceName,
) -> Result<(), VaultError> {
    if let Some(key) = leaf.keys.last_mut() {
        let uncounted = keyring.uncounted_seals(&key.kid);
        key.seals = key.seals.saturating_add(uncounted);
        if key.seals > MOST_USES {
            return Err(VaultError::KeyExhausted {
                reference: Reference { service: service.clone(), name: None },
            });
        }
        draft.seals.push((key.kid, uncounted));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
