//! Where to look for tokens when no module is named, and which token a URI means. Only files that a package puts in
//! place are looked at: a module is code that runs here.

mod way;

pub(crate) use way::{CARD_SERVICE_VARIABLE, Way, card_service, renamed};

use crate::{context::Context, error::CliError};
use claviger_token::{Driver, TokenError, TokenSummary, Uri};
use rustix::fs::{Access, access};
use std::{
    env,
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
const FILES: [&str; 9] = [
    "libsofthsm2.so",
    "libykcs11.so",
    "pkcs11/yubihsm_pkcs11.so",
    "opensc-pkcs11.so",
    "libtpm2_pkcs11.so",
    "pkcs11/libtpm2_pkcs11.so",
    "libykcs11.so.2",
    "pkcs11/libopencryptoki.so",
    "libopencryptoki.so",
];

/// Modules that need the same around them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Files in a directory.
    SoftHsm,
    /// A TPM, by tpm2-pkcs11.
    Tpm,
    /// openCryptoki, with its daemon.
    OpenCryptoki,
    /// Cards and USB tokens, by pcscd.
    SmartCard,
    /// What this program knows nothing of.
    Other,
}

impl Family {
    /// The family of the module at this path, by its file's name.
    pub(crate) fn of(module: &Path) -> Self {
        const NAMES: [(&str, Family); 6] = [
            ("softhsm", Family::SoftHsm),
            ("tpm2_pkcs11", Family::Tpm),
            ("opencryptoki", Family::OpenCryptoki),
            ("PKCS11_API", Family::OpenCryptoki),
            ("opensc-pkcs11", Family::SmartCard),
            ("ykcs11", Family::SmartCard),
        ];
        let real = module.canonicalize().unwrap_or_else(|_| module.to_owned());
        let file = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (given, real) = (file(module), file(&real));
        let known = NAMES.iter().find(|(name, _)| given.contains(name) || real.contains(name));
        known.map_or(Self::Other, |(_, family)| *family)
    }

    /// Whether what it needs is there, so that looking into it is no waste: without it, some modules wait, and some fill the
    /// screen with complaints.
    fn may_answer(self) -> bool {
        let any = |paths: &[&str]| {
            paths.iter().any(|path| access(*path, Access::READ_OK | Access::WRITE_OK).is_ok())
        };
        match self {
            Self::Tpm => any(&["/dev/tpmrm0", "/dev/tpm0"]) || env::var_os("TPM2_PKCS11_TCTI").is_some(),
            Self::OpenCryptoki => any(&SLOT_DAEMON_SOCKETS),
            Self::SoftHsm | Self::SmartCard | Self::Other => true,
        }
    }
}

/// Where openCryptoki's daemon listens, by version.
pub(crate) const SLOT_DAEMON_SOCKETS: [&str; 2] =
    ["/run/pkcsslotd.socket", "/run/opencryptoki/pkcsslotd.socket"];

/// A token and the module that shows it.
#[derive(Clone)]
pub(crate) struct Found {
    /// How it is reached.
    pub(crate) way: Way,
    /// The same, to be used.
    pub(crate) driver: Arc<dyn Driver>,
    /// The token.
    pub(crate) token: TokenSummary,
}

impl Found {
    /// The URI that names this token on this way and no other.
    pub(crate) fn uri(&self) -> Uri {
        self.way.to(&self.token.uri)
    }
}

/// Where to look: the way that is named, else all that there are.
pub(crate) fn to_search(option: Option<&Path>, uri: Option<&Uri>) -> Vec<Way> {
    let named = option.map(|path| Way::Module(path.to_owned()));
    if let Some(named) = named.or_else(|| uri.and_then(Way::of)) {
        return vec![named];
    }
    let own = way::is_card_service_there().then_some(Way::Piv);
    let modules = installed().into_iter().filter(|module| Family::of(module).may_answer());
    own.into_iter().chain(modules.map(Way::Module)).collect()
}

/// The modules that are installed in the usual places.
pub(crate) fn installed() -> Vec<PathBuf> {
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

/// Whether a token is what a URI means, and ready for use. What names a key or a module is not looked at.
pub(crate) fn fits(uri: &Uri, token: &TokenSummary) -> bool {
    token.initialised && names(uri, token)
}

/// Whether a URI says of a token and its slot what they are.
pub(crate) fn names(uri: &Uri, token: &TokenSummary) -> bool {
    let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
    same(&uri.token, &token.label)
        && same(&uri.serial, &token.serial)
        && same(&uri.manufacturer, &token.manufacturer)
        && same(&uri.model, &token.model)
        && same(&uri.slot_description, &token.slot_description)
        && same(&uri.slot_manufacturer, &token.slot_manufacturer)
}

/// The tokens on one way, initialised or not.
pub(crate) fn list(way: &Way, context: &Context) -> Result<Vec<Found>, CliError> {
    let driver = context.driver(way)?;
    let found = |token| Found { way: way.clone(), driver: Arc::clone(&driver), token };
    Ok(driver.list()?.into_iter().map(found).collect())
}

/// The tokens on these ways, initialised or not. One sick module among several does not hide the others' tokens.
pub(crate) fn list_all(ways: &[Way], context: &Context) -> Result<Vec<Found>, CliError> {
    let mut present = Vec::new();
    for way in ways {
        match list(way, context) {
            Ok(tokens) => present.extend(tokens),
            Err(error) if ways.len() == 1 => return Err(error),
            Err(error) => tracing::info!(%way, %error, "passed over"),
        }
    }
    Ok(once(present))
}

/// A YubiKey that the PIV driver shows is not shown again by its maker's module, which does less for it.
pub(crate) fn once(mut tokens: Vec<Found>) -> Vec<Found> {
    let own = |found: &Found| (found.way == Way::Piv).then(|| found.token.serial.clone());
    let serials: Vec<String> = tokens.iter().filter_map(own).collect();
    tokens.retain(|found| {
        found.way == Way::Piv
            || found.way.family() != Family::SmartCard
            || !serials.contains(&found.token.serial)
    });
    tokens
}

/// The one token that a URI means, in the modules to look into.
pub(crate) fn find(option: Option<&Path>, uri: &Uri, context: &Context) -> Result<Found, CliError> {
    let mut present = list_all(&to_search(option, Some(uri)), context)?;
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
        || found.way.to_string().contains("softhsm")
}
