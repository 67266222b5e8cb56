use super::*;
use claviger_types::OsEntropy;
use std::collections::HashSet;

#[test]
fn ids_of_one_draft_lie_together_and_none_recurs() {
    let mut all = HashSet::new();
    let mut beginnings = HashSet::new();
    for _ in 0..20 {
        let mut draft = Draft::default();
        for _ in 0..50 {
            all.insert(draft.put(vec![1], &OsEntropy).unwrap().id);
        }
        let own: HashSet<_> = draft.puts.iter().map(|object| object.id.as_bytes()[..4].to_vec()).collect();
        assert_eq!(own.len(), 1);
        beginnings.extend(own);
    }
    assert_eq!((all.len(), beginnings.len()), (1000, 20));
}
