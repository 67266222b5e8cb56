use super::*;
use crate::frame::Body;

mod crash;
mod editor;

use claviger_types::{Key256, ManualClock, OsEntropy, Timestamp, VaultId};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

struct Bench {
    directory: tempfile::TempDir,
    vault: VaultId,
    private: Key256,
    public: AuditPublicKey,
}

impl Bench {
    fn new() -> Self {
        let (private, public) = generate_audit_key(&OsEntropy).unwrap();
        let directory = tempfile::tempdir().unwrap();
        Self { directory, vault: VaultId::random(&OsEntropy).unwrap(), private, public }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("audit")
    }

    fn open(&self) -> Result<AuditLog, AuditError> {
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(7)));
        AuditLog::open(
            self.path(),
            self.vault,
            self.public.clone(),
            Arc::new(OsEntropy),
            clock,
            Durability::WriteThrough,
        )
    }

    fn reader(&self) -> AuditReader {
        AuditReader::new(&self.path(), self.vault)
    }

    fn file(&self) -> PathBuf {
        self.path().join("00000001.log")
    }

    fn actions(&self) -> Vec<String> {
        let newest = self.reader().newest(&self.private, usize::MAX).unwrap();
        newest.into_iter().map(|recorded| recorded.entry.action).collect()
    }
}

fn entry(action: &str) -> Entry {
    Entry {
        actor: Actor {
            principal: "Admin::\"owner\"".to_owned(),
            uid: 1000,
            pid: 1,
            program: "/usr/bin/x".to_owned(),
        },
        action: action.to_owned(),
        reference: Some("planted-service/name".to_owned()),
        version: Some(3),
        outcome: Outcome::Allowed,
        detail: None,
    }
}

#[test]
fn what_was_appended_is_read_back_in_order_across_writers() {
    let bench = Bench::new();
    let (one, two) = (bench.open().unwrap(), bench.open().unwrap());
    for (log, action) in [(&one, "1"), (&two, "2"), (&one, "3"), (&two, "4")] {
        log.append(&entry(action)).unwrap();
    }
    assert_eq!(bench.actions(), ["1", "2", "3", "4"]);
    let last = bench.reader().newest(&bench.private, 1).unwrap();
    assert_eq!(last[0], Recorded { time: Timestamp::from_millis(7), entry: entry("4") });
    let chain = bench.reader().verify().unwrap();
    assert_eq!((chain.entries, chain.segments, chain.torn), (4, 2, 0));
}

#[test]
fn nothing_is_readable_without_the_private_key() {
    let bench = Bench::new();
    bench.open().unwrap().append(&entry("planted-action")).unwrap();
    let bytes = fs::read(bench.file()).unwrap();
    assert!(!bytes.windows(7).any(|window| window == b"planted"));
    let (other, _) = generate_audit_key(&OsEntropy).unwrap();
    assert!(matches!(bench.reader().newest(&other, 1), Err(AuditError::Key)));
}

#[test]
fn every_changed_byte_shows_without_any_key() {
    let bench = Bench::new();
    let log = bench.open().unwrap();
    log.append(&entry("1")).unwrap();
    log.append(&entry("2")).unwrap();
    let bytes = fs::read(bench.file()).unwrap();
    for position in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[position] ^= 1;
        fs::write(bench.file(), &changed).unwrap();
        // A length that grew looks like a record cut short; then an entry is missing.
        match bench.reader().verify() {
            Err(AuditError::Damaged { .. }) => {}
            Ok(chain) => assert!(chain.torn == 1 && chain.entries < 2, "byte {position}"),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_missing_swapped_or_foreign_file_shows() {
    let bench = Bench::new();
    bench.open().unwrap().append(&entry("1")).unwrap();
    fs::rename(bench.file(), bench.path().join("00000002.log")).unwrap();
    assert!(matches!(bench.reader().verify(), Err(AuditError::Damaged { .. })));

    let other = Bench::new();
    other.open().unwrap().append(&entry("1")).unwrap();
    fs::rename(other.file(), bench.file()).unwrap();
    fs::remove_file(bench.path().join("00000002.log")).unwrap();
    assert!(matches!(bench.reader().verify(), Err(AuditError::Damaged { .. })));
}

#[test]
fn a_record_cut_short_at_any_byte_loses_itself_and_nothing_else() {
    let bench = Bench::new();
    let log = bench.open().unwrap();
    log.append(&entry("1")).unwrap();
    let whole = fs::metadata(bench.file()).unwrap().len();
    log.append(&entry("2")).unwrap();
    let bytes = fs::read(bench.file()).unwrap();
    for cut in usize::try_from(whole).unwrap() + 1..bytes.len() {
        for file in fs::read_dir(bench.path()).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        fs::write(bench.file(), &bytes[..cut]).unwrap();
        fs::set_permissions(bench.file(), fs::Permissions::from_mode(0o600)).unwrap();
        bench.open().unwrap().append(&entry("3")).unwrap();
        assert_eq!(bench.actions(), ["1", "3"], "cut at {cut}");
        let chain = bench.reader().verify().unwrap();
        assert_eq!((chain.entries, chain.torn), (2, 1));
    }
}

#[test]
fn a_damaged_log_is_not_written_on() {
    let bench = Bench::new();
    bench.open().unwrap().append(&entry("1")).unwrap();
    let mut bytes = fs::read(bench.file()).unwrap();
    bytes.push(0xff);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(bench.file(), bytes).unwrap();
    assert!(matches!(bench.open().unwrap().append(&entry("2")), Err(AuditError::Damaged { .. })));
}

#[test]
fn what_others_may_touch_is_refused_with_the_command_that_mends_it() {
    let bench = Bench::new();
    bench.open().unwrap().append(&entry("1")).unwrap();
    let chmod = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    chmod(&bench.path(), 0o755);
    match bench.open() {
        Err(AuditError::Exposed { mend, .. }) => assert!(mend.starts_with("chmod 700 "), "{mend}"),
        other => panic!("{other:?}"),
    }
    chmod(&bench.path(), 0o700);
    chmod(&bench.file(), 0o644);
    match bench.open().unwrap().append(&entry("2")) {
        Err(AuditError::Exposed { mend, .. }) => assert!(mend.starts_with("chmod 600 "), "{mend}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_that_cannot_be_written_says_so() {
    let bench = Bench::new();
    let log = bench.open().unwrap();
    fs::remove_dir_all(bench.path()).unwrap();
    assert!(matches!(log.append(&entry("1")), Err(AuditError::Io { action: "written" | "read", .. })));
}

#[test]
fn many_threads_append_and_every_record_is_there() {
    let bench = Bench::new();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let bench = &bench;
            scope.spawn(move || {
                let log = bench.open().unwrap();
                for n in 0..25 {
                    log.append(&entry(&format!("{writer}/{n}"))).unwrap();
                }
            });
        }
    });
    let chain = bench.reader().verify().unwrap();
    assert_eq!((chain.entries, chain.segments, chain.torn), (200, 8, 0));
    let mut actions = bench.actions();
    actions.sort_unstable();
    actions.dedup();
    assert_eq!(actions.len(), 200);
}
