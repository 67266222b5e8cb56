//! Which module is loaded, and what about it differs from the standard.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A module, as the local configuration names it: the store never has a say in what code runs here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleSpec {
    /// The shared library's path. It is never searched for.
    pub path: PathBuf,
    /// What this vendor's module needs that others do not.
    pub settings: ModuleSettings,
}

impl ModuleSpec {
    /// A module that keeps to the standard.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), settings: ModuleSettings::default() }
    }

    /// The library's path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// What a vendor's module needs that others do not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ModuleSettings {
    /// Numbers of its own for mechanisms.
    pub mechanisms: Mechanisms,
    /// Whose IV A256GCM takes.
    pub iv: IvSource,
    /// What `C_Initialize` is given as its reserved argument, as NSS wants it.
    pub init_args: Option<String>,
}

/// A vendor's numbers for mechanisms, in place of the standard's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Mechanisms {
    /// For A256KW, in place of `CKM_AES_KEY_WRAP` (0x2109).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_wrap: Option<u32>,
    /// For A256GCM, in place of `CKM_AES_GCM` (0x1087).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gcm: Option<u32>,
    /// For ECDH-ES, in place of `CKM_ECDH1_DERIVE` (0x1050).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ecdh: Option<u32>,
    /// For RSAES-OAEP, in place of `CKM_RSA_PKCS_OAEP` (0x9).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oaep: Option<u32>,
}

/// Whose IV a token takes when it encrypts by AES-GCM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IvSource {
    /// The caller's: twelve random bytes.
    #[default]
    Caller,
    /// The token's: the caller gives room for it, and reads it back.
    Token,
}
