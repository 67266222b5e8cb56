//! Several processes, killed processes, full disks, long logs. The test binary runs itself again as the other process.

use super::*;
use std::{
    env,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

const ROLE: &str = "CLAVIGER_AUDIT_TEST_ROLE";
const PLACE: &str = "CLAVIGER_AUDIT_TEST_PLACE";
const VAULT: &str = "CLAVIGER_AUDIT_TEST_VAULT";
const KEY: &str = "CLAVIGER_AUDIT_TEST_KEY";
const MARK: &str = "@";

/// Starts another process that writes to the same log; `command` runs the test binary with the arguments it is given.
fn start(bench: &Bench, role: &str, mut command: Command) -> Child {
    let point = bench.public.point();
    let hex = |bytes: &[u8; 32]| claviger_types::Digest::from_bytes(*bytes).to_string();
    command
        .args(["--exact", "tests::crash::other_process", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(PLACE, bench.path())
        .env(VAULT, bench.vault.to_string())
        .env(KEY, format!("{} {}", hex(&point.x), hex(&point.y)))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn itself() -> Command {
    Command::new(env::current_exe().unwrap())
}

/// What it says, line by line, without the lines of the test harness.
fn said(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.filter_map(|line| line.unwrap().split_once(MARK).map(|(_, line)| line.to_owned()))
}

/// No test of its own: what the other processes run.
#[test]
fn other_process() {
    let Ok(role) = env::var(ROLE) else { return };
    let coordinate = |text: &str| *text.parse::<claviger_types::Digest>().unwrap().as_bytes();
    let key = env::var(KEY).unwrap();
    let (x, y) = key.split_once(' ').unwrap();
    let public = AuditPublicKey::new(claviger_types::EcPoint { x: coordinate(x), y: coordinate(y) });
    let log = AuditLog::open(
        env::var_os(PLACE).unwrap(),
        env::var(VAULT).unwrap().parse().unwrap(),
        public,
        Arc::new(OsEntropy),
        Arc::new(claviger_types::SystemClock),
        Durability::WriteThrough,
    )
    .unwrap();
    match role.as_str() {
        "hundred" => {
            for number in 0..100 {
                log.append(&entry(&number.to_string())).unwrap();
            }
        }
        "for ever" => {
            for number in 1_u64.. {
                log.append(&large(&number.to_string())).unwrap();
                println!("{MARK}{number}");
            }
        }
        "until it fails" => {
            for number in 1_u64.. {
                if let Err(error) = log.append(&large("fill")) {
                    // The next one fails as well, and leaves as little.
                    assert!(log.append(&large("fill")).is_err());
                    println!("{MARK}{} {error:?}", number - 1);
                    return;
                }
            }
        }
        _ => panic!("no such role"),
    }
}

/// An entry that fills several pages.
fn large(action: &str) -> Entry {
    Entry { detail: Some("x".repeat(20_000)), ..entry(action) }
}

#[test]
fn several_processes_write_one_log() {
    let bench = Bench::new();
    let mut others: Vec<Child> = (0..4).map(|_| start(&bench, "hundred", itself())).collect();
    for other in &mut others {
        assert!(other.wait().unwrap().success());
    }
    let chain = bench.reader().verify().unwrap();
    assert_eq!((chain.entries, chain.segments, chain.torn), (400, 4, 0));
    assert_eq!(bench.actions().len(), 400);
}

#[test]
fn a_killed_writer_loses_at_most_the_record_it_was_writing() {
    let bench = Bench::new();
    let mut expected = 0;
    for round in 0..10_u64 {
        let mut other = start(&bench, "for ever", itself());
        let mut said = said(&mut other);
        said.next().unwrap();
        thread::sleep(Duration::from_micros(700 * round));
        other.kill().unwrap();
        other.wait().unwrap();
        expected += said.last().map_or(1, |last| last.parse::<u64>().unwrap());
        let chain = bench.reader().verify().unwrap();
        assert!(
            chain.entries == expected || chain.entries == expected + 1,
            "{} of {expected}",
            chain.entries
        );
        bench.open().unwrap().append(&entry("after")).unwrap();
        expected = chain.entries + 1;
        assert_eq!(bench.reader().verify().unwrap().entries, expected);
    }
    let newest = bench.reader().newest(&bench.private, 1).unwrap();
    assert_eq!(newest[0].entry.action, "after");
}

#[test]
fn a_full_disk_refuses_and_leaves_nothing_half_written() {
    let bench = Bench::new();
    bench.open().unwrap().append(&entry("before")).unwrap();
    // No file may grow past 200 blocks, and the signal for that is ignored.
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 200; exec \"$0\" \"$@\""]).arg(env::current_exe().unwrap());
    let mut other = start(&bench, "until it fails", limited);
    let said = said(&mut other).last().unwrap();
    assert!(other.wait().unwrap().success());
    let (count, error) = said.split_once(' ').unwrap();
    assert!(error.starts_with("Io"), "{error}");
    let chain = bench.reader().verify().unwrap();
    assert_eq!((chain.entries, chain.torn), (1 + count.parse::<u64>().unwrap(), 0));
    bench.open().unwrap().append(&entry("after")).unwrap();
    assert_eq!(bench.reader().verify().unwrap().entries, chain.entries + 1);
    assert!(!bench.path().join("00000002.log").exists());
}

#[test]
fn a_long_log_goes_on_in_further_files() {
    let bench = Bench::new();
    let (one, two) = (bench.open().unwrap(), bench.open().unwrap());
    let huge = |action: &str| Entry { detail: Some("x".repeat(60_000)), ..entry(action) };
    for number in 0..75 {
        one.append(&huge(&format!("one {number}"))).unwrap();
        two.append(&huge(&format!("two {number}"))).unwrap();
    }
    let chain = bench.reader().verify().unwrap();
    // Each writer begins a segment in each of the two files.
    assert_eq!((chain.entries, chain.segments, chain.torn), (150, 4, 0));
    let newest = bench.reader().newest(&bench.private, 5).unwrap();
    let actions: Vec<_> = newest.into_iter().map(|recorded| recorded.entry.action).collect();
    assert_eq!(actions, ["two 72", "one 73", "two 73", "one 74", "two 74"]);
    assert_eq!(bench.reader().newest(&bench.private, 148).unwrap().len(), 148);
    // Cutting the end of a file that is not the last one shows.
    let bytes = fs::read(bench.file()).unwrap();
    fs::write(bench.file(), &bytes[..bytes.len() - 100]).unwrap();
    assert!(
        matches!(bench.reader().verify(), Err(AuditError::Damaged { path, .. }) if path.ends_with("00000002.log"))
    );
}

#[test]
fn what_a_power_cut_left_as_zeros_is_a_torn_record() {
    let bench = Bench::new();
    let log = bench.open().unwrap();
    log.append(&entry("1")).unwrap();
    let whole = fs::metadata(bench.file()).unwrap().len();
    log.append(&large("2")).unwrap();
    let bytes = fs::read(bench.file()).unwrap();
    for keep in [whole, whole + 2, whole + 3000, bytes.len() as u64 - 5] {
        for file in fs::read_dir(bench.path()).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        let mut cut = bytes.clone();
        cut[usize::try_from(keep).unwrap()..].fill(0);
        // Sometimes the length had grown for further records, too.
        cut.resize(cut.len() + 5000, 0);
        fs::write(bench.file(), &cut).unwrap();
        fs::set_permissions(bench.file(), fs::Permissions::from_mode(0o600)).unwrap();
        let chain = bench.reader().verify().unwrap();
        assert_eq!((chain.entries, chain.torn), (1, 1), "kept {keep}");
        bench.open().unwrap().append(&entry("3")).unwrap();
        assert_eq!(bench.actions(), ["1", "3"], "kept {keep}");
    }
}

#[test]
fn a_writer_that_is_stopped_holds_the_others_for_a_while_only() {
    let bench = Bench::new();
    let log = bench.open().unwrap();
    log.append(&entry("1")).unwrap();
    let holder = fs::File::open(bench.file()).unwrap();
    rustix::fs::flock(&holder, rustix::fs::FlockOperation::LockExclusive).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| log.append(&entry("2")));
        thread::sleep(Duration::from_millis(20));
        assert!(!waiting.is_finished());
        drop(holder);
        waiting.join().unwrap().unwrap();
    });
    assert_eq!(bench.actions(), ["1", "2"]);
}

#[test]
fn a_file_that_was_moved_away_is_not_written_on() {
    let bench = Bench::new();
    let log = bench.open().unwrap();
    log.append(&entry("1")).unwrap();
    fs::rename(bench.file(), bench.path().join("moved")).unwrap();
    assert!(log.append(&entry("2")).is_err());
    fs::rename(bench.path().join("moved"), bench.file()).unwrap();
    log.append(&entry("3")).unwrap();
    assert_eq!(bench.actions(), ["1", "3"]);
}

#[test]
fn a_file_put_in_the_place_of_the_open_one_is_written_on() {
    let bench = Bench::new();
    let log = bench.open().unwrap();
    log.append(&entry("1")).unwrap();
    // As a restored backup would be: the same bytes, another file.
    let restored = bench.path().join("restored");
    fs::copy(bench.file(), &restored).unwrap();
    fs::rename(restored, bench.file()).unwrap();
    log.append(&entry("2")).unwrap();
    assert_eq!(bench.actions(), ["1", "2"]);
}

#[test]
fn a_log_whose_beginning_is_missing_is_not_written_on_blindly() {
    let bench = Bench::new();
    let tear = |number: u32| {
        let path = bench.path().join(format!("{number:08}.log"));
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    };
    bench.open().unwrap().append(&entry("1")).unwrap();
    tear(1);
    bench.open().unwrap().append(&entry("2")).unwrap();
    tear(2);
    fs::remove_file(bench.file()).unwrap();
    let refused = bench.open().unwrap().append(&entry("3"));
    assert!(matches!(refused, Err(AuditError::Damaged { path, .. }) if path == bench.file()));
}

#[test]
fn a_file_of_another_name_is_none_of_the_log() {
    let bench = Bench::new();
    let log = bench.open().unwrap();
    log.append(&entry("1")).unwrap();
    for name in ["2.log", "000000002.log", "+0000002.log", "00000002.log~", "lock"] {
        fs::write(bench.path().join(name), b"something").unwrap();
    }
    bench.open().unwrap().append(&entry("2")).unwrap();
    assert_eq!(bench.actions(), ["1", "2"]);
    assert_eq!(bench.reader().verify().unwrap().entries, 2);
}

#[test]
fn a_link_in_the_place_of_a_file_is_refused() {
    let bench = Bench::new();
    fs::create_dir(bench.path()).unwrap();
    fs::set_permissions(bench.path(), fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink(bench.directory.path().join("elsewhere"), bench.file()).unwrap();
    assert!(matches!(bench.open().unwrap().append(&entry("1")), Err(AuditError::Io { .. })));
    assert!(!bench.directory.path().join("elsewhere").exists());
}
