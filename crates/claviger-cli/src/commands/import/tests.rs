use super::*;

fn references(names: &[&str]) -> Vec<Reference> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

#[test]
fn what_was_imported_is_counted() {
    let report = ImportReport {
        applied: true,
        created: references(&["a/api_key", "b/api_key"]),
        unchanged: 1,
        verified: 2,
        verified_by_token: 1,
        ..ImportReport::default()
    };
    assert_eq!(
        as_text(&report, 3, false),
        "imported 3 credentials: 2 new, 0 updated, 1 unchanged\n\
         2 opened again and compared, 1 data key unwrapped again by the token\n"
    );
}

#[test]
fn a_second_run_says_that_nothing_changed() {
    let report = ImportReport { unchanged: 1, ..ImportReport::default() };
    assert_eq!(as_text(&report, 1, false), "unchanged: the vault has all of 1 credential already\n");
}

#[test]
fn a_dry_run_and_a_refusal_list_what_they_mean() {
    let report = ImportReport {
        created: references(&["new%0Aline/api_key"]),
        updated: references(&["b/api_key"]),
        ..ImportReport::default()
    };
    assert_eq!(
        as_text(&report, 2, true),
        "new      new%0Aline/api_key\nupdates  b/api_key\nwould import 2 credentials: 1 new, 1 updated, 0 unchanged\n"
    );
    let report = ImportReport { differing: references(&["b/api_key"]), ..ImportReport::default() };
    assert_eq!(as_text(&report, 1, false), "differs  b/api_key\n");
}
