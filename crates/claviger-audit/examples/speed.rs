//! How fast records are appended and read: `cargo run --release -p claviger-audit --example speed -- DIRECTORY`.
//!
//! The directory must be missing, or the user's alone.

use claviger_audit::{Actor, AuditLog, AuditReader, Durability, Entry, Outcome, generate_audit_key};
use claviger_types::{OsEntropy, SystemClock, VaultId};
use std::{
    error::Error,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

const RECORDS: u32 = 100_000;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).ok_or("name a directory")?;
    let (private, public) = generate_audit_key(&OsEntropy)?;
    let vault = VaultId::random(&OsEntropy)?;
    let entry = Entry {
        actor: Actor {
            principal: "Admin::\"owner\"".into(),
            uid: 1000,
            pid: 1,
            program: "/usr/bin/claviger".into(),
        },
        action: "get".into(),
        reference: Some("openai/api_key".into()),
        version: Some(3),
        outcome: Outcome::Allowed,
        detail: None,
    };
    for (name, durability, records) in
        [("write-through", Durability::WriteThrough, RECORDS), ("fsync", Durability::Fsync, 500)]
    {
        let log = AuditLog::open(
            Path::new(&directory),
            vault,
            public.clone(),
            Arc::new(OsEntropy),
            Arc::new(SystemClock),
            durability,
        )?;
        let mut times = Vec::new();
        for _ in 0..records {
            let start = Instant::now();
            log.append(&entry)?;
            times.push(start.elapsed());
        }
        println!("append, {name}: first {:?}, {}", times.first().copied().unwrap_or_default(), spread(times));
    }
    let reader = AuditReader::new(Path::new(&directory), vault);
    let start = Instant::now();
    let chain = reader.verify()?;
    println!("verify {} entries: {:?}", chain.entries, start.elapsed());
    let start = Instant::now();
    let newest = reader.newest(&private, 100)?;
    println!("newest {}: {:?}", newest.len(), start.elapsed());
    Ok(())
}

/// The median, the 99th percentile and the longest.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    format!("p50 {:?}, p99 {:?}, longest {:?}", at(50), at(99), times.last().copied().unwrap_or_default())
}
