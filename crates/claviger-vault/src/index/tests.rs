use super::*;
use crate::{
    format::{KeyRecord, KeyState},
    session::Step,
    testing::Bench,
};
use claviger_store::Store;
use claviger_types::{ObjectId, OsEntropy, ServiceId};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn leaf(name: Digest, mark: u64) -> Leaf {
    let link = Link::to(ObjectId::random(&OsEntropy).unwrap(), b"nothing");
    let key = KeyRecord { n: 1, kid: name, state: KeyState::Active, envelope: link, seals: mark };
    Leaf { name, service: ServiceId::from_bytes([1; 16]), object: link, keys: vec![key] }
}

/// Names that share long prefixes, as random ones never would.
fn name(seed: u16) -> Digest {
    let mut bytes = [0; 32];
    bytes[30..].copy_from_slice(&seed.to_be_bytes());
    if seed.is_multiple_of(3) {
        bytes[0] = 0x80;
    }
    Digest::from_bytes(bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any sequence of batches leaves the tree that a map would be, with no node too many.
    #[test]
    fn batches_of_changes_leave_what_a_map_would_hold(
        batches in prop::collection::vec(prop::collection::btree_map(0_u16..40, any::<Option<u8>>(), 1..12), 1..6),
    ) {
        let (bench, vault) = Bench::new();
        let overhead = bench.store.list(None, usize::MAX).unwrap().len();
        let mut model: BTreeMap<Digest, u64> = BTreeMap::new();
        for batch in &batches {
            let changes: Vec<Change> = batch
                .iter()
                .map(|(seed, mark)| (name(*seed), mark.map(|mark| leaf(name(*seed), u64::from(mark)))))
                .collect();
            for (name, leaf) in &changes {
                match leaf {
                    Some(leaf) => model.insert(*name, leaf.keys[0].seals),
                    None => model.remove(name),
                };
            }
            vault.write(|snapshot, draft, _| {
                let index = edit(snapshot, changes.clone(), draft, &OsEntropy)?;
                Ok(Step::Commit(snapshot.with_index(index), ()))
            }).unwrap();
        }
        let snapshot = vault.fresh().unwrap();
        for seed in 0..40 {
            let found = find(&snapshot, &name(seed)).unwrap().map(|leaf| leaf.keys[0].seals);
            prop_assert_eq!(found, model.get(&name(seed)).copied());
        }
        let mut walked = BTreeMap::new();
        let mut nodes = 0;
        walk(
            &snapshot,
            &mut |leaf| { walked.insert(leaf.name, leaf.keys[0].seals); Ok(()) },
            &mut |_| { nodes += 1; Ok(()) },
            &mut |_, error| Err(error),
        ).unwrap();
        prop_assert_eq!(walked, model);
        let heads = batches.len();
        prop_assert_eq!(bench.store.list(None, usize::MAX).unwrap().len(), overhead + heads + nodes);
    }
}
