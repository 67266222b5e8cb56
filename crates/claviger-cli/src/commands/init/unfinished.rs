//! What `init` has made, and takes away again where it does not come to its end.

use super::Plan;
use crate::{context::Context, enrol::NewKeys, error::CliError, open, report};
use claviger_store::{Store, StoreError, WorkLock};
use claviger_types::VaultId;
use claviger_vault::{TokenAnchor, Vault};
use std::{fs, path::PathBuf, sync::Arc};

/// A store that goes away again unless it is kept.
pub(super) struct NewStore {
    url: String,
    vault: VaultId,
    kept: bool,
    // Who else makes a vault there, or restores one, sees that somebody does, and leaves it alone.
    _lock: WorkLock,
}

impl NewStore {
    /// Makes it, or takes up an empty one that was left behind: before it has a head or an object, there is nothing in it.
    pub(super) fn create(url: &str, vault: VaultId) -> Result<Self, CliError> {
        let (lock, location) = match claviger_store::create_url(url) {
            Ok(store) => (store.work_lock()?, None),
            // What cannot be opened is no store, or nobody's to take; and nobody's work on a vault is disturbed.
            Err(StoreError::Exists { location }) if !is_empty(url) => {
                return Err(CliError::StoreExists { location });
            }
            Err(StoreError::Exists { location }) => {
                (claviger_store::open_url(url)?.work_lock()?, Some(location))
            }
            Err(error) => return Err(error.into()),
        };
        // A new one, too: another may take it up in the moment after it was made.
        let lock = lock.ok_or_else(|| CliError::StoreBusy { url: url.to_owned() })?;
        if let Some(location) = location {
            // Who had the lock before may have put a vault there, or taken the store away.
            if !is_empty(url) {
                return Err(CliError::StoreExists { location });
            }
            report::note(&format!("{url} is an empty store that was left behind, and is taken up"));
        }
        Ok(Self { url: url.to_owned(), vault, kept: false, _lock: lock })
    }

    pub(super) fn keep(mut self) {
        self.kept = true;
    }

    /// Whether nothing is in it but what this command has put there.
    fn is_ours(&self) -> bool {
        let holds = |store: Arc<dyn Store>| Vault::id_in(store.as_ref()).is_ok_and(|id| id == self.vault);
        is_empty(&self.url) || claviger_store::open_url(&self.url).is_ok_and(holds)
    }
}

impl Drop for NewStore {
    fn drop(&mut self) {
        if self.kept || !self.is_ours() {
            return;
        }
        if let Err(error) = remove(&self.url) {
            report::warning(&format!("the unfinished store {} stayed behind: {error}", self.url));
        }
    }
}

/// Whether this is a store into which nothing was ever put.
fn is_empty(url: &str) -> bool {
    let looked = claviger_store::open_url(url)
        .and_then(|store| Ok(store.head()?.is_none() && store.list(None, 1)?.is_empty()));
    looked.unwrap_or(false)
}

/// Removes the files of a SQLite store that nobody has open.
fn remove(url: &str) -> std::io::Result<()> {
    for file in claviger_store::sqlite_files(url).map_err(std::io::Error::other)? {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// An anchor on a token that goes away again unless it is kept.
pub(super) struct NewAnchor(Option<TokenAnchor>);

impl NewAnchor {
    pub(super) fn of(plan: &Plan, keys: &NewKeys, context: &Context) -> Result<Self, CliError> {
        if !keys.keeps_anchors {
            return Ok(Self(None));
        }
        let token = keys.token()?;
        Ok(Self(Some(open::token_anchor(plan.vault, plan.host.id, token.as_ref(), context)?)))
    }

    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for NewAnchor {
    fn drop(&mut self) {
        if self.0.as_ref().is_some_and(|anchor| anchor.remove().is_err()) {
            report::warning("an anchor of the vault that was not made stayed on the token; it is harmless");
        }
    }
}

/// Directories that bear the new vault's id, and go away again unless they are kept.
pub(super) struct NewDirectories(pub(super) Vec<PathBuf>);

impl NewDirectories {
    pub(super) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for NewDirectories {
    fn drop(&mut self) {
        for directory in &self.0 {
            // What was never made need not go away.
            let _ = fs::remove_dir_all(directory);
        }
    }
}
