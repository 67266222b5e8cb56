//! `claviger rotate`: successors for credentials, data keys and the master key.

use crate::{
    args,
    commands::set,
    context::Context,
    error::CliError,
    output::{self, jobs, text},
    progress::Bar,
    report,
};
use claviger_gate::{Api, Due, Erasure, RecipientState, RotateMaster};
use claviger_token::{
    Uri,
    piv::{TouchPolicy, policies},
};
use claviger_types::{Reference, Scheme, ServiceName};
use serde_json::json;
use std::str::FromStr;

const EXAMPLES: &str = "\
Examples:
  claviger rotate credential openai --stdin <new   the new value from its issuer
  claviger rotate service openai                   a new data key for one service
  claviger rotate service --due                    for all that are due
  claviger rotate master                           a new master key on the token
  claviger rotate resume                           finish what was cut short

All of it goes on while others read and write, survives being killed, and goes on where it stopped. `claviger status` shows \
what is due.";

const CREDENTIAL_EXAMPLES: &str = "\
Examples:
  claviger rotate credential openai               asks for the value, unseen
  claviger rotate credential openai --stdin <new
  claviger rotate credential --due                lists those that are due

The credential must be there; the former value stays as an earlier version until it is destroyed or pruned.";

const SERVICE_EXAMPLES: &str = "\
Examples:
  claviger rotate service openai github
  claviger rotate service --due
  claviger rotate service --all

What the old data keys had sealed is sealed anew and overwritten in the store.";

const INTERVAL_EXAMPLES: &str = "\
Examples:
  claviger rotate intervals --master 365 --service 90
  claviger rotate intervals --service 30 --of openai
  claviger rotate intervals                       shows them";

const MASTER_EXAMPLES: &str = "\
Examples:
  claviger rotate master                  the old key stays on the token, unused
  claviger rotate master --destroy-old    and is destroyed when all is done
  claviger rotate master --compromised    everything is sealed anew
  claviger rotate master --token 'pkcs11:token=new'   move to another token

On the same token the data keys are wrapped anew, once each. With --compromised, and when moving to another token, the vault \
key and every data key are replaced and everything is sealed anew, because whoever has the old key could open copies; then \
the credentials themselves should be changed at their issuers.

A YubiKey's management key: --management-key-fd 3 3<key, or it is asked for.";

/// Give credentials and keys a successor
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Credential(CredentialArgs),
    Service(ServiceArgs),
    Master(MasterArgs),
    Resume(ResumeArgs),
    Intervals(IntervalArgs),
}

/// Write a new value, which its issuer gave, over the newest one
#[derive(Debug, clap::Args)]
#[command(after_help = CREDENTIAL_EXAMPLES)]
struct CredentialArgs {
    /// The credential: SERVICE or SERVICE/NAME
    #[arg(value_name = "REF", value_parser = args::reference, required_unless_present = "due")]
    reference: Option<Reference>,
    /// Only list those that are due
    #[arg(long, conflicts_with = "reference")]
    due: bool,
    #[command(flatten)]
    options: set::Options,
}

/// Give services new data keys, and seal what they hold anew
#[derive(Debug, clap::Args)]
#[command(after_help = SERVICE_EXAMPLES)]
struct ServiceArgs {
    /// The services
    #[arg(value_name = "SERVICE", value_parser = args::service, required_unless_present_any = ["due", "all"])]
    services: Vec<ServiceName>,
    /// Every service that is due
    #[arg(long, conflicts_with_all = ["services", "all"])]
    due: bool,
    /// Every service
    #[arg(long, conflicts_with = "services")]
    all: bool,
}

/// Make a new master key
#[derive(Debug, clap::Args)]
#[command(after_help = MASTER_EXAMPLES)]
struct MasterArgs {
    /// Only if it is due
    #[arg(long, conflicts_with = "compromised")]
    due: bool,
    /// Somebody else may have the old key
    #[arg(long)]
    compromised: bool,
    /// Destroy the old key on its token in the end
    #[arg(long)]
    destroy_old: bool,
    /// How keys are wrapped to it [default: as to the old one]
    #[arg(long, value_name = "SCHEME", value_parser = Scheme::from_str)]
    scheme: Option<Scheme>,
    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// Where the master key moves.
#[derive(Debug, clap::Args)]
struct Elsewhere {
    /// Move to this token instead
    #[arg(long, value_name = "URI")]
    token: Option<String>,
    /// The other token's module
    #[arg(long, value_name = "PATH", requires = "token")]
    module: Option<std::path::PathBuf>,
    /// Move to one YubiKey alone: if that is lost or breaks, so is everything
    #[arg(long, requires = "token", help_heading = "YubiKey")]
    accept_loss: bool,
}

/// Finish long work that was cut short
#[derive(Debug, clap::Args)]
struct ResumeArgs {}

/// Set after how many days keys are due
#[derive(Debug, clap::Args)]
#[command(after_help = INTERVAL_EXAMPLES)]
struct IntervalArgs {
    /// Of the master key
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36500))]
    master: Option<u32>,
    /// Of data keys, or of one service's
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36500))]
    service: Option<u32>,
    /// Only for this service
    #[arg(long = "of", value_name = "SERVICE", value_parser = args::service, requires = "service")]
    of: Option<ServiceName>,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<(), CliError> {
    match args.command {
        Command::Credential(args) => credential(args, context),
        Command::Service(args) => services(&args, context),
        Command::Master(args) => master(&args, context),
        Command::Resume(_) => resume(context),
        Command::Intervals(args) => intervals(&args, context),
    }
}

fn credential(args: CredentialArgs, context: &Context) -> Result<(), CliError> {
    if let Some(reference) = &args.reference {
        return set::replace(reference, args.options, context);
    }
    let due = context.open_as_owner()?.status()?.due;
    let due: Vec<_> = due.into_iter().filter(|due| matches!(due, Due::Credential { .. })).collect();
    if context.json() {
        return output::print_json(&due.iter().map(jobs::due_json).collect());
    }
    output::print(&text::lines(due.iter().map(jobs::due_text)))
}

fn services(args: &ServiceArgs, context: &Context) -> Result<(), CliError> {
    let api = context.open_as_owner()?;
    if args.all {
        let bar = Bar::new();
        let done = api.rotate_all_services(&bar)?;
        drop(bar);
        return jobs::print(&done, None, context.json());
    }
    let services: Vec<ServiceName> = if args.due {
        let due = api.status()?.due.into_iter();
        due.filter_map(|due| if let Due::Service { service, .. } = due { Some(service) } else { None })
            .collect()
    } else {
        args.services.clone()
    };
    let bar = Bar::new();
    let (sealed, erasure) =
        if services.is_empty() { (0, Erasure::Done) } else { api.rotate_services(&services, &bar)? };
    drop(bar);
    if context.json() {
        output::print_json(&json!({
            "services": services.iter().map(ServiceName::as_str).collect::<Vec<_>>(),
            "resealed": sealed,
            "erasure": jobs::erasure_json(&erasure),
        }))?;
    } else {
        let shown = |name: &ServiceName| text::reference(&Reference { service: name.clone(), name: None });
        output::print(&match services.as_slice() {
            [] => "nothing is due\n".to_owned(),
            [one] => {
                format!("{}: new data key; {} sealed anew\n", shown(one), text::count(sealed, "version"))
            }
            many => format!(
                "{} services: new data keys; {} sealed anew\n",
                many.len(),
                text::count(sealed, "version")
            ),
        })?;
    }
    if let Some(warning) = jobs::erasure_warning(&erasure) {
        report::warning(&warning);
    }
    Ok(())
}

fn master(args: &MasterArgs, context: &Context) -> Result<(), CliError> {
    if let Some(uri) = &args.elsewhere.token {
        let how = super::token::Move {
            compromised: args.compromised,
            destroy_old: args.destroy_old,
            accept_loss: args.elsewhere.accept_loss,
        };
        return super::token::move_master(uri, args.elsewhere.module.as_deref(), args.scheme, how, context);
    }
    let api = context.open_as_owner()?;
    if args.due && !api.status()?.due.iter().any(|due| matches!(due, Due::Master { .. })) {
        if context.json() {
            return output::print_json(&json!({"due": false}));
        }
        return output::print("the master key is not due\n");
    }
    context.config_file()?.check_writable()?;
    if args.destroy_old {
        is_the_first(api.as_ref(), context)?;
    }
    if wants_a_touch_each_time(api.as_ref(), context)? {
        let services = super::token::enroll::services(api.as_ref())?;
        report::note(&format!(
            "the key wants a touch at each use: one for each of {}, and a few more",
            text::count(services as u64, "service")
        ));
    }
    let bar = Bar::new();
    let how =
        RotateMaster { scheme: args.scheme, compromised: args.compromised, destroy_old: args.destroy_old };
    let done = api.rotate_master(how, &bar)?;
    drop(bar);
    let to_change = to_be_changed(api.as_ref(), args.compromised)?;
    jobs::print(&done, to_change.as_deref(), context.json())
}

/// A key is not destroyed because the one that was meant is not there, and another stands in for it.
fn is_the_first(api: &dyn Api, context: &Context) -> Result<(), CliError> {
    let first: Uri = context.config()?.token.uri.parse()?;
    let used = api.status()?.recipients.into_iter().find(|info| info.local);
    match (first.serial, used) {
        (Some(first), Some(used)) if first != used.token_serial => Err(CliError::usage(
            format!(
                "the configuration's first token is not used, and --destroy-old would destroy the key of another: token `{}`",
                text::plain(&used.token_label)
            ),
            "plug the first one in; or, if it is lost, retire it first: claviger token retire RECIPIENT",
        )),
        _ => Ok(()),
    }
}

/// Whether the key that opens the vault now wants a touch at each use; it may be one that stands in for the first.
fn wants_a_touch_each_time(api: &dyn Api, context: &Context) -> Result<bool, CliError> {
    let config = context.config()?;
    let wanting: Vec<_> = config
        .tokens()
        .filter(|entry| matches!(policies(&entry.profile), Some((_, TouchPolicy::Always))))
        .map(|entry| entry.recipient)
        .collect();
    // The status surveys all services; where no key is like that, nobody need wait for it.
    Ok(!wanting.is_empty()
        && api.status()?.recipients.iter().any(|info| info.local && wanting.contains(&info.id)))
}

/// The credentials that whoever had the old key may have read.
pub(super) fn to_be_changed(api: &dyn Api, compromised: bool) -> Result<Option<Vec<Reference>>, CliError> {
    if !compromised {
        return Ok(None);
    }
    Ok(Some(api.list(None)?.iter().map(claviger_gate::CredentialInfo::reference).collect()))
}

fn resume(context: &Context) -> Result<(), CliError> {
    let bar = Bar::new();
    let api = context.open_as_owner()?;
    let done = api.resume(&bar)?;
    drop(bar);
    match done {
        Some(done) => {
            let compromised = done.retired.iter().any(|info| info.state == RecipientState::Compromised);
            jobs::print(&done, to_be_changed(api.as_ref(), compromised)?.as_deref(), context.json())
        }
        None if context.json() => output::print_json(&json!({"resumed": false})),
        None => output::print("nothing was left behind\n"),
    }
}

fn intervals(args: &IntervalArgs, context: &Context) -> Result<(), CliError> {
    let api = context.open_as_owner()?;
    if let Some(service) = &args.of {
        let amend = claviger_gate::AmendService { rotate_days: Some(args.service), tags: None };
        api.amend_service(service, &amend)?;
        let (shown, days) =
            (Reference { service: service.clone(), name: None }, args.service.unwrap_or_default());
        if context.json() {
            return output::print_json(&json!({"service": service.as_str(), "service_days": days}));
        }
        return output::print(&format!(
            "the data key of {} is due after {days} days\n",
            text::reference(&shown)
        ));
    }
    if args.master.is_some() || args.service.is_some() {
        api.set_intervals(args.master, args.service)?;
    }
    let (master, service) = api.status()?.intervals;
    if context.json() {
        return output::print_json(&json!({"master_days": master, "service_days": service}));
    }
    output::print(&format!("the master key is due after {master} days, data keys after {service}\n"))
}
