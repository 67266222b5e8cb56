use crate::{
    Missing, Set, Vault, VaultError, VersionState, Versions,
    testing::{Bench, api_key, get, reference, set},
};
use claviger_envelope::DataKeyEnvelope;
use claviger_store::Store;
use claviger_types::{Fields, Kind, Scheme, ServiceName, Value};

fn states(vault: &Vault, at: &str) -> Vec<(u64, VersionState)> {
    vault.history(&reference(at)).unwrap().versions.iter().map(|version| (version.n, version.state)).collect()
}

#[test]
fn what_was_set_is_got_by_every_scheme_and_after_reopening() {
    for scheme in Scheme::ALL {
        let (bench, vault) = Bench::with_scheme(scheme);
        assert_eq!(set(&vault, "openai", "sk-1").unwrap(), 1);
        assert_eq!(get(&vault, "openai").unwrap(), "sk-1");
        assert_eq!(get(&bench.open().unwrap(), "openai/api_key").unwrap(), "sk-1", "{scheme}");
    }
}

#[test]
fn a_miss_says_what_is_missing() {
    let (_bench, vault) = Bench::new();
    let missing = |at: &str, version| match vault.get(&reference(at), version) {
        Err(VaultError::NotFound { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(missing("openai", None), Missing::Service);
    set(&vault, "openai/a", "1").unwrap();
    assert_eq!(missing("openai/b", None), Missing::Credential);
    assert_eq!(missing("openai/a", Some(7)), Missing::Version(7));
    let refused = vault.list(Some(&ServiceName::new("nobody").unwrap()));
    assert!(matches!(refused, Err(VaultError::NotFound { what: Missing::Service, .. })));
    assert!(vault.list(None).unwrap().len() == 1);
}

#[test]
fn a_lone_credential_needs_no_name_and_two_do() {
    let (_bench, vault) = Bench::new();
    set(&vault, "db/admin", "1").unwrap();
    set(&vault, "db", "2").unwrap();
    assert_eq!(vault.history(&reference("db")).unwrap().current, 2, "it is the one that is there");
    set(&vault, "db/reader", "3").unwrap();
    match vault.get(&reference("db"), None) {
        Err(VaultError::NameNeeded { names, .. }) => {
            assert_eq!(names, [reference("db/admin"), reference("db/reader")]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn versions_are_kept_pruned_and_brought_back() {
    let (bench, vault) = Bench::new();
    for n in 1..=12 {
        assert_eq!(set(&vault, "s", &format!("value {n}")).unwrap(), n);
    }
    let kept: Vec<u64> = states(&vault, "s").iter().map(|(n, _)| *n).collect();
    assert_eq!(kept, (3..=12).collect::<Vec<_>>(), "ten are kept");
    let written = vault.rollback(&reference("s"), 5).unwrap();
    assert_eq!((written.version, written.pruned.as_slice()), (13, [3].as_slice()));
    assert_eq!(get(&vault, "s").unwrap(), "value 5");
    let few = Set { max_versions: Some(2), ..Set::new(reference("s"), api_key("few")) };
    assert_eq!(vault.set(&few).unwrap().version, 14);
    assert_eq!(states(&vault, "s").len(), 2);
    let report = bench.open().unwrap().verify(&crate::Silent).unwrap();
    assert_eq!((report.damage.len(), report.garbage), (0, 0), "what was pruned is gone from the store");
}

#[test]
fn check_and_set_refuses_what_it_did_not_expect() {
    let (_bench, vault) = Bench::new();
    let cas = |n| Set { cas: Some(n), ..Set::new(reference("s/k"), api_key("v")) };
    assert!(matches!(vault.set(&cas(1)), Err(VaultError::CasMismatch { current: 0, expected: 1, .. })));
    assert_eq!(vault.set(&cas(0)).unwrap().version, 1);
    assert!(matches!(vault.set(&cas(0)), Err(VaultError::CasMismatch { current: 1, expected: 0, .. })));
    assert_eq!(vault.set(&cas(1)).unwrap().version, 2);
}

#[test]
fn deleted_is_hidden_and_comes_back_destroyed_does_not() {
    let (_bench, vault) = Bench::new();
    for n in 1..=3 {
        set(&vault, "s", &format!("{n}")).unwrap();
    }
    let at = reference("s");
    assert_eq!(vault.delete(&at, &Versions::Newest).unwrap().versions, [3]);
    assert_eq!(vault.delete(&at, &Versions::Newest).unwrap().versions, [0_u64; 0], "it is deleted already");
    assert!(matches!(get(&vault, "s"), Err(VaultError::NotFound { what: Missing::Deleted(3), .. })));
    assert_eq!(vault.undelete(&at, &Versions::These(vec![3])).unwrap().versions, [3]);
    assert_eq!(get(&vault, "s").unwrap(), "3");

    assert_eq!(vault.destroy(&at, &Versions::These(vec![2])).unwrap().versions, [2]);
    assert_eq!(
        states(&vault, "s"),
        [(1, VersionState::Live), (2, VersionState::Destroyed), (3, VersionState::Live)]
    );
    assert!(vault.undelete(&at, &Versions::These(vec![2])).unwrap().versions.is_empty());
    let gone = vault.get(&at, Some(2));
    assert!(matches!(gone, Err(VaultError::NotFound { what: Missing::Destroyed(2), .. })));
    assert_eq!(get(&vault, "s").unwrap(), "3");
    let unknown = vault.delete(&at, &Versions::These(vec![9]));
    assert!(matches!(unknown, Err(VaultError::NotFound { what: Missing::Version(9), .. })));
}

#[test]
fn destroying_gives_the_service_a_new_data_key_and_leaves_nothing_of_the_old() {
    let (bench, vault) = Bench::new();
    for (at, text) in [("s/a", "one"), ("s/b", "two"), ("other", "three")] {
        set(&vault, at, text).unwrap();
    }
    let before = bench.copy();
    vault.destroy(&reference("s/a"), &Versions::All).unwrap();
    let vault = bench.open().unwrap();
    assert!(matches!(get(&vault, "s/a"), Err(VaultError::NotFound { what: Missing::Credential, .. })));
    assert_eq!(get(&vault, "s/b").unwrap(), "two");
    assert_eq!(get(&vault, "other").unwrap(), "three");

    let kids = |objects: &[(_, Option<Vec<u8>>)]| -> Vec<_> {
        let envelopes = objects.iter().filter_map(|(_, bytes)| DataKeyEnvelope::parse(bytes.as_ref()?).ok());
        envelopes.map(|envelope| envelope.kid()).collect()
    };
    let (old, new) = (kids(&before.objects), kids(&bench.copy().objects));
    assert_eq!((old.len(), new.len()), (3, 3), "vault key and two services");
    assert_eq!(new.iter().filter(|kid| old.contains(kid)).count(), 2, "only that service has a new key");

    vault.destroy(&reference("s/b"), &Versions::All).unwrap();
    assert!(matches!(get(&vault, "s"), Err(VaultError::NotFound { what: Missing::Service, .. })));
    assert_eq!(vault.list(None).unwrap().len(), 1);
    assert_eq!(vault.verify(&crate::Silent).unwrap().garbage, 0);
}

#[test]
fn a_kind_does_not_change_by_accident() {
    let (_bench, vault) = Bench::new();
    set(&vault, "s/k", "v").unwrap();
    let value = Value { kind: Kind::Basic, fields: Fields::default() };
    let refused = vault.set(&Set::new(reference("s/k"), value));
    assert!(matches!(refused, Err(VaultError::Invalid { .. })));
}

#[test]
fn a_value_of_a_mebibyte_fits_and_one_byte_more_does_not() {
    let (_bench, vault) = Bench::new();
    let most = claviger_types::MAX_VALUE_BYTES;
    for length in [0, 1, most] {
        set(&vault, "s", &"x".repeat(length)).unwrap();
        assert_eq!(get(&vault, "s").unwrap().len(), length);
    }
    assert!(matches!(set(&vault, "s", &"x".repeat(most + 1)), Err(VaultError::Invalid { .. })));
}

#[test]
fn nothing_in_the_store_shows_a_value_or_a_name() {
    let (bench, vault) = Bench::new();
    set(&vault, "planted-service/planted-name", "planted-value").unwrap();
    let bytes: Vec<u8> = bench.copy().objects.into_iter().filter_map(|(_, bytes)| bytes).flatten().collect();
    let head = bench.store.head().unwrap().unwrap();
    for hay in [bytes, head] {
        assert!(!hay.windows(7).any(|window| window == b"planted"));
    }
}
