//! How a token is reached: through a PKCS#11 module, or by this program's own PIV driver.

use super::Family;
use claviger_token::Uri;
use claviger_types::RecipientId;
use std::{ffi::OsString, fmt, path::PathBuf};

/// What `module-name=` in a URI says for the PIV driver.
pub(crate) const PIV: &str = "piv";
/// Where pcscd listens, unless the variable says otherwise.
const CARD_SERVICE: &str = "/run/pcscd/pcscd.comm";
pub(crate) const CARD_SERVICE_VARIABLE: &str = "PCSCLITE_CSOCK_NAME";

/// How a token is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// By this PKCS#11 module.
    Module(PathBuf),
    /// By the PIV driver.
    Piv,
}

impl Way {
    /// What a URI says of it, if it does.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        match (&uri.module_path, uri.module_name.as_deref()) {
            (Some(path), _) => Some(Self::Module(path.clone())),
            (None, Some(PIV)) => Some(Self::Piv),
            (None, _) => None,
        }
    }

    /// The URI of a token with the way to it.
    pub(crate) fn to(&self, token: &Uri) -> Uri {
        match self {
            Self::Module(path) => Uri { module_path: Some(path.clone()), module_name: None, ..token.clone() },
            Self::Piv => Uri { module_path: None, module_name: Some(PIV.to_owned()), ..token.clone() },
        }
    }

    /// The URI of a key, by the name that this way gives it. On a card it has none: its public half is its name.
    pub(crate) fn to_key(&self, token: &Uri, recipient: RecipientId) -> Uri {
        let id = (*self != Self::Piv).then(|| recipient.as_bytes().to_vec());
        Uri { id, object: None, ..self.to(token) }
    }

    pub(crate) fn family(&self) -> Family {
        match self {
            Self::Module(path) => Family::of(path),
            Self::Piv => Family::SmartCard,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module(path) => write!(f, "{}", path.display()),
            Self::Piv => f.write_str("claviger's own PIV driver"),
        }
    }
}

/// The same key by another name, after it was made anew: where its entry had no name for it, the new one has none either.
pub(crate) fn renamed(uri: &Uri, recipient: RecipientId) -> Uri {
    let id = uri.id.is_some().then(|| recipient.as_bytes().to_vec());
    Uri { id, object: None, ..uri.clone() }
}

/// Where the smart-card service listens, where the variable says this.
pub(crate) fn card_service(variable: Option<OsString>) -> PathBuf {
    variable.map_or_else(|| PathBuf::from(CARD_SERVICE), PathBuf::from)
}
