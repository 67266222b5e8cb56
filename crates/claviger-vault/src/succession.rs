//! How a host that pins one vault key comes to accept the next: by records that signers on tokens have signed.

use crate::{
    Host, NoSuccession, Pins, RecipientState, Seen, VaultError,
    format::{HeadPayload, RecipientRecord, Registry},
    snapshot::vouched,
};
use claviger_envelope::{Succession, UnverifiedSuccession};
use claviger_store::Store;
use claviger_types::{Digest, Link, RecipientId};

/// The most records that are followed: far more than a vault will ever have.
const MOST_RECORDS: usize = 256;

/// Follows the records from the vault key that a head is under, back to one that this host pins. The head that the
/// newest record names must be an ancestor of the present one, which the caller finds out once the MAC is checked.
pub(crate) fn follow(
    store: &dyn Store,
    claimed: &HeadPayload,
    to: Digest,
    pins: &Pins,
) -> Result<Seen, VaultError> {
    let Some(pinned) = pins.fingerprints.first().copied() else { return Err(VaultError::NoVault) };
    let refused = |why| Err(VaultError::ForeignFingerprint { found: to, pinned, why });
    let (mut link, mut expected, mut newest) = (claimed.succession, to, None);
    for _ in 0..MOST_RECORDS {
        let Some(at) = link else {
            return refused(if newest.is_none() { NoSuccession::NoRecord } else { NoSuccession::NoPath });
        };
        let bytes = read(store, &at)?;
        let Ok(record) = UnverifiedSuccession::parse(&bytes) else {
            return refused(NoSuccession::BadRecord);
        };
        let signer = record.signer();
        let Some(believed) = pins.signers.iter().find(|believed| believed.id == signer) else {
            return refused(NoSuccession::UnknownSigner(signer));
        };
        let Ok(record) = record.verify(&believed.public_key) else {
            return refused(NoSuccession::BadRecord);
        };
        if record.vault != claimed.vault || record.new != expected {
            return refused(NoSuccession::NoPath);
        }
        let newest = *newest.get_or_insert(Seen { epoch: record.epoch, digest: record.head });
        if pins.fingerprints.contains(&record.old) {
            return Ok(newest);
        }
        expected = record.old;
        link = record.previous;
    }
    refused(NoSuccession::NoPath)
}

/// Whether the newest record that a head leads to is of this vault key's coming.
pub(crate) fn is_of(
    store: &dyn Store,
    payload: &HeadPayload,
    fingerprint: &Digest,
) -> Result<bool, VaultError> {
    let Some(link) = payload.succession else { return Ok(false) };
    let bytes = read(store, &link)?;
    Ok(UnverifiedSuccession::parse(&bytes).is_ok_and(|record| record.claims_unverified().new == *fingerprint))
}

/// The records that a head leads to, newest first, as far as they can be read.
pub(crate) fn links(store: &dyn Store, payload: &HeadPayload) -> Result<Vec<Link>, VaultError> {
    let mut links = Vec::new();
    let mut next = payload.succession;
    while let Some(link) = next.filter(|_| links.len() < MOST_RECORDS) {
        links.push(link);
        next = match read(store, &link).map(|bytes| UnverifiedSuccession::parse(&bytes)) {
            Ok(Ok(record)) => record.claims_unverified().previous,
            Ok(Err(_)) | Err(VaultError::Object { .. }) => None,
            Err(error) => return Err(error),
        };
    }
    Ok(links)
}

fn read(store: &dyn Store, link: &Link) -> Result<Vec<u8>, VaultError> {
    vouched("succession", link, store.get(&[link.id])?.pop().flatten())
}

/// A record of this succession, signed by a signer of this host whose recipient stays; `None` where there is none.
pub(crate) fn vouch(
    host: &dyn Host,
    registry: &Registry,
    retiring: &[RecipientId],
    succession: &Succession,
) -> Result<Option<Vec<u8>>, VaultError> {
    // Whoever may have the token's one key may have the other.
    let goes = |record: &&RecipientRecord| {
        retiring.contains(&record.id) || record.state == RecipientState::Compromised
    };
    let barred = |id| {
        registry
            .recipients
            .iter()
            .filter(goes)
            .any(|record| record.signer.is_some_and(|signer| signer.id == id))
    };
    let Some(signer) = host.signers().into_iter().find(|signer| !barred(signer.id())) else {
        return Ok(None);
    };
    let signature = signer.sign(&succession.to_be_signed(signer.id()))?;
    Ok(Some(succession.signed(signer.id(), &signature)))
}

#[cfg(test)]
mod tests;
