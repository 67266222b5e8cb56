//! `claviger token`.

mod doctor;
pub(crate) mod enroll;
mod init;
mod list;
pub(crate) mod offline;
mod pin;
mod retire;
mod transfer;
pub(crate) mod yubikey;

pub(crate) use list::{
    how_to_change, how_to_change_so, how_to_make, how_to_unblock, so_tries_text, tries_text,
};
pub(crate) use transfer::{Move, move_master};

use crate::{
    args,
    context::Context,
    error::CliError,
    modules, open,
    output::{self, text},
};
use claviger_token::{NewKek, PivKek, SelfTestCheck, SelfTestReport, Uri};
use claviger_types::{OsEntropy, RecipientId, Scheme};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

const SELF_TEST_EXAMPLES: &str = "\
Examples:
  claviger token self-test                              the vault's own key
  claviger token self-test --token 'pkcs11:token=lab'   a key made for the test";

/// See and make tokens, set their PINs, have others open the vault too, and retire them
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(list::ListArgs),
    Info(list::InfoArgs),
    Init(init::InitArgs),
    Pin(pin::PinArgs),
    Doctor(doctor::DoctorArgs),
    SelfTest(SelfTestArgs),
    Enroll(enroll::EnrollArgs),
    Recipients(retire::RecipientsArgs),
    Retire(retire::RetireArgs),
    Request(offline::RequestArgs),
    Answer(offline::AnswerArgs),
    Activate(offline::ActivateArgs),
}

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
        Command::List(args) => list::list(&args, context),
        Command::Info(args) => list::info(&args, context),
        Command::Init(args) => init::init(&args, context),
        Command::Pin(args) => pin::pin(&args, context),
        Command::Doctor(args) => doctor::doctor(&args, context),
        Command::SelfTest(args) => self_test(&args, context),
        Command::Enroll(args) => enroll::enroll(&args, context),
        Command::Recipients(_) => retire::recipients(context),
        Command::Retire(args) => retire::retire(&args, context),
        Command::Request(args) => offline::request(&args, context),
        Command::Answer(args) => offline::answer(&args, context),
        Command::Activate(args) => offline::activate(&args, context),
    }
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
    let access = open::access(uri, context);
    let new = NewKek {
        recipient: RecipientId::random(&OsEntropy)?,
        label: "claviger self-test".to_owned(),
        scheme,
        allow_sha1: scheme == Some(Scheme::RsaOaepSha1),
        piv: PivKek::default(),
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
