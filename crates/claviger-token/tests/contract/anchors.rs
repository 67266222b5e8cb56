//! Anchors on the token, by one writer, by many processes, and under losses.

use crate::lab::{Counting, Lab, access, objects};
use claviger_token::{AnchorSlot, TokenError};
use cryptoki::object::{Attribute, ObjectClass};
use softhsm_fixtures::Provider;
use std::{
    env,
    fs::File,
    io::Write as _,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

const NAME: &str = "vault 0011";

fn slot(lab: &Lab<'_>) -> Arc<dyn AnchorSlot> {
    lab.driver.open_anchors(&lab.uri, &lab.access).unwrap()
}

/// What is kept when a write was cut short between its two steps, or as whoever has no PIN could put it there.
fn put(lab: &Lab<'_>, value: &[u8], private: bool) -> bool {
    let template = [
        Attribute::Class(ObjectClass::DATA),
        Attribute::Token(true),
        Attribute::Private(private),
        Attribute::Application(b"claviger".to_vec()),
        Attribute::Label(NAME.as_bytes().to_vec()),
        Attribute::Value(value.to_vec()),
    ];
    lab.beside().create_object(&template).is_ok()
}

pub(crate) fn what_was_written_is_read(lab: &Lab<'_>) {
    let anchors = slot(lab);
    assert!(anchors.location().contains("`lab`"), "{}", anchors.location());
    assert_eq!(anchors.read(NAME).unwrap(), Vec::<Vec<u8>>::new());
    for length in [1, 7, 8, 100, 4096] {
        let value: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect();
        anchors.write(NAME, &value).unwrap_or_else(|error| panic!("{length} bytes: {error}"));
        assert_eq!(anchors.read(NAME).unwrap(), [value]);
    }
    anchors.write("vault 0012", b"another").unwrap();
    for value in [&[][..], &[0; 4097]] {
        let outcome = anchors.write(NAME, value);
        assert!(matches!(outcome, Err(TokenError::AnchorUnusable { .. })), "{outcome:?}");
    }
    assert_eq!(anchors.read(NAME).unwrap().concat().len(), 4096);
    assert_eq!(objects(&lab.beside(), ObjectClass::DATA).len(), 2);

    // They outlive the login, and are whose PIN is known's alone.
    drop(anchors);
    let asked = lab.pin.asked();
    let anchors = slot(lab);
    assert_eq!(lab.pin.asked(), asked + 1);
    let beside = lab.beside();
    beside.logout().unwrap();
    assert!(objects(&beside, ObjectClass::DATA).is_empty());
    anchors.remove(NAME).unwrap();
    anchors.remove(NAME).unwrap();
    assert_eq!(anchors.read(NAME).unwrap(), Vec::<Vec<u8>>::new());
    assert_eq!(anchors.read("vault 0012").unwrap(), [b"another"]);
}

pub(crate) fn a_cut_write_leaves_both_and_the_next_one_tidies_up(lab: &Lab<'_>) {
    let anchors = slot(lab);
    anchors.write(NAME, b"old").unwrap();
    assert!(put(lab, b"new", true));
    let mut both = anchors.read(NAME).unwrap();
    both.sort();
    assert_eq!(both, [b"new", b"old"]);
    anchors.write(NAME, b"new").unwrap();
    assert_eq!(anchors.read(NAME).unwrap(), [b"new"]);

    // Nobody needs a PIN to put a public object there, where the token takes any.
    assert_eq!(put(lab, b"forged", false), lab.instance.provider() != Provider::Tpm);
    assert_eq!(anchors.read(NAME).unwrap(), [b"new"]);
    assert!(put(lab, &[1; 4097], true));
    let outcome = anchors.read(NAME);
    assert!(matches!(outcome, Err(TokenError::AnchorUnusable { .. })), "{outcome:?}");
    anchors.remove(NAME).unwrap();
    assert_eq!(anchors.read(NAME).unwrap(), Vec::<Vec<u8>>::new());
}

/// Without the login a search shows no private object. That must not pass for an anchor that is not there.
pub(crate) fn a_lost_login_hides_nothing(lab: &Lab<'_>) {
    let anchors = slot(lab);
    anchors.write(NAME, b"value").unwrap();
    lab.lose_login();
    assert_eq!(anchors.read(NAME).unwrap(), [b"value"]);
    assert_eq!(lab.pin.asked(), 2);
    lab.lose_login();
    anchors.write(NAME, b"later").unwrap();
    assert_eq!(anchors.read(NAME).unwrap(), [b"later"]);
    lab.lose_login();
    anchors.remove(NAME).unwrap();
    assert_eq!(anchors.read(NAME).unwrap(), Vec::<Vec<u8>>::new());
    assert_eq!(lab.pin.asked(), 4);
}

pub(crate) fn a_key_and_anchors_share_a_login(lab: &Lab<'_>) {
    let token = lab.generate(lab.scheme());
    token.anchors().unwrap().write(NAME, b"value").unwrap();
    let silent = Counting::new("000000");
    let anchors = lab.driver.open_anchors(&lab.uri, &access(&silent)).unwrap();
    assert_eq!(anchors.read(NAME).unwrap(), [b"value"]);
    assert_eq!((lab.pin.asked(), silent.asked()), (1, 0));
}

/// A token that is away has no empty place for anchors, it is away.
pub(crate) fn a_pulled_token_hides_nothing(lab: &Lab<'_>) {
    let anchors = slot(lab);
    anchors.write(NAME, b"value").unwrap();
    lab.instance.remove();
    for _ in 0..2 {
        let outcome = anchors.read(NAME);
        assert!(matches!(outcome, Err(TokenError::TokenAbsent { .. })), "{outcome:?}");
    }
    lab.instance.put_back();
    assert_eq!(anchors.read(NAME).unwrap(), [b"value"]);
}

/// What another process wrote is seen, unless the module reads its store once, when it is initialised.
pub(crate) fn what_another_process_wrote(lab: &Lab<'_>, seen_at_once: bool) {
    if worker().is_some() {
        slot(lab).write(NAME, b"new").unwrap();
        return;
    }
    let anchors = slot(lab);
    anchors.write(NAME, b"old").unwrap();
    let status = again("0").status();
    assert!(status.unwrap().success());
    let due = if seen_at_once { b"new" } else { b"old" };
    assert_eq!(anchors.read(NAME).unwrap(), [due]);
    drop(anchors);
    assert_eq!(slot(lab).read(NAME).unwrap(), [b"new"]);
}

const WORKER: &str = "CLAVIGER_TEST_WORKER";
const WORKERS: usize = 16;
const WRITES: usize = 6;
/// How long one worker waits for the others.
const PATIENCE: Duration = Duration::from_secs(20);

/// This test once more, in so many processes at once.
fn workers() -> Vec<Child> {
    (0..WORKERS).map(|number| again(&number.to_string()).spawn().unwrap()).collect()
}

/// This test in another process, as the worker of this number.
pub(crate) fn again(number: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(env::args().skip(1)).env(WORKER, number).stdout(Stdio::null());
    command
}

pub(crate) fn worker() -> Option<usize> {
    env::var(WORKER).ok().map(|number| number.parse().unwrap())
}

/// Opened one after the other, because SoftHSM rewrites the token's own file at each login, and now and then one that starts
/// meanwhile cannot read it; used when all are open.
fn worker_slot(lab: &Lab<'_>) -> Arc<dyn AnchorSlot> {
    let home = lab.instance.home();
    let mut start = File::options().create(true).append(true).open(home.join("start")).unwrap();
    start.lock().unwrap();
    let slot = slot(lab);
    start.write_all(b".").unwrap();
    start.unlock().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while start.metadata().unwrap().len() < WORKERS as u64 {
        assert!(Instant::now() < deadline, "another worker did not begin");
        thread::sleep(Duration::from_millis(1));
    }
    slot
}

fn all_succeed(children: Vec<Child>) {
    let failed = children.into_iter().map(|mut child| child.wait().unwrap()).filter(|exit| !exit.success());
    assert_eq!(failed.count(), 0, "of {WORKERS} processes");
}

/// Sixteen processes count together, each under the lock that the vault holds: no step is lost.
pub(crate) fn processes_under_a_lock_lose_nothing(lab: &Lab<'_>) {
    let lock = lab.instance.home().join("lock");
    if worker().is_none() {
        slot(lab).write(NAME, b"0").unwrap();
        File::create(&lock).unwrap();
        all_succeed(workers());
        let total = (WORKERS * WRITES).to_string();
        assert_eq!(slot(lab).read(NAME).unwrap(), [total.as_bytes()]);
        return;
    }
    let anchors = worker_slot(lab);
    for _ in 0..WRITES {
        let held = File::open(&lock).unwrap();
        held.lock().unwrap();
        let found = anchors.read(NAME).unwrap();
        let [count] = &found[..] else { panic!("{found:?}") };
        let count: usize = std::str::from_utf8(count).unwrap().parse().unwrap();
        anchors.write(NAME, (count + 1).to_string().as_bytes()).unwrap();
    }
}

/// The same without any lock. SoftHSM and kryoptic then refuse a write now and then, but they say so; every read finds a
/// value that somebody wrote, and the last writer's stays.
pub(crate) fn processes_without_a_lock_lose_no_last_value(lab: &Lab<'_>) {
    let Some(number) = worker() else {
        let anchors = slot(lab);
        anchors.write(NAME, b"parent 0").unwrap();
        all_succeed(workers());
        assert!(!anchors.read(NAME).unwrap().is_empty());
        anchors.write(NAME, b"parent 1").unwrap();
        assert_eq!(anchors.read(NAME).unwrap(), [b"parent 1"]);
        return;
    };
    let anchors = worker_slot(lab);
    let mut written = 0;
    for write in 0..WRITES {
        match anchors.write(NAME, format!("worker {number} {write}").as_bytes()) {
            Ok(()) => written += 1,
            Err(TokenError::ModuleFailed { .. } | TokenError::TokenFull) => {}
            Err(error) => panic!("{error}"),
        }
        let found = anchors.read(NAME).unwrap();
        assert!(!found.is_empty(), "all values are lost");
        for value in found {
            let text = String::from_utf8(value).unwrap();
            assert!(text.starts_with("worker ") || text == "parent 0", "{text}");
        }
    }
    assert!(written > 0);
}

/// openCryptoki keeps what it cannot write in memory, and says nothing. It is gone with the process, and so is the earlier
/// value.
pub(crate) fn a_full_disk_goes_unnoticed(lab: &Lab<'_>) {
    if worker().is_none() {
        let anchors = slot(lab);
        anchors.write(NAME, b"old").unwrap();
        on_a_full_disk();
        assert!(anchors.read(NAME).unwrap().is_empty(), "it was kept");
        return;
    }
    let anchors = slot(lab);
    limit("0");
    anchors.write(NAME, b"new").unwrap();
    limit("unlimited");
    assert_eq!(anchors.read(NAME).unwrap(), [b"new"]);
}

/// This test once more, in a process whose writes may fail.
fn on_a_full_disk() {
    // An ignored signal stays ignored in what is executed, so a file that may not grow gives an error and no end.
    let full = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(env::current_exe().unwrap())
        .args(env::args().skip(1))
        .env(WORKER, "0")
        .stdout(Stdio::null())
        .status();
    assert!(full.unwrap().success());
}

/// No file of this process may grow beyond so many bytes.
fn limit(soft: &str) {
    let pid = std::process::id().to_string();
    let set = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={soft}:")]).status();
    assert!(set.unwrap().success(), "prlimit, of util-linux");
}

/// A disk that is full under the token: no file of the process may grow. The earlier value stays, the failure is said, and
/// once there is room a write goes on as if nothing had been.
pub(crate) fn a_full_disk_keeps_the_earlier_value(lab: &Lab<'_>) {
    if worker().is_none() {
        slot(lab).write(NAME, b"old").unwrap();
        on_a_full_disk();
        assert_eq!(slot(lab).read(NAME).unwrap(), [b"newer"]);
        return;
    }
    let anchors = slot(lab);
    assert_eq!(anchors.read(NAME).unwrap(), [b"old"]);
    limit("0");
    let outcome = anchors.write(NAME, b"new");
    let while_full = anchors.read(NAME);
    limit("unlimited");
    assert!(matches!(outcome, Err(TokenError::ModuleFailed { .. } | TokenError::TokenFull)), "{outcome:?}");
    assert_eq!(while_full.unwrap(), [b"old"]);
    assert_eq!(anchors.read(NAME).unwrap(), [b"old"]);
    anchors.write(NAME, b"newer").unwrap();
    assert_eq!(anchors.read(NAME).unwrap(), [b"newer"]);
}
