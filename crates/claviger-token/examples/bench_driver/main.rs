//! The driver against a tight loop over the bare module: same module, same token, same mechanism, same template, in turns.
//!
//!     bench_driver [--quick] [--gcm] [MODULE]...
//!     bench_driver --bare=COUNT
//!     bench_driver --hop [--quick] [MODULE]...
//!     bench_driver --piv [--quick]
//!
//! One line per measurement, in operations per second:
//!
//!     module=softhsm scheme=A256KW op=unwrap threads=1 driver=15012 bare=15544 ratio=0.966
//!
//! The bare loop holds its session and the key's handle and does nothing but the calls: C_UnwrapKey, C_GetAttributeValue,
//! C_DestroyObject to unwrap, C_CreateObject, C_WrapKey, C_DestroyObject to wrap; with `--gcm` also C_DecryptInit, C_Decrypt
//! and C_EncryptInit, C_Encrypt; where there is no key wrap, C_DecryptInit, C_Decrypt under RSAES-OAEP. A ratio of 1 is a
//! driver that costs nothing. `--bare` makes so many bare wraps, then as many unwraps, on SoftHSM, one thread, and prints how
//! long each took in all. `--hop` takes the driver in a process of its own against the driver in this one, and prints what an
//! operation takes longer, in microseconds. `--piv` takes the PIV driver's unwrap on a virtual YubiKey against a loop of the bare
//! transaction: begin, GENERAL AUTHENTICATE, end.
// A measuring program: it calls into C, and stops at the first surprise.
#![allow(unsafe_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::doc_markdown)]

mod bare;
mod card;

use bare::Bare;
use claviger_token::{
    Access, Driver as _, Kek, ModuleSpec, NewKek, PinFile, PivKek, Unwrapped, Uri,
    host::{Deadlines, HostDriver, HostSpec, Sandbox, serve},
    pkcs11::Pkcs11Driver,
};
use claviger_types::{Key256, OsEntropy, RecipientId, Scheme, WrappedCek};
use softhsm_fixtures::Provider;
use std::{
    env,
    hint::black_box,
    os::fd::AsFd as _,
    path::Path,
    process::ExitCode,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// One turn of one side, and the number of turns of each.
const TURN: Duration = Duration::from_millis(25);
const TURNS: usize = 80;
const QUICK_TURNS: usize = 12;
/// Operations that are timed together: about a millisecond.
const BATCH: u32 = 16;
const CONTEXT: &[u8] = b"bench";
/// Tells the child, whose environment names the module's tokens, where the PIN lies.
const PIN_FILE: &str = "CLAVIGER_BENCH_PIN_FILE";
/// Tells the child that it holds the module for another process.
const CHILD: &str = "--token-host";

fn main() -> ExitCode {
    if env::args_os().nth(1).is_some_and(|word| word == CHILD) {
        let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
        serve(socket.into()).unwrap();
        return ExitCode::SUCCESS;
    }
    let mut options = Options { turns: TURNS, gcm: false, hop: false, piv: false, bare: None };
    let mut chosen = Vec::new();
    let arguments: Vec<String> = env::args().skip(1).collect();
    for argument in &arguments {
        match argument.as_str() {
            "--quick" => options.turns = QUICK_TURNS,
            "--gcm" => options.gcm = true,
            "--hop" => options.hop = true,
            "--piv" => options.piv = true,
            name if name.starts_with("--bare=") => {
                options.bare = name.trim_start_matches("--bare=").parse().ok();
            }
            name => {
                let mut known = Provider::ALL.into_iter().chain([Provider::YubiKey]);
                let Some(provider) = known.find(|provider| provider.name() == name) else {
                    eprintln!(
                        "usage: bench_driver [--quick] [--gcm] [--hop] [--piv] [--bare=COUNT] [softhsm|kryoptic]..."
                    );
                    return ExitCode::from(2);
                };
                chosen.push(provider);
            }
        }
    }
    if let (Some(pin_file), [provider]) = (env::var_os(PIN_FILE), chosen.as_slice()) {
        measure(*provider, Path::new(&pin_file), &options);
        return ExitCode::SUCCESS;
    }
    if chosen.is_empty() {
        chosen = if options.bare.is_some() {
            vec![Provider::SoftHsm]
        } else if options.piv {
            vec![Provider::YubiKey]
        } else if options.hop || options.gcm {
            vec![Provider::SoftHsm, Provider::Kryoptic]
        } else {
            // NSS is no home for a key.
            Provider::ALL.into_iter().filter(|it| it.is_for_this_user() && it.name() != "nss").collect()
        };
    }
    for provider in chosen {
        let instance = provider.instance();
        let status = instance
            .command(env::current_exe().unwrap())
            .args(arguments.iter().filter(|argument| argument.starts_with("--")))
            .arg(provider.name())
            .env(PIN_FILE, instance.pin_file())
            .status()
            .unwrap();
        assert!(status.success(), "{} failed", provider.name());
    }
    ExitCode::SUCCESS
}

struct Options {
    turns: usize,
    gcm: bool,
    hop: bool,
    piv: bool,
    bare: Option<u32>,
}

fn measure(provider: Provider, pin_file: &Path, options: &Options) {
    if provider == Provider::YubiKey {
        return card::measure(provider.name(), pin_file, options);
    }
    let module = provider.module();
    let driver = Pkcs11Driver::new(ModuleSpec::new(&module));
    let uri: Uri = format!("pkcs11:token={}", softhsm_fixtures::LABEL).parse().unwrap();
    let access = Access::new(Arc::new(PinFile::new(pin_file.to_owned())), Arc::new(OsEntropy));
    let schemes: &[Scheme] = match provider {
        Provider::SoftHsm | Provider::Kryoptic if options.gcm => &[Scheme::A256Kw, Scheme::A256Gcm],
        Provider::SoftHsm | Provider::Kryoptic => &[Scheme::A256Kw],
        Provider::P11Kit => &[Scheme::RsaOaepSha1],
        _ => &[Scheme::RsaOaepSha256],
    };
    for &scheme in schemes {
        let recipient = RecipientId::random(&OsEntropy).unwrap();
        let new = NewKek {
            recipient,
            label: "bench".to_owned(),
            scheme: Some(scheme),
            allow_sha1: true,
            piv: PivKek::default(),
        };
        let (token, _) = driver.generate(&uri, &access, &new).unwrap();
        if options.hop {
            hop(provider, (&access, pin_file), &uri, token.as_ref(), options);
            continue;
        }
        let bare = Bare::new(&module, recipient.as_bytes(), scheme, softhsm_fixtures::PIN.as_bytes());
        let cek = Key256::random(&OsEntropy).unwrap();
        let wrapped = token.wrap(&cek, CONTEXT).unwrap();
        let bare_wrap = || bare.wrap_loop(scheme, &cek, CONTEXT);
        let bare_unwrap = || bare.unwrap_loop(&wrapped, CONTEXT);
        if let Some(count) = options.bare {
            let loops: [(&str, Maker<'_, '_>); 2] = [("wrap", &bare_wrap), ("unwrap", &bare_unwrap)];
            for (operation, make) in loops {
                let mut step = make();
                let began = Instant::now();
                (0..count).for_each(|_| step());
                let seconds = began.elapsed().as_secs_f64();
                println!(
                    "module={} scheme={scheme} op={operation} count={count} seconds={seconds:.3}",
                    provider.name()
                );
            }
            return;
        }

        let unwrap = || driver_unwrap(token.as_ref(), &wrapped);
        let wrap = || driver_wrap(token.as_ref(), &cek);
        // A chip does one thing at a time.
        let most = if provider == Provider::Tpm { 1 } else { 2 };
        for threads in 1..=most {
            let operations: [(&str, [Maker<'_, '_>; 2]); 2] =
                [("unwrap", [&unwrap, &bare_unwrap]), ("wrap", [&wrap, &bare_wrap])];
            // What a key pair wraps is wrapped without the token.
            let measured = if scheme.is_symmetric() { operations.len() } else { 1 };
            for (operation, sides) in operations.into_iter().take(measured) {
                let [driver, loops] = in_turns(threads, options.turns, sides);
                report(provider.name(), scheme, operation, threads, driver, loops);
            }
        }
    }
}

fn report(module: &str, scheme: Scheme, operation: &str, threads: u32, driver: f64, bare: f64) {
    println!(
        "module={module} scheme={scheme} op={operation} threads={threads} driver={driver:.0} bare={bare:.0} ratio={:.3}",
        driver / bare
    );
}

/// The same key through a process of its own, and through this one.
fn hop(
    provider: Provider,
    (access, pin_file): (&Access, &Path),
    uri: &Uri,
    near: &dyn Kek,
    options: &Options,
) {
    let spec = HostSpec {
        program: env::current_exe().unwrap(),
        args: vec![CHILD.into()],
        env: env::vars_os().collect(),
        backend: ModuleSpec::new(provider.module()).into(),
        sandbox: Sandbox { write: vec![pin_file.parent().unwrap().to_owned()], ..Sandbox::default() },
        deadlines: Deadlines::default(),
    };
    let it = near.describe();
    let far = HostDriver::new(spec).open(uri, access, it.recipient, it.scheme, &it.profile).unwrap();
    let cek = Key256::random(&OsEntropy).unwrap();
    let wrapped = near.wrap(&cek, CONTEXT).unwrap();
    let [far_unwrap, near_unwrap] = [&*far, near].map(|token| {
        let wrapped = &wrapped;
        move || driver_unwrap(token, wrapped)
    });
    let [far_wrap, near_wrap] = [&*far, near].map(|token| {
        let cek = &cek;
        move || driver_wrap(token, cek)
    });
    for threads in [1, 2] {
        let operations: [(&str, [Maker<'_, '_>; 2]); 2] =
            [("unwrap", [&far_unwrap, &near_unwrap]), ("wrap", [&far_wrap, &near_wrap])];
        for (operation, sides) in operations {
            let [far, near] = in_turns(threads, options.turns, sides);
            let micros = |rate: f64| f64::from(threads) * 1e6 / rate;
            println!(
                "module={} op={operation} threads={threads} own={:.1} shared={:.1} added={:.1}",
                provider.name(),
                micros(far),
                micros(near),
                micros(far) - micros(near)
            );
        }
    }
}

type Step<'a> = Box<dyn FnMut() + 'a>;
/// Makes a thread's step.
type Maker<'m, 'a> = &'m (dyn Fn() -> Step<'a> + Sync);

fn driver_unwrap<'a>(token: &'a dyn Kek, wrapped: &'a WrappedCek) -> Step<'a> {
    Box::new(move || match token.unwrap(wrapped, CONTEXT).unwrap() {
        Unwrapped::Key(key) => drop(black_box(key)),
        Unwrapped::NotMine => panic!("not mine"),
    })
}

fn driver_wrap<'a>(token: &'a dyn Kek, cek: &'a Key256) -> Step<'a> {
    Box::new(move || drop(black_box(token.wrap(cek, CONTEXT).unwrap())))
}

/// Operations per second of each side. The sides take short turns, and of each side's small batches the first quartile
/// counts, because whatever else the machine does makes batches longer, never shorter.
fn in_turns<const N: usize>(threads: u32, turns: usize, sides: [Maker<'_, '_>; N]) -> [f64; N] {
    let mut times = [const { Vec::new() }; N];
    for _ in 0..turns {
        for (times, make) in times.iter_mut().zip(sides) {
            times.append(&mut one_turn(threads, make));
        }
    }
    times.map(|mut times| {
        times.sort();
        let batch = times[times.len() / 4];
        f64::from(threads * BATCH) / batch.as_secs_f64()
    })
}

/// What each batch took, on whichever thread.
fn one_turn(threads: u32, make: Maker<'_, '_>) -> Vec<Duration> {
    let (ready, over) = (Barrier::new(threads as usize + 1), AtomicBool::new(false));
    thread::scope(|scope| {
        let work = || {
            let mut step = make();
            step();
            ready.wait();
            let mut times = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let began = Instant::now();
                (0..BATCH).for_each(|_| step());
                times.push(began.elapsed());
            }
            times
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        ready.wait();
        thread::sleep(TURN);
        over.store(true, Ordering::Relaxed);
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}
