//! `claviger token enroll`, `recipients`, `retire`, and moving the master key to another token.

use crate::{
    args,
    config::TokenConfig,
    context::Context,
    enrol::{NewKeys, Schemes},
    error::CliError,
    modules::{self, Found},
    open,
    output::{self, jobs, text},
    progress::Bar,
    prompt, report,
};
use claviger_gate::{Api, RecipientInfo, RecipientState, Retire, RotateMaster};
use claviger_token::{Token as _, Uri};
use claviger_types::{RecipientId, Scheme};
use claviger_vault::{Anchor as _, answer_challenge};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

const ENROLL_EXAMPLES: &str = "\
Examples:
  claviger token enroll --token 'pkcs11:token=backup?pin-source=file:/home/ada/pin2'
  claviger token enroll --token 'pkcs11:token=backup' --move
  claviger token enroll --request request.json    a key pair on another host

Makes a key pair on the token, has it answer a challenge, and wraps every data key to it too: from then on either token opens \
the vault. Where the vault's first key is a secret key (A256KW, A256GCM), only a host that reaches that token can make new \
services; --move makes it a key pair as well.";

const RETIRE_EXAMPLES: &str = "\
Examples:
  claviger token recipients
  claviger token retire 4f1d2c3b...                 the token may be lost
  claviger token retire 4f1d2c3b... --destroy       its key is destroyed first
  claviger token retire 4f1d2c3b... --compromised   somebody else may have it

Unless its key is destroyed and read back as absent, whoever has the token and an old copy of the store has the old keys: so the \
vault key and every data key are replaced, and everything is sealed anew. An id may be cut short.";

/// Have another token open the vault too
#[derive(Debug, clap::Args)]
#[command(after_help = ENROLL_EXAMPLES)]
pub(super) struct EnrollArgs {
    /// The other token
    #[arg(long, value_name = "URI", required_unless_present = "request")]
    token: Option<String>,
    /// Its module
    #[arg(long, value_name = "PATH", requires = "token")]
    module: Option<PathBuf>,
    /// How keys are wrapped to it: a key pair's scheme
    #[arg(long, value_name = "SCHEME", value_parser = Scheme::from_str, requires = "token")]
    scheme: Option<Scheme>,
    /// Make the vault's secret key a key pair as well
    #[arg(long = "move")]
    make_pair: bool,
    /// Make a second key on a token that has one already
    #[arg(long)]
    again: bool,
    /// A request that `token request` made on another host
    #[arg(long, value_name = "FILE", conflicts_with_all = ["token", "make_pair"])]
    request: Option<PathBuf>,
}

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

/// How the master key moves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Move {
    pub(crate) compromised: bool,
    pub(crate) destroy_old: bool,
}

pub(super) fn enroll(args: &EnrollArgs, context: &Context) -> Result<(), CliError> {
    if let Some(request) = &args.request {
        return super::offline::propose(request, context);
    }
    let uri = args::token(args.token.as_deref().unwrap_or_default())?;
    if let Some(scheme) = args.scheme.filter(|scheme| scheme.is_symmetric()) {
        return Err(CliError::usage(
            format!(
                "{scheme} is a secret key, to which only its own token can wrap; at most one recipient may be that"
            ),
            "leave --scheme out, or take ECDH-ES+A256KW. To make the secret key one on this token: claviger rotate master \
             --token URI",
        ));
    }
    context.config_file()?.check_writable()?;
    let found = modules::find(args.module.as_deref(), &uri)?;
    let api = context.open_as_owner()?;
    if !args.again && already(api.as_ref(), &found, context)? {
        return Ok(());
    }
    if args.make_pair {
        make_pair(api.as_ref(), context)?;
    }
    let (id, done) = add(api.as_ref(), &found, &uri, args.scheme, context)?;
    report(id, &done, context)?;
    let secret = api
        .status()?
        .recipients
        .into_iter()
        .find(|info| info.state == RecipientState::Active && info.scheme.is_symmetric());
    if let Some(secret) = secret {
        report::note(&format!(
            "the key on token `{}` is a secret key: only a host that reaches that token can make new services. `claviger \
             rotate master --scheme ECDH-ES+A256KW` makes it a key pair",
            text::plain(&secret.token_label)
        ));
    }
    Ok(())
}

fn report(id: RecipientId, done: &claviger_gate::JobReport, context: &Context) -> Result<(), CliError> {
    if context.json() {
        return output::print_json(&json!({"recipient": id.to_string(), "job": jobs::as_json(done)}));
    }
    output::print(&format!("recipient {id} is active\n{}", jobs::as_text(done)))
}

/// Two keys on one token are lost together, so a second one helps nobody. Where an earlier attempt was cut short, its work
/// is finished instead.
fn already(api: &dyn Api, found: &Found, context: &Context) -> Result<bool, CliError> {
    let present = api.status()?.recipients.into_iter();
    let Some(info) =
        present.into_iter().find(|info| info.state == RecipientState::Active && is_on(info, found))
    else {
        return Ok(false);
    };
    let bar = Bar::new();
    let left_over = api.resume(&bar)?;
    drop(bar);
    if let Some(done) = left_over {
        report(info.id, &done, context)?;
        return Ok(true);
    }
    report::note(&format!(
        "token `{}` opens the vault already, and nothing was changed; `claviger rotate master` gives a token a new key, and \
         --again a second one",
        text::plain(&info.token_label)
    ));
    if context.json() {
        output::print_json(&json!({"recipient": info.id.to_string(), "job": null}))?;
    } else {
        output::print(&format!("recipient {} is active\n", info.id))?;
    }
    Ok(true)
}

fn is_on(info: &RecipientInfo, found: &Found) -> bool {
    (&info.token_label, &info.token_serial) == (&found.token.label, &found.token.serial)
}

/// Clears away what an earlier attempt on this token left that was cut short before it answered.
fn clear_left_over(api: &dyn Api, found: &Found, keys: &NewKeys, context: &Context) -> Result<(), CliError> {
    for info in api.status()?.recipients {
        if info.state == RecipientState::PreActive && is_on(&info, found) {
            keys.token()?.destroy_sibling(info.id, info.scheme)?;
            api.retire(info.id, Retire::default(), &claviger_gate::Silent)?;
            forget(info.id, context)?;
        }
    }
    Ok(())
}

/// Makes the vault's secret key a key pair.
fn make_pair(api: &dyn Api, context: &Context) -> Result<(), CliError> {
    let secret = api
        .status()?
        .recipients
        .into_iter()
        .any(|info| info.state == RecipientState::Active && info.scheme.is_symmetric());
    if secret {
        let how = RotateMaster { scheme: Some(Scheme::EcdhEsA256Kw), ..RotateMaster::default() };
        let bar = Bar::new();
        let done = api.rotate_master(how, &bar)?;
        drop(bar);
        if !context.json() {
            output::print(&jobs::as_text(&done))?;
        }
    }
    Ok(())
}

/// Makes keys on a token, has them answer, takes them up, and notes the token in the configuration.
fn add(
    api: &dyn Api,
    found: &Found,
    uri: &Uri,
    scheme: Option<Scheme>,
    context: &Context,
) -> Result<(RecipientId, claviger_gate::JobReport), CliError> {
    let config = context.config()?;
    let keys =
        NewKeys::make(found, uri.pin_file.clone(), scheme.map_or(Schemes::Pairs, Schemes::One), context)?;
    clear_left_over(api, found, &keys, context)?;
    let description = keys.description()?;
    let proposal = api.propose(&description, keys.pinned_signer())?;
    let answer = answer_challenge(keys.token()?.as_ref(), config.vault, &proposal.challenge)?;
    // In the configuration before the first data key is wrapped to it, so that a crash leaves no key without a name.
    let mut entry = keys.entry()?;
    if keys.keeps_anchors {
        let anchor = open::token_anchor(config.vault, config.host.id, keys.token()?.as_ref(), context)?;
        let seen = api.status()?;
        anchor.reset(claviger_vault::Seen { epoch: seen.epoch, digest: seen.head })?;
    } else {
        entry.anchor = false;
    }
    let signer = keys.signer_entry();
    context.config_file()?.edit(|draft| {
        let now = context.config_file()?.read()?;
        let mut others = now.backup_tokens.clone();
        others.push(entry.clone());
        draft.tokens(&now.token, &others)?;
        let mut signers = now.signers.clone();
        signers.extend(signer.clone());
        draft.signers(&signers)
    })?;
    let bar = Bar::new();
    let done = api.activate(proposal.recipient, answer, &bar)?;
    drop(bar);
    keys.keep();
    Ok((proposal.recipient, done))
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
    // By another token, where this host's first one is the one that goes.
    let names_first = config.token.recipient.to_string().starts_with(&args.recipient.to_lowercase());
    let api =
        if names_first { context.open_without(config.token.recipient)? } else { context.open_as_owner()? };
    let recipient = named(&args.recipient, &api.status()?.recipients)?;
    if !args.yes {
        confirm(&recipient)?;
    }
    let how = Retire { compromised: args.compromised, destroyed: args.destroy };
    if recipient.state == RecipientState::Destroyed || (gone(&recipient) && !args.destroy) {
        return retired_before(&recipient, args, context);
    }
    if args.destroy {
        destroy_key(&recipient, context)?;
    }
    let bar = Bar::new();
    let done = api.retire(recipient.id, how, &bar)?;
    drop(bar);
    forget(recipient.id, context)?;
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

/// All that an attempt which was cut short can have left is the name in the configuration.
fn retired_before(recipient: &RecipientInfo, args: &RetireArgs, context: &Context) -> Result<(), CliError> {
    if args.compromised && recipient.state == RecipientState::Deactivated {
        return Err(CliError::usage(
            format!("the recipient {} is deactivated already", recipient.id),
            "its key opens nothing that was written since; change at their issuers the credentials that are older",
        ));
    }
    forget(recipient.id, context)?;
    report::note(&format!(
        "the recipient {} is {} already, and nothing was changed",
        recipient.id,
        recipient.state.name()
    ));
    if context.json() { output::print_json(&json!({"job": null})) } else { Ok(()) }
}

/// Whether it was retired before.
fn gone(recipient: &RecipientInfo) -> bool {
    !matches!(recipient.state, RecipientState::Active | RecipientState::PreActive)
}

/// The recipient that an id, or the beginning of one, means.
fn named(text: &str, recipients: &[RecipientInfo]) -> Result<RecipientInfo, CliError> {
    let wanted = text.to_lowercase();
    let mut fitting =
        recipients.iter().filter(|info| !wanted.is_empty() && info.id.to_string().starts_with(&wanted));
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one.clone()),
        (None, _) => Err(CliError::usage(
            format!("the vault has no recipient {text}"),
            "`claviger token recipients` lists them",
        )),
        (Some(_), Some(_)) => Err(CliError::usage(
            format!("{text} is the beginning of more than one recipient's id"),
            "give more of it; `claviger token recipients` lists them",
        )),
    }
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

/// Destroys a recipient's key, on the token of this host that has it.
fn destroy_key(recipient: &RecipientInfo, context: &Context) -> Result<(), CliError> {
    let config = context.config()?;
    let has_it = |entry: &&TokenConfig| {
        entry.uri.parse::<Uri>().is_ok_and(|uri| {
            (uri.token.as_ref(), uri.serial.as_ref())
                == (Some(&recipient.token_label), Some(&recipient.token_serial))
        })
    };
    let Some(entry) = std::iter::once(&config.token).chain(&config.backup_tokens).find(has_it) else {
        return Err(CliError::usage(
            "the configuration names no token with that recipient's key, so it cannot be destroyed here",
            "leave --destroy out: then everything is sealed anew, and the old key opens nothing of it",
        ));
    };
    match open::open_entry(entry, context) {
        Ok(opened) => opened.token.destroy_sibling(recipient.id, recipient.scheme).map(drop)?,
        // Looked for after a login: an attempt that was cut short has destroyed it.
        Err(error) if entry.recipient == recipient.id && open::is_key_missing(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Takes a recipient out of the configuration, if it is there; where it stood first, the next one does.
fn forget(recipient: RecipientId, context: &Context) -> Result<(), CliError> {
    let file = context.config_file()?;
    file.edit(|draft| {
        let now = file.read()?;
        let all = std::iter::once(now.token.clone()).chain(now.backup_tokens.clone());
        let mut left = all.filter(|entry| entry.recipient != recipient);
        match left.next() {
            Some(first) => draft.tokens(&first, &left.collect::<Vec<_>>()),
            None => Ok(()),
        }
    })?;
    Ok(())
}

/// The move was made before, unless more is wanted than that.
fn on_it_already(former: &RecipientInfo, how: Move, context: &Context) -> Result<(), CliError> {
    let what = format!("the master key is on token `{}` already", text::plain(&former.token_label));
    if how.compromised {
        return Err(CliError::usage(what, "leave --token out to replace it there"));
    }
    report::note(&format!("{what}, and nothing was changed; without --token it gets a new key there"));
    if context.json() { output::print_json(&json!({"job": null})) } else { Ok(()) }
}

/// Moves the master key to another token: enrolled first, then everything is sealed anew without the old one.
pub(crate) fn move_master(
    uri: &str,
    module: Option<&Path>,
    scheme: Option<Scheme>,
    how: Move,
    context: &Context,
) -> Result<(), CliError> {
    let uri = args::token(uri)?;
    context.config_file()?.check_writable()?;
    let config = context.config()?;
    let old = config.token.recipient;
    let found = modules::find(module, &uri)?;
    let api = context.open_as_owner()?;
    // Whatever was cut short is finished first: a token that is being enrolled does not open everything yet.
    let bar = Bar::new();
    let resumed = api.resume(&bar)?;
    drop(bar);
    let former = named(&old.to_string(), &api.status()?.recipients)?;
    if is_on(&former, &found) {
        return on_it_already(&former, how, context);
    }
    // An attempt that was cut short has come as far as this: its key is used, and no second one made.
    let left_over = api.status()?.recipients.into_iter().find(|info| {
        info.state == RecipientState::Active
            && scheme.is_none_or(|it| it == info.scheme)
            && is_on(info, &found)
    });
    if let Some(info) = left_over {
        report::note(&format!(
            "token `{}` opens the vault already, by its key there",
            text::plain(&info.token_label)
        ));
    } else {
        let (new, enrolled) = add(api.as_ref(), &found, &uri, scheme, context)?;
        if !context.json() {
            output::print(&format!("recipient {new} is active\n{}", jobs::as_text(&enrolled)))?;
        }
    }
    drop(api);
    if how.destroy_old {
        destroy_key(&former, context)?;
    }
    // By the new token alone, from a configuration that names it.
    let config = context.config_file()?.read()?;
    let api = open::vault_without(&config, context, old)?;
    let bar = Bar::new();
    let retire = Retire { compromised: how.compromised, destroyed: how.destroy_old };
    let is_done = gone(&former) && (former.state == RecipientState::Destroyed || !how.destroy_old);
    let done = if is_done { resumed } else { api.retire(old, retire, &bar)? };
    drop(bar);
    forget(old, context)?;
    let to_change = crate::commands::rotate::to_be_changed(api.as_ref(), how.compromised)?;
    done.map_or(Ok(()), |done| jobs::print(&done, to_change.as_deref(), context.json()))
}
