//! The same with the module in a process of its own, and what only such a process has: crashes, ends, a sandbox.

use crate::lab::{CONTEXT, Lab, fresh, key};
use claviger_token::{
    Access, Driver as _, ModuleSpec, PinPrompt, PinSource, TokenError,
    host::{Backend, Deadlines, HostDriver, HostSpec, Sandbox, serve},
    pkcs11::Pkcs11Driver,
};
use claviger_types::{Digest, OsEntropy, Pin, RecipientId, Scheme, SecretBytes, SignerId};
use softhsm_fixtures::{Action, At, Faults, Instance, Provider};
use std::{
    env,
    net::TcpListener,
    os::fd::AsFd as _,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Tells this program that it is the child.
const CHILD: &str = "CLAVIGER_TEST_TOKEN_HOST";

/// The child: this program again, in the environment of the instance and in no other.
pub(crate) fn spec(instance: &Instance) -> HostSpec {
    let mut environment: Vec<_> =
        instance.env().into_iter().map(|(name, value)| (name.into(), value.into_os_string())).collect();
    environment.push((CHILD.into(), "1".into()));
    HostSpec {
        program: env::current_exe().unwrap(),
        args: ["--exact", "hosted::child", "--ignored", "--nocapture"].map(Into::into).to_vec(),
        env: environment,
        backend: match instance.provider() {
            Provider::YubiKey => Backend::Piv,
            _ => ModuleSpec::new(instance.module()).into(),
        },
        sandbox: Sandbox { write: vec![instance.home().to_owned()], ..Sandbox::default() },
        deadlines: Deadlines::default(),
    }
}

#[test]
#[ignore = "the child that the other tests start"]
fn child() {
    if env::var_os(CHILD).is_some() {
        let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
        serve(socket.into()).unwrap();
        std::process::exit(0);
    }
}

/// With the module in a process of its own.
pub(crate) fn lab(instance: &Instance) -> Lab<'_> {
    Lab::hosted(instance).0
}

contract! { softhsm = SoftHsm by crate::hosted::lab {
    a256kw_round_trip: wrapping::round_trip(A256Kw);
    a256gcm_round_trip: wrapping::round_trip(A256Gcm);
    ecdh_round_trip: wrapping::round_trip(EcdhEsA256Kw);
    oaep_sha1_round_trip: wrapping::round_trip(RsaOaepSha1);
    a256kw_refuses_changed_blobs: wrapping::changed_blobs_are_corrupt(A256Kw);
    ecdh_refuses_changed_blobs: wrapping::changed_blobs_are_corrupt(EcdhEsA256Kw);
    a256kw_leaves_what_is_not_its_own: wrapping::foreign_is_not_mine(A256Kw);
    a256kw_serves_threads: wrapping::threads_do_not_disturb_each_other(A256Kw);
    ecdh_serves_threads: wrapping::threads_do_not_disturb_each_other(EcdhEsA256Kw);
    wrong_pin: access::a_wrong_pin_is_tried_once;
    absent_token: access::an_absent_token_names_those_present;
    ambiguous_token: access::two_tokens_with_one_label_are_told_apart_by_serial;
    missing_key: access::a_missing_key_is_named;
    list: access::list_shows_what_selects;
    siblings: siblings::a_sibling_is_found_without_a_second_pin;
    missing_sibling: siblings::a_sibling_that_is_not_there_is_missing;
    signer: signers::what_is_signed_verifies;
    killed: hosted::a_killed_process_costs_one_error;
    crashes: hosted::each_crash_costs_one_error_and_no_pin_twice;
    crash_at_login: hosted::a_pin_that_met_a_crash_is_not_given_again;
    refused_pin: hosted::a_refused_pin_stays_refused_whatever_process_asks;
    crash_loop: hosted::a_module_that_always_crashes_is_started_less_and_less_often;
    hangs: hosted::a_module_that_hangs_is_ended;
    losses: hosted::what_is_lost_underneath_is_put_back;
    ended: hosted::what_was_ended_starts_anew;
    ended_at_prompt: hosted::what_was_ended_at_the_prompt_asks_again;
    sandbox: hosted::the_module_can_do_little;
} }

contract! { kryoptic = Kryoptic by crate::hosted::lab {
    a256kw_round_trip: wrapping::round_trip(A256Kw);
    a256gcm_round_trip: wrapping::round_trip(A256Gcm);
    ecdh_round_trip: wrapping::round_trip(EcdhEsA256Kw);
    oaep_round_trip: wrapping::round_trip(RsaOaepSha256);
    a256kw_refuses_changed_blobs: wrapping::changed_blobs_are_corrupt(A256Kw);
    a256gcm_refuses_changed_blobs: wrapping::changed_blobs_are_corrupt(A256Gcm);
    a256kw_serves_threads: wrapping::threads_do_not_disturb_each_other(A256Kw);
    wrong_pin: access::a_wrong_pin_is_tried_once;
    missing_key: access::a_missing_key_is_named;
    list: access::list_shows_what_selects;
    siblings: siblings::a_sibling_is_found_without_a_second_pin;
    signer: signers::what_is_signed_verifies;
    killed: hosted::a_killed_process_costs_one_error;
} }

contract! { tpm = Tpm by crate::hosted::lab {
    oaep_round_trip: wrapping::round_trip(RsaOaepSha256);
    oaep_refuses_changed_blobs: wrapping::changed_blobs_are_corrupt(RsaOaepSha256);
    oaep_serves_threads: wrapping::threads_do_not_disturb_each_other(RsaOaepSha256);
    absent_token: access::an_absent_token_names_those_present;
} }

contract! { p11kit = P11Kit by crate::hosted::lab {
    oaep_sha1_round_trip: wrapping::round_trip(RsaOaepSha1);
    oaep_sha1_serves_threads: wrapping::threads_do_not_disturb_each_other(RsaOaepSha1);
    absent_token: access::an_absent_token_names_those_present;
} }

contract! { opencryptoki = OpenCryptoki by crate::hosted::lab {
    oaep_round_trip: wrapping::round_trip(RsaOaepSha256);
    oaep_refuses_changed_blobs: wrapping::changed_blobs_are_corrupt(RsaOaepSha256);
    oaep_serves_threads: wrapping::threads_do_not_disturb_each_other(RsaOaepSha256);
    absent_token: access::an_absent_token_names_those_present;
} }

/// The instance's module with faults before it, in a process of its own.
fn faulty<'a>(lab: &Lab<'a>, deadlines: Deadlines) -> (Lab<'a>, HostDriver, Faults) {
    let faults = Faults::of(lab.instance);
    faults.clear();
    let module = ModuleSpec::new(faults.module());
    let driver = HostDriver::new(HostSpec { backend: module.into(), deadlines, ..spec(lab.instance) });
    (Lab { driver: Arc::new(driver.clone()), ..Lab::new(lab.instance) }, driver, faults)
}

/// In whatever function the C code dies, and however: one call fails and says how, and the next one works.
pub(crate) fn each_crash_costs_one_error_and_no_pin_twice(lab: &Lab<'_>) {
    let (lab, driver, faults) = faulty(lab, Deadlines::default());
    let token = lab.generate(Scheme::A256Kw);
    let cek = fresh();
    let wrapped = token.wrap(&cek, CONTEXT).unwrap();
    for (function, action, signal) in [
        ("C_UnwrapKey", Action::Segv, "SIGSEGV"),
        ("C_GetAttributeValue", Action::Abort, "SIGABRT"),
        ("C_DestroyObject", Action::Segv, "SIGSEGV"),
    ] {
        assert!(key(&token, &wrapped).same_as(&cek));
        let asked = lab.pin.asked();
        faults.inject(function, At::Every, action);
        let outcome = token.unwrap(&wrapped, CONTEXT);
        let Err(TokenError::ModuleCrashed { how, .. }) = outcome else { panic!("{function}: {outcome:?}") };
        assert!(how.contains(signal), "{function}: {how}");
        assert_eq!(lab.pin.asked(), asked);
        faults.clear();
        driver.end();
        assert!(key(&token, &wrapped).same_as(&cek));
        assert_eq!((lab.pin.asked(), faults.count("C_Login")), (asked + 1, 1));
    }
}

/// Whether the crash cost a try, nobody knows. So nothing that has the PIN at hand gives it once more.
pub(crate) fn a_pin_that_met_a_crash_is_not_given_again(lab: &Lab<'_>) {
    let (lab, driver, faults) = faulty(lab, Deadlines::default());
    faults.inject("C_Login", At::Every, Action::Segv);
    let recipient = RecipientId::random(&OsEntropy).unwrap();
    let open = || lab.open_as(recipient, Scheme::A256Kw, "");
    let outcome = open();
    assert!(matches!(outcome, Err(TokenError::ModuleCrashed { .. })), "{outcome:?}");
    faults.clear();
    for _ in 0..3 {
        let outcome = open();
        let Err(TokenError::PinUnavailable { reason }) = outcome else { panic!("{outcome:?}") };
        assert!(reason.contains("crashed"), "{reason}");
    }
    assert_eq!((lab.pin.asked(), faults.count("C_Login")), (1, 0));
    // Somebody who knows has ended it.
    driver.end();
    let outcome = open();
    assert!(matches!(outcome, Err(TokenError::KeyMissing { .. })), "{outcome:?}");
    assert_eq!((lab.pin.asked(), faults.count("C_Login")), (2, 1));
}

/// Right at first, and wrong from then on, as after somebody else changed it.
struct Changed(AtomicUsize);

impl PinSource for Changed {
    fn pin(&self, _: &PinPrompt) -> Result<Pin, TokenError> {
        let asked = self.0.fetch_add(1, Ordering::SeqCst);
        let pin = if asked == 0 { softhsm_fixtures::PIN } else { "654321" };
        Ok(Pin::new(SecretBytes::copy_of(pin.as_bytes())))
    }
}

pub(crate) fn a_refused_pin_stays_refused_whatever_process_asks(lab: &Lab<'_>) {
    let (lab, driver) = Lab::hosted(lab.instance);
    let it = lab.generate(Scheme::A256Kw).describe().clone();
    driver.end();
    let pin = Arc::new(Changed(AtomicUsize::new(0)));
    let access = Access::new(Arc::clone(&pin) as _, Arc::new(OsEntropy));
    let token = lab.driver.open(&lab.uri, &access, it.recipient, it.scheme, &it.profile).unwrap();
    let wrapped = token.wrap(&fresh(), CONTEXT).unwrap();
    for _ in 0..3 {
        driver.end();
        let outcome = token.unwrap(&wrapped, CONTEXT);
        assert!(matches!(outcome, Err(TokenError::PinIncorrect { .. })), "{outcome:?}");
        assert_eq!(pin.0.load(Ordering::SeqCst), 2, "asked again");
    }
}

pub(crate) fn a_module_that_always_crashes_is_started_less_and_less_often(lab: &Lab<'_>) {
    let (lab, driver, faults) = faulty(lab, Deadlines::default());
    faults.inject("C_GetSlotList", At::Every, Action::Abort);
    let (mut crashed, mut refused) = (0, 0);
    // Each start takes milliseconds; without a pause there would be one for each call.
    for _ in 0..200 {
        match lab.driver.list() {
            Err(TokenError::ModuleCrashed { .. }) => crashed += 1,
            Err(TokenError::HostUnusable { reason }) => {
                assert!(reason.contains("times in a row"), "{reason}");
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!((2..8).contains(&crashed), "{crashed} crashed, {refused} refused");
    faults.clear();
    driver.end();
    assert!(!lab.driver.list().unwrap().is_empty());
}

pub(crate) fn a_module_that_hangs_is_ended(lab: &Lab<'_>) {
    let deadlines = Deadlines { call: Duration::from_secs(2), ..Deadlines::default() };
    let (lab, driver, faults) = faulty(lab, deadlines);
    let token = lab.generate(Scheme::A256Kw);
    let cek = fresh();
    let wrapped = token.wrap(&cek, CONTEXT).unwrap();
    faults.inject("C_UnwrapKey", At::Nth(1), Action::Delay(Duration::from_hours(1)));
    let hung = driver.id().unwrap();
    let outcome = token.unwrap(&wrapped, CONTEXT);
    let Err(TokenError::ModuleCrashed { how, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(how.contains("gave no answer in time"), "{how}");
    assert!(!Path::new(&format!("/proc/{hung}")).exists());
    faults.clear();
    assert!(key(&token, &wrapped).same_as(&cek));
}

pub(crate) fn what_is_lost_underneath_is_put_back(lab: &Lab<'_>) {
    let (lab, _driver, faults) = faulty(lab, Deadlines::default());
    let token = lab.generate(Scheme::A256Kw);
    let cek = fresh();
    let wrapped = token.wrap(&cek, CONTEXT).unwrap();
    for action in [Action::Logout, Action::CloseSessions, Action::Finalize, Action::Reinitialize] {
        let asked = lab.pin.asked();
        faults.inject("C_UnwrapKey", At::Nth(1), action);
        assert!(key(&token, &wrapped).same_as(&cek), "{action:?}");
        assert_eq!(lab.pin.asked(), asked + 1, "{action:?}");
    }
    faults.inject("C_UnwrapKey", At::Nth(1), Action::Remove(cryptoki_sys::CKR_DEVICE_REMOVED));
    for _ in 0..2 {
        let outcome = token.unwrap(&wrapped, CONTEXT);
        assert!(matches!(outcome, Err(TokenError::TokenAbsent { .. })), "{outcome:?}");
    }
    faults.clear();
    assert!(key(&token, &wrapped).same_as(&cek));
}

/// As at `lock`: the process is gone when the call returns, and nothing is asked of the module for it.
pub(crate) fn what_was_ended_starts_anew(lab: &Lab<'_>) {
    let (lab, driver, faults) = faulty(lab, Deadlines::default());
    let token = lab.generate(Scheme::A256Kw);
    let cek = fresh();
    let wrapped = token.wrap(&cek, CONTEXT).unwrap();
    let (first, asked) = (driver.id().unwrap(), lab.pin.asked());
    faults.clear();
    driver.end();
    assert!(!Path::new(&format!("/proc/{first}")).exists() && driver.id().is_none());
    assert_eq!(faults.calls(), []);
    assert!(key(&token, &wrapped).same_as(&cek));
    assert_eq!(lab.pin.asked(), asked + 1);
    // With the last that uses it, it ends as well.
    let second = driver.id().unwrap();
    drop((token, driver, lab));
    assert!(!Path::new(&format!("/proc/{second}")).exists());
}

/// `lock`, while somebody is asked for the PIN.
struct EndedMeanwhile(HostDriver, AtomicUsize);

impl PinSource for EndedMeanwhile {
    fn pin(&self, _: &PinPrompt) -> Result<Pin, TokenError> {
        if self.1.fetch_add(1, Ordering::SeqCst) == 0 {
            self.0.end();
        }
        Ok(Pin::new(SecretBytes::copy_of(softhsm_fixtures::PIN.as_bytes())))
    }
}

pub(crate) fn what_was_ended_at_the_prompt_asks_again(lab: &Lab<'_>) {
    let (lab, driver) = Lab::hosted(lab.instance);
    let it = lab.generate(Scheme::A256Kw).describe().clone();
    driver.end();
    let pin = Arc::new(EndedMeanwhile(driver.clone(), AtomicUsize::new(0)));
    let access = Access::new(Arc::clone(&pin) as _, Arc::new(OsEntropy));
    let open = || lab.driver.open(&lab.uri, &access, it.recipient, it.scheme, &it.profile);
    let outcome = open();
    assert!(matches!(outcome, Err(TokenError::ModuleCrashed { .. })), "{outcome:?}");
    open().unwrap();
    assert_eq!(pin.1.load(Ordering::SeqCst), 2);
}

/// A module that was taken over reaches neither other programs, nor files, nor networks, nor other processes; without the
/// sandbox it reaches them all, so it is the sandbox that holds.
pub(crate) fn the_module_can_do_little(lab: &Lab<'_>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("file");
    std::fs::write(&file, "text").unwrap();
    let attempts = [
        "exec /bin/true".to_owned(),
        format!("read {}", file.display()),
        format!("write {}", file.display()),
        format!("write {}", elsewhere.path().join("new").display()),
        format!("read /proc/{}/mem", std::process::id()),
        format!("read /proc/{}/environ", std::process::id()),
        format!("chmod {}", file.display()),
        format!("connect {}", listener.local_addr().unwrap().port()),
        format!("datagram {}", listener.local_addr().unwrap().port()),
        format!("signal {}", std::process::id()),
        "fork once".to_owned(),
    ];
    let (confined, driver, faults) = faulty(lab, Deadlines::default());
    faults.targets(&attempts);
    faults.inject("C_GetSlotList", At::Nth(1), Action::Intrude);
    confined.driver.list().unwrap();
    let intruded = faults.intruded();
    assert_eq!(intruded.len(), attempts.len());
    for (attempt, outcome) in &intruded {
        assert!(outcome.contains("denied") || outcome.contains("not permitted"), "{attempt}: {outcome}");
    }
    assert_eq!(driver.unenforced().unwrap(), Some(Vec::new()));

    // What it was given, and no more: its environment, and what modules.toml grants.
    let environment = std::fs::read(format!("/proc/{}/environ", driver.id().unwrap())).unwrap();
    let names = environment.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()).count();
    assert_eq!(names, spec(lab.instance).env.len());
    let sandbox = Sandbox {
        network: true,
        read: vec![file.clone()],
        write: vec![elsewhere.path().to_owned(), lab.instance.home().to_owned()],
    };
    let module = ModuleSpec::new(faults.module());
    let granted = HostDriver::new(HostSpec { backend: module.into(), sandbox, ..spec(lab.instance) });
    faults.inject("C_GetSlotList", At::Nth(1), Action::Intrude);
    granted.list().unwrap();
    let done = |what: &str| {
        let intruded = faults.intruded();
        intruded.iter().any(|(attempt, outcome)| attempt.starts_with(what) && outcome == "done")
    };
    assert!(done("connect") && done("datagram") && done("read") && done("write"), "{:?}", faults.intruded());
    assert!(
        !done("exec") && !done("signal") && !done("chmod") && !done("fork") && !done("read /proc"),
        "{:?}",
        faults.intruded()
    );

    faults.inject("C_GetSlotList", At::Nth(1), Action::Intrude);
    Pkcs11Driver::new(ModuleSpec::new(faults.module())).list().unwrap();
    for (attempt, outcome) in faults.intruded() {
        assert_eq!(outcome, "done", "{attempt}");
    }
}

/// The process is killed from outside: one error, and then all is as it was, with a PIN anew.
pub(crate) fn a_killed_process_costs_one_error(lab: &Lab<'_>) {
    let (hosted, driver) = Lab::hosted(lab.instance);
    let token = hosted.generate(Scheme::A256Kw);
    let signer = hosted
        .driver
        .generate_signer(&hosted.uri, &hosted.access, SignerId::random(&OsEntropy).unwrap(), "signer")
        .unwrap();
    let anchors = token.anchors().unwrap();
    anchors.write("vault", b"value").unwrap();
    let cek = fresh();
    let wrapped = token.wrap(&cek, CONTEXT).unwrap();
    let asked = hosted.pin.asked();
    let first = driver.id().unwrap();
    kill(first);
    let outcome = token.unwrap(&wrapped, CONTEXT);
    let Err(TokenError::ModuleCrashed { how, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(how.contains("SIGKILL"), "{how}");
    assert!(key(&token, &wrapped).same_as(&cek));
    assert_ne!(driver.id().unwrap(), first);
    signer.sign(&Digest::of(b"text")).unwrap();
    assert_eq!(anchors.read("vault").unwrap(), [b"value"]);
    assert_eq!(hosted.pin.asked(), asked + 1, "one login for all that is on the token");
}

pub(crate) fn kill(id: u32) {
    let killed = Command::new("kill").args(["-KILL", &id.to_string()]).status().unwrap();
    assert!(killed.success());
    // Until the kernel has closed its end, a request could still be written.
    while std::fs::read_to_string(format!("/proc/{id}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
    {
        std::thread::yield_now();
    }
}
