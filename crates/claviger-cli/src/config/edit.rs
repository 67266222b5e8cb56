//! Changing the configuration file that there is: whole or not at all, one process at a time, comments kept.

use super::{Config, SignerConfig, TokenConfig, read_text};
use crate::error::CliError;
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table};

/// A configuration file, and the lock by which those who change it take turns.
#[derive(Debug, Clone)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    lock: PathBuf,
}

impl ConfigFile {
    /// The file at this path.
    pub(crate) fn new(path: PathBuf, lock: PathBuf) -> Self {
        Self { path, lock }
    }

    /// What it says now.
    pub(crate) fn read(&self) -> Result<Config, CliError> {
        Config::read(&self.path)
    }

    /// Changes it. The result must be a configuration of the same vault, or nothing is written.
    pub(crate) fn edit(
        &self,
        change: impl FnOnce(&mut Draft) -> Result<(), CliError>,
    ) -> Result<Config, CliError> {
        let _turn = self.turn()?;
        let text = read_text(&self.path)?;
        let before = Config::parse(&self.path, &text)?;
        let invalid =
            |problem: String| CliError::ConfigInvalid { path: self.path.clone(), line: None, problem };
        let document: DocumentMut =
            text.parse().map_err(|error: toml_edit::TomlError| invalid(error.message().to_owned()))?;
        let mut draft = Draft { document };
        change(&mut draft)?;
        let text = draft.document.to_string();
        let after = Config::parse(&self.path, &text)?;
        if after.vault != before.vault {
            return Err(invalid("a change would make it another vault's".to_owned()));
        }
        if after != before {
            self.replace(&text)?;
        }
        Ok(after)
    }

    /// Whether it could be changed now.
    pub(crate) fn check_writable(&self) -> Result<(), CliError> {
        self.edit(|_| Ok(())).map(drop)?;
        let failed = |source| CliError::file("write", &self.path, source);
        tempfile::NamedTempFile::new_in(self.directory()).map(drop).map_err(failed)
    }

    fn turn(&self) -> Result<File, CliError> {
        let failed = |source| CliError::file("write", &self.lock, source);
        if let Some(directory) = self.lock.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        }
        let file =
            OpenOptions::new().create(true).append(true).mode(0o600).open(&self.lock).map_err(failed)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        Ok(file)
    }

    fn directory(&self) -> &Path {
        self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    fn replace(&self, text: &str) -> Result<(), CliError> {
        let failed = |source| CliError::file("write", &self.path, source);
        let mode = fs::metadata(&self.path).map_err(failed)?.mode() & 0o777;
        let mut file = tempfile::NamedTempFile::new_in(self.directory()).map_err(failed)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(mode)).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        // The file itself, where the path is a link to it.
        let real = self.path.canonicalize().map_err(failed)?;
        file.persist(&real).map_err(|error| failed(error.error))?;
        File::open(self.directory()).and_then(|directory| directory.sync_all()).map_err(failed)
    }
}

/// The text of a configuration while it is changed.
pub(crate) struct Draft {
    document: DocumentMut,
}

impl Draft {
    /// Sets a word at the top.
    pub(crate) fn set(&mut self, key: &str, value: &impl ToString) {
        // In its own place, with the comment behind it.
        let fresh = toml_edit::Value::from(value.to_string());
        match self.document.get_mut(key).and_then(Item::as_value_mut) {
            Some(present) => {
                let decor = present.decor().clone();
                *present = fresh;
                *present.decor_mut() = decor;
            }
            None => {
                self.document.insert(key, Item::Value(fresh));
            }
        }
    }

    /// Takes a word at the top out.
    pub(crate) fn remove(&mut self, key: &str) {
        self.document.remove(key);
    }

    /// Writes the signers that are believed, in the place of those that are there.
    pub(crate) fn signers(&mut self, signers: &[SignerConfig]) -> Result<(), CliError> {
        self.document.remove("signer");
        for signer in signers {
            self.push("signer", signer)?;
        }
        Ok(())
    }

    /// Writes the tokens: the first, and those that stand in for it.
    pub(crate) fn tokens(&mut self, first: &TokenConfig, others: &[TokenConfig]) -> Result<(), CliError> {
        self.document.insert("token", Item::Table(table(first)?));
        self.document.remove("backup-token");
        for token in others {
            self.push("backup-token", token)?;
        }
        Ok(())
    }

    fn push(&mut self, key: &str, value: &impl Serialize) -> Result<(), CliError> {
        let table = table(value)?;
        let list = self.document.entry(key).or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
        match list.as_array_of_tables_mut() {
            Some(list) => list.push(table),
            None => {
                return Err(CliError::usage(
                    format!("`{key}` is no list of tables"),
                    "correct the configuration",
                ));
            }
        }
        Ok(())
    }
}

fn table(value: &impl Serialize) -> Result<Table, CliError> {
    let failed = |problem: String| CliError::usage(problem, "report this as a fault of the program");
    let text = toml::to_string(value).map_err(|error| failed(error.to_string()))?;
    let document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| failed(error.message().to_owned()))?;
    Ok(document.as_table().clone())
}

#[cfg(test)]
mod tests;
