//! Where to look for tokens when no module is named, and which token a URI means. Only files that a package puts in
//! place are looked at: a module is code that runs here.

mod way;

pub(crate) use way::{CARD_SERVICE_VARIABLE, Way, card_service, renamed};

use crate::{context::Context, error::CliError};
use claviger_token::{Driver, TokenError, TokenSummary, Uri};
use claviger_types::RecipientId;
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
pub(crate) fn to_search(
    option: Option<&Path>,
    uri: Option<&Uri>,
    context: &Context,
) -> Result<Vec<Way>, CliError> {
    let named = option.map(|path| Way::Module(path.to_owned()));
    if let Some(named) = named.or_else(|| uri.and_then(Way::of)) {
        return Ok(vec![named]);
    }
    let service = context.modules()?.environment(&Way::Piv).get(CARD_SERVICE_VARIABLE);
    let own = card_service(service).exists().then_some(Way::Piv);
    let modules = installed().into_iter().filter(|module| Family::of(module).may_answer());
    Ok(own.into_iter().chain(modules.map(Way::Module)).collect())
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

/// A YubiKey that the PIV driver shows is not shown again by a module for cards, which does less for it. Its maker's knows
/// it by the same serial number; others give it one of their own, and show it in the same reader.
pub(crate) fn once(mut tokens: Vec<Found>) -> Vec<Found> {
    let own = |found: &Found| {
        (found.way == Way::Piv).then(|| (found.token.serial.clone(), found.token.slot_description.clone()))
    };
    let own: Vec<(String, String)> = tokens.iter().filter_map(own).collect();
    tokens.retain(|found| {
        let is_it = |(serial, reader): &(String, String)| {
            *serial == found.token.serial || is_reader(&found.token.slot_description, reader)
        };
        found.way == Way::Piv || found.way.family() != Family::SmartCard || !own.iter().any(is_it)
    });
    tokens
}

/// Whether a slot's description is this reader's name, of which it may have room for the beginning only.
fn is_reader(slot_description: &str, reader: &str) -> bool {
    const ROOM: usize = 64;

    let shown = slot_description.trim_end();
    shown == reader || (shown.len() == ROOM && reader.starts_with(shown))
}

/// The one token that a URI means, in the modules to look into.
pub(crate) fn find(option: Option<&Path>, uri: &Uri, context: &Context) -> Result<Found, CliError> {
    let ways = to_search(option, Some(uri), context)?;
    let mut present = list_all(&ways, context)?;
    present.retain(|found| found.token.initialised);
    let shown = |found: &[Found]| found.iter().map(|found| found.uri().to_string()).collect();
    let (mut fitting, others): (Vec<_>, Vec<_>) =
        present.into_iter().partition(|found| fits(uri, &found.token));
    match (fitting.pop(), fitting.is_empty()) {
        (Some(found), true) => Ok(found),
        (None, _) => {
            let absent =
                || TokenError::TokenAbsent { uri: uri.of_token().to_string(), present: shown(&others) };
            Err(unseen(uri, &ways, context)?.unwrap_or_else(absent).into())
        }
        (Some(found), false) => {
            fitting.push(found);
            Err(TokenError::AmbiguousUri { uri: uri.of_token().to_string(), matches: shown(&fitting) }.into())
        }
    }
}

/// Why it cannot be said that no YubiKey fits, though others are there: another program may have one for itself.
fn unseen(uri: &Uri, ways: &[Way], context: &Context) -> Result<Option<TokenError>, CliError> {
    Ok(if ways == [Way::Piv] { unseen_card(context.driver(&Way::Piv)?.as_ref(), uri) } else { None })
}

/// Why a card that may be this one could not be looked at where others could.
pub(crate) fn unseen_card(driver: &dyn Driver, uri: &Uri) -> Option<TokenError> {
    // No key is this one's: what is asked for is which card.
    let nobody = RecipientId::from_bytes([0; 16]);
    match driver.piv_key(uri, nobody) {
        Ok(_) | Err(TokenError::TokenAbsent { .. } | TokenError::KeyMissing { .. }) => None,
        Err(error) => Some(error),
    }
}

/// Whether this is SoftHSM, whose keys are files.
pub(crate) fn is_softhsm(found: &Found) -> bool {
    found.token.manufacturer.to_ascii_lowercase().contains("softhsm")
        || found.way.to_string().contains("softhsm")
}
