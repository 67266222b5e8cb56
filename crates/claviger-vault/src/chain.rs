//! The chain of heads: each head names its predecessor's digest, and past heads are kept as objects, so that a newer
//! head can show that it descends from the one an anchor remembers.

use crate::{Anchor, Seen, VaultError, format::Ancestor, format::HeadPayload, format::head::archive_id};
use claviger_envelope::UnverifiedHead;
use claviger_store::Store;
use claviger_types::Digest;

/// How many heads are kept, whatever their age.
pub(crate) const KEPT_HEADS: u64 = 4096;

/// How long a head is kept at least.
pub(crate) const KEPT_FOR: std::time::Duration = std::time::Duration::from_hours(90 * 24);

/// A head that was read back from the chain: what its predecessor is. Its bytes were checked against the digest that a
/// verified successor names, so its MAC need not be looked at (and its vault key may be long gone).
pub(crate) fn past_head(store: &dyn Store, digest: &Digest) -> Result<Option<HeadPayload>, VaultError> {
    let Some(bytes) = store.get(&[archive_id(digest)])?.pop().flatten() else { return Ok(None) };
    if Digest::of(&bytes) != *digest {
        return Ok(None);
    }
    HeadPayload::decode(UnverifiedHead::parse(&bytes)?.payload_unverified()).map(Some)
}

/// Whether `ancestor` is `head` itself or reached from it through `previous`; `None` where the chain has a gap, so that
/// nothing can be said.
pub(crate) fn descends(
    store: &dyn Store,
    head: &HeadPayload,
    digest: &Digest,
    ancestor: &Seen,
) -> Result<Option<bool>, VaultError> {
    if head.epoch == ancestor.epoch {
        return Ok(Some(*digest == ancestor.digest));
    }
    // From milestone to milestone while they lie after the ancestor, and as far as they can be read.
    let mut from = head.clone();
    while let Some(Ancestor(milestone)) =
        from.milestone.filter(|milestone| milestone.0.epoch >= ancestor.epoch)
    {
        if milestone.epoch == ancestor.epoch {
            return Ok(Some(milestone.digest == ancestor.digest));
        }
        match past_head(store, &milestone.digest)? {
            Some(past) if past.epoch == milestone.epoch && past.epoch < from.epoch => from = past,
            _ => break,
        }
    }
    let (mut epoch, mut previous) = (from.epoch, from.previous);
    while let Some(step) = previous {
        epoch = epoch.saturating_sub(1);
        if epoch == ancestor.epoch {
            return Ok(Some(step == ancestor.digest));
        }
        let Some(past) = past_head(store, &step)? else { return Ok(None) };
        if past.epoch != epoch {
            return Ok(None);
        }
        previous = past.previous;
    }
    Ok(Some(false))
}

/// Holds a verified head against an anchor, and returns what the anchor remembers. Nothing else in the head is used
/// before every anchor agrees.
pub(crate) fn check(
    store: &dyn Store,
    head: &HeadPayload,
    digest: &Digest,
    anchor: &dyn Anchor,
) -> Result<Seen, VaultError> {
    let location = anchor.location();
    let rolled_back = |what: String| Err(VaultError::RolledBack { what });
    let Some(seen) = anchor.read()? else {
        return rolled_back(format!(
            "the anchor {location} is gone, so nothing shows that this head is the newest"
        ));
    };
    if head.epoch < seen.epoch {
        return rolled_back(format!(
            "the store is at epoch {}, this host has seen epoch {} ({location})",
            head.epoch, seen.epoch
        ));
    }
    if descends(store, head, digest, &seen)? != Some(true) {
        let restored = head.restored.filter(|restored| restored.from < seen.epoch).map(|restored| {
            format!("; it says that it was restored from a backup of epoch {}", restored.from)
        });
        return rolled_back(format!(
            "the head of epoch {} does not descend from the one of epoch {} that this host has seen ({location}){}",
            head.epoch,
            seen.epoch,
            restored.unwrap_or_default()
        ));
    }
    Ok(seen)
}

#[cfg(test)]
mod tests;
