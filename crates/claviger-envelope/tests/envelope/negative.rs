//! Changed golden files, each with the class of failure that it must end in: `vectors/negative.json`.

use super::{
    golden,
    manifest::{Entry, Failure},
};
use claviger_envelope::DataKeyEnvelope;
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// The golden file that is changed.
    file: String,
    edit: Edit,
    /// The variant of the error, or what stopped the opening before.
    expect: String,
}

/// What is done to the file's hexadecimal digits, in this order.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    /// Each text, which must occur once, gives way to another.
    #[serde(default)]
    replace: Vec<(String, String)>,
    #[serde(default)]
    append: String,
    /// All after so many bytes is cut off.
    truncate: Option<usize>,
    /// The file is opened in the place where this one belongs.
    place_of: Option<String>,
}

impl Edit {
    fn apply(&self, bytes: &[u8]) -> Vec<u8> {
        let mut hex = hex::encode(bytes);
        for (old, new) in &self.replace {
            assert_eq!(hex.matches(old).count(), 1, "{old} must occur once");
            hex = hex.replace(old, new);
        }
        hex.push_str(&self.append);
        hex.truncate(self.truncate.map_or(hex.len(), |length| 2 * length));
        hex::decode(hex).expect("an edit that leaves whole bytes")
    }
}

#[test]
fn every_changed_file_fails_as_declared() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/negative.json");
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(cases.len() > 150);
    let manifest = golden::manifest();
    let place_of = |file: &str| -> Entry<'_> {
        manifest.entries().into_iter().find(|entry| entry.envelope().is_file(file)).expect("a golden file")
    };
    let mut wrong = Vec::new();
    for case in &cases {
        let bytes = std::fs::read(golden::directory().join(&case.file)).unwrap();
        let place = place_of(case.edit.place_of.as_ref().unwrap_or(&case.file));
        let changed = case.edit.apply(&bytes);
        let outcome = manifest.open(place, &changed);
        let class = outcome.map_or_else(Failure::class, |()| "Opened".to_owned());
        if matches!(place, Entry::DataKey(_))
            && ["Malformed", "UnsupportedFormat", "UnsupportedAlgorithm"].contains(&&*class)
        {
            assert!(
                DataKeyEnvelope::parse(&changed).is_err(),
                "{}: the token would have been asked",
                case.name
            );
        }
        if class != case.expect {
            wrong.push(format!("{}: {outcome:?} instead of {}", case.name, case.expect));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
