//! An anchor in a private object on a token, which whoever restores the whole machine cannot bring back.

use super::{Anchor, Seen, lock};
use crate::VaultError;
use claviger_token::{AnchorSlot, TokenError};
use claviger_types::{HostId, VaultId};
use std::{
    fs::File,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// An anchor on a token, whose memory wears out by writing: it is raised to milestones only, every 64 commits, and when
/// it is settled. Until then it is behind, which lets a roll-back of so many commits pass here and nowhere else.
pub struct TokenAnchor {
    slot: Arc<dyn AnchorSlot>,
    name: String,
    /// Processes of this host take turns by this file; the token has no lock of its own.
    lock: PathBuf,
    /// What it said last. It can only have been raised since, and then the head has too.
    known: Mutex<Option<Seen>>,
}

impl std::fmt::Debug for TokenAnchor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenAnchor").field("name", &self.name).finish_non_exhaustive()
    }
}

impl TokenAnchor {
    /// This host's anchor for this vault on this token.
    pub fn new(slot: Arc<dyn AnchorSlot>, vault: VaultId, host: HostId, lock: PathBuf) -> Self {
        Self { slot, name: format!("claviger anchor {vault} {host}"), lock, known: Mutex::default() }
    }

    /// Takes the anchor off the token.
    pub fn remove(&self) -> Result<(), VaultError> {
        Ok(self.slot.remove(&self.name)?)
    }

    fn locked(&self) -> Result<File, VaultError> {
        lock(&self.lock).map_err(|source| VaultError::Anchor {
            location: self.location(),
            action: "raised",
            source,
        })
    }

    /// What the token says now: the highest, where a crash left two.
    fn ask(&self) -> Result<Option<Seen>, VaultError> {
        let mut newest: Option<Seen> = None;
        for value in self.slot.read(&self.name)? {
            let seen = std::str::from_utf8(&value).ok().and_then(Seen::parse).ok_or_else(|| {
                let source = io::Error::new(io::ErrorKind::InvalidData, "it holds no anchor");
                VaultError::Anchor { location: self.location(), action: "read", source }
            })?;
            if newest.is_none_or(|newest| newest.epoch < seen.epoch) {
                newest = Some(seen);
            }
        }
        *self.known() = newest;
        Ok(newest)
    }

    fn write(&self, seen: Seen) -> Result<(), VaultError> {
        self.slot.write(&self.name, seen.line().as_bytes())?;
        *self.known() = Some(seen);
        Ok(())
    }

    fn lift(&self, to: Seen, create: bool) -> Result<(), VaultError> {
        let _lock = self.locked()?;
        match self.ask()? {
            Some(seen) if seen.epoch >= to.epoch => Ok(()),
            None if !create => {
                Err(VaultError::RolledBack { what: format!("the anchor on {} is gone", self.location()) })
            }
            present => match self.write(to) {
                // A full token keeps what it has: the vault stays in use, and `status` says how far behind this is.
                Err(VaultError::Token(TokenError::TokenFull)) if present.is_some() => {
                    tracing::warn!(
                        location = self.location(),
                        "the token is full: its anchor stays where it is"
                    );
                    Ok(())
                }
                written => written,
            },
        }
    }

    // What is remembered is replaced whole.
    fn known(&self) -> std::sync::MutexGuard<'_, Option<Seen>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Anchor for TokenAnchor {
    fn location(&self) -> String {
        self.slot.location()
    }

    fn read(&self) -> Result<Option<Seen>, VaultError> {
        let known = *self.known();
        known.map_or_else(|| self.ask(), |known| Ok(Some(known)))
    }

    fn prepare(&self) -> Result<(), VaultError> {
        Ok(())
    }

    fn target(&self, newest: Seen, milestone: Option<Seen>) -> Seen {
        let known = *self.known();
        match milestone {
            Some(milestone) => known.filter(|known| known.epoch >= milestone.epoch).unwrap_or(milestone),
            None => newest,
        }
    }

    fn raise(&self, to: Seen, create: bool) -> Result<(), VaultError> {
        if self.known().is_some_and(|known| known.epoch >= to.epoch) {
            return Ok(());
        }
        self.lift(to, create)
    }

    fn settle(&self, to: Seen) -> Result<(), VaultError> {
        self.lift(to, false)
    }

    fn reset(&self, to: Seen) -> Result<(), VaultError> {
        let _lock = self.locked()?;
        self.write(to)
    }
}

#[cfg(test)]
mod tests;
