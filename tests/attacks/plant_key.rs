//! A data key that the attacker knows is planted: whoever has a recipient's public key can make an envelope for it.

use crate::{
    bytes::{bytes, held, items, link},
    forge::Known,
    tools::{Kind, Object, index_link},
    tree::{relink, way_to},
    victim::Victim,
};
use claviger_envelope::{ContentAlg, CredentialContext, DataKey, seal_credential};
use claviger_types::{CredentialId, Digest, Kind as Shape, OsEntropy, SecretBytes, ServiceId, Value};

/// What the attacker has found of one service: its leaf, and the objects that a `set` made.
struct Target {
    victim: Victim,
    known: Known,
    leaf: crate::tree::Step,
    way: Vec<crate::tree::Step>,
    service: ServiceId,
    kid: Digest,
    data_key: Object,
    credential: Object,
}

impl Target {
    fn new() -> Self {
        let mut victim = Victim::with_key_pair();
        let before = victim.store.all();
        victim.set("target", "the victim's");
        let made = victim.store.since(&before);
        let find = |kind| made.iter().find(|object| object.kind == kind).unwrap().clone();
        let mut way = way_to(&victim.store, find(Kind::Service).id);
        let leaf = way.pop().unwrap();
        let mut entry = leaf.entry();
        let fields = items(&mut entry);
        let service = ServiceId::try_from(held(&fields[2])).unwrap();
        let kid = Digest::try_from(held(&items(&mut items(&mut fields[4])[0])[1])).unwrap();
        let (data_key, credential) = (find(Kind::DataKey), find(Kind::Credential));
        Self { known: Known::of(&victim), victim, leaf, way, service, kid, data_key, credential }
    }

    /// A credential with the attacker's value under a key of his. Its id lies sealed; a guess has to do.
    fn plant_credential(&self, key: &DataKey) {
        let credential = CredentialId::random(&OsEntropy).unwrap();
        let context = CredentialContext { vault: self.known.vault, service: self.service, credential, n: 1 };
        let value = Value::single(Shape::ApiKey, SecretBytes::copy_of(b"the attacker's"));
        let envelope = seal_credential(key, context, &value, &OsEntropy).unwrap();
        self.victim.store.put(self.credential.id, &envelope);
    }

    fn restore(&self) {
        self.victim.store.put(self.data_key.id, &self.data_key.bytes);
        self.victim.store.put(self.credential.id, &self.credential.bytes);
        self.victim.assert_whole();
    }
}

fn known_key() -> DataKey {
    DataKey::generate(ContentAlg::A256Gcm, &OsEntropy).unwrap()
}

#[test]
fn a_data_key_in_the_place_of_the_services_own_is_refused() {
    let target = Target::new();
    let key = known_key();
    let (honest, _) = target.known.envelope(&key, target.service, 1);
    let disguised = target.known.envelope_as(&target.kid, &key, target.service, 1);
    for envelope in [honest, disguised] {
        target.victim.store.put(target.data_key.id, &envelope);
        target.victim.assert_only(&target.data_key, "altered");
        target.plant_credential(&key);
        let refused = target.victim.refused();
        assert_eq!(refused.keys().copied().collect::<Vec<_>>(), ["target"]);
        let damage = target.victim.damage();
        let whats: Vec<_> =
            damage.iter().map(|found| (found.what.as_str(), found.service.as_deref())).collect();
        assert_eq!(whats, [("data key", Some("target")), ("credential", Some("target"))]);
        // What the victim writes next is not sealed under the attacker's key.
        let says = format!("the data key object {} is altered", target.data_key.id);
        target.victim.refuses_to_write("target", &[&says]);
        target.restore();
    }
}

#[test]
fn a_data_key_that_the_index_was_made_to_name_needs_the_head_and_fails_its_mac() {
    let mut target = Target::new();
    let head = target.victim.store.head();
    let key = known_key();
    let (envelope, _) = target.known.envelope(&key, target.service, 1);
    let planted = link(target.victim.store.add(&envelope), &envelope);
    let mut entry = target.leaf.entry();
    let first = items(&mut items(&mut items(&mut entry)[4])[0]);
    first[1] = bytes(key.kid().as_bytes());
    first[3] = planted;
    target.plant_credential(&key);
    target.way.push(target.leaf);
    let root = relink(&target.victim.store, &target.way, entry);
    target.victim.store.edit_head(|payload| *index_link(payload) = root);
    target.victim.all_refused(7, &["the vault is damaged or was tampered with: the head's MAC does not fit"]);
    target.victim.store.set_head(&head);
    target.victim.store.put(target.credential.id, &target.credential.bytes);
    target.victim.assert_whole();
}
