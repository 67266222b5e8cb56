//! `claviger amend`.

use crate::{args, commands::history, context::Context, error::CliError};
use claviger_gate::{Amend, AmendService};
use claviger_types::{Reference, Timestamp};

const EXAMPLES: &str = "\
Examples:
  claviger amend openai --note owner=ada --note purpose=
  claviger amend openai --rotate-by 90d
  claviger amend openai --max-versions 3
  claviger amend openai --tag production --tag billing

Notes and tags are kept sealed like names; they are no place for secrets all the same, because listings show them.";

/// Change what is known about a credential, and not its value
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The credential: SERVICE or SERVICE/NAME
    #[arg(value_name = "REF", value_parser = args::reference)]
    reference: Reference,
    /// A note, or with nothing after the `=` no note of that name any more
    #[arg(long = "note", value_name = "NAME=TEXT", value_parser = note)]
    notes: Vec<(String, String)>,
    /// When it should have another value: 30d, 12h, or 2027-01-31
    #[arg(long, value_name = "WHEN", value_parser = args::moment)]
    rotate_by: Option<Timestamp>,
    /// It need not have another value by any day
    #[arg(long, conflicts_with = "rotate_by")]
    no_rotate_by: bool,
    /// How many versions to keep
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    max_versions: Option<u32>,
    /// A tag of the service; those that are given replace those that it has
    #[arg(long = "tag", value_name = "TAG", conflicts_with = "no_tags")]
    tags: Vec<String>,
    /// No tags for the service
    #[arg(long)]
    no_tags: bool,
}

fn note(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, note)) if !name.is_empty() => Ok((name.to_owned(), note.to_owned())),
        _ => Err("a note is NAME=TEXT".to_owned()),
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let api = context.open()?;
    let about_service = !args.tags.is_empty() || args.no_tags;
    if !args.tags.is_empty() || args.no_tags {
        let amend = AmendService { rotate_days: None, tags: Some(args.tags.clone()) };
        api.amend_service(&args.reference.service, &amend)?;
    }
    let rotate_by = if args.no_rotate_by { Some(None) } else { args.rotate_by.map(Some) };
    let notes: std::collections::BTreeMap<_, _> = args
        .notes
        .iter()
        .map(|(name, text)| (name.clone(), (!text.is_empty()).then(|| text.clone())))
        .collect();
    let nothing_else = args.notes.is_empty() && rotate_by.is_none() && args.max_versions.is_none();
    if about_service && nothing_else {
        let list = api.list(Some(&args.reference.service))?;
        return list.iter().try_for_each(|info| history::print(info, context));
    }
    let info = api.amend(&args.reference, &Amend { max_versions: args.max_versions, rotate_by, notes })?;
    history::print(&info, context)
}
