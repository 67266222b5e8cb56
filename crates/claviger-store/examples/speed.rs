//! How fast the SQLite store is on this machine: `cargo run --release -p claviger-store --example speed -- DIRECTORY`.
//!
//! The directory must be missing, or empty and the user's alone.

use claviger_store::{Object, SqliteStore, Store};
use claviger_types::{ObjectId, OsEntropy};
use std::{
    error::Error,
    path::Path,
    time::{Duration, Instant},
};

const OBJECTS: usize = 300_000;
const OBJECT_BYTES: usize = 400;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).ok_or("name a directory")?;
    let path = Path::new(&directory).join("speed.db");

    let (store, took) = timed(|| SqliteStore::create(&path))?;
    println!("create: {took:?}");

    let objects: Vec<Object> = (0..OBJECTS).map(|_| random_object()).collect::<Result<_, _>>()?;
    let ((), took) = timed(|| store.put(&objects))?;
    println!("put {OBJECTS} objects of {OBJECT_BYTES} bytes: {took:?}");
    let ids: Vec<ObjectId> = objects.iter().step_by(29).map(|object| object.id).collect();

    let mut head = None;
    let mut number = 0_u32;
    each("commit of 4 objects, 3 deleted", 500, || {
        let puts = [random_object()?, random_object()?, random_object()?, random_object()?];
        number += 1;
        let new = [number.to_be_bytes().as_slice(), &[7; 600]].concat();
        let deletes = [puts[0].id, puts[1].id, puts[2].id];
        let _ = store.commit(head.as_deref(), &new, &puts, &deletes)?;
        head = Some(new);
        Ok(())
    })?;

    let mut next = ids.iter().cycle().copied();
    let mut one = || next.next().unwrap_or(ObjectId::from_bytes([0; 16]));
    each("get of one object", 100_000, || Ok(store.get(&[one()])?))?;
    let mut three = || [one(), one(), one()];
    each("get of three objects", 100_000, || Ok(store.get(&three())?))?;
    each("head", 100_000, || Ok(store.head()?))?;
    let seen = store.watch(None, Duration::ZERO)?;
    each("watch without waiting", 100_000, || Ok(store.watch(Some(seen), Duration::ZERO)?))?;
    let (count, took) = timed(|| list_all(&store))?;
    println!("list of {count} objects: {took:?}");

    each("open, head, 3 gets, close; log there", 500, || cold(&path, &three()))?;
    drop(store);
    each("open, head, 3 gets, close; no log", 500, || {
        for suffix in ["-wal", "-shm"] {
            // Nobody has the database open, and its last writer has carried the log over.
            let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
        }
        cold(&path, &three())
    })?;
    each("open, commit, close", 100, || {
        let store = SqliteStore::open(&path)?;
        let head = store.head()?;
        number += 1;
        let _ = store.commit(head.as_deref(), &number.to_be_bytes(), &[], &[])?;
        Ok(())
    })
}

fn cold(path: &Path, ids: &[ObjectId]) -> Result<(), Box<dyn Error>> {
    let store = SqliteStore::open(path)?;
    store.head()?;
    for id in ids {
        store.get(&[*id])?;
    }
    Ok(())
}

fn list_all(store: &dyn Store) -> Result<usize, Box<dyn Error>> {
    let (mut count, mut after) = (0, None);
    loop {
        let page = store.list(after, 1000)?;
        count += page.len();
        let Some(last) = page.last() else { return Ok(count) };
        after = Some(last.id);
    }
}

fn random_object() -> Result<Object, Box<dyn Error>> {
    Ok(Object { id: ObjectId::random(&OsEntropy)?, bytes: vec![0xa5; OBJECT_BYTES] })
}

fn timed<T, E>(run: impl FnOnce() -> Result<T, E>) -> Result<(T, Duration), E> {
    let start = Instant::now();
    Ok((run()?, start.elapsed()))
}

/// Prints the median and the 99th percentile.
fn each<T>(
    what: &str,
    rounds: usize,
    mut run: impl FnMut() -> Result<T, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        times.push(timed(&mut run)?.1);
    }
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    println!("{what}: p50 {:?}, p99 {:?}", at(50), at(99));
    Ok(())
}
