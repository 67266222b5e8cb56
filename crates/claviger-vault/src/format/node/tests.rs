use super::*;
use claviger_types::ObjectId;

fn leaf(first: u8) -> Leaf {
    let mut name = [0; 32];
    name[0] = first;
    let link = Link::to(ObjectId::from_bytes([7; 16]), b"object");
    Leaf {
        name: Digest::from_bytes(name),
        service: ServiceId::from_bytes([1; 16]),
        object: link,
        keys: vec![KeyRecord {
            n: 1,
            kid: Digest::of(b"kid"),
            state: KeyState::Active,
            envelope: link,
            seals: 3,
        }],
    }
}

fn node(prefix: &[u8], entries: &[(usize, Entry)]) -> Node {
    let mut node = Node { prefix: prefix.to_vec(), entries: Default::default() };
    for (nibble, entry) in entries {
        node.entries[*nibble] = Some(entry.clone());
    }
    node
}

#[test]
fn a_node_is_read_as_it_was_written() {
    let link = Link::to(ObjectId::from_bytes([9; 16]), b"child");
    let node = node(&[0xa], &[(0, Entry::Leaf(Box::new(leaf(0xa0)))), (5, Entry::Node(link))]);
    let bytes = node.encode().unwrap();
    assert_eq!(bytes[..5], [0x83, 1, 0x41, 0xa, 0x90], "[type, prefix, sixteen entries]");
    assert_eq!(Node::decode(&bytes, &[0xa]).unwrap(), node);
}

#[test]
fn a_node_is_refused_anywhere_else() {
    let good =
        node(&[0xa], &[(0, Entry::Leaf(Box::new(leaf(0xa0)))), (1, Entry::Leaf(Box::new(leaf(0xa1))))]);
    let bytes = good.encode().unwrap();
    assert!(Node::decode(&bytes, &[0xa]).is_ok());
    assert!(Node::decode(&bytes, &[0xb]).is_err(), "in another's place");
    assert!(Node::decode(&bytes, &[]).is_err(), "as the root");
}

#[test]
fn a_leaf_under_another_path_is_refused() {
    let wrong =
        node(&[0xa], &[(0, Entry::Leaf(Box::new(leaf(0xa1)))), (1, Entry::Leaf(Box::new(leaf(0xa0))))]);
    assert!(Node::decode(&wrong.encode().unwrap(), &[0xa]).is_err());
}

#[test]
fn a_lone_leaf_has_no_node_of_its_own() {
    let lone = node(&[0xa], &[(0, Entry::Leaf(Box::new(leaf(0xa0))))]);
    assert!(Node::decode(&lone.encode().unwrap(), &[0xa]).is_err());
    let root = node(&[], &[(0xa, Entry::Leaf(Box::new(leaf(0xa0))))]);
    assert!(Node::decode(&root.encode().unwrap(), &[]).is_ok(), "but the root may have one");
}
