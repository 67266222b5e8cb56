use super::*;
use claviger_types::ObjectId;

fn link(n: u8) -> Link {
    Link::to(ObjectId::from_bytes([n; 16]), &[n])
}

fn ask(shelf: &Shelf<u8>, n: u8, made: &mut Vec<u8>) -> u8 {
    let made_now = || {
        made.push(n);
        Ok::<_, ()>((n, 10))
    };
    *shelf.get_or(&link(n), made_now).unwrap()
}

#[test]
fn is_bounded_and_keeps_what_is_asked_for() {
    let shelf = Shelf::new(50);
    let mut made = Vec::new();
    for n in 0..200 {
        assert_eq!(ask(&shelf, n, &mut made), n);
        assert_eq!(ask(&shelf, 0, &mut made), 0);
        let both = shelf.lock();
        assert!(both.young.len() + both.old.len() <= 10);
        drop(both);
    }
    assert_eq!(made.len(), 200);
    made.retain(|n| *n == 0);
    assert_eq!(made, [0], "what is asked for again and again stays");
}

#[test]
fn another_digest_is_another_thing() {
    let shelf = Shelf::new(50);
    let mut made = Vec::new();
    ask(&shelf, 1, &mut made);
    let other = Link { digest: claviger_types::Digest::of(b"changed"), ..link(1) };
    assert_eq!(*shelf.get_or(&other, || Ok::<_, ()>((9, 1))).unwrap(), 9);
}

#[test]
fn what_was_written_need_not_be_read_back() {
    let shelf = Shelf::new(50);
    let mut made = Vec::new();
    shelf.keep(link(1), 1, 10);
    assert_eq!(ask(&shelf, 1, &mut made), 1);
    assert!(made.is_empty());
}
