use super::*;
use claviger_types::{CredentialName, Reference, ServiceName};
use std::{io, path::PathBuf};

fn hostile() -> Reference {
    Reference {
        service: ServiceName::new("a\nerror: all is well\u{1b}[2J").unwrap(),
        name: Some(CredentialName::new("it's").unwrap()),
    }
}

#[test]
fn an_error_says_what_failed_why_and_what_to_do() {
    let error =
        CliError::file("read", &PathBuf::from("/k"), io::Error::from(io::ErrorKind::PermissionDenied));
    assert_eq!(
        as_text(&error),
        "error: cannot read /k\ncaused by: permission denied\nhelp: check the path and who may read it\n"
    );
}

#[test]
fn a_hostile_name_cannot_forge_lines() {
    let error = CliError::from(VaultError::NotFound { what: Missing::Deleted(3), reference: hostile() });
    let shown = as_text(&error);
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(shown.contains(r"claviger undelete 'a%0Aerror: all is well%1B[2J/it'\''s'"), "{shown}");
    assert!(!shown.contains('\u{1b}'));
}

#[test]
fn each_link_of_the_chain_is_printed_once() {
    let inner = io::Error::other("the disk is gone");
    let error = CliError::from(StoreError::Unreachable { context: "commit".into(), source: inner.into() });
    assert_eq!(as_text(&error).matches("the disk is gone").count(), 1);
    assert_eq!(as_text(&error).matches("the store is unreachable").count(), 1);
}

#[test]
fn json_errors_carry_code_class_message_and_help() {
    let error = CliError::from(TokenError::PinIncorrect { tries_left: Some(1) });
    let json: serde_json::Value = serde_json::from_str(&as_json(&error)).unwrap();
    assert_eq!(json["error"]["code"], 5);
    assert_eq!(json["error"]["class"], "locked");
    assert_eq!(json["error"]["message"], "the PIN is wrong; 1 try left");
    assert!(json["error"]["help"].as_str().unwrap().contains("locks the token"));
}
