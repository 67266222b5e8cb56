//! A vault on a store in memory, for tests.

use crate::{Anchor, Host, MemoryHost, Parts, Pinned, Seen, Set, Silent, Vault, VaultError};
use claviger_store::{Fault, MemoryStore, Store, StoreError};
use claviger_token::{Token, software::SoftwareToken};
use claviger_types::{
    Clock, Digest, HostId, Key256, Kind, ManualClock, OsEntropy, RecipientId, Reference, Scheme, SecretBytes,
    Timestamp, Value, VaultId,
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU8, Ordering},
};

/// An anchor that lasts as long as the test. Its second part makes it fail: 1 when it is prepared, 2 when it is raised.
#[derive(Default, Clone)]
pub(crate) struct MemoryAnchor(pub(crate) Arc<Mutex<Option<Seen>>>, pub(crate) Arc<AtomicU8>);

fn unwritable() -> VaultError {
    let source = std::io::ErrorKind::StorageFull.into();
    VaultError::Anchor { location: "in memory".to_owned(), action: "raised", source }
}

impl Anchor for MemoryAnchor {
    fn location(&self) -> String {
        "in memory".to_owned()
    }

    fn read(&self) -> Result<Option<Seen>, VaultError> {
        Ok(*self.0.lock().unwrap())
    }

    fn prepare(&self) -> Result<(), VaultError> {
        match self.1.load(Ordering::SeqCst) {
            1 => Err(unwritable()),
            _ => Ok(()),
        }
    }

    fn raise(&self, to: Seen, create: bool) -> Result<(), VaultError> {
        if self.1.load(Ordering::SeqCst) == 2 {
            return Err(unwritable());
        }
        let mut seen = self.0.lock().unwrap();
        match *seen {
            None if !create => return Err(VaultError::RolledBack { what: "the anchor is gone".to_owned() }),
            Some(present) if present.epoch >= to.epoch => {}
            _ => *seen = Some(to),
        }
        Ok(())
    }

    fn reset(&self, to: Seen) -> Result<(), VaultError> {
        *self.0.lock().unwrap() = Some(to);
        Ok(())
    }
}

/// Everything a vault is made of, so that it can be opened again and again.
pub(crate) struct Bench {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) token: Arc<dyn Token>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) anchor: MemoryAnchor,
    pub(crate) pinned: Pinned,
    pub(crate) host: Arc<MemoryHost>,
}

impl Bench {
    /// A bench, and the vault that was made on it.
    pub(crate) fn new() -> (Self, Vault) {
        Self::with_scheme(Scheme::A256Kw)
    }

    pub(crate) fn with_scheme(scheme: Scheme) -> (Self, Vault) {
        let recipient = RecipientId::random(&OsEntropy).unwrap();
        let bench = Self {
            store: Arc::new(MemoryStore::new()),
            token: Arc::new(SoftwareToken::generate(recipient, scheme, Arc::new(OsEntropy)).unwrap()),
            clock: Arc::new(ManualClock::at(Timestamp::from_millis(1_800_000_000_000))),
            anchor: MemoryAnchor::default(),
            pinned: Pinned { vault: VaultId::random(&OsEntropy).unwrap(), recipient },
            host: Arc::new(MemoryHost::new(HostId::random(&OsEntropy).unwrap(), Vec::new())),
        };
        let vault = Vault::init(bench.parts(), Key256::random(&OsEntropy).unwrap()).unwrap();
        (bench, vault)
    }

    pub(crate) fn parts(&self) -> Parts {
        Parts {
            store: Arc::clone(&self.store) as Arc<dyn Store>,
            token: Arc::clone(&self.token),
            entropy: Arc::new(OsEntropy),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            anchors: vec![Box::new(self.anchor.clone())],
            pinned: self.pinned,
            host: Arc::clone(&self.host) as Arc<dyn Host>,
        }
    }

    /// The vault key that this host pins.
    pub(crate) fn fingerprint(&self) -> Digest {
        self.host.pins().unwrap().fingerprints[0]
    }

    pub(crate) fn open(&self) -> Result<Vault, VaultError> {
        Vault::open(self.parts())
    }

    /// A key on a token of its own, which is no recipient yet.
    pub(crate) fn beside(scheme: Scheme) -> Other {
        let recipient = RecipientId::random(&OsEntropy).unwrap();
        let token = SoftwareToken::generate(recipient, scheme, Arc::new(OsEntropy)).unwrap();
        Other { recipient, token: Arc::new(token) }
    }

    /// The vault, opened on this host by another token.
    pub(crate) fn open_by(&self, other: &Other) -> Result<Vault, VaultError> {
        let mut parts = self.parts();
        parts.token = Arc::clone(&other.token) as Arc<dyn Token>;
        parts.pinned.recipient = other.recipient;
        Vault::open(parts)
    }

    /// Everything that lies in the store, to be put back later.
    pub(crate) fn copy(&self) -> Copy {
        let ids: Vec<_> = self.store.list(None, usize::MAX).unwrap().iter().map(|listed| listed.id).collect();
        let bytes = self.store.get(&ids).unwrap();
        Copy { head: self.store.head().unwrap(), objects: ids.into_iter().zip(bytes).collect() }
    }

    /// Makes the store what it was.
    pub(crate) fn put_back(&self, copy: &Copy) {
        for listed in self.store.list(None, usize::MAX).unwrap() {
            self.store.tamper(listed.id, None);
        }
        for (id, bytes) in &copy.objects {
            self.store.tamper(*id, bytes.clone());
        }
        self.store.tamper_head(copy.head.clone());
    }
}

/// A token beside the bench's own.
pub(crate) struct Other {
    pub(crate) recipient: RecipientId,
    pub(crate) token: Arc<dyn Token>,
}

pub(crate) struct Copy {
    pub(crate) head: Option<Vec<u8>>,
    pub(crate) objects: Vec<(claviger_types::ObjectId, Option<Vec<u8>>)>,
}

pub(crate) fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

pub(crate) fn api_key(text: &str) -> Value {
    Value::single(Kind::ApiKey, SecretBytes::copy_of(text.as_bytes()))
}

pub(crate) fn set(vault: &Vault, at: &str, text: &str) -> Result<u64, VaultError> {
    let set = Set::new(reference(at), api_key(text));
    vault.set(&set).map(|written| written.version)
}

pub(crate) fn get(vault: &Vault, at: &str) -> Result<String, VaultError> {
    let credential = vault.get(&reference(at), None)?;
    let value = &credential.value.fields["value"];
    Ok(String::from_utf8(value.stored().expose().to_vec()).unwrap())
}

/// One of each thing that can happen to a call of the store.
pub(crate) fn faults() -> [fn() -> Fault; 4] {
    [
        || {
            Fault::Fail(StoreError::Unreachable {
                context: "a test".to_owned(),
                source: "no more room".into(),
            })
        },
        || Fault::CrashBefore,
        || Fault::CrashAfter,
        || Fault::LoseAnswer,
    ]
}

/// A vault with so many services, each with one credential.
pub(crate) fn filled(scheme: Scheme, services: usize) -> (Bench, Vault) {
    let (bench, vault) = Bench::with_scheme(scheme);
    for n in 0..services {
        set(&vault, &format!("service {n}"), &format!("value {n}")).unwrap();
    }
    (bench, vault)
}

/// That all of them can be read, that there are no others, and that nothing is damaged or left behind.
pub(crate) fn check(vault: &Vault, services: usize) {
    for n in 0..services {
        assert_eq!(get(vault, &format!("service {n}")).unwrap(), format!("value {n}"));
    }
    let report = vault.verify(&Silent).unwrap();
    assert_eq!((report.damage, report.garbage), (vec![], 0));
    assert_eq!(report.services, u64::try_from(services).unwrap());
}
