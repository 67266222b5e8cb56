//! `claviger token recipients` and `retire`.

use crate::{
    config::TokenConfig,
    context::Context,
    error::CliError,
    open::{self, PinOf},
    output::{self, jobs, text},
    progress::Bar,
    prompt, report,
};
use claviger_gate::{Api, KeyFate, RecipientInfo, RecipientState, Retire};
use claviger_token::Uri;
use claviger_types::RecipientId;
use serde_json::json;

const RETIRE_EXAMPLES: &str = "\
Examples:
  claviger token recipients
  claviger token retire 4f1d2c3b...                 the token may be lost
  claviger token retire 4f1d2c3b... --destroy       its key is destroyed first
  claviger token retire 4f1d2c3b... --compromised   somebody else may have it

Unless its key is destroyed and read back as absent, whoever has the token and an old copy of the store has the old keys: so the \
vault key and every data key are replaced, and everything is sealed anew. An id may be cut short.

The vault is opened by another token than the one that goes, and --pin-fd gives the PIN of that.

A YubiKey's management key, for --destroy: --management-key-fd 3 3<key, or it is asked for.";

/// List who is, was or will be a recipient
#[derive(Debug, clap::Args)]
pub(super) struct RecipientsArgs {}

/// Have a recipient open nothing that is written from now on
#[derive(Debug, clap::Args)]
#[command(after_help = RETIRE_EXAMPLES)]
pub(super) struct RetireArgs {
    /// The recipient: its id, or as much of it as is unlike the others
    #[arg(value_name = "RECIPIENT")]
    recipient: String,
    /// Somebody else may have its key
    #[arg(long)]
    compromised: bool,
    /// Destroy its key on its token first; the token must be one that the configuration names
    #[arg(long, conflicts_with = "compromised")]
    destroy: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) fn recipients(context: &Context) -> Result<(), CliError> {
    let status = context.open_as_owner()?.status()?;
    if context.json() {
        return output::print_json(&status.recipients.iter().map(jobs::recipient_json).collect());
    }
    let rows: Vec<_> = status.recipients.iter().map(row).collect();
    output::print(&text::table(&rows))
}

fn row(info: &RecipientInfo) -> Vec<String> {
    vec![
        info.id.to_string(),
        info.state.name().to_owned(),
        info.scheme.name().to_owned(),
        format!("token `{}`, serial {}", text::plain(&info.token_label), text::plain(&info.token_serial)),
        format!(
            "since {}{}",
            text::time(info.changed),
            if info.local { " (this configuration's)" } else { "" }
        ),
    ]
}

pub(super) fn retire(args: &RetireArgs, context: &Context) -> Result<(), CliError> {
    let config = context.config()?;
    context.config_file()?.check_writable()?;
    let wanted = args.recipient.to_lowercase();
    let names = |entry: &TokenConfig| entry.recipient.to_string().starts_with(&wanted);
    // Before any token is opened, and a PIN spent.
    match config.tokens().filter(|entry| names(entry)).count() {
        _ if wanted.is_empty() => return Err(unknown(&args.recipient)),
        0 | 1 => {}
        _ => return Err(ambiguous(&args.recipient)),
    }
    // By another token, where this host's first one is the one that goes.
    let names_first = names(&config.token);
    let api =
        if names_first { context.open_without(config.token.recipient)? } else { context.open_as_owner()? };
    let recipients = api.status()?.recipients;
    let recipient = named(&args.recipient, &recipients)?;
    if !args.yes {
        confirm(&recipient)?;
    }
    // A PIN that was given in passing was for the token by which the vault is open.
    let open_by = |info: &RecipientInfo| info.local && info.token_serial == recipient.token_serial;
    let whose = if recipients.iter().any(open_by) { PinOf::TheTokenMeant } else { PinOf::AStandIn };
    let worse = args.destroy || (args.compromised && recipient.state == RecipientState::Deactivated);
    if recipient.state == RecipientState::Destroyed || (gone(&recipient) && !worse) {
        if args.destroy {
            destroy_signer(recipient.id, whose, context)?;
        }
        return retired_before(&recipient, context);
    }
    let key = if args.destroy { to_be_destroyed(&recipient, whose, context)? } else { KeyFate::Kept };
    let how = Retire { compromised: args.compromised, key };
    let bar = Bar::new();
    let done = api.retire(recipient.id, &how, &bar)?;
    drop(bar);
    if args.destroy {
        destroy_signer(recipient.id, whose, context)?;
    }
    forget(recipient.id, context)?;
    warn_of_a_lone_one(api.as_ref())?;
    match done {
        Some(done) => {
            let to_change = crate::commands::rotate::to_be_changed(api.as_ref(), args.compromised)?;
            jobs::print(&done, to_change.as_deref(), context.json())
        }
        None if context.json() => output::print_json(&json!({"withdrawn": recipient.id.to_string()})),
        None if args.destroy => {
            output::print(&format!("the key of the recipient {} is destroyed\n", recipient.id))
        }
        None => output::print(&format!("the proposed recipient {} is withdrawn\n", recipient.id)),
    }
}

/// Says what it means where one recipient is left.
pub(super) fn warn_of_a_lone_one(api: &dyn Api) -> Result<(), CliError> {
    let recipients = api.status()?.recipients;
    let mut active = recipients.iter().filter(|info| info.state == RecipientState::Active);
    if let (Some(last), None) = (active.next(), active.next()) {
        report::warning(&format!(
            "token `{}` alone opens the vault now: if it is lost or breaks, everything is lost. Enrol another one: claviger token \
             enroll",
            text::plain(&last.token_label)
        ));
    }
    Ok(())
}

/// All that an attempt which was cut short can have left is the name in the configuration, and the signer.
fn retired_before(recipient: &RecipientInfo, context: &Context) -> Result<(), CliError> {
    forget(recipient.id, context)?;
    report::note(&format!(
        "the recipient {} is {} already, and nothing was changed",
        recipient.id,
        recipient.state.name()
    ));
    if context.json() { output::print_json(&json!({"job": null})) } else { Ok(()) }
}

/// Whether it was retired before.
pub(super) fn gone(recipient: &RecipientInfo) -> bool {
    !matches!(recipient.state, RecipientState::Active | RecipientState::PreActive)
}

/// The recipient that an id, or the beginning of one, means.
pub(super) fn named(text: &str, recipients: &[RecipientInfo]) -> Result<RecipientInfo, CliError> {
    let wanted = text.to_lowercase();
    let mut fitting =
        recipients.iter().filter(|info| !wanted.is_empty() && info.id.to_string().starts_with(&wanted));
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one.clone()),
        (None, _) => Err(unknown(text)),
        (Some(_), Some(_)) => Err(ambiguous(text)),
    }
}

fn unknown(text: &str) -> CliError {
    CliError::usage(
        format!("the vault has no recipient `{}`", text::plain(text)),
        "`claviger token recipients` lists them",
    )
}

fn ambiguous(text: &str) -> CliError {
    CliError::usage(
        format!("{} is the beginning of more than one recipient's id", text::plain(text)),
        "give more of it; `claviger token recipients` lists them",
    )
}

fn confirm(recipient: &RecipientInfo) -> Result<(), CliError> {
    if !prompt::possible() {
        return Err(CliError::NoTerminal {
            question: "whether to retire a recipient",
            instead: "give --yes if you mean it",
            pin: false,
        });
    }
    if prompt::confirm(&format!("Retire {}?", jobs::recipient_text(recipient)))? {
        return Ok(());
    }
    Err(CliError::Declined { what: "nobody was retired" })
}

/// The token of this host on which a recipient's key is to be destroyed. Nothing is destroyed yet.
pub(super) fn to_be_destroyed(
    recipient: &RecipientInfo,
    whose: PinOf,
    context: &Context,
) -> Result<KeyFate, CliError> {
    let config = context.config()?;
    let has_it = |entry: &&TokenConfig| {
        // A card's URI says its serial number alone.
        entry.uri.parse::<Uri>().is_ok_and(|uri| {
            uri.serial.as_ref() == Some(&recipient.token_serial)
                && uri.token.is_none_or(|label| label == recipient.token_label)
        })
    };
    let Some(entry) = config.tokens().find(has_it) else {
        let instead = if gone(recipient) {
            "it opens nothing but what is older: with --compromised all that it can open is sealed anew"
        } else {
            "leave --destroy out: then everything is sealed anew, and the old key opens nothing of it"
        };
        return Err(CliError::usage(
            "the configuration names no token with that recipient's key, so it cannot be destroyed here",
            instead,
        ));
    };
    match open::open_entry_as(entry, whose, context) {
        Ok(opened) => Ok(KeyFate::DestroyedOn(opened.token)),
        // Looked for after a login: an attempt that was cut short has destroyed it.
        Err(error) if entry.recipient == recipient.id && open::is_key_missing(&error) => Ok(KeyFate::Gone),
        Err(error) => Err(error),
    }
}

/// Destroys the signer that was made beside a key that is destroyed, unless another key of this host has it too.
fn destroy_signer(recipient: RecipientId, whose: PinOf, context: &Context) -> Result<(), CliError> {
    let config = context.config_file()?.read()?;
    let entries: Vec<_> = config.tokens().collect();
    let Some(entry) = entries.iter().find(|entry| entry.recipient == recipient) else { return Ok(()) };
    let Some(id) = entry
        .signer
        .filter(|id| entries.iter().all(|other| other.recipient == recipient || other.signer != Some(*id)))
    else {
        return Ok(());
    };
    match open::signer(entry, id, whose, context).and_then(|signer| Ok(signer.destroy_key()?)) {
        Ok(()) => {}
        Err(error) if open::is_key_missing(&error) => {}
        // What was asked for is done.
        Err(error) => {
            report::warning(&format!(
                "the signer {id}, made beside that key, stays on the token: {error}. It opens nothing; the token's own tool removes it"
            ));
        }
    }
    Ok(())
}

/// Takes a recipient out of the configuration, if it is there; where it stood first, the next one does.
pub(super) fn forget(recipient: RecipientId, context: &Context) -> Result<(), CliError> {
    let file = context.config_file()?;
    file.edit(|draft| {
        let now = file.read()?;
        let mut left = now.tokens().filter(|entry| entry.recipient != recipient).cloned();
        match left.next() {
            Some(first) => draft.tokens(&first, &left.collect::<Vec<_>>()),
            None => Ok(()),
        }
    })?;
    Ok(())
}
