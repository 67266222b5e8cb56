//! `claviger history`.

use crate::{
    args,
    context::Context,
    error::CliError,
    output::{self, text},
};
use claviger_gate::{CredentialInfo, VersionInfo};
use claviger_types::Reference;
use serde_json::{Value, json};

const EXAMPLES: &str = "\
Examples:
  claviger history openai
  claviger history google/oauth_token --json";

/// Show the versions of a credential, without their values
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The credential: SERVICE or SERVICE/NAME
    #[arg(value_name = "REF", value_parser = args::reference)]
    reference: Reference,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let info = context.open()?.history(&args.reference)?;
    print(&info, context)
}

/// Shows what is known about a credential.
pub(crate) fn print(info: &CredentialInfo, context: &Context) -> Result<(), CliError> {
    if context.json() { output::print_json(&as_json(info)) } else { output::print(&as_text(info)) }
}

fn as_json(info: &CredentialInfo) -> Value {
    let version = |version: &VersionInfo| {
        json!({
            "version": version.n,
            "state": version.state.name(),
            "created": text::time(version.created),
            "ended": version.ended.map(text::time),
            "expires": version.expires.map(text::time),
        })
    };
    json!({
        "service": info.service.as_str(),
        "name": info.name.as_str(),
        "kind": info.kind.name(),
        "version": info.current,
        "max_versions": info.max_versions,
        "rotate_by": info.rotate_by.map(text::time),
        "notes": info.notes,
        "tags": info.tags,
        "versions": info.versions.iter().map(version).collect::<Value>(),
    })
}

fn as_text(info: &CredentialInfo) -> String {
    let row = |version: &VersionInfo| {
        let state = match version.ended {
            Some(when) => format!("{} {}", version.state.name(), text::time(when)),
            None => match version.expires {
                Some(end) => format!("{}, until {}", version.state.name(), text::time(end)),
                None => version.state.name().to_owned(),
            },
        };
        vec![format!("{:>4}", version.n), text::time(version.created), state]
    };
    let rows: Vec<_> = info.versions.iter().rev().map(row).collect();
    let mut known = Vec::new();
    known.extend(info.rotate_by.map(|when| format!("  change it by {}", text::time(when))));
    if !info.tags.is_empty() {
        known.push(format!("  tags: {}", text::plain(&info.tags.join(", "))));
    }
    known.extend(
        info.notes.iter().map(|(name, note)| format!("  {}: {}", text::plain(name), text::plain(note))),
    );
    format!(
        "{}  {}  keeps {}\n{}{}",
        text::reference(&info.reference()),
        info.kind,
        text::count(info.max_versions.into(), "version"),
        text::table(&rows),
        text::lines(known),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use claviger_gate::VersionState;
    use claviger_types::{CredentialName, Kind, ServiceName, Timestamp};

    #[test]
    fn the_newest_version_stands_first() {
        let at = |seconds: u64| Timestamp::from_millis(seconds * 1000);
        let version = |n, state, ended| VersionInfo { n, state, created: at(n), ended, expires: None };
        let info = CredentialInfo {
            service: ServiceName::new("a\nb").unwrap(),
            name: CredentialName::new("k").unwrap(),
            kind: Kind::ApiKey,
            current: 2,
            max_versions: 1,
            versions: vec![
                version(1, VersionState::Deleted, Some(at(60))),
                version(2, VersionState::Live, None),
            ],
            rotate_by: None,
            notes: [("owner".to_owned(), "ada".to_owned())].into(),
            tags: vec!["a".to_owned()],
        };
        assert_eq!(
            as_text(&info),
            "a%0Ab/k  api-key  keeps 1 version\n   \
             2  1970-01-01T00:00:02Z  live\n   \
             1  1970-01-01T00:00:01Z  deleted 1970-01-01T00:01:00Z\n  \
             tags: a\n  owner: ada\n"
        );
        assert_eq!(as_json(&info)["versions"][0]["ended"], "1970-01-01T00:01:00Z");
    }
}
