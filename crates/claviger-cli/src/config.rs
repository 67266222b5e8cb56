//! The configuration file: which vault, where it lies, which token opens it. Whoever may write it may point the program
//! at another vault, so it is refused when others may.

mod edit;
mod module;

pub(crate) use edit::{ConfigFile, Draft as ConfigDraft};
pub(crate) use module::{Environment, MODULES_FILE, ModulesConfig};

use crate::{
    error::CliError,
    paths::{Paths, SYSTEM_CONFIG},
};
use claviger_types::{Digest, EcPoint, HostId, OsEntropy, RecipientId, Scheme, SignerId, VaultId};
use rustix::process::geteuid;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    env,
    fs::{self, File},
    io::{Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

/// No configuration is larger.
const MAX_BYTES: u64 = 64 << 10;

const HEADER: &str = "\
# claviger: which vault this is, where it lies, and which token opens it.
# It holds no secret, but whoever may change it may lead the program to another vault: keep it your own.

";

/// The configuration of one vault on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    /// The vault that the store must hold.
    pub(crate) vault: VaultId,
    /// The vault key's kid: pinned at `init`, and anew when the vault key is replaced.
    pub(crate) fingerprint: Digest,
    /// A vault key that may be about to follow; both are accepted until it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next_fingerprint: Option<Digest>,
    /// The store's URL.
    pub(crate) store: String,
    /// Files that remember the newest head.
    pub(crate) anchors: Vec<PathBuf>,
    /// Who opens the vault here.
    pub(crate) host: HostConfig,
    /// The token that opens the vault here.
    pub(crate) token: TokenConfig,
    /// Tokens that open it too, tried in order where the first is absent.
    #[serde(default, rename = "backup-token", skip_serializing_if = "Vec::is_empty")]
    pub(crate) backup_tokens: Vec<TokenConfig>,
    /// Whose word is taken for a new vault key.
    #[serde(default, rename = "signer", skip_serializing_if = "Vec::is_empty")]
    pub(crate) signers: Vec<SignerConfig>,
    /// The audit log.
    pub(crate) audit: AuditConfig,
}

/// This machine and user, as the vault lists who has written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct HostConfig {
    /// Its id.
    pub(crate) id: HostId,
    /// Its name for people.
    pub(crate) name: String,
}

impl HostConfig {
    /// A new host, by this machine's name.
    pub(crate) fn here() -> Result<Self, CliError> {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let name: String = name.chars().take(255).collect();
        Ok(Self { id: HostId::random(&OsEntropy)?, name })
    }
}

/// A signer that is believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct SignerConfig {
    /// Its id.
    pub(crate) id: SignerId,
    /// Its public key: x and y on P-256.
    #[serde(with = "point_as_hex")]
    pub(crate) public_key: EcPoint,
}

/// Which key on which token opens the vault here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct TokenConfig {
    /// The key's RFC 7512 URI, with `module-path` and, where there is one, `pin-source`.
    pub(crate) uri: String,
    /// The recipient that this key is.
    pub(crate) recipient: RecipientId,
    /// How keys are wrapped to it.
    #[serde(with = "as_text")]
    pub(crate) scheme: Scheme,
    /// What the driver found out about the module at `init`; its own business.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) profile: String,
    /// Whether the token keeps an anchor, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) anchor: bool,
    /// The signer on the token, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signer: Option<SignerId>,
}

/// Where audit entries are sealed to, and how hard they are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct AuditConfig {
    /// The vault's audit public key: x and y on P-256.
    #[serde(with = "point_as_hex")]
    pub(crate) public_key: EcPoint,
    /// When a record counts as written.
    #[serde(default)]
    pub(crate) durability: Durability,
}

/// When an audit record counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Durability {
    /// Handed to the kernel: survives the process's death.
    #[default]
    WriteThrough,
    /// On the disk: survives a power loss.
    Fsync,
}

/// The file to use: `--config`, else `CLAVIGER_CONFIG`, else what XDG says, else the machine's.
pub(crate) fn locate(option: Option<&Path>, paths: &Paths) -> Result<PathBuf, CliError> {
    if let Some(named) = named(option) {
        return Ok(named);
    }
    let own = paths.config();
    match own {
        Ok(path) if path.exists() => Ok(path),
        _ if Path::new(SYSTEM_CONFIG).exists() => Ok(SYSTEM_CONFIG.into()),
        Ok(path) => Err(CliError::ConfigMissing { path }),
        Err(error) => Err(error),
    }
}

/// The file that `init` writes: as [`locate`], but never the machine's unless it is named.
pub(crate) fn locate_new(option: Option<&Path>, paths: &Paths) -> Result<PathBuf, CliError> {
    named(option).map_or_else(|| paths.config(), Ok)
}

fn named(option: Option<&Path>) -> Option<PathBuf> {
    option
        .map(Path::to_owned)
        .or_else(|| env::var_os("CLAVIGER_CONFIG").filter(|value| !value.is_empty()).map(PathBuf::from))
}

impl Config {
    /// This host's tokens, the one that it uses first before the others.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &TokenConfig> {
        std::iter::once(&self.token).chain(&self.backup_tokens)
    }

    /// Reads and checks a configuration file.
    pub(crate) fn read(path: &Path) -> Result<Self, CliError> {
        Self::parse(path, &read_text(path)?)
    }

    /// What a configuration says.
    fn parse(path: &Path, text: &str) -> Result<Self, CliError> {
        Self::parse_as(path, text)
    }

    /// What a file of this shape says.
    fn parse_as<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, CliError> {
        toml::from_str(text).map_err(|error| CliError::ConfigInvalid {
            path: path.to_owned(),
            line: error
                .span()
                .and_then(|span| text.get(..span.start))
                .map(|before| before.matches('\n').count() + 1),
            problem: error.message().to_owned(),
        })
    }

    /// Writes a new configuration file, whole or not at all; one that is there already is never touched.
    pub(crate) fn write_new(&self, path: &Path) -> Result<(), CliError> {
        let text = toml::to_string(self).map_err(|error| CliError::ConfigInvalid {
            path: path.to_owned(),
            line: None,
            problem: error.to_string(),
        })?;
        let failed = |source| CliError::file("write", path, source);
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
        file.write_all(HEADER.as_bytes()).and_then(|()| file.write_all(text.as_bytes())).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist_noclobber(path).map_err(|error| match error.error.kind() {
            std::io::ErrorKind::AlreadyExists => CliError::ConfigExists { path: path.to_owned() },
            _ => failed(error.error),
        })?;
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
    }
}

/// The text of a configuration that nobody else may have changed.
fn read_text(path: &Path) -> Result<String, CliError> {
    let file = File::open(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => CliError::ConfigMissing { path: path.to_owned() },
        _ => CliError::file("read", path, source),
    })?;
    let meta = file.metadata().map_err(|source| CliError::file("read", path, source))?;
    refuse_foreign_hands(path, &meta)?;
    let mut text = String::new();
    file.take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|source| CliError::file("read", path, source))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(CliError::ConfigInvalid {
            path: path.to_owned(),
            line: None,
            problem: format!("it is larger than {MAX_BYTES} bytes"),
        });
    }
    Ok(text)
}

/// Refuses a file that somebody else may change, or put another in the place of.
pub(crate) fn refuse_foreign_hands(path: &Path, meta: &fs::Metadata) -> Result<(), CliError> {
    check_hands(path, meta, false)?;
    let real = path.canonicalize().map_err(|source| CliError::file("read", path, source))?;
    let Some(parent) = real.parent() else { return Ok(()) };
    let meta = parent.metadata().map_err(|source| CliError::file("read", parent, source))?;
    check_hands(parent, &meta, true)
}

fn check_hands(path: &Path, meta: &fs::Metadata, directory: bool) -> Result<(), CliError> {
    let exposed =
        |problem: String, mend: String| CliError::ConfigExposed { path: path.to_owned(), problem, mend };
    let me = geteuid().as_raw();
    if meta.uid() != me && meta.uid() != 0 {
        return Err(exposed(
            format!("belongs to the user {}", meta.uid()),
            format!("chown {me} {}", shell_word(path)),
        ));
    }
    // In a sticky directory nobody can replace another one's file.
    let sticky = directory && meta.mode() & 0o1000 != 0;
    if meta.mode() & 0o022 != 0 && !sticky {
        return Err(exposed(
            format!("has the mode {:04o}: others may change it", meta.mode() & 0o7777),
            format!("chmod go-w {}", shell_word(path)),
        ));
    }
    Ok(())
}

/// A path as a shell takes it.
pub(crate) fn shell_word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Values with a text form of their own.
mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use std::{fmt::Display, str::FromStr};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// A point as the hexadecimal digits of x and y.
mod point_as_hex {
    use claviger_types::{Digest, EcPoint};
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    #[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it so
    pub(super) fn serialize<S: Serializer>(point: &EcPoint, to: S) -> Result<S::Ok, S::Error> {
        let half = Digest::from_bytes;
        to.collect_str(&format_args!("{}{}", half(point.x), half(point.y)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<EcPoint, D::Error> {
        let text = String::deserialize(from)?;
        let half = |range| {
            text.get(range)
                .and_then(|half: &str| half.parse::<Digest>().ok())
                .map(|half| *half.as_bytes())
                .ok_or_else(|| D::Error::custom("a public key is 128 hexadecimal digits: x, then y"))
        };
        Ok(EcPoint { x: half(0..64)?, y: half(64..text.len().max(64))? })
    }
}

#[cfg(test)]
mod tests;
