//! A whole vault is planted: the victim's id, the victim's public key as recipient, the attacker's vault key.

use crate::{
    bytes::{bytes, field, items, link, read, write},
    forge::{Impostor, Known},
    tools::{payload, roots},
    victim::Victim,
};
use claviger_envelope::{DataKey, DataKeyContext, DataKeyEnvelope, VaultKeys, codec::Value, mac_head};
use claviger_store::{SqliteStore, Store as _};
use claviger_token::{Token as _, Unwrapped};
use claviger_types::{
    Digest, HostId, Key256, Kind, ObjectId, OsEntropy, SecretBytes, ServiceId, SystemClock, Value as Secret,
};
use claviger_vault::{MemoryHost, Parts, Pinned, Set, Vault};
use std::sync::Arc;

/// The attacker's vault in the victim's store, as a successor of the head that the victim's anchor remembers.
struct Planted {
    victim: Victim,
    known: Known,
    key: DataKey,
    payload: Value,
}

impl Planted {
    fn new() -> Self {
        let victim = Victim::with_key_pair();
        let known = Known::of(&victim);
        let impostor = Arc::new(Impostor::of(&victim));
        let directory = victim.world.home().join("attacker");
        let store = Arc::new(SqliteStore::create(&directory.join("vault.db")).unwrap());
        let parts = Parts {
            store: store.clone(),
            token: impostor.clone(),
            entropy: Arc::new(OsEntropy),
            clock: Arc::new(SystemClock),
            anchors: Vec::new(),
            pinned: Pinned { vault: known.vault, recipient: known.recipient },
            host: Arc::new(MemoryHost::new(HostId::random(&OsEntropy).unwrap(), Vec::new())),
        };
        let vault = Vault::init(parts, Key256::random(&OsEntropy).unwrap()).unwrap();
        for reference in victim.values.keys().filter(|line| !line.contains(' ')) {
            let value = Secret::single(Kind::ApiKey, SecretBytes::copy_of(b"the attacker's"));
            let reference = reference.parse().unwrap();
            vault.set(&Set::new(reference, value)).unwrap();
        }

        let head = store.head().unwrap().unwrap();
        let ids: Vec<ObjectId> = store.list(None, 1000).unwrap().iter().map(|listed| listed.id).collect();
        for (id, found) in ids.iter().zip(store.get(&ids).unwrap()) {
            victim.store.put(*id, &found.unwrap());
        }
        let key = vault_key(&known, &impostor, &victim.store.get(roots(&head).0));
        let mut planted = Self { payload: read(payload(&head)), victim, known, key };
        planted.follow_the_victims_head();
        planted
    }

    /// Epoch and predecessor are such that no anchor of the victim can object.
    fn follow_the_victims_head(&mut self) {
        let head = self.victim.store.head();
        let Value::Integer(epoch) = *field(&mut read(payload(&head)), 2) else { panic!("no epoch") };
        *field(&mut self.payload, 2) = Value::Integer(epoch + 1);
        *field(&mut self.payload, 3) = bytes(Digest::of(&head).as_bytes());
        *field(&mut self.payload, 12) = field(&mut read(payload(&head)), 12).clone();
    }

    fn root(&mut self) -> &mut Vec<Value> {
        items(&mut items(field(&mut self.payload, 4))[0])
    }

    /// Makes the head, which claims to hang under a vault key with this id, and returns its digest.
    fn set_head(&self, claimed: &Digest) -> Digest {
        let keys = VaultKeys::derive(&self.key).unwrap();
        let head = mac_head(&keys.head, self.known.vault, claimed, &write(&self.payload)).unwrap();
        self.victim.store.set_head(&head);
        Digest::of(&head)
    }
}

fn vault_key(known: &Known, impostor: &Impostor, envelope: &[u8]) -> DataKey {
    let envelope = DataKeyEnvelope::parse(envelope).unwrap();
    let context = DataKeyContext { vault: known.vault, service: ServiceId::VAULT_KEY, n: 1 };
    let Unwrapped::Key(cek) = impostor.unwrap(&envelope.recipients()[0], &[]).unwrap() else {
        panic!("the attacker does not know his own key")
    };
    envelope.open(&cek, context, &envelope.kid()).unwrap()
}

/// Each step disguises the vault one step further; the last one bears the pinned fingerprint everywhere.
#[test]
fn a_vault_under_the_victims_public_key_is_refused_by_its_fingerprint() {
    let mut planted = Planted::new();
    let files = planted.victim.store.files();
    let (own, pinned) = (planted.key.kid(), planted.known.fingerprint);
    let foreign = format!("the vault's fingerprint is {own}, this host pins {pinned}");
    let says = [foreign.as_str(), "somebody planted this vault"];

    let head = planted.set_head(&own);
    planted.victim.all_refused(7, &says);
    // An administrator who can be made to trust that head does not trust its key.
    planted.victim.world.run(["trust", "--head", &head.to_string()]).fails(7, &says);

    planted.set_head(&pinned);
    planted.victim.all_refused(7, &says);

    planted.root()[0] = bytes(pinned.as_bytes());
    planted.set_head(&pinned);
    planted.victim.all_refused(7, &says);

    let forged = planted.known.envelope_as(&pinned, &planted.key, ServiceId::VAULT_KEY, 1);
    let at = planted.victim.store.add(&forged);
    planted.root()[1] = link(at, &forged);
    planted.set_head(&pinned);
    planted.victim.all_refused(7, &["the vault key cannot be opened", "the envelope does not open"]);

    planted.victim.store.restore(&files);
    planted.victim.assert_whole();
}

/// The vault that the attacker makes is a good one: whoever pinned its fingerprint, and not the victim's, reads it.
#[test]
fn only_the_pinned_fingerprint_keeps_a_planted_vault_out() {
    let planted = Planted::new();
    let (own, pinned) = (planted.key.kid(), planted.known.fingerprint);
    planted.set_head(&own);
    planted.victim.world.edit_config(|text| text.replace(&pinned.to_string(), &own.to_string()));
    assert_eq!(planted.victim.world.get("twice"), b"the attacker's");
}

#[test]
fn a_vault_of_another_users_making_is_refused_by_its_id() {
    let victim = Victim::with_key_pair();
    let files = victim.store.files();
    let attacker = victim.world.neighbour("attacker");
    attacker.init();
    attacker.set("twice", "the attacker's");
    let config = std::fs::read_to_string(attacker.config()).unwrap();
    let id = config.lines().find_map(|line| line.strip_prefix("vault = ")).unwrap().trim_matches('"');
    victim.store.restore(&crate::tools::Store::at(attacker.store()).files());
    victim.all_refused(7, &[&format!("the store holds the vault {id}, the configuration names ")]);
    victim.store.restore(&files);
    victim.assert_whole();
}
