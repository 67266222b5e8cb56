//! How `get` and `set` grow with the vault: vaults of several sizes side by side in SQLite, asked in turn.
//!
//! `bench_scale DIRECTORY CREDENTIALS:SERVICES...` prints one line a size:
//! `scale credentials=1000 services=10 get_us=.. set_us=.. open_us=.. fill_s=.. bytes=..` (medians).
//!
//! The KEK is held in memory, so that the layout is measured and not a token; the data keys of the services that are
//! asked are unwrapped beforehand, as in a process that has been running for a while.

use claviger_store::{SqliteStore, Store};
use claviger_token::{Token, software::SoftwareToken};
use claviger_types::{
    CredentialName, HostId, Key256, Kind, OsEntropy, RecipientId, Reference, Scheme, SecretBytes,
    ServiceName, SystemClock, Value, VaultId,
};
use claviger_vault::{
    FileAnchor, Host, ImportEntry, ImportOptions, MemoryHost, Parts, Pinned, Set, Silent, Vault,
};
use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

type Outcome<T> = Result<T, Box<dyn Error>>;

const ROUNDS: usize = 60;
const PER_ROUND: usize = 20;
/// Entries are handed over in batches of this many services.
const BATCH: usize = 500;

struct Sized {
    credentials: usize,
    services: usize,
    vault: Vault,
    fill: Duration,
    directory: PathBuf,
    parts: Box<dyn Fn() -> Outcome<Parts>>,
    gets: Vec<Duration>,
    sets: Vec<Duration>,
    opens: Vec<Duration>,
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: bench_scale DIRECTORY CREDENTIALS:SERVICES...";
    let directory = PathBuf::from(arguments.next().ok_or(usage)?);
    let mut sizes = Vec::new();
    for size in arguments {
        let (credentials, services) = size.split_once(':').ok_or(usage)?;
        sizes.push(fill(&directory.join(size.replace(':', "-")), credentials.parse()?, services.parse()?)?);
    }
    for round in 0..ROUNDS {
        for size in &mut sizes {
            measure(size, round)?;
        }
    }
    for size in &mut sizes {
        let bytes = std::fs::metadata(size.directory.join("vault.db"))?.len();
        println!(
            "scale credentials={} services={} get_us={:.1} set_us={:.1} open_us={:.1} fill_s={:.1} bytes={bytes}",
            size.credentials,
            size.services,
            median(&mut size.gets),
            median(&mut size.sets),
            median(&mut size.opens),
            size.fill.as_secs_f64(),
        );
    }
    Ok(())
}

fn parts(
    directory: &Path,
    token: &Arc<dyn Token>,
    pinned: Pinned,
    host: &Arc<MemoryHost>,
    store: Arc<dyn Store>,
) -> Parts {
    Parts {
        store,
        token: Arc::clone(token),
        entropy: Arc::new(OsEntropy),
        clock: Arc::new(SystemClock),
        anchors: vec![Box::new(FileAnchor::new(directory.join("anchor")))],
        pinned,
        host: Arc::clone(host) as Arc<dyn Host>,
    }
}

fn fill(directory: &Path, credentials: usize, services: usize) -> Outcome<Sized> {
    let recipient = RecipientId::random(&OsEntropy)?;
    let token: Arc<dyn Token> =
        Arc::new(SoftwareToken::generate(recipient, Scheme::A256Kw, Arc::new(OsEntropy))?);
    let pinned = Pinned { vault: VaultId::random(&OsEntropy)?, recipient };
    let host = Arc::new(MemoryHost::new(HostId::random(&OsEntropy)?, Vec::new()));
    let store = Arc::new(SqliteStore::create(&directory.join("vault.db"))?);
    let vault = Vault::init(parts(directory, &token, pinned, &host, store), Key256::random(&OsEntropy)?)?;

    let started = Instant::now();
    let each = credentials / services;
    for first in (0..services).step_by(BATCH) {
        let batch = first..services.min(first + BATCH);
        let entries = batch.flat_map(|service| (0..each).map(move |credential| entry(service, credential)));
        let entries: Vec<ImportEntry> = entries.collect::<Outcome<_>>()?;
        vault.import(&entries, ImportOptions::default(), &Silent)?;
    }
    let fill = started.elapsed();
    let (place, opener) = (directory.to_owned(), Arc::clone(&token));
    let parts = Box::new(move || {
        let store = Arc::new(SqliteStore::open(&place.join("vault.db"))?);
        Ok(parts(&place, &opener, pinned, &host, store))
    });
    let directory = directory.to_owned();
    let (gets, sets, opens) = (Vec::new(), Vec::new(), Vec::new());
    Ok(Sized { credentials, services, vault, fill, directory, parts, gets, sets, opens })
}

fn entry(service: usize, credential: usize) -> Outcome<ImportEntry> {
    Ok(ImportEntry {
        service: ServiceName::new(format!("service-{service}"))?,
        name: CredentialName::new(format!("credential-{credential}"))?,
        value: value(service * 1000 + credential),
    })
}

fn value(seed: usize) -> Value {
    Value::single(Kind::ApiKey, SecretBytes::copy_of(format!("sk-{seed:040}").as_bytes()))
}

/// The same ten services of every vault are asked, so that each has its data keys at hand.
fn measure(size: &mut Sized, round: usize) -> Outcome<()> {
    let each = size.credentials / size.services;
    for step in 0..PER_ROUND {
        let service = (step % 10) * (size.services / 10);
        let credential = (round * PER_ROUND + step * 7) % each;
        let reference: Reference = format!("service-{service}/credential-{credential}").parse()?;
        let started = Instant::now();
        size.vault.get(&reference, None)?;
        let got = started.elapsed();
        let set = Set { max_versions: Some(1), ..Set::new(reference, value(round)) };
        let started = Instant::now();
        size.vault.set(&set)?;
        if round > 0 {
            size.gets.push(got);
            size.sets.push(started.elapsed());
        }
    }
    let started = Instant::now();
    Vault::open((size.parts)()?)?;
    size.opens.push(started.elapsed());
    Ok(())
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}
