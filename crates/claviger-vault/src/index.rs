//! Walking and changing the index tree.

use crate::{
    VaultError,
    draft::Draft,
    format::{Entry, Leaf, Node, node::nibbles},
    snapshot::Snapshot,
};
use claviger_types::{Digest, Entropy, Link};

/// How many nodes a walk through the tree reads at once.
const NODES_AT_ONCE: usize = 64;

/// One change to the index: the service's new leaf, or `None` to take it out.
pub(crate) type Change = (Digest, Option<Leaf>);

/// Finds a leaf. `None` is proven by the path: a place that is empty, or holds another service.
pub(crate) fn find(snapshot: &Snapshot, name: &Digest) -> Result<Option<Leaf>, VaultError> {
    let Some(mut link) = snapshot.root.index else { return Ok(None) };
    let mut prefix = Vec::new();
    for nibble in nibbles(name) {
        let node = snapshot.node(&link, &prefix)?;
        match node.entries.get(usize::from(nibble)).and_then(Option::as_ref) {
            Some(Entry::Node(child)) => link = *child,
            Some(Entry::Leaf(leaf)) if leaf.name == *name => return Ok(Some(Leaf::clone(leaf))),
            _ => return Ok(None),
        }
        prefix.push(nibble);
    }
    Err(too_deep())
}

/// Calls `visit` with every leaf and `reached` with every node's link, in no order that means anything; `damaged`
/// decides what becomes of a node that cannot be read.
fn walk(
    snapshot: &Snapshot,
    visit: &mut dyn FnMut(Leaf) -> Result<(), VaultError>,
    reached: &mut dyn FnMut(&Link) -> Result<(), VaultError>,
    damaged: &mut dyn FnMut(&Link, VaultError) -> Result<(), VaultError>,
) -> Result<(), VaultError> {
    let Some(root) = snapshot.root.index else { return Ok(()) };
    let mut pending = vec![(root, Vec::new())];
    while !pending.is_empty() {
        let batch = pending.split_off(pending.len().saturating_sub(NODES_AT_ONCE));
        for ((link, prefix), node) in batch.iter().zip(snapshot.nodes(&batch)) {
            reached(link)?;
            let node = match node {
                Ok(node) => node,
                Err(error) => {
                    damaged(link, error)?;
                    continue;
                }
            };
            for (nibble, entry) in (0_u8..).zip(&node.entries) {
                match entry {
                    Some(Entry::Node(child)) => {
                        let mut path = prefix.clone();
                        path.push(nibble);
                        pending.push((*child, path));
                    }
                    Some(Entry::Leaf(leaf)) => visit(Leaf::clone(leaf))?,
                    None => {}
                }
            }
        }
    }
    Ok(())
}

/// Everything in a tree, so that it can be gone through while something else is borrowed.
#[derive(Default)]
pub(crate) struct Everything {
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) nodes: Vec<Link>,
    /// The nodes that cannot be read, which are among `nodes` too, and why.
    pub(crate) broken: Vec<(Link, VaultError)>,
}

/// Everything that can be reached.
pub(crate) fn everything(snapshot: &Snapshot) -> Result<Everything, VaultError> {
    let Everything { mut leaves, mut nodes, mut broken } = Everything::default();
    walk(
        snapshot,
        &mut |leaf| {
            leaves.push(leaf);
            Ok(())
        },
        &mut |link| {
            nodes.push(*link);
            Ok(())
        },
        &mut |link, error| {
            broken.push((*link, error));
            Ok(())
        },
    )?;
    Ok(Everything { leaves, nodes, broken })
}

/// Every leaf; the first node that cannot be read ends it.
pub(crate) fn leaves(
    snapshot: &Snapshot,
    visit: &mut dyn FnMut(Leaf) -> Result<(), VaultError>,
) -> Result<(), VaultError> {
    walk(snapshot, visit, &mut |_| Ok(()), &mut |_, error| Err(error))
}

/// The first `limit` leaves after a place, in the order of the index. What lies before the place is not read.
pub(crate) fn after(
    snapshot: &Snapshot,
    place: Option<&Digest>,
    limit: usize,
) -> Result<Vec<Leaf>, VaultError> {
    let mut found = Vec::new();
    let path: Vec<u8> = place.map(|place| nibbles(place).collect()).unwrap_or_default();
    if let Some(root) = &snapshot.root.index {
        collect_after(
            snapshot,
            root,
            &mut Vec::new(),
            place.map(|place| (place, path.as_slice())),
            limit,
            &mut found,
        )?;
    }
    Ok(found)
}

fn collect_after(
    snapshot: &Snapshot,
    link: &Link,
    prefix: &mut Vec<u8>,
    bound: Option<(&Digest, &[u8])>,
    limit: usize,
    found: &mut Vec<Leaf>,
) -> Result<(), VaultError> {
    let node = snapshot.node(link, prefix)?;
    // Only the child on the way to the place is bounded by it; those before are done, those after are not.
    let first = bound.and_then(|(_, path)| path.get(prefix.len()).copied()).unwrap_or(0);
    for (nibble, entry) in (0_u8..).zip(&node.entries).skip(usize::from(first)) {
        if found.len() >= limit {
            return Ok(());
        }
        let bound = bound.filter(|_| nibble == first);
        match entry {
            Some(Entry::Leaf(leaf)) if bound.is_none_or(|(place, _)| leaf.name > *place) => {
                found.push(Leaf::clone(leaf));
            }
            Some(Entry::Node(child)) => {
                prefix.push(nibble);
                collect_after(snapshot, child, prefix, bound, limit, found)?;
                prefix.pop();
            }
            Some(Entry::Leaf(_)) | None => {}
        }
    }
    Ok(())
}

/// The index with these changes: new nodes go into the draft, replaced ones out. Only the nodes on the way to a change
/// are touched, each once, however many changes lie under it.
pub(crate) fn edit(
    snapshot: &Snapshot,
    mut changes: Vec<Change>,
    draft: &mut Draft,
    entropy: &dyn Entropy,
) -> Result<Option<Link>, VaultError> {
    changes.sort_unstable_by_key(|(name, _)| *name);
    let root = snapshot.root.index.map(Entry::Node);
    let mut editor = Editor { snapshot, draft, entropy };
    let mut prefix = Vec::new();
    match editor.rebuild(root, &mut prefix, changes)? {
        None => Ok(None),
        Some(Entry::Node(link)) => Ok(Some(link)),
        Some(Entry::Leaf(_)) => {
            Err(VaultError::Damaged { what: "the index has a leaf for a root".to_owned() })
        }
    }
}

struct Editor<'a> {
    snapshot: &'a Snapshot,
    draft: &'a mut Draft,
    entropy: &'a dyn Entropy,
}

impl Editor<'_> {
    /// What stands at `prefix` after the changes, all of which lie under it, sorted and each name once.
    fn rebuild(
        &mut self,
        present: Option<Entry>,
        prefix: &mut Vec<u8>,
        mut changes: Vec<Change>,
    ) -> Result<Option<Entry>, VaultError> {
        if changes.is_empty() {
            return Ok(present);
        }
        let mut entries: [Option<Entry>; 16] = Default::default();
        match present {
            Some(Entry::Node(link)) => {
                entries.clone_from(&self.snapshot.node(&link, prefix)?.entries);
                self.draft.replace(&link);
            }
            Some(Entry::Leaf(leaf)) => {
                // The leaf moves down with the changes, unless one of them is about itself.
                if let Err(position) = changes.binary_search_by_key(&leaf.name, |(name, _)| *name) {
                    changes.insert(position, (leaf.name, Some(*leaf)));
                }
            }
            None => {}
        }
        let is_root = prefix.is_empty();
        if !is_root && entries.iter().all(Option::is_none) {
            changes.retain(|(_, leaf)| leaf.is_some());
            if changes.len() <= 1 {
                return Ok(changes.pop().and_then(|(_, leaf)| leaf).map(|leaf| Entry::Leaf(Box::new(leaf))));
            }
        }
        let mut changes = changes.into_iter().peekable();
        for (nibble, entry) in (0_u8..).zip(&mut entries) {
            let depth = prefix.len();
            let mut under = Vec::new();
            while let Some(change) = changes.next_if(|(name, _)| nibbles(name).nth(depth) == Some(nibble)) {
                under.push(change);
            }
            prefix.push(nibble);
            *entry = self.rebuild(entry.take(), prefix, under)?;
            prefix.pop();
        }
        if changes.next().is_some() {
            return Err(too_deep());
        }
        self.settle(is_root, prefix, entries)
    }

    /// A node that holds nothing is no node; one that holds a single leaf gives it to its parent.
    fn settle(
        &mut self,
        is_root: bool,
        prefix: &[u8],
        mut entries: [Option<Entry>; 16],
    ) -> Result<Option<Entry>, VaultError> {
        let mut present = entries.iter_mut().filter(|entry| entry.is_some());
        match (present.next(), present.next()) {
            (None, _) => return Ok(None),
            (Some(lone), None) if !is_root && matches!(lone, Some(Entry::Leaf(_))) => return Ok(lone.take()),
            _ => {}
        }
        let node = Node { prefix: prefix.to_vec(), entries };
        let bytes = node.encode()?;
        let weight = bytes.len();
        let link = self.draft.put(bytes, self.entropy)?;
        // Whoever comes next, for whatever service, needs the nodes near the root.
        self.snapshot.cache.nodes.keep(link, node, weight);
        Ok(Some(Entry::Node(link)))
    }
}

fn too_deep() -> VaultError {
    VaultError::Damaged { what: "the index is deeper than names are long".to_owned() }
}

#[cfg(test)]
mod tests;
