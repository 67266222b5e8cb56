//! `claviger delete`, `undelete` and `destroy`: three ends that a version can come to, or come back from.

use crate::{
    args,
    context::Context,
    error::CliError,
    output::{self, jobs, text},
    prompt,
};
use claviger_gate::{Api, Changed, RecipientState, Versions};
use claviger_types::Reference;
use serde_json::json;

const DELETE_EXAMPLES: &str = "\
Examples:
  claviger delete openai                 hide the newest version
  claviger delete openai --versions 1,2
  claviger undelete openai               bring it back

Deleting hides; `claviger destroy` is for ever.";

const UNDELETE_EXAMPLES: &str = "\
Examples:
  claviger undelete openai
  claviger undelete openai --versions 1,2";

const DESTROY_EXAMPLES: &str = "\
Examples:
  claviger destroy openai --versions 1   destroy one version
  claviger destroy openai --all --yes    destroy all of it, without a question

The service gets a new data key, so what was destroyed cannot be opened again from this store. Copies of the store made \
earlier can still be opened by the tokens of that time.";

/// Which credential, and which of its versions.
#[derive(Debug, clap::Args)]
struct Which {
    /// The credential: SERVICE or SERVICE/NAME
    #[arg(value_name = "REF", value_parser = args::reference)]
    reference: Reference,
    /// These versions [default: the newest]
    #[arg(long, value_name = "N,...", value_delimiter = ',', conflicts_with = "all")]
    versions: Vec<u64>,
    /// All versions
    #[arg(long)]
    all: bool,
}

impl Which {
    fn versions(&self) -> Versions {
        match (self.all, self.versions.is_empty()) {
            (true, _) => Versions::All,
            (false, true) => Versions::Newest,
            (false, false) => Versions::These(self.versions.clone()),
        }
    }
}

/// Hide versions of a credential until they are undeleted
#[derive(Debug, clap::Args)]
#[command(after_help = DELETE_EXAMPLES)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    which: Which,
}

/// Bring deleted versions of a credential back
#[derive(Debug, clap::Args)]
#[command(after_help = UNDELETE_EXAMPLES)]
pub(crate) struct UndeleteArgs {
    #[command(flatten)]
    which: Which,
}

/// Destroy versions of a credential, or all of it, for ever
#[derive(Debug, clap::Args)]
#[command(after_help = DESTROY_EXAMPLES)]
pub(crate) struct DestroyArgs {
    #[command(flatten)]
    which: Which,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(crate) fn delete(args: &DeleteArgs, context: &Context) -> Result<(), CliError> {
    let changed = context.open()?.delete(&args.which.reference, &args.which.versions())?;
    report(&changed, "deleted", context)
}

pub(crate) fn undelete(args: &UndeleteArgs, context: &Context) -> Result<(), CliError> {
    let changed = context.open()?.undelete(&args.which.reference, &args.which.versions())?;
    report(&changed, "undeleted", context)
}

pub(crate) fn destroy(args: &DestroyArgs, context: &Context) -> Result<(), CliError> {
    if !args.yes {
        let what = match args.which.versions() {
            Versions::All => "every version",
            Versions::Newest => "the newest version",
            Versions::These(_) => "these versions",
        };
        confirm_destruction(what, &args.which.reference)?;
    }
    let api = context.open()?;
    let changed = api.destroy(&args.which.reference, &args.which.versions())?;
    report(&changed, "destroyed", context)?;
    old_copies(api.as_ref())
}

/// Who could still open what was destroyed, from a copy that was made before.
fn old_copies(api: &dyn Api) -> Result<(), CliError> {
    let status = api.status()?;
    let able = status
        .recipients
        .iter()
        .filter(|info| !matches!(info.state, RecipientState::PreActive | RecipientState::Destroyed))
        .map(|info| format!("token `{}`", info.token_label))
        .collect::<Vec<_>>();
    let backups = status.backups.iter().map(|backup| backup.file.clone()).collect::<Vec<_>>();
    let known = match backups.as_slice() {
        [] => "no backup is on record".to_owned(),
        some => format!("backups on record: {}", some.join(", ")),
    };
    crate::report::note(&format!("copies made before can still be opened by {}; {known}", able.join(", ")));
    Ok(())
}

fn confirm_destruction(what: &str, reference: &Reference) -> Result<(), CliError> {
    if !prompt::possible() {
        return Err(CliError::NoTerminal {
            question: "whether to destroy",
            instead: "give --yes if you mean it",
            pin: false,
        });
    }
    if prompt::confirm(&format!("Destroy {what} of {} for ever?", text::reference(reference)))? {
        return Ok(());
    }
    Err(CliError::Declined { what: "nothing was destroyed" })
}

fn report(changed: &Changed, word: &str, context: &Context) -> Result<(), CliError> {
    changed
        .erasure
        .iter()
        .filter_map(jobs::erasure_warning)
        .for_each(|warning| crate::report::warning(&warning));
    if context.json() {
        return output::print_json(&json!({
            "service": changed.service.as_str(),
            "name": changed.name.as_str(),
            "versions": changed.versions,
            "removed": changed.removed,
            "erasure": changed.erasure.as_ref().map(jobs::erasure_json),
        }));
    }
    output::print(&as_text(changed, word))
}

fn as_text(changed: &Changed, word: &str) -> String {
    let reference = Reference { service: changed.service.clone(), name: Some(changed.name.clone()) };
    let reference = text::reference(&reference);
    let list: Vec<_> = changed.versions.iter().map(u64::to_string).collect();
    match (changed.removed, list.as_slice()) {
        (true, _) => format!("{reference}: {word}, with all its versions\n"),
        (false, []) => format!("{reference}: nothing to do\n"),
        (false, [one]) => format!("{reference}: version {one} {word}\n"),
        (false, many) => format!("{reference}: versions {} {word}\n", many.join(", ")),
    }
}
