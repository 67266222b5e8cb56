//! `claviger token`.

mod enroll;
pub(crate) mod offline;
mod retire;
mod transfer;

pub(crate) use transfer::{Move, move_master};

use crate::{
    args,
    context::Context,
    error::CliError,
    modules::{self, Found},
    open,
    output::{self, text},
    pin, report,
};
use claviger_token::{Access, NewKek, PinTries, SelfTestCheck, SelfTestReport, Uri};
use claviger_types::{OsEntropy, RecipientId, Scheme};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

const LIST_EXAMPLES: &str = "\
Examples:
  claviger token list
  claviger token list --module /usr/lib/softhsm/libsofthsm2.so

A token is a small safe for keys: a smart card, a USB key, a network appliance, or for tests a directory of files. A \
program talks to it through a module, a shared library that comes with the token. Without --module the usual places are \
looked through. Nothing is asked of a token but its name; no PIN is needed.";

const INFO_EXAMPLES: &str = "\
Examples:
  claviger token info
  claviger token info --json";

const SELF_TEST_EXAMPLES: &str = "\
Examples:
  claviger token self-test                              the vault's own key
  claviger token self-test --token 'pkcs11:token=lab'   a key made for the test";

/// See which tokens there are, have others open the vault too, and retire them
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(ListArgs),
    Info(InfoArgs),
    SelfTest(SelfTestArgs),
    Enroll(enroll::EnrollArgs),
    Recipients(retire::RecipientsArgs),
    Retire(retire::RetireArgs),
    Request(offline::RequestArgs),
    Answer(offline::AnswerArgs),
    Activate(offline::ActivateArgs),
}

/// Show the tokens that there are, with URIs to copy
#[derive(Debug, clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
struct ListArgs {
    /// Look into this module
    #[arg(long, value_name = "PATH")]
    module: Option<PathBuf>,
}

/// Show the token that opens the vault, without logging in to it
#[derive(Debug, clap::Args)]
#[command(after_help = INFO_EXAMPLES)]
struct InfoArgs {}

/// Test whether a token keeps a master key to itself, by attacking it
#[derive(Debug, clap::Args)]
#[command(after_help = SELF_TEST_EXAMPLES)]
struct SelfTestArgs {
    /// A token that is no vault's yet
    #[arg(long, value_name = "URI")]
    token: Option<String>,
    /// Its module
    #[arg(long, value_name = "PATH", requires = "token")]
    module: Option<PathBuf>,
    /// The scheme to test [default: the first that works]
    #[arg(long, requires = "token", value_parser = Scheme::from_str)]
    scheme: Option<Scheme>,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<(), CliError> {
    match args.command {
        Command::List(args) => list(&args, context),
        Command::Info(_) => info(context),
        Command::SelfTest(args) => self_test(&args, context),
        Command::Enroll(args) => enroll::enroll(&args, context),
        Command::Recipients(_) => retire::recipients(context),
        Command::Retire(args) => retire::retire(&args, context),
        Command::Request(args) => offline::request(&args, context),
        Command::Answer(args) => offline::answer(&args, context),
        Command::Activate(args) => offline::activate(&args, context),
    }
}

fn list(args: &ListArgs, context: &Context) -> Result<(), CliError> {
    let modules = modules::to_search(args.module.as_deref(), None);
    let mut found = Vec::new();
    for module in &modules {
        match modules::list(module, context) {
            Ok(tokens) => found.extend(tokens),
            Err(error) if args.module.is_some() => return Err(error),
            Err(error) => report::warning(&error.to_string()),
        }
    }
    if context.json() {
        return output::print_json(&found.iter().map(as_json).collect());
    }
    if found.iter().all(|found| !found.token.initialised) {
        report::note(if modules.is_empty() {
            "no PKCS#11 module was found in the usual places; name one with --module, or install one (for trying \
             things out: apt-get install softhsm2)"
        } else {
            "no token is ready for use; a new SoftHSM token is made with: softhsm2-util --init-token --free --label lab"
        });
    }
    output::print(&found.iter().map(as_text).collect::<Vec<_>>().join("\n"))
}

fn info(context: &Context) -> Result<(), CliError> {
    let config = context.config()?;
    let uri: Uri = config.token.uri.parse()?;
    let found = modules::find(None, &uri, context)?;
    if context.json() {
        let mut shown = as_json(&found);
        if let Value::Object(members) = &mut shown {
            members.insert("uri".into(), config.token.uri.clone().into());
            members.insert("recipient".into(), config.token.recipient.to_string().into());
            members.insert("scheme".into(), config.token.scheme.name().into());
        }
        return output::print_json(&shown);
    }
    output::print(&format!(
        "{}\nThe vault's master key on it:\n  recipient  {}\n  scheme     {}\n  uri        {}\n",
        as_text(&found),
        config.token.recipient,
        config.token.scheme,
        text::plain(&config.token.uri),
    ))
}

fn self_test(args: &SelfTestArgs, context: &Context) -> Result<(), CliError> {
    let report = match &args.token {
        None => open::token(context.config()?, context)?.token.self_test()?,
        Some(uri) => test_with_new_key(&args::token(uri)?, args.module.as_deref(), args.scheme, context)?,
    };
    if context.json() {
        return output::print_json(&report_json(&report));
    }
    output::print(&report_text(&report))
}

fn test_with_new_key(
    uri: &Uri,
    module: Option<&Path>,
    scheme: Option<Scheme>,
    context: &Context,
) -> Result<SelfTestReport, CliError> {
    let found = modules::find(module, uri, context)?;
    let access = Access { pin: pin::sources(uri, context.pin_fd()), entropy: std::sync::Arc::new(OsEntropy) };
    let new = NewKek {
        recipient: RecipientId::random(&OsEntropy)?,
        label: "claviger self-test".to_owned(),
        scheme,
        allow_sha1: scheme == Some(Scheme::RsaOaepSha1),
    };
    let (token, report) = found.driver.generate(&found.uri(), &access, &new)?;
    token.destroy_key()?;
    Ok(report)
}

/// A self-test's report as JSON.
pub(crate) fn report_json(report: &SelfTestReport) -> Value {
    let check = |check: &SelfTestCheck| json!({"name": check.name, "outcome": check.outcome});
    json!({
        "scheme": report.scheme.name(),
        "checks": report.checks.iter().map(check).collect::<Value>(),
    })
}

/// A self-test's report, one check a line.
pub(crate) fn report_text(report: &SelfTestReport) -> String {
    let row = |check: &SelfTestCheck| vec![format!("  {}", check.name), text::plain(&check.outcome)];
    let rows: Vec<_> = report.checks.iter().map(row).collect();
    format!("{}: passed\n{}", report.scheme, text::table(&rows))
}

const fn tries(tries: PinTries) -> &'static str {
    match tries {
        PinTries::Normal => "normal",
        PinTries::Low => "low",
        PinTries::Final => "final",
        PinTries::Locked => "locked",
    }
}

/// What the tries mean, in words.
pub(crate) const fn tries_text(tries: PinTries) -> &'static str {
    match tries {
        PinTries::Normal => "no wrong PIN lately",
        PinTries::Low => "a wrong PIN was given before",
        PinTries::Final => "ONE try left: the next wrong PIN locks it",
        PinTries::Locked => "LOCKED: reset the PIN with the token's own tool",
    }
}

fn as_json(found: &Found) -> Value {
    let token = &found.token;
    json!({
        "label": token.label,
        "serial": token.serial,
        "manufacturer": token.manufacturer,
        "model": token.model,
        "slot": token.slot_description,
        "module": found.module.to_string_lossy(),
        "initialised": token.initialised,
        "pin_set": token.pin_set,
        "pin_pad": token.pin_pad,
        "tries": tries(token.tries),
        "uri": token.initialised.then(|| found.uri().to_string()),
    })
}

fn as_text(found: &Found) -> String {
    let token = &found.token;
    let module = text::plain(&found.module.to_string_lossy());
    if !token.initialised {
        return format!(
            "(no token yet) in {}\n  module  {module}\n  next    {}\n",
            text::plain(token.slot_description.trim()),
            if modules::is_softhsm(found) {
                "softhsm2-util --init-token --free --label lab"
            } else {
                "initialise it with its vendor's tool"
            },
        );
    }
    let pin = match (token.pin_pad, token.pin_set) {
        (true, _) => "typed at the reader".to_owned(),
        (false, false) => "not set yet: set one with the token's own tool".to_owned(),
        (false, true) => format!("set, {}", tries_text(token.tries)),
    };
    format!(
        "{}\n  made by {}, {}, serial {}\n  module  {module}\n  PIN     {pin}\n  uri     {}\n",
        text::plain(&token.label),
        text::plain(&token.manufacturer),
        text::plain(&token.model),
        text::plain(&token.serial),
        text::plain(&found.uri().to_string()),
    )
}
