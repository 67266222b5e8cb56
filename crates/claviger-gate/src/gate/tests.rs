use super::*;
use crate::{ErrorClass, Silent};
use claviger_audit::{AuditError, Durability, generate_audit_key};
use claviger_store::MemoryStore;
use claviger_token::software::SoftwareToken;
use claviger_types::{
    HostId, Kind, OsEntropy, RecipientId, Scheme, SecretBytes, SystemClock, Value, VaultId,
};
use claviger_vault::{MemoryHost, Parts, Pinned};
use std::{fs, path::Path, sync::Arc};

fn gate(directory: &Path, principal: Principal) -> Gate {
    let recipient = RecipientId::random(&OsEntropy).unwrap();
    let vault = VaultId::random(&OsEntropy).unwrap();
    let (private, public) = generate_audit_key(&OsEntropy).unwrap();
    let parts = Parts {
        store: Arc::new(MemoryStore::new()),
        token: Arc::new(SoftwareToken::generate(recipient, Scheme::A256Kw, Arc::new(OsEntropy)).unwrap()),
        entropy: Arc::new(OsEntropy),
        clock: Arc::new(SystemClock),
        anchors: Vec::new(),
        pinned: Pinned { vault, recipient },
        host: Arc::new(MemoryHost::new(HostId::random(&OsEntropy).unwrap(), Vec::new())),
    };
    let (entropy, clock) = (Arc::new(OsEntropy), Arc::new(SystemClock));
    let audit =
        AuditLog::open(directory.join("audit"), vault, public, entropy, clock, Durability::WriteThrough)
            .unwrap();
    let caller = Caller { principal, uid: 1000, pid: 1, program: "/usr/bin/test".to_owned() };
    Gate::new(Vault::init(parts, private).unwrap(), Policy::owner_only(), audit, caller)
}

fn api_key(at: &str, text: &str) -> Set {
    let value = Value::single(Kind::ApiKey, SecretBytes::copy_of(text.as_bytes()));
    Set::new(at.parse().unwrap(), value)
}

/// Every call of the [`Api`] in turn.
fn every_call(gate: &Gate, directory: &Path) -> Vec<(&'static str, Result<(), ApiError>)> {
    let at: Reference = "s/a".parse().unwrap();
    let quiet = &Silent;
    vec![
        ("set", gate.set(api_key("s/a", "1")).map(drop)),
        ("get", gate.get(&at, None).map(drop)),
        ("list", gate.list(None).map(drop)),
        ("history", gate.history(&at).map(drop)),
        ("rollback", gate.rollback(&at, 1).map(drop)),
        ("delete", gate.delete(&at, &Versions::Newest).map(drop)),
        ("undelete", gate.undelete(&at, &Versions::Newest).map(drop)),
        ("destroy", gate.destroy(&at, &Versions::These(vec![1])).map(drop)),
        ("amend", gate.amend(&at, &Amend::default()).map(drop)),
        ("amend", gate.amend_service(&at.service, &AmendService::default())),
        ("prune", gate.prune(&at, 1).map(drop)),
        ("rotate service", gate.rotate_services(std::slice::from_ref(&at.service), quiet).map(drop)),
        ("rotate master", gate.rotate_master(RotateMaster::default(), quiet).map(drop)),
        ("rotate resume", gate.resume(quiet).map(drop)),
        ("rotate intervals", gate.set_intervals(None, None)),
        ("backup create", gate.backup(&directory.join("b"), quiet).map(drop)),
        ("backup verify", gate.verify_backup(&directory.join("b"), quiet).map(drop)),
        ("backup forget", gate.forget_backup("no such").map(drop)),
        ("repair", gate.repair(&directory.join("b"), quiet).map(drop)),
        ("import", gate.import(Vec::new(), ImportOptions::default(), quiet).map(drop)),
        ("status", gate.status().map(drop)),
        ("verify", gate.verify(quiet).map(drop)),
        ("gc", gate.gc(GcOptions::default(), quiet).map(drop)),
        ("audit", gate.audit(1).map(drop)),
    ]
}

#[test]
fn every_call_is_on_record_before_it_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let gate = gate(directory.path(), Principal::owner());
    let calls = every_call(&gate, directory.path());
    for (call, outcome) in &calls {
        assert!(outcome.is_ok(), "{call}: {outcome:?}");
    }
    let log = gate.audit(1000).unwrap();
    for (call, _) in &calls {
        assert!(log.iter().any(|record| record.action == *call), "{call} is not on record");
    }
    let set: Vec<_> = log.iter().filter(|record| record.action == "set").collect();
    assert_eq!(set.iter().map(|record| record.outcome.as_str()).collect::<Vec<_>>(), ["allowed", "done"]);
    assert_eq!((set[1].version, set[1].reference.as_deref()), (Some(1), Some("s/a")));
    let get = log.iter().find(|record| record.action == "get").unwrap();
    assert_eq!((get.version, get.outcome.as_str(), get.uid), (Some(1), "allowed", 1000));
}

#[test]
fn whoever_the_policy_does_not_allow_gets_nothing_and_is_on_record() {
    let directory = tempfile::tempdir().unwrap();
    let mut gate = gate(directory.path(), Principal::owner());
    gate.set(api_key("s/a", "1")).unwrap();
    gate.caller.principal = Principal::Plugin("ci".to_owned());
    for (call, outcome) in every_call(&gate, directory.path()) {
        assert_eq!(outcome.unwrap_err().class(), ErrorClass::Denied, "{call}");
    }
    gate.caller.principal = Principal::owner();
    assert_eq!(gate.history(&"s/a".parse().unwrap()).unwrap().current, 1, "nothing was changed");
    let denied = gate.audit(1000).unwrap().iter().filter(|record| record.outcome == "denied").count();
    assert_eq!(denied, 24, "each call once");
}

#[test]
fn without_a_log_nothing_is_answered_and_nothing_changed() {
    let directory = tempfile::tempdir().unwrap();
    let gate = gate(directory.path(), Principal::owner());
    gate.set(api_key("s/a", "1")).unwrap();
    let (log, away) = (directory.path().join("audit"), directory.path().join("away"));
    fs::rename(&log, &away).unwrap();
    for (call, outcome) in every_call(&gate, directory.path()) {
        let error = outcome.unwrap_err();
        assert_eq!(error.class(), ErrorClass::AuditUnavailable, "{call}: {error}");
        assert!(matches!(error, ApiError::Audit(AuditError::Io { .. })), "{call}");
    }
    fs::rename(&away, &log).unwrap();
    assert_eq!(gate.history(&"s/a".parse().unwrap()).unwrap().current, 1);
}

#[test]
fn a_failure_is_on_record_with_its_class() {
    let directory = tempfile::tempdir().unwrap();
    let gate = gate(directory.path(), Principal::owner());
    let error = gate.get(&"nobody".parse().unwrap(), None).unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
    let log = gate.audit(10).unwrap();
    assert_eq!((log[0].outcome.as_str(), log[0].detail.as_deref()), ("failed", Some("not found")));
}
