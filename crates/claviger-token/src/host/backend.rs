//! What the child drives.

use crate::{Driver, ModuleSpec, pkcs11::Pkcs11Driver};
use serde::{Deserialize, Serialize};
use std::{fmt, path::Path};

/// What foreign code the child holds, and how it is driven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backend {
    /// A PKCS#11 module.
    Module(ModuleSpec),
    /// The PIV driver, and under it the client library of the smart-card service.
    #[cfg(feature = "piv")]
    Piv,
}

impl Backend {
    /// The library that is loaded, where one is.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Module(module) => Some(&module.path),
            #[cfg(feature = "piv")]
            Self::Piv => None,
        }
    }

    pub(super) fn driver(self) -> Box<dyn Driver> {
        match self {
            Self::Module(module) => Box::new(Pkcs11Driver::new(module)),
            #[cfg(feature = "piv")]
            Self::Piv => Box::new(crate::piv::PivDriver),
        }
    }
}

impl From<ModuleSpec> for Backend {
    fn from(module: ModuleSpec) -> Self {
        Self::Module(module)
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module(module) => write!(f, "the PKCS#11 module {}", module.path.display()),
            #[cfg(feature = "piv")]
            Self::Piv => f.write_str("the PIV driver"),
        }
    }
}
