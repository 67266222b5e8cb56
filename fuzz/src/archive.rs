//! Backups: files that come from anywhere.

use claviger_store::{ArchiveStore, Store as _};
use claviger_types::Digest;
use std::{fs, process, thread};

/// A file as it is, and with a digest that fits: whoever can write the file can make it fit.
pub fn archive(data: &[u8]) {
    look_at(data);
    if let Some((body, _)) = data.split_last_chunk::<32>() {
        look_at(&[body, Digest::of(body).as_bytes()].concat());
    }
}

/// Whatever opens can be read to its end.
fn look_at(bytes: &[u8]) {
    let name = format!("claviger-fuzz-{}-{:?}", process::id(), thread::current().id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, bytes).expect("a temporary file");
    let opened = ArchiveStore::open(&path);
    fs::remove_file(&path).expect("to be removed");
    let Ok(store) = opened else { return };
    store.head().expect("a head");
    let mut after = None;
    loop {
        let page = store.list(after, 3).expect("a list");
        let ids: Vec<_> = page.iter().map(|listed| listed.id).collect();
        let found = store.get(&ids).expect("objects");
        assert!(found.iter().all(Option::is_some), "what is listed is there");
        match ids.last() {
            Some(last) => after = Some(*last),
            None => return,
        }
    }
}
