//! What `init` has made, and takes away again where it does not come to its end.

use super::Plan;
use crate::{context::Context, enrol::NewKeys, error::CliError, open, report};
use claviger_store::{StoreError, WorkLock};
use claviger_vault::TokenAnchor;
use std::{fs, path::PathBuf};

/// A store that goes away again unless it is kept.
pub(super) struct NewStore {
    url: String,
    kept: bool,
    // Who else makes a vault there sees that somebody does, and leaves it alone.
    _lock: WorkLock,
}

impl NewStore {
    /// Makes it, or takes up the empty one of an `init` that was cut off: before it has a head, there is nothing in it.
    pub(super) fn create(url: &str) -> Result<Self, CliError> {
        let (lock, location) = match claviger_store::create_url(url) {
            Ok(store) => (store.work_lock()?, None),
            Err(StoreError::Exists { location }) => (lock_empty(url), Some(location)),
            Err(error) => return Err(error.into()),
        };
        match (lock, location) {
            (Some(lock), None) => Ok(Self { url: url.to_owned(), kept: false, _lock: lock }),
            (Some(lock), Some(_)) => {
                report::note(&format!("{url} is an empty store that an `init` began, and is taken up"));
                Ok(Self { url: url.to_owned(), kept: false, _lock: lock })
            }
            (None, Some(location)) => Err(CliError::StoreExists { location }),
            // Another `init` took it up in the moment after it was made.
            (None, None) => Err(CliError::StoreExists { location: url.into() }),
        }
    }

    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for NewStore {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Err(error) = remove(&self.url) {
            report::warning(&format!("the unfinished store {} stayed behind: {error}", self.url));
        }
    }
}

/// The work lock of the store that is there, if nobody has that and nothing was ever put into it.
fn lock_empty(url: &str) -> Option<WorkLock> {
    // What cannot be opened is no store, or nobody's to take.
    let lock = claviger_store::open_url(url).ok()?.work_lock().ok()??;
    // Opened anew: he who had the lock before may have taken his store away.
    let store = claviger_store::open_url(url).ok()?;
    let empty = store.head().ok()?.is_none() && store.list(None, 1).ok()?.is_empty();
    empty.then_some(lock)
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
