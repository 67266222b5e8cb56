//! What `init` has made, and takes away again where it does not come to its end.

use super::Plan;
use crate::{context::Context, enrol::NewKeys, error::CliError, open, report};
use claviger_store::StoreError;
use claviger_vault::TokenAnchor;
use std::{fs, path::PathBuf};

/// A store that goes away again unless it is kept.
pub(super) struct NewStore {
    url: String,
    kept: bool,
}

impl NewStore {
    pub(super) fn create(url: &str) -> Result<Self, CliError> {
        claviger_store::create_url(url).map_err(|error| match error {
            StoreError::Exists { location } => CliError::StoreExists { location },
            error => error.into(),
        })?;
        Ok(Self { url: url.to_owned(), kept: false })
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
