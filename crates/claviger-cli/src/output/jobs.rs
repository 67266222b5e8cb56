//! What long work on keys did, as people and programs read it.

use super::text;
use claviger_gate::{
    BackupInfo, Due, Erasure, HostInfo, JobInfo, JobKind, JobReport, RecipientInfo, RecipientState,
};
use claviger_types::Reference;
use serde_json::{Value, json};

/// A job's report as JSON.
pub(crate) fn as_json(report: &JobReport) -> Value {
    json!({
        "kind": report.job.kind.name(),
        "made": report.job.made.map(|made| made.to_string()),
        "services": report.job.total,
        "fingerprint": report.fingerprint.to_string(),
        "retired": report.retired.iter().map(recipient_json).collect::<Value>(),
        "can_still_open_old_copies": still_there(report).chain(&report.others).map(recipient_json).collect::<Value>(),
        "backups": report.backups.iter().map(backup_json).collect::<Value>(),
        "hosts_behind": report.behind.iter().map(host_json).collect::<Value>(),
        "vouched": report.vouched,
        "erasure": report.erasure.as_ref().map(erasure_json),
        "resumed": report.resumed,
    })
}

/// A recipient as JSON.
pub(crate) fn recipient_json(recipient: &RecipientInfo) -> Value {
    json!({
        "id": recipient.id.to_string(),
        "scheme": recipient.scheme.name(),
        "token_label": recipient.token_label,
        "token_serial": recipient.token_serial,
        "key_label": recipient.key_label,
        "state": recipient.state.name(),
        "created": text::time(recipient.created),
        "changed": text::time(recipient.changed),
        "signer": recipient.signer.map(|signer| signer.to_string()),
        "local": recipient.local,
    })
}

/// A backup as JSON.
pub(crate) fn backup_json(backup: &BackupInfo) -> Value {
    json!({
        "made": text::time(backup.made),
        "file": backup.file,
        "epoch": backup.epoch,
        "fingerprint": backup.fingerprint.to_string(),
        "recipients": backup.recipients.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// A host as JSON.
pub(crate) fn host_json(host: &HostInfo) -> Value {
    json!({
        "id": host.id.to_string(),
        "name": host.name,
        "fingerprint": host.fingerprint.to_string(),
        "since": text::time(host.since),
    })
}

/// A job as JSON.
pub(crate) fn job_json(job: &JobInfo) -> Value {
    json!({
        "kind": job.kind.name(),
        "master": job.made.is_some(),
        "started": text::time(job.started),
        "done": job.done,
        "total": job.total,
    })
}

/// Something that is due, as JSON.
pub(crate) fn due_json(due: &Due) -> Value {
    match due {
        Due::Master { recipient, since } => {
            json!({"what": "master", "recipient": recipient.to_string(), "since": text::time(*since)})
        }
        Due::Service { service, since } => {
            json!({"what": "service", "service": service.as_str(), "since": text::time(*since)})
        }
        Due::Credential { reference, since } => {
            json!({"what": "credential", "reference": reference.to_string(), "since": text::time(*since)})
        }
    }
}

/// Something that is due, in words.
pub(crate) fn due_text(due: &Due) -> String {
    match due {
        Due::Master { recipient, since } => {
            format!("the master key {recipient}, since {}: claviger rotate master", text::time(*since))
        }
        Due::Service { service, since } => {
            let reference = text::reference(&Reference { service: service.clone(), name: None });
            format!(
                "the data key of {reference}, since {}: claviger rotate service --due",
                text::time(*since)
            )
        }
        Due::Credential { reference, since } => {
            let reference = text::reference(reference);
            format!(
                "{reference}, since {}: change it at its issuer, then claviger rotate credential",
                text::time(*since)
            )
        }
    }
}

/// How an erasure ended, as JSON.
pub(crate) fn erasure_json(erasure: &Erasure) -> Value {
    match erasure {
        Erasure::Done => json!("done"),
        Erasure::Pending { .. } => json!("pending"),
    }
}

/// What is to be said where bytes may still be there.
pub(crate) fn erasure_warning(erasure: &Erasure) -> Option<String> {
    match erasure {
        Erasure::Done => None,
        Erasure::Pending { reason } => Some(format!(
            "erasure is pending: bytes of what was replaced may still lie in the store ({reason}); `claviger gc --erase` \
             has them go"
        )),
    }
}

/// A job's report in words.
pub(crate) fn as_text(report: &JobReport) -> String {
    let mut lines = Vec::new();
    if report.resumed {
        lines.push("a job that was left behind has been finished".to_owned());
    }
    let services = text::count(report.job.total, "service");
    lines.push(match report.job.kind {
        JobKind::Rewrap => format!("{services}: every data key is wrapped anew"),
        JobKind::Rekey => format!("{services}: every data key is new, and everything is sealed anew"),
        JobKind::Replace => {
            format!("{services}: the vault key and every data key are new, and everything is sealed anew")
        }
    });
    lines.extend(
        report.retired.iter().map(|retired| format!("{}: {}", recipient_text(retired), retired.state.name())),
    );
    if report.job.kind == JobKind::Replace {
        lines.push(format!("fingerprint {}", report.fingerprint));
    }
    lines.join("\n") + "\n"
}

/// What a job's report warns of: who could still open what was before it, and who has to be told.
pub(crate) fn warnings(report: &JobReport) -> Vec<String> {
    let mut warnings = Vec::new();
    if report.job.destroys {
        for kept in still_there(report) {
            warnings.push(format!(
                "the key of {} was not destroyed: its token was not here, or does not show it to be this program's. When it is and \
                 does: claviger token retire {} --destroy",
                recipient_text(kept),
                kept.id
            ));
        }
    }
    let destroyed = report.retired.iter().any(|retired| retired.state == RecipientState::Destroyed);
    if report.job.kind == JobKind::Replace || destroyed {
        // Whoever finds a token that was lost opens them above all.
        for retired in still_there(report) {
            warnings.push(format!(
                "copies of the store that were made earlier can still be opened by the key that was retired, {}",
                recipient_text(retired)
            ));
        }
        for other in &report.others {
            warnings.push(format!(
                "copies of the store that were made earlier can still be opened by {}",
                recipient_text(other)
            ));
        }
        for backup in &report.backups {
            let name = text::plain(&backup.file);
            warnings.push(format!(
                "the backup {name} of {} was made earlier: destroy it, or make it anew with `claviger backup rewrap`",
                text::time(backup.made)
            ));
        }
    }
    if report.job.kind == JobKind::Replace {
        for host in &report.behind {
            let name = text::plain(&host.name);
            warnings.push(if report.vouched {
                format!("the host {name} has not seen the new vault key yet; until it has, it believes the old one")
            } else {
                format!("the host {name} has to be told: claviger trust {}", report.fingerprint)
            });
        }
    }
    warnings.extend(report.erasure.as_ref().and_then(erasure_warning));
    warnings
}

/// The retired recipients whose keys are not known to be destroyed.
fn still_there(report: &JobReport) -> impl Iterator<Item = &RecipientInfo> {
    report.retired.iter().filter(|retired| retired.state != RecipientState::Destroyed)
}

/// A recipient in words.
pub(crate) fn recipient_text(recipient: &RecipientInfo) -> String {
    format!(
        "{} on token `{}`, serial {}, id {}",
        recipient.scheme,
        text::plain(&recipient.token_label),
        text::plain(&recipient.token_serial),
        recipient.id,
    )
}

/// Prints a job's report, and where somebody else may have read what was under the old key, what to change at its issuer.
pub(crate) fn print(
    report: &JobReport,
    to_change: Option<&[Reference]>,
    json: bool,
) -> Result<(), crate::error::CliError> {
    if json {
        let mut shown = as_json(report);
        if let (Value::Object(members), Some(references)) = (&mut shown, to_change) {
            let list: Vec<_> = references.iter().map(ToString::to_string).collect();
            members.insert("change_at_issuer".to_owned(), list.into());
        }
        super::print_json(&shown)?;
    } else {
        super::print(&as_text(report))?;
        if let Some(references) = to_change {
            let lines = references.iter().map(|reference| format!("  {}", text::reference(reference)));
            super::print(&format!(
                "Change these at their issuers, because whoever had the key may have read them:\n{}",
                text::lines(lines)
            ))?;
        }
    }
    for warning in warnings(report) {
        crate::report::warning(&warning);
    }
    Ok(())
}
