//! `claviger doctor`.

use crate::{
    commands::token::tries_text,
    config::Config,
    context::Context,
    error::CliError,
    modules, open,
    output::{self, text},
    pin, prompt, report,
};
use claviger_gate::ErrorClass;
use claviger_token::{PinTries, Uri};
use claviger_types::{Clock as _, SystemClock, Timestamp};
use claviger_vault::{Anchor as _, FileAnchor, Vault};
use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

const EXAMPLES: &str = "\
Examples:
  claviger doctor
  claviger doctor --json

Looks for the usual trouble, from the configuration to the vault, and says what to type. Changes nothing. A PIN is asked \
for only on a terminal. Exits with the code of the first check that failed.";

/// No clock that is right shows a moment before this one: 2026-01-01.
const NOT_BEFORE: Timestamp = Timestamp::from_millis(1_767_225_600_000);
/// Nor after this one: 2100-01-01.
const NOT_AFTER: Timestamp = Timestamp::from_millis(4_102_444_800_000);

/// Look for what keeps claviger from working, and say what to do
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

/// How a check ended.
enum State {
    Ok,
    Warn,
    Fail(ErrorClass),
}

struct Check {
    name: &'static str,
    state: State,
    detail: String,
    help: Option<String>,
}

#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn ok(&mut self, name: &'static str, detail: impl Into<String>) {
        self.0.push(Check { name, state: State::Ok, detail: detail.into(), help: None });
    }

    fn warn(&mut self, name: &'static str, detail: impl Into<String>, help: impl Into<String>) {
        self.0.push(Check { name, state: State::Warn, detail: detail.into(), help: Some(help.into()) });
    }

    fn fail(
        &mut self,
        name: &'static str,
        class: ErrorClass,
        detail: impl Into<String>,
        help: impl Into<String>,
    ) {
        let state = State::Fail(class);
        self.0.push(Check { name, state, detail: detail.into(), help: Some(help.into()) });
    }

    /// The value, or the check failed.
    fn need<T>(&mut self, name: &'static str, outcome: Result<T, impl Into<CliError>>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                let error = error.into();
                self.fail(name, error.class(), report::chain(&error), report::help(&error));
                None
            }
        }
    }
}

pub(crate) fn run(context: &Context) -> Result<(), CliError> {
    let mut checks = Checks::default();
    process(&mut checks);
    clock(&mut checks, SystemClock.now());
    let path = context.config_path();
    if let Some(config) = checks.need("configuration", path.and_then(|path| Ok((Config::read(&path)?, path))))
    {
        let (config, path) = config;
        checks.ok("configuration", path.to_string_lossy());
        anchors(&mut checks, &config);
        if let Ok(directory) = context.paths().audit(config.vault) {
            audit(&mut checks, &directory);
        }
        let store = checks.need("store", claviger_store::open_url(&config.store));
        if store.is_some() {
            checks.ok("store", config.store.as_str());
        }
        if let Some(token) = token(&mut checks, &config, context)
            && store.is_some()
        {
            vault(&mut checks, &config, token, context);
        }
    }
    tell(&checks.0, context)
}

fn process(checks: &mut Checks) {
    let no_core = getrlimit(Resource::Core).current == Some(0);
    let hidden = dumpable_behavior().is_ok_and(|now| now == DumpableBehavior::NotDumpable);
    if no_core && hidden {
        checks.ok("core dumps", "off for this program");
    } else {
        checks.warn("core dumps", "the kernel does not let this program turn them off", "ulimit -c 0");
    }
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    match swaps.lines().skip(1).count() {
        0 => checks.ok("swap", "none"),
        some => checks.warn(
            "swap",
            format!("{some} in use: memory may be written to disk"),
            "encrypt it, or turn it off with: swapoff -a",
        ),
    }
}

fn clock(checks: &mut Checks, now: Timestamp) {
    if (NOT_BEFORE..NOT_AFTER).contains(&now) {
        checks.ok("clock", text::time(now));
    } else {
        checks.fail(
            "clock",
            ErrorClass::Other,
            format!("it shows {}", text::time(now)),
            "timedatectl set-ntp true",
        );
    }
}

fn anchors(checks: &mut Checks, config: &Config) {
    const NAME: &str = "anchor";
    if config.anchors.is_empty() {
        checks.warn(
            NAME,
            "there is none: an older copy of the store would not be noticed",
            "name a file under `anchors` in the configuration, then: claviger trust --head DIGEST",
        );
    }
    for path in &config.anchors {
        match FileAnchor::new(path).read() {
            Ok(Some(seen)) => checks.ok(NAME, format!("{}: epoch {}", path.display(), seen.epoch)),
            Ok(None) => checks.fail(
                NAME,
                ErrorClass::RolledBack,
                format!("{} is gone", path.display()),
                "put it back; only if you know that the store is the newest: claviger verify, then claviger trust --head \
                 DIGEST",
            ),
            Err(error) => drop(checks.need::<()>(NAME, Err(error))),
        }
    }
}

fn audit(checks: &mut Checks, directory: &Path) {
    const NAME: &str = "audit log";
    let outcome = directory.metadata().and_then(|meta| tempfile::tempfile_in(directory).map(|_| meta));
    match outcome {
        Ok(meta) if meta.mode() & 0o077 != 0 => checks.fail(
            NAME,
            ErrorClass::AuditUnavailable,
            format!("{} is open to others", directory.display()),
            format!("chmod 700 {}", crate::config::shell_word(directory)),
        ),
        Ok(_) => checks.ok(NAME, directory.to_string_lossy()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => checks.warn(
            NAME,
            format!("{} does not exist yet", directory.display()),
            "nothing: it is made at the first use",
        ),
        Err(error) => checks.fail(
            NAME,
            ErrorClass::AuditUnavailable,
            format!("{} cannot be written: {error}", directory.display()),
            format!("ls -ld {}; df {0}", crate::config::shell_word(directory)),
        ),
    }
}

/// Module, token, PIN, key, self-test; the key if it could be opened.
fn token(checks: &mut Checks, config: &Config, context: &Context) -> Option<open::Opened> {
    let uri: Uri = checks.need("token", config.token.uri.parse::<Uri>())?;
    if let Some(module) = &uri.module_path {
        checks.need("module", modules::list(module, context))?;
        checks.ok("module", module.to_string_lossy());
    }
    let found = checks.need("token", modules::find(None, &uri, context))?;
    checks.ok("token", format!("`{}`, serial {}", found.token.label, found.token.serial));
    match found.token.tries {
        PinTries::Normal => checks.ok("PIN", tries_text(PinTries::Normal)),
        PinTries::Locked => {
            checks.fail("PIN", ErrorClass::Locked, "the token has locked it", "claviger token pin unblock");
            return None;
        }
        few => checks.warn("PIN", tries_text(few), "make sure of the PIN before the next try"),
    }
    if let Some(file) = &uri.pin_file {
        pin_file(checks, file)?;
    }
    if !pin::unattended(&uri, context.pin_fd()) && !prompt::possible() {
        checks.warn(
            "key",
            "not looked for: the PIN would have to be asked for",
            "run it on a terminal, or give --pin-fd",
        );
        return None;
    }
    let token = checks.need("key", open::token(config, context))?;
    checks.ok("key", format!("{} under {}", config.token.recipient, config.token.scheme));
    let report = checks.need("self-test", token.token.self_test())?;
    checks.ok("self-test", format!("{} checks passed", report.checks.len()));
    Some(token)
}

fn pin_file(checks: &mut Checks, file: &Path) -> Option<()> {
    let meta = File::open(file).and_then(|file| file.metadata());
    let meta = checks.need("PIN file", meta.map_err(|source| CliError::file("read", file, source)))?;
    if meta.permissions().mode() & 0o077 != 0 {
        checks.fail(
            "PIN file",
            ErrorClass::Locked,
            format!("{} is open to others", file.display()),
            format!("chmod 600 {}", crate::config::shell_word(file)),
        );
        return None;
    }
    checks.ok("PIN file", file.to_string_lossy());
    Some(())
}

fn vault(checks: &mut Checks, config: &Config, token: open::Opened, context: &Context) {
    let opened = open::parts(config, token, context).and_then(|parts| Ok(Vault::open(parts)?));
    if let Some(head) = checks.need("vault", opened.and_then(|vault| Ok(vault.head()?))) {
        checks.ok("vault", format!("opens, epoch {}", head.epoch));
    }
}

fn tell(checks: &[Check], context: &Context) -> Result<(), CliError> {
    if context.json() {
        let one = |check: &Check| json!({"name": check.name, "state": word(&check.state), "detail": check.detail, "help": check.help});
        output::print_json(&json!({"checks": checks.iter().map(one).collect::<Value>()}))?;
    } else {
        output::print(&checks.iter().map(line).collect::<String>())?;
    }
    let mut failed = checks.iter().filter_map(|check| match check.state {
        State::Fail(class) => Some(class),
        State::Ok | State::Warn => None,
    });
    match failed.next() {
        None => Ok(()),
        Some(class) => Err(CliError::ChecksFailed { failed: failed.count() + 1, all: checks.len(), class }),
    }
}

const fn word(state: &State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Warn => "warn",
        State::Fail(_) => "FAIL",
    }
}

fn line(check: &Check) -> String {
    let help =
        check.help.as_deref().map_or_else(String::new, |help| format!("        do: {}\n", text::plain(help)));
    format!("{:<5} {:<13}  {}\n{help}", word(&check.state), check.name, text::plain(&check.detail))
}
