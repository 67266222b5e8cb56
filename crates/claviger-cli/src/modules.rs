//! Which PKCS#11 modules to look into when none is named, and which token a URI means. Only files that a package puts in
//! place are looked at: a module is code that runs here.

use crate::{context::Context, error::CliError};
use claviger_token::{Driver, TokenError, TokenSummary, Uri};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where packages put modules.
const DIRECTORIES: [&str; 6] = [
    "/usr/lib/softhsm",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64/pkcs11",
    "/usr/lib/pkcs11",
    "/usr/local/lib/softhsm",
];

/// What they call them.
const FILES: [&str; 6] = [
    "libsofthsm2.so",
    "libykcs11.so",
    "pkcs11/yubihsm_pkcs11.so",
    "opensc-pkcs11.so",
    "libtpm2_pkcs11.so",
    "libykcs11.so.2",
];

/// A token and the module that shows it.
#[derive(Clone)]
pub(crate) struct Found {
    /// The module.
    pub(crate) module: PathBuf,
    /// The way to its tokens.
    pub(crate) driver: Arc<dyn Driver>,
    /// The token.
    pub(crate) token: TokenSummary,
}

impl Found {
    /// The URI that names this token in this module and no other.
    pub(crate) fn uri(&self) -> Uri {
        Uri { module_path: Some(self.module.clone()), ..self.token.uri.clone() }
    }
}

/// The modules to look into: the one that is named, else those that are installed.
pub(crate) fn to_search(option: Option<&Path>, uri: Option<&Uri>) -> Vec<PathBuf> {
    if let Some(named) = option.or_else(|| uri.and_then(|uri| uri.module_path.as_deref())) {
        return vec![named.to_owned()];
    }
    let mut installed: Vec<PathBuf> = Vec::new();
    for path in DIRECTORIES.iter().flat_map(|directory| FILES.map(|file| Path::new(directory).join(file))) {
        // The same module under two names is one module.
        if let Ok(real) = path.canonicalize()
            && !installed.iter().any(|known| known.canonicalize().is_ok_and(|known| known == real))
        {
            installed.push(path);
        }
    }
    installed
}

/// Whether a token is what a URI means. What names a key or a module is not looked at.
pub(crate) fn fits(uri: &Uri, token: &TokenSummary) -> bool {
    let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
    token.initialised
        && same(&uri.token, &token.label)
        && same(&uri.serial, &token.serial)
        && same(&uri.manufacturer, &token.manufacturer)
        && same(&uri.model, &token.model)
        && same(&uri.slot_description, &token.slot_description)
        && same(&uri.slot_manufacturer, &token.slot_manufacturer)
}

/// The tokens of one module, initialised or not.
pub(crate) fn list(module: &Path, context: &Context) -> Result<Vec<Found>, CliError> {
    let driver = context.driver(module)?;
    let found = |token| Found { module: module.to_owned(), driver: Arc::clone(&driver), token };
    Ok(driver.list()?.into_iter().map(found).collect())
}

/// The one token that a URI means, in the modules to look into.
pub(crate) fn find(option: Option<&Path>, uri: &Uri, context: &Context) -> Result<Found, CliError> {
    let modules = to_search(option, Some(uri));
    let named = modules.len() == 1;
    let mut present = Vec::new();
    for module in modules {
        match list(&module, context) {
            Ok(tokens) => present.extend(tokens),
            // One sick module among several does not hide the others' tokens.
            Err(error) if named => return Err(error),
            Err(error) => tracing::info!(module = %module.display(), %error, "module passed over"),
        }
    }
    present.retain(|found| found.token.initialised);
    let shown = |found: &[Found]| found.iter().map(|found| found.uri().to_string()).collect();
    let (mut fitting, others): (Vec<_>, Vec<_>) =
        present.into_iter().partition(|found| fits(uri, &found.token));
    match (fitting.pop(), fitting.is_empty()) {
        (Some(found), true) => Ok(found),
        (None, _) => {
            Err(TokenError::TokenAbsent { uri: uri.of_token().to_string(), present: shown(&others) }.into())
        }
        (Some(found), false) => {
            fitting.push(found);
            Err(TokenError::AmbiguousUri { uri: uri.of_token().to_string(), matches: shown(&fitting) }.into())
        }
    }
}

/// Whether this is SoftHSM, whose keys are files.
pub(crate) fn is_softhsm(found: &Found) -> bool {
    found.token.manufacturer.to_ascii_lowercase().contains("softhsm")
        || found.module.to_string_lossy().contains("softhsm")
}
