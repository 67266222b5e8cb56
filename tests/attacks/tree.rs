//! The index in the hands of an attacker: its nodes can be read and written without any key.

use crate::{
    bytes::{items, link, linked, read, write},
    tools::{Store, roots},
};
use claviger_envelope::codec::Value;
use claviger_types::ObjectId;

/// A node on the way to a leaf: where it lies, what it holds, and at which of its sixteen places the way goes on.
pub(crate) struct Step {
    pub(crate) id: ObjectId,
    node: Value,
    place: usize,
}

/// The way from the root to the leaf of the service whose object this is.
pub(crate) fn way_to(store: &Store, service: ObjectId) -> Vec<Step> {
    let mut way = Vec::new();
    assert!(search(store, roots(&store.head()).1.unwrap(), service, &mut way), "no leaf links to {service}");
    way
}

fn search(store: &Store, id: ObjectId, service: ObjectId, way: &mut Vec<Step>) -> bool {
    let mut node = read(&store.get(id));
    for place in 0..16 {
        let mut entry = items(&mut items(&mut node)[2])[place].clone();
        if entry == Value::Null {
            continue;
        }
        way.push(Step { id, node: node.clone(), place });
        let entry = items(&mut entry);
        let found = match entry[0] {
            Value::Integer(0) => search(store, linked(&entry[1]), service, way),
            _ => linked(&entry[3]) == service,
        };
        if found {
            return true;
        }
        way.pop();
    }
    false
}

impl Step {
    /// The node's bytes with something else in that place.
    pub(crate) fn with(&self, entry: Value) -> Vec<u8> {
        let mut node = self.node.clone();
        items(&mut items(&mut node)[2])[self.place] = entry;
        write(&node)
    }

    /// The node's bytes with nothing in it.
    pub(crate) fn emptied(&self) -> Vec<u8> {
        let mut node = self.node.clone();
        items(&mut items(&mut node)[2]).fill(Value::Null);
        write(&node)
    }

    /// What is in that place: the leaf, if this is the last step.
    pub(crate) fn entry(&self) -> Value {
        items(&mut items(&mut self.node.clone())[2])[self.place].clone()
    }
}

/// Puts new nodes for the whole way, with this instead of the leaf, and returns the link to the new root.
pub(crate) fn relink(store: &Store, way: &[Step], mut entry: Value) -> Value {
    let mut root = Value::Null;
    for step in way.iter().rev() {
        let node = step.with(entry);
        root = link(store.add(&node), &node);
        entry = Value::Array(vec![Value::Integer(0), root.clone()]);
    }
    root
}
