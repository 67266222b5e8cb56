//! The corpus, replayed on stable Rust: as it is, and mutated by a seeded generator.

use claviger_envelope::UnverifiedSuccession;
use claviger_fuzz::TARGETS;
use claviger_vault::untrusted;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Mutations of each target in an ordinary run; `CLAVIGER_MUTATIONS` asks for another number, and each number goes
/// further along the same stream.
const MUTATIONS: usize = 5_000;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a directory in a fixed order.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let paths: BTreeSet<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.into_iter().collect()
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let files = files(&root().join("corpus").join(target));
    files.iter().map(|file| std::fs::read(file).expect("a seed")).collect()
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let targets: BTreeSet<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    let stems = |directory: &str| -> BTreeSet<String> {
        let files = files(&root().join(directory));
        files.iter().map(|file| file.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
    };
    let names: BTreeSet<String> = targets.iter().map(ToString::to_string).collect();
    assert_eq!(stems("fuzz_targets"), names);
    assert_eq!(stems("corpus"), names);
    for target in targets {
        assert!(!seeds(target).is_empty(), "{target} has no seeds");
    }
}

#[test]
fn the_corpus_holds() {
    for (name, target) in TARGETS {
        for seed in seeds(name) {
            target(&seed);
        }
    }
}

/// Mutations of what no parser takes reach little; when a format changes, its seeds have to follow.
#[test]
fn seeds_of_stored_structures_are_of_todays_format() {
    let parsers: [(&str, fn(&[u8]) -> bool); 7] = [
        ("head_payload", untrusted::head_payload),
        ("index_node", untrusted::index_node),
        ("service", untrusted::service),
        ("recipients", untrusted::recipients),
        ("job", untrusted::job),
        ("token_host", |bytes| claviger_token::host::reads(bytes).contains(&true)),
        ("succession", |bytes| UnverifiedSuccession::parse(bytes).is_ok()),
    ];
    for (target, parser) in parsers {
        for file in files(&root().join("corpus").join(target)) {
            let seed = std::fs::read(&file).expect("a seed");
            assert!(parser(&seed), "{} is none", file.display());
        }
    }
}

/// Each is one of the things that a card says.
#[test]
fn seeds_of_answers_are_answers() {
    for file in files(&root().join("corpus/piv_answers")) {
        let seed = std::fs::read(&file).expect("a seed");
        let is_admin_data = file.ends_with("admin-data");
        assert!(
            is_admin_data || claviger_token::piv::reads(&seed).contains(&true),
            "{} is none",
            file.display()
        );
    }
}

/// They are of real YubiKeys.
#[test]
fn seeds_of_attestations_attest() {
    for file in files(&root().join("corpus/piv_attestation")) {
        let seed = std::fs::read(&file).expect("a seed");
        assert!(claviger_fuzz::attests(&seed), "{} does not", file.display());
    }
}

#[test]
fn mutations_of_the_corpus_hold() {
    let mutations = std::env::var("CLAVIGER_MUTATIONS");
    let mutations = mutations.map_or(MUTATIONS, |number| number.parse().expect("a number"));
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        for round in 0..mutations {
            let mutated = random.mutate(&seeds[round % seeds.len()], &seeds);
            target(&mutated);
        }
    }
}

/// Marsaglia's xorshift64: the same mutations in every run, so that a failure comes again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).expect("a bound");
        usize::try_from(self.next() % bound).expect("below a usize")
    }

    fn byte(&mut self) -> u8 {
        /// Heads and limits that parsers of CBOR, JSON and text trip over.
        const TELLING: &[u8] = b"\x00\x17\x18\x19\x1a\x1b\x1f\x20\x3b\x40\x58\x5b\x5f\x60\x7f\x80\x9b\xa0\xbf\xc0\xf6\xf9\xfb\xff{}[]\"\\%/:;?=,'-+.e0\n";
        let any = self.next().to_le_bytes()[0];
        if any < 128 { TELLING[self.below(TELLING.len())] } else { self.next().to_le_bytes()[0] }
    }

    /// One to four changes of a seed.
    fn mutate(&mut self, seed: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = (at + 1 + self.below(16)).min(bytes.len());
            match self.below(7) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => bytes[at] = self.byte(),
                2 => bytes.insert(at, self.byte()),
                3 if at < end => drop(bytes.drain(at..end)),
                4 => bytes.truncate(at),
                5 if at < end => {
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
                _ => {
                    let other = &others[self.below(others.len())];
                    let from = self.below(other.len() + 1);
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[from..]);
                }
            }
        }
        bytes
    }
}
