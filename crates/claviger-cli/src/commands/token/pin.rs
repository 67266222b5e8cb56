//! `claviger token pin`: PINs are changed, and set anew.

use crate::{
    args,
    config::shell_word,
    context::Context,
    error::CliError,
    modules::{self, Found},
    output::{self, text},
    pin::{self, Once},
    report,
};
use claviger_token::{PinCredential, PinFile, PinOwner, PinPrompt, PinSource, PinTries, TokenError, Uri};
use serde_json::json;
use std::path::{Path, PathBuf};

const CHANGE_EXAMPLES: &str = "\
Examples:
  claviger token pin change                           of the vault's token
  claviger token pin change --token 'pkcs11:token=lab'
  claviger token pin change --pin-fd 3 --new-pin-fd 4 3<old 4<new
  claviger token pin change --so                      the security officer's

The present PIN comes from where every command takes it: --pin-fd, the file that pin-source= in the URI names, the service \
manager's credential, or a question. The new one is asked for twice, or read from --new-pin-fd. A wrong PIN is tried once. A \
file that holds the old PIN afterwards is named, with what to type; it is not changed.";

const UNBLOCK_EXAMPLES: &str = "\
Examples:
  claviger token pin unblock                          of the vault's token
  claviger token pin unblock --token 'pkcs11:token=lab'
  claviger token pin unblock --so-pin-fd 3 --new-pin-fd 4 3<so-pin 4<new

For a PIN that is locked, forgotten, or was never set. It takes the security officer's PIN (SO PIN), which was set when the \
token was made; cards call theirs PUK. The keys on the token stay. Wrong SO PINs lock that one, on most tokens for good.";

/// Change a token's PIN, or set it anew
#[derive(Debug, clap::Args)]
pub(super) struct PinArgs {
    #[command(subcommand)]
    command: PinCommand,
}

#[derive(Debug, clap::Subcommand)]
enum PinCommand {
    Change(ChangeArgs),
    Unblock(UnblockArgs),
}

/// Change a PIN by whoever knows it
#[derive(Debug, clap::Args)]
#[command(after_help = CHANGE_EXAMPLES)]
struct ChangeArgs {
    #[command(flatten)]
    target: Target,
    /// Change the security officer's PIN instead of the user's
    #[arg(long)]
    so: bool,
    /// Read the present SO PIN from this file descriptor
    #[arg(long, value_name = "N", value_parser = args::pin_fd, requires = "so")]
    so_pin_fd: Option<u32>,
}

/// Set the user's PIN anew, with the security officer's
#[derive(Debug, clap::Args)]
#[command(after_help = UNBLOCK_EXAMPLES)]
struct UnblockArgs {
    #[command(flatten)]
    target: Target,
    /// Read the SO PIN from this file descriptor
    #[arg(long, value_name = "N", value_parser = args::pin_fd)]
    so_pin_fd: Option<u32>,
}

#[derive(Debug, clap::Args)]
struct Target {
    /// The token, as a PKCS#11 URI [default: the vault's]
    #[arg(long, value_name = "URI")]
    token: Option<String>,
    /// Its module, a shared library [default: the URI's module-path, else the usual places]
    #[arg(long, value_name = "PATH", requires = "token")]
    module: Option<PathBuf>,
    /// Read the new PIN from this file descriptor
    #[arg(long, value_name = "N", value_parser = args::pin_fd)]
    new_pin_fd: Option<u32>,
}

pub(super) fn pin(args: &PinArgs, context: &Context) -> Result<(), CliError> {
    match &args.command {
        PinCommand::Change(args) => change(args, context),
        PinCommand::Unblock(args) => unblock(args, context),
    }
}

fn change(args: &ChangeArgs, context: &Context) -> Result<(), CliError> {
    refuse_one_for_two(&[context.pin_fd(), args.so_pin_fd, args.target.new_pin_fd])?;
    let whose = if args.so { PinOwner::SecurityOfficer } else { PinOwner::User };
    if args.so {
        refuse_pin_fd(context)?;
    }
    let (uri, found) = args.target.find(context)?;
    let new = args.target.new_pin(&found, whose);
    let admin = context.admin(&found.way)?;
    if args.so {
        let old = pin::so_pin(args.so_pin_fd);
        admin.change_pin(&found.token.uri, whose, &old, &new).map_err(|error| match error {
            TokenError::NewPinRefused { reason } => {
                CliError::NewSoPinRefused { what: pin::name(whose, found.token.details.pin_kind), reason }
            }
            error => error.into(),
        })?;
    } else {
        let old = pin::sources(&uri, context.pin_fd());
        admin.change_pin(&found.token.uri, whose, old.as_ref(), &new)?;
    }
    tell(&found, whose, "changed", &stale(&uri, &found, whose, &new, context), context)
}

fn unblock(args: &UnblockArgs, context: &Context) -> Result<(), CliError> {
    refuse_one_for_two(&[args.so_pin_fd, args.target.new_pin_fd])?;
    refuse_pin_fd(context)?;
    let (uri, found) = args.target.find(context)?;
    let new = args.target.new_pin(&found, PinOwner::User);
    let so_pin = pin::so_pin(args.so_pin_fd);
    context.admin(&found.way)?.set_pin(&found.token.uri, &so_pin, &new)?;
    let stale = stale(&uri, &found, PinOwner::User, &new, context);
    tell(&found, PinOwner::User, "set anew", &stale, context)
}

impl Target {
    /// The token that is meant, and the URI that says where its PIN comes from.
    fn find(&self, context: &Context) -> Result<(Uri, Found), CliError> {
        let uri = match &self.token {
            Some(uri) => args::token(uri)?,
            None => args::token(&context.config()?.token.uri)?,
        };
        let found = modules::find(self.module.as_deref(), &uri, context)?;
        Ok((uri, found))
    }

    fn new_pin(&self, found: &Found, whose: PinOwner) -> Once {
        pin::new_pin(self.new_pin_fd, whose, found.token.details.pin_lengths())
    }
}

/// Refuses one descriptor for two PINs: the first would have read it to its end.
pub(super) fn refuse_one_for_two(descriptors: &[Option<u32>]) -> Result<(), CliError> {
    let named: Vec<u32> = descriptors.iter().flatten().copied().collect();
    if named.iter().enumerate().all(|(at, fd)| named.iter().skip(at + 1).all(|other| other != fd)) {
        return Ok(());
    }
    Err(CliError::usage(
        "two PINs cannot come from one file descriptor",
        "give each its own: --so-pin-fd 3 --new-pin-fd 4 3<FILE 4<FILE",
    ))
}

/// `--pin-fd` is the user's, who has no say here.
fn refuse_pin_fd(context: &Context) -> Result<(), CliError> {
    if context.pin_fd().is_none() {
        return Ok(());
    }
    Err(CliError::usage(
        "--pin-fd gives the user's PIN, and this takes the security officer's",
        "give it with --so-pin-fd",
    ))
}

/// The files that this token's user PIN is read from and that do not hold the new one.
fn stale(uri: &Uri, found: &Found, whose: PinOwner, new: &Once, context: &Context) -> Vec<PathBuf> {
    if whose == PinOwner::SecurityOfficer || found.token.pin_pad {
        return Vec::new();
    }
    let mut files: Vec<PathBuf> = uri.pin_file.iter().cloned().collect();
    // A token that no vault knows needs no configuration.
    if let Ok(config) = context.config() {
        let known = config.tokens();
        let known = known.filter_map(|token| token.uri.parse::<Uri>().ok());
        files.extend(known.filter(|uri| modules::fits(uri, &found.token)).filter_map(|uri| uri.pin_file));
    }
    files.sort();
    files.dedup();
    let prompt = PinPrompt {
        token_label: found.token.label.clone(),
        token_serial: found.token.serial.clone(),
        tries: PinTries::Normal,
        left: None,
        kind: found.token.details.pin_kind,
    };
    let is_old = |source: &dyn PinSource| source.pin(&prompt).is_ok_and(|pin| !new.is(&pin));
    files.retain(|file| is_old(&PinFile::new(file.clone())));
    if let Some(directory) = std::env::var_os("CREDENTIALS_DIRECTORY")
        && is_old(&PinCredential::in_directory(Path::new(&directory)))
    {
        files.push(Path::new(&directory).join("claviger-pin"));
    }
    files
}

fn tell(
    found: &Found,
    whose: PinOwner,
    done: &str,
    stale: &[PathBuf],
    context: &Context,
) -> Result<(), CliError> {
    let (token, uri) = (&found.token, found.uri().to_string());
    for file in stale {
        report::warning(&format!(
            "{} still holds the old PIN. Type this, then the new PIN, Enter and Ctrl-D: cat >{}",
            file.display(),
            shell_word(file)
        ));
    }
    if context.json() {
        return output::print_json(&json!({
            "changed": match whose { PinOwner::User => "pin", PinOwner::SecurityOfficer => "so_pin" },
            "uri": uri,
            "stale_pin_files": stale.iter().map(|file| file.to_string_lossy()).collect::<Vec<_>>(),
        }));
    }
    output::print(&format!(
        "the {} of token `{}`, serial {}, is {done}\n",
        pin::name(whose, token.details.pin_kind),
        text::plain(&token.label),
        text::plain(&token.serial),
    ))
}
