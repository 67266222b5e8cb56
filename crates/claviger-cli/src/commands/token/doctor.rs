//! `claviger token doctor`.

use crate::{
    args,
    commands::doctor::{Checks, clock, duplicates, look_into, pins, token, unfinished},
    context::Context,
    error::CliError,
    modules::{self, Way},
};
use claviger_gate::ErrorClass;
use claviger_token::Uri;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  claviger token doctor
  claviger token doctor --module /usr/lib/softhsm/libsofthsm2.so
  claviger token doctor --token 'pkcs11:token=lab' --json

Looks for the usual trouble with tokens and modules, and says what to type: a wrong path, a library that is no module or for \
another processor, a service that does not run, a group that is missing, a token that is none yet or has no PIN, names that \
two tokens share, PINs that are nearly or wholly locked. Needs no vault, asks for no PIN, and changes nothing.

Without --module and --token the vault's token is looked at, if there is a vault, else every module that is installed; what is \
wrong with a module that nobody named is a warning. Exits with the code of the first check that failed.

Modules of Debian's packages:
  softhsm2             /usr/lib/softhsm/libsofthsm2.so
  opensc-pkcs11        /usr/lib/x86_64-linux-gnu/opensc-pkcs11.so (cards, Nitrokey)
  ykcs11               /usr/lib/x86_64-linux-gnu/libykcs11.so.2 (YubiKey; not needed, see --yubikey)
  libtpm2-pkcs11-1     /usr/lib/x86_64-linux-gnu/pkcs11/libtpm2_pkcs11.so
  opencryptoki         /usr/lib/x86_64-linux-gnu/pkcs11/libopencryptoki.so";

/// Look for what keeps a token from being used, and say what to do
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DoctorArgs {
    /// Look into this module
    #[arg(long, value_name = "PATH")]
    module: Option<PathBuf>,
    /// Look at this token
    #[arg(long, value_name = "URI")]
    token: Option<String>,
}

pub(super) fn doctor(args: &DoctorArgs, context: &Context) -> Result<(), CliError> {
    let uri = match &args.token {
        Some(uri) => Some(args::token(uri)?),
        None if args.module.is_some() => None,
        // Its path may be broken as well as its text: that is for `claviger doctor`.
        None => context.config().ok().and_then(|config| config.token.uri.parse::<Uri>().ok()),
    };
    let mut checks = Checks::default();
    clock(&mut checks);
    match (uri, &args.module) {
        (Some(uri), module) => {
            let module_path = module.clone().or(uri.module_path.clone());
            token::of_uri(&mut checks, &Uri { module_path, ..uri }, context);
        }
        (None, Some(module)) => {
            if let Some(tokens) = look_into(&mut checks, &Way::Module(module.clone()), context) {
                all(&mut checks, &tokens);
            }
        }
        (None, None) => everywhere(&mut checks, context),
    }
    checks.tell(context)
}

/// Every module that is installed. One that does not answer is nobody's trouble as long as another has a token.
fn everywhere(checks: &mut Checks, context: &Context) {
    let installed = modules::installed();
    let own = modules::to_search(None, None, context)
        .unwrap_or_default()
        .into_iter()
        .filter(|way| *way == Way::Piv);
    let mut tokens = Vec::new();
    checks.lenient(true);
    for way in own.chain(installed.iter().cloned().map(Way::Module)) {
        tokens.extend(look_into(checks, &way, context).unwrap_or_default());
    }
    checks.lenient(false);
    let tokens = modules::once(tokens);
    if installed.is_empty() && tokens.is_empty() {
        checks.fail(
            "module",
            ErrorClass::TokenAbsent,
            "none is installed in the usual places",
            "name one with --module, or for trying things out: apt-get install softhsm2",
        );
    } else if tokens.is_empty() {
        checks.fail(
            "token",
            ErrorClass::TokenAbsent,
            "no module shows one",
            "plug one in, and do what the lines above say about its module",
        );
    }
    all(checks, &tokens);
}

fn all(checks: &mut Checks, tokens: &[modules::Found]) {
    unfinished(checks, tokens);
    duplicates(checks, tokens);
    for found in tokens.iter().filter(|found| found.token.initialised) {
        checks.ok("token", format!("`{}`, serial {}", found.token.label, found.token.serial));
        pins(checks, found);
    }
}
