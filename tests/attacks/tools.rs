//! What an attacker does to a store: reads and writes its SQLite file, and keeps copies of it.

use crate::bytes::{field, items, linked, read, write};
use claviger_envelope::UnverifiedHead;
use claviger_envelope::codec::Value;
use claviger_types::{ObjectId, OsEntropy};
use rusqlite::Connection;
use std::{collections::BTreeMap, fs, path::PathBuf};

/// What an object is, as far as its bytes and the links to it tell without any key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    VaultKey,
    Recipients,
    AuditKey,
    Root,
    Node,
    Service,
    Page,
    DataKey,
    Credential,
    PastHead,
}

impl Kind {
    pub(crate) const ALL: [Self; 10] = [
        Self::VaultKey,
        Self::Recipients,
        Self::AuditKey,
        Self::Root,
        Self::Node,
        Self::Service,
        Self::Page,
        Self::DataKey,
        Self::Credential,
        Self::PastHead,
    ];

    /// What the program calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::VaultKey => "vault key",
            Self::Recipients => "recipients",
            Self::AuditKey => "audit key",
            Self::Root | Self::Node => "index node",
            Self::Service => "service",
            Self::Page => "service page",
            Self::DataKey => "data key",
            Self::Credential => "credential",
            Self::PastHead => "head",
        }
    }
}

/// An object as it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) id: ObjectId,
    pub(crate) bytes: Vec<u8>,
    pub(crate) kind: Kind,
}

/// The store's file in the hands of somebody who needs no leave.
pub(crate) struct Store {
    path: PathBuf,
}

impl Store {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    fn open(&self) -> Connection {
        Connection::open(&self.path).unwrap()
    }

    /// Everything that lies there, and what it is.
    pub(crate) fn objects(&self) -> Vec<Object> {
        let head = self.head();
        let objects = self.all().into_iter();
        objects.map(|(id, bytes)| Object { id, kind: kind(&head, id, &bytes), bytes }).collect()
    }

    /// Everything by its id.
    pub(crate) fn all(&self) -> BTreeMap<ObjectId, Vec<u8>> {
        let database = self.open();
        let mut statement = database.prepare("SELECT id, bytes FROM object").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?))).unwrap();
        rows.map(|row| row.map(|(id, bytes)| (ObjectId::try_from(id.as_slice()).unwrap(), bytes)).unwrap())
            .collect()
    }

    /// The objects that are there and were not in an earlier copy.
    pub(crate) fn since(&self, before: &BTreeMap<ObjectId, Vec<u8>>) -> Vec<Object> {
        let mut objects = self.objects();
        objects.retain(|object| !before.contains_key(&object.id));
        objects
    }

    pub(crate) fn get(&self, id: ObjectId) -> Vec<u8> {
        let sql = "SELECT bytes FROM object WHERE id = ?1";
        self.open().query_row(sql, [id.as_bytes().as_slice()], |row| row.get(0)).unwrap()
    }

    /// Puts these bytes under this id, in place of what was there.
    pub(crate) fn put(&self, id: ObjectId, bytes: &[u8]) {
        let sql = "INSERT INTO object (id, created, bytes) VALUES (?1, 0, ?2) \
                   ON CONFLICT (id) DO UPDATE SET bytes = ?2";
        assert_eq!(self.open().execute(sql, (id.as_bytes().as_slice(), bytes)).unwrap(), 1);
    }

    /// Puts these bytes under an id of their own.
    pub(crate) fn add(&self, bytes: &[u8]) -> ObjectId {
        let id = ObjectId::random(&OsEntropy).unwrap();
        self.put(id, bytes);
        id
    }

    pub(crate) fn delete(&self, id: ObjectId) {
        let sql = "DELETE FROM object WHERE id = ?1";
        assert_eq!(self.open().execute(sql, [id.as_bytes().as_slice()]).unwrap(), 1);
    }

    pub(crate) fn head(&self) -> Vec<u8> {
        self.open().query_row("SELECT bytes FROM head", [], |row| row.get(0)).unwrap()
    }

    pub(crate) fn set_head(&self, bytes: &[u8]) {
        assert_eq!(self.open().execute("UPDATE head SET bytes = ?1", [bytes]).unwrap(), 1);
    }

    /// Runs SQL of any kind.
    pub(crate) fn run(&self, sql: &str) {
        self.open().execute_batch(sql).unwrap();
    }

    /// The head with another payload and the old MAC, which is all that one can do without the vault key.
    pub(crate) fn edit_head(&self, edit: impl FnOnce(&mut Value)) {
        let head = self.head();
        let old = payload(&head);
        let mut new = read(old);
        edit(&mut new);
        let new = write(&new);
        let at = head.windows(old.len()).position(|part| part == old).unwrap();
        let (before, after) = (&head[..at - length_head(old.len()).len()], &head[at + old.len()..]);
        self.set_head(&[before, &length_head(new.len()), &new, after].concat());
    }

    /// All files of the store as they are, to be put back later.
    pub(crate) fn files(&self) -> Files {
        let read = |suffix: &str| {
            let path = self.beside(suffix);
            fs::read(&path).ok().map(|bytes| (path, bytes))
        };
        Files(["", "-wal", "-shm"].into_iter().filter_map(read).collect())
    }

    /// Puts a copy in the place of what is there.
    pub(crate) fn restore(&self, files: &Files) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(self.beside(suffix));
        }
        for (path, bytes) in &files.0 {
            let name = path.file_name().unwrap();
            let to = self.path.with_file_name(name);
            fs::write(&to, bytes).unwrap();
            claviger_tests::mode(&to, 0o600);
        }
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        self.path.with_file_name(format!("{}{suffix}", self.path.file_name().unwrap().display()))
    }
}

/// A copy of the store's files.
pub(crate) struct Files(Vec<(PathBuf, Vec<u8>)>);

/// The payload of a head, which nobody has proven.
pub(crate) fn payload(head: &[u8]) -> &[u8] {
    UnverifiedHead::parse(head).unwrap().payload_unverified()
}

/// The link to the index in a head's payload.
pub(crate) fn index_link(payload: &mut Value) -> &mut Value {
    &mut items(&mut items(field(payload, 4))[0])[2]
}

/// The links of a head's only root: vault key envelope, and index where there is one.
pub(crate) fn roots(head: &[u8]) -> (ObjectId, Option<ObjectId>) {
    let mut payload = read(payload(head));
    let root = items(&mut items(field(&mut payload, 4))[0]).clone();
    (linked(&root[1]), (root[2] != Value::Null).then(|| linked(&root[2])))
}

fn kind(head: &[u8], id: ObjectId, bytes: &[u8]) -> Kind {
    let (vault_key, index) = roots(head);
    let says = |typ: &str| {
        let typ = format!("application/vnd.claviger.{typ}+cose");
        bytes.windows(typ.len()).any(|part| part == typ.as_bytes())
    };
    let typed = [
        ("head", Kind::PastHead),
        ("recipients", Kind::Recipients),
        ("audit-key", Kind::AuditKey),
        ("service", Kind::Service),
        ("page", Kind::Page),
        ("dek", Kind::DataKey),
        ("credential", Kind::Credential),
    ];
    if id == vault_key {
        return Kind::VaultKey;
    }
    if Some(id) == index {
        return Kind::Root;
    }
    typed.into_iter().find(|(typ, _)| says(typ)).map_or(Kind::Node, |(_, kind)| kind)
}

/// How CBOR begins a byte string of this length.
fn length_head(length: usize) -> Vec<u8> {
    let whole = write(&crate::bytes::bytes(vec![0; length]));
    whole[..whole.len() - length].to_vec()
}
