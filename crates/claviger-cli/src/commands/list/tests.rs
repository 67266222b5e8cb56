use super::*;
use claviger_gate::VersionInfo;
use claviger_types::{CredentialName, Kind, Timestamp};

fn info(service: &str, name: &str, state: VersionState) -> CredentialInfo {
    CredentialInfo {
        service: ServiceName::new(service).unwrap(),
        name: CredentialName::new(name).unwrap(),
        kind: Kind::ApiKey,
        current: 12,
        max_versions: 10,
        versions: vec![VersionInfo {
            n: 12,
            state,
            created: Timestamp::from_millis(0),
            ended: None,
            expires: None,
        }],
        rotate_by: None,
        notes: std::collections::BTreeMap::new(),
        tags: Vec::new(),
    }
}

#[test]
fn a_listing_is_one_line_each_whatever_the_names_hold() {
    let listed = [info("new\nline", "api_key", VersionState::Live), info("x", "y", VersionState::Deleted)];
    assert_eq!(
        as_text(&listed),
        "new%0Aline/api_key  api-key  12\nx/y                 api-key  12 (deleted)\n"
    );
    assert_eq!(as_text(&[]), "");
}

#[test]
fn json_has_the_names_as_they_are_and_nothing_is_an_empty_array() {
    let listed = as_json(&[info("new\nline", "%", VersionState::Live)]);
    assert_eq!(listed.to_string(), r#"[{"kind":"api-key","name":"%","service":"new\nline","version":12}]"#);
    assert_eq!(as_json(&[]).to_string(), "[]");
}
