//! The command line: what is common to all commands, and which there are. Each command's own words stand beside it.

use crate::{commands, error::CliError};
use clap::{
    Args, Parser, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use claviger_token::Uri;
use claviger_types::{Clock as _, Digest, Kind, RecipientId, Reference, ServiceName, SystemClock, Timestamp};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  claviger token list                        which tokens there are, with URIs
  claviger init --token 'pkcs11:token=lab'   make a vault under a key on one
  claviger set openai                        ask for an API key and keep it
  claviger get openai                        print it
  claviger get google --field access_token   print one field
  claviger list                              what there is, without values

Exit codes:
  0  done             1  other               2  usage
  3  not found        4  denied              5  locked or PIN
  6  token absent     7  damaged, tampered   8  rolled back
  9  conflict        10  store unreachable  11  audit unavailable";

/// Keeps API keys and OAuth tokens under a master key that never leaves its hardware token
#[derive(Debug, Parser)]
#[command(name = "claviger", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    #[arg(
        help = "Configuration file [default: $CLAVIGER_CONFIG, the XDG place, /etc/claviger/claviger.toml]"
    )]
    pub(crate) config: Option<PathBuf>,
    /// Read the token's PIN from this file descriptor
    #[arg(long, global = true, value_name = "N", value_parser = pin_fd, help_heading = "Global options")]
    pub(crate) pin_fd: Option<u32>,
    /// Read a card's management key, in hexadecimal digits, from this file descriptor
    #[arg(long, global = true, value_name = "N", value_parser = pin_fd, hide = true)]
    pub(crate) management_key_fd: Option<u32>,
    /// Print results and errors as JSON
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// Tell on standard error what happens; more with -vv and -vvv
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub(crate) verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(commands::init::Args),
    Set(commands::set::Args),
    Get(commands::get::Args),
    List(commands::list::Args),
    History(commands::history::Args),
    Rollback(commands::rollback::Args),
    Rotate(commands::rotate::Args),
    Amend(commands::amend::Args),
    Prune(commands::prune::Args),
    Delete(commands::versions::DeleteArgs),
    Undelete(commands::versions::UndeleteArgs),
    Destroy(commands::versions::DestroyArgs),
    Import(commands::import::Args),
    Token(commands::token::Args),
    Status(commands::status::Args),
    Verify(commands::verify::Args),
    Repair(commands::repair::Args),
    Gc(commands::gc::Args),
    Backup(commands::backup::Args),
    Restore(commands::restore::Args),
    Join(commands::join::Args),
    Doctor(commands::doctor::Args),
    Trust(commands::trust::Args),
    Audit(commands::audit::Args),
    Completions(commands::completions::Args),
    Man(commands::man::Args),
    #[command(hide = true)]
    TokenHost(commands::token_host::Args),
}

/// Standard input, or a descriptor that whoever started us opened for this.
pub(crate) fn pin_fd(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(1 | 2) => Err("1 and 2 are for output".into()),
        Ok(fd) => Ok(fd),
        _ => Err("a file descriptor is a number: 0, or 3 and up".into()),
    }
}

/// A reference to a credential.
pub(crate) fn reference(text: &str) -> Result<Reference, claviger_types::ReferenceError> {
    text.parse()
}

/// A service, spelled as in a reference.
pub(crate) fn service(text: &str) -> Result<ServiceName, String> {
    let reference: Reference =
        text.parse().map_err(|error: claviger_types::ReferenceError| error.to_string())?;
    match reference.name {
        None => Ok(reference.service),
        Some(_) => Err("name a service alone; a `/` in its name is written `%2F`".into()),
    }
}

/// A token's URI. What is wrong with it is said by the command and not by the parser, which would show the whole text
/// and with it a PIN that somebody put there.
pub(crate) fn token(uri: &str) -> Result<Uri, CliError> {
    Ok(uri.parse::<Uri>()?)
}

/// A recipient.
pub(crate) fn recipient(text: &str) -> Result<RecipientId, String> {
    text.parse().map_err(|_| {
        "a recipient is 32 hexadecimal digits, as messages and `token recipients` show it".to_owned()
    })
}

/// A head's digest.
pub(crate) fn digest(text: &str) -> Result<Digest, String> {
    text.parse()
        .map_err(|_| "a digest is 64 hexadecimal digits; `claviger verify` shows the head's".to_owned())
}

/// A moment: so many days, hours or minutes from now, or a day (its beginning, UTC).
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    const UNITS: [(char, u64); 3] = [('d', 86_400_000), ('h', 3_600_000), ('m', 60_000)];
    let wrong = || "a moment is `30d`, `12h` or `90m` from now, or a day: `2027-01-31`".to_owned();
    for (unit, millis) in UNITS {
        if let Some(number) = text.strip_suffix(unit) {
            let number: u64 = number.parse().map_err(|_| wrong())?;
            let later = number.checked_mul(millis).ok_or_else(wrong)?;
            let now = SystemClock.now().as_millis();
            return now.checked_add(later).map(Timestamp::from_millis).ok_or_else(wrong);
        }
    }
    crate::output::text::day(text).ok_or_else(wrong)
}

/// A kind by name.
pub(crate) fn kind() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(Kind::ALL.map(Kind::name)).try_map(|name| name.parse::<Kind>())
}
