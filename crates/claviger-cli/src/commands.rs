//! One module for each command: its words on the command line, and what it does with them.

pub(crate) mod amend;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod gc;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod join;
pub(crate) mod list;
pub(crate) mod man;
pub(crate) mod prune;
pub(crate) mod repair;
pub(crate) mod restore;
pub(crate) mod rollback;
pub(crate) mod rotate;
pub(crate) mod set;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod token_host;
pub(crate) mod trust;
pub(crate) mod verify;
pub(crate) mod versions;

use crate::{args::Command, context::Context, error::CliError};

/// Does what the command line asks.
pub(crate) fn run(command: Command, context: &Context) -> Result<(), CliError> {
    match command {
        Command::Init(args) => init::run(args, context),
        Command::Set(args) => set::run(args, context),
        Command::Get(args) => get::run(&args, context),
        Command::List(args) => list::run(&args, context),
        Command::History(args) => history::run(&args, context),
        Command::Rollback(args) => rollback::run(&args, context),
        Command::Rotate(args) => rotate::run(args, context),
        Command::Amend(args) => amend::run(&args, context),
        Command::Prune(args) => prune::run(&args, context),
        Command::Delete(args) => versions::delete(&args, context),
        Command::Undelete(args) => versions::undelete(&args, context),
        Command::Destroy(args) => versions::destroy(&args, context),
        Command::Import(args) => import::run(args, context),
        Command::Token(args) => token::run(args, context),
        Command::Status(_) => status::run(context),
        Command::Verify(_) => verify::run(context),
        Command::Repair(args) => repair::run(&args, context),
        Command::Backup(args) => backup::run(&args, context),
        Command::Restore(args) => restore::run(&args, context),
        Command::Join(args) => join::run(&args, context),
        Command::Gc(args) => gc::run(&args, context),
        Command::Doctor(_) => doctor::run(context),
        Command::Trust(args) => trust::run(&args, context),
        Command::Audit(args) => audit::run(&args, context),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
        Command::TokenHost(_) => token_host::run(),
    }
}
