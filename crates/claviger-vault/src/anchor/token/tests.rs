use super::*;
use claviger_token::software::SoftwareAnchors;
use claviger_types::{Digest, OsEntropy};

fn seen(epoch: u64) -> Seen {
    Seen { epoch, digest: Digest::of(&epoch.to_be_bytes()) }
}

struct Lab {
    slot: Arc<SoftwareAnchors>,
    vault: VaultId,
    host: HostId,
    directory: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        Self {
            slot: Arc::new(SoftwareAnchors::new()),
            vault: VaultId::random(&OsEntropy).unwrap(),
            host: HostId::random(&OsEntropy).unwrap(),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn anchor(&self) -> TokenAnchor {
        let slot = Arc::clone(&self.slot) as Arc<dyn AnchorSlot>;
        TokenAnchor::new(slot, self.vault, self.host, self.directory.path().join("deep/lock"))
    }
}

#[test]
fn is_raised_to_milestones_and_never_lowered() {
    let lab = Lab::new();
    let anchor = lab.anchor();
    assert!(matches!(anchor.raise(seen(1), false), Err(VaultError::RolledBack { .. })), "not by itself");
    anchor.raise(anchor.target(seen(1), None), true).unwrap();
    for epoch in 2..=64 {
        anchor.raise(anchor.target(seen(epoch), Some(seen(1))), false).unwrap();
        assert_eq!(lab.anchor().read().unwrap(), Some(seen(1)), "a token wears out by writing");
    }
    anchor.raise(anchor.target(seen(65), Some(seen(64))), false).unwrap();
    assert_eq!(lab.anchor().read().unwrap(), Some(seen(64)));
    anchor.settle(seen(70)).unwrap();
    assert_eq!(anchor.target(seen(71), Some(seen(64))), seen(70));
    assert_eq!(lab.anchor().read().unwrap(), Some(seen(70)));
    anchor.settle(seen(66)).unwrap();
    lab.anchor().settle(seen(60)).unwrap();
    assert_eq!(lab.anchor().read().unwrap(), Some(seen(70)));
    anchor.reset(seen(3)).unwrap();
    assert_eq!(lab.anchor().read().unwrap(), Some(seen(3)), "an administrator may");
}

#[test]
fn of_two_values_the_higher_counts_and_nonsense_is_an_error() {
    let lab = Lab::new();
    lab.anchor().raise(seen(5), true).unwrap();
    let name = format!("claviger anchor {} {}", lab.vault, lab.host);
    lab.slot.keep_also(&name, seen(9).line().as_bytes());
    assert_eq!(lab.anchor().read().unwrap(), Some(seen(9)));
    lab.anchor().settle(seen(10)).unwrap();
    assert_eq!(lab.slot.read(&name).unwrap().len(), 1, "the left-over goes with the next");
    lab.slot.keep_also(&name, b"nonsense");
    assert!(matches!(lab.anchor().read(), Err(VaultError::Anchor { .. })));
    lab.anchor().remove().unwrap();
    assert_eq!(lab.anchor().read().unwrap(), None);
}

#[test]
fn sixteen_raisers_leave_the_highest() {
    let lab = Lab::new();
    lab.anchor().raise(seen(1), true).unwrap();
    std::thread::scope(|scope| {
        for raiser in 0..16 {
            let lab = &lab;
            scope.spawn(move || {
                for epoch in (raiser..160).step_by(16) {
                    lab.anchor().settle(seen(epoch)).unwrap();
                }
            });
        }
    });
    assert_eq!(lab.anchor().read().unwrap(), Some(seen(159)));
}

/// A slot on a token that has no more room.
#[derive(Debug)]
struct Full(SoftwareAnchors);

impl AnchorSlot for Full {
    fn location(&self) -> String {
        self.0.location()
    }

    fn read(&self, name: &str) -> Result<Vec<Vec<u8>>, TokenError> {
        self.0.read(name)
    }

    fn write(&self, _name: &str, _value: &[u8]) -> Result<(), TokenError> {
        Err(TokenError::TokenFull)
    }

    fn remove(&self, name: &str) -> Result<(), TokenError> {
        self.0.remove(name)
    }
}

#[test]
fn a_full_token_keeps_its_anchor_and_the_vault_in_use() {
    let lab = Lab::new();
    let full = TokenAnchor::new(
        Arc::new(Full(SoftwareAnchors::clone(&lab.slot))),
        lab.vault,
        lab.host,
        lab.directory.path().join("lock"),
    );
    let none = full.raise(seen(1), true);
    assert!(matches!(none, Err(VaultError::Token(TokenError::TokenFull))), "none at all is another thing");
    lab.anchor().raise(seen(1), true).unwrap();
    full.raise(seen(64), false).unwrap();
    assert_eq!(full.read().unwrap(), Some(seen(1)));
}
