use crate::{
    MemoryHost, Pinned, Vault, VaultError,
    testing::{Bench, get, set},
};
use claviger_token::{KeyDescription, Token, TokenError, Unwrapped};
use claviger_types::{Digest, HostId, Key256, OsEntropy, RecipientId, VaultId, WrappedCek};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Counts how often the token is asked.
struct Counting(Arc<dyn Token>, AtomicU64);

impl Token for Counting {
    fn describe(&self) -> &KeyDescription {
        self.0.describe()
    }

    fn wrap(&self, cek: &Key256, context: &[u8]) -> Result<WrappedCek, TokenError> {
        self.0.wrap(cek, context)
    }

    fn unwrap(&self, wrapped: &WrappedCek, context: &[u8]) -> Result<Unwrapped, TokenError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.unwrap(wrapped, context)
    }
}

#[test]
fn a_second_init_changes_nothing() {
    let (bench, vault) = Bench::new();
    set(&vault, "s", "value").unwrap();
    let again = Vault::init(bench.parts(), Key256::random(&OsEntropy).unwrap());
    assert!(matches!(again, Err(VaultError::VaultExists)));
    assert_eq!(get(&bench.open().unwrap(), "s").unwrap(), "value");
}

#[test]
fn a_foreign_vault_is_refused_before_the_token_is_asked() {
    let (bench, _vault) = Bench::new();
    let counting = Arc::new(Counting(Arc::clone(&bench.token), AtomicU64::new(0)));
    let open = |pinned: Pinned, pin: Digest| {
        let mut parts = bench.parts();
        parts.token = Arc::clone(&counting) as Arc<dyn Token>;
        parts.pinned = pinned;
        parts.host = Arc::new(MemoryHost::new(HostId::random(&OsEntropy).unwrap(), vec![pin]));
        Vault::open(parts)
    };
    let pin = bench.fingerprint();
    let other = Pinned { vault: VaultId::random(&OsEntropy).unwrap(), ..bench.pinned };
    assert!(matches!(open(other, pin), Err(VaultError::ForeignVault { .. })));
    let refused = open(bench.pinned, Digest::of(b"another key"));
    assert!(matches!(refused, Err(VaultError::ForeignFingerprint { .. })));
    let other = Pinned { recipient: RecipientId::random(&OsEntropy).unwrap(), ..bench.pinned };
    assert!(matches!(open(other, pin), Err(VaultError::NotARecipient)));
    assert_eq!(counting.1.load(Ordering::SeqCst), 0);
    assert!(open(bench.pinned, pin).is_ok());
    assert_eq!(counting.1.load(Ordering::SeqCst), 1, "one unwrap opens the vault");
}

#[test]
fn a_whole_planted_vault_is_refused() {
    let (bench, vault) = Bench::new();
    set(&vault, "s", "value").unwrap();
    let (mut planted, _) = Bench::new();
    planted.pinned.vault = bench.pinned.vault;
    // The planter knows the vault id, and has put a vault of their own in its place.
    bench.put_back(&planted.copy());
    let refused = bench.open();
    assert!(matches!(refused, Err(VaultError::ForeignVault { .. } | VaultError::ForeignFingerprint { .. })));
}

#[test]
fn every_changed_byte_of_the_head_is_refused() {
    let (bench, vault) = Bench::new();
    set(&vault, "s", "value").unwrap();
    let head = bench.copy().head.unwrap();
    for position in 0..head.len() {
        let mut bytes = head.clone();
        bytes[position] ^= 1;
        bench.store.tamper_head(Some(bytes));
        assert!(bench.open().is_err(), "byte {position}");
    }
    bench.store.tamper_head(Some(head));
    assert!(bench.open().is_ok());
}

#[test]
fn the_audit_key_is_kept() {
    let (bench, vault) = Bench::new();
    let key = vault.audit_key().unwrap();
    assert!(bench.open().unwrap().audit_key().unwrap().same_as(&key));
}

#[test]
fn a_newer_format_is_named_and_not_called_damaged() {
    let (bench, vault) = Bench::new();
    let mut payload = crate::format::HeadPayload::clone(&vault.fresh().unwrap().payload);
    for (format, newer) in [(2, true), (0, false)] {
        payload.format = format;
        let bytes = claviger_envelope::codec::to_vec(&payload).unwrap();
        let snapshot = vault.fresh().unwrap();
        let head =
            claviger_envelope::mac_head(&snapshot.keys.head, payload.vault, &bench.fingerprint(), &bytes);
        let copy = bench.copy();
        bench.store.tamper_head(Some(head.unwrap()));
        match bench.open() {
            Err(VaultError::NewerFormat { found: 2, supported: 1 }) => assert!(newer),
            Err(VaultError::Damaged { .. }) => assert!(!newer),
            other => panic!("{other:?}"),
        }
        bench.put_back(&copy);
    }
}
