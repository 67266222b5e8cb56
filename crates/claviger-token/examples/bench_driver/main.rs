//! The driver against a tight loop over the bare module: same module, same token, same mechanism, same template, in turns.
//!
//!     bench_driver [softhsm|kryoptic]...
//!
//! One line per measurement:
//!
//!     driver softhsm A256KW unwrap threads=1 ops_per_s=15012 bare=15544 ratio=0.966
//!     bare softhsm A256KW wrap threads=1 ops_per_s=18420
//!
//! The bare loop holds its session and the key's handle and does nothing but the calls: C_UnwrapKey, C_GetAttributeValue,
//! C_DestroyObject to unwrap, C_CreateObject, C_WrapKey, C_DestroyObject to wrap, C_DecryptInit, C_Decrypt and
//! C_EncryptInit, C_Encrypt under GCM. A ratio of 1 is a driver that costs nothing.
#![allow(unsafe_code, clippy::unwrap_used, clippy::panic, clippy::doc_markdown)] // A measuring program: it stops at the first surprise.

mod bare;

use bare::Bare;
use claviger_token::{
    PinFile, Token as _, Unwrapped, Uri,
    pkcs11::{self, Access, NewKek, Pkcs11Token},
};
use claviger_types::{Key256, OsEntropy, RecipientId, Scheme, WrappedCek};
use softhsm_fixtures::{Instance, Provider};
use std::{
    env,
    hint::black_box,
    path::Path,
    process::{Command, ExitCode},
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// One turn of one side, and the number of turns of each.
const TURN: Duration = Duration::from_millis(150);
const TURNS: usize = 12;
const CONTEXT: &[u8] = b"bench";
/// Tells the child, whose environment names the module's tokens, where the PIN lies.
const PIN_FILE: &str = "CLAVIGER_BENCH_PIN_FILE";

fn main() -> ExitCode {
    let names: Vec<String> = env::args().skip(1).collect();
    let chosen = |provider: &Provider| names.is_empty() || names.iter().any(|name| name == provider.name());
    if let Some(unknown) = names.iter().find(|name| Provider::ALL.iter().all(|known| known.name() != *name)) {
        eprintln!("no module is called `{unknown}`: there are softhsm and kryoptic");
        return ExitCode::from(2);
    }
    for provider in Provider::ALL.into_iter().filter(chosen) {
        if let Some(pin_file) = env::var_os(PIN_FILE) {
            measure(provider, Path::new(&pin_file));
        } else {
            let instance: Instance = provider.instance();
            let status = Command::new(env::current_exe().unwrap())
                .arg(provider.name())
                .env(PIN_FILE, instance.pin_file())
                .envs(instance.env())
                .status()
                .unwrap();
            assert!(status.success(), "{} failed", provider.name());
        }
    }
    ExitCode::SUCCESS
}

fn measure(provider: Provider, pin_file: &Path) {
    let module = provider.module();
    let uri: Uri = format!("pkcs11:token={}", softhsm_fixtures::LABEL).parse().unwrap();
    let access = Access { pin: Arc::new(PinFile::new(pin_file.to_owned())), entropy: Arc::new(OsEntropy) };
    for scheme in [Scheme::A256Kw, Scheme::A256Gcm] {
        let recipient = RecipientId::random(&OsEntropy).unwrap();
        let new = NewKek { recipient, label: "bench".to_owned(), scheme: Some(scheme), allow_sha1: false };
        let (token, _) = pkcs11::generate(&module, &uri, &access, &new).unwrap();
        let bare = Bare::new(&module, recipient.as_bytes());
        let cek = Key256::random(&OsEntropy).unwrap();
        let wrapped = token.wrap(&cek, CONTEXT).unwrap();

        for threads in [1, 2] {
            let unwrap = || driver_unwrap(&token, &wrapped);
            let (driver, loops) = in_turns(threads, &unwrap, &|| bare.unwrap_loop(&wrapped, CONTEXT));
            report(provider, scheme, "unwrap", threads, driver, loops);
            let wrap = || driver_wrap(&token, &cek);
            let (driver, loops) = in_turns(threads, &wrap, &|| bare.wrap_loop(scheme, &cek, CONTEXT));
            report(provider, scheme, "wrap", threads, driver, loops);
            println!("bare {} {scheme} wrap threads={threads} ops_per_s={loops:.0}", provider.name());
        }
        token.destroy_key().unwrap();
    }
}

fn report(provider: Provider, scheme: Scheme, operation: &str, threads: usize, driver: f64, bare: f64) {
    println!(
        "driver {} {scheme} {operation} threads={threads} ops_per_s={driver:.0} bare={bare:.0} ratio={:.3}",
        provider.name(),
        driver / bare
    );
}

type Step<'a> = Box<dyn FnMut() + 'a>;

fn driver_unwrap<'a>(token: &'a Pkcs11Token, wrapped: &'a WrappedCek) -> Step<'a> {
    Box::new(move || match token.unwrap(wrapped, CONTEXT).unwrap() {
        Unwrapped::Key(key) => drop(black_box(key)),
        Unwrapped::NotMine => panic!("not mine"),
    })
}

fn driver_wrap<'a>(token: &'a Pkcs11Token, cek: &'a Key256) -> Step<'a> {
    Box::new(move || drop(black_box(token.wrap(cek, CONTEXT).unwrap())))
}

/// Operations per second of both, which take turns so that a busy machine slows both alike. Each thread has a step of its
/// own, made once.
fn in_turns<'a>(
    threads: usize,
    first: &(dyn Fn() -> Step<'a> + Sync),
    second: &(dyn Fn() -> Step<'a> + Sync),
) -> (f64, f64) {
    let mut totals = [(0_u64, Duration::ZERO); 2];
    for turn in 0..2 * TURNS {
        let side = turn % 2;
        let (count, time) = one_turn(threads, if side == 0 { first } else { second });
        totals[side].0 += count;
        totals[side].1 += time;
    }
    #[allow(clippy::cast_precision_loss)] // Counts are far below 2^52.
    let rate = |(count, time): (u64, Duration)| count as f64 / time.as_secs_f64();
    (rate(totals[0]), rate(totals[1]))
}

fn one_turn<'a>(threads: usize, make: &(dyn Fn() -> Step<'a> + Sync)) -> (u64, Duration) {
    let (start, stop) = (Barrier::new(threads + 1), AtomicBool::new(false));
    thread::scope(|scope| {
        let work = || {
            let mut step = make();
            step();
            start.wait();
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                step();
                count += 1;
            }
            count
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        start.wait();
        let began = Instant::now();
        thread::sleep(TURN);
        stop.store(true, Ordering::Relaxed);
        let count = running.into_iter().map(|thread| thread.join().unwrap()).sum();
        (count, began.elapsed())
    })
}
