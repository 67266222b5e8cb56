//! A place for anchors that is made of memory, for tests.

use crate::{AnchorSlot, TokenError};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

type Values = BTreeMap<String, Vec<Vec<u8>>>;

/// Anchors in memory; clones share them. Only with the feature `software-token`.
#[derive(Debug, Clone, Default)]
pub struct SoftwareAnchors {
    kept: Arc<Mutex<Values>>,
}

impl SoftwareAnchors {
    /// A place without any anchor.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps this value beside what is there, as a write leaves it that was cut short.
    pub fn keep_also(&self, name: &str, value: &[u8]) {
        self.kept().entry(name.to_owned()).or_default().push(value.to_vec());
    }

    fn kept(&self) -> MutexGuard<'_, Values> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AnchorSlot for SoftwareAnchors {
    fn location(&self) -> String {
        "token `software`, serial number 0".to_owned()
    }

    fn read(&self, name: &str) -> Result<Vec<Vec<u8>>, TokenError> {
        Ok(self.kept().get(name).cloned().unwrap_or_default())
    }

    fn write(&self, name: &str, value: &[u8]) -> Result<(), TokenError> {
        if !(1..=super::MAX_ANCHOR_BYTES).contains(&value.len()) {
            return Err(TokenError::AnchorUnusable {
                name: name.to_owned(),
                reason: "a value has 1 to 4,096 bytes".into(),
            });
        }
        self.kept().insert(name.to_owned(), vec![value.to_vec()]);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), TokenError> {
        self.kept().remove(name);
        Ok(())
    }
}
