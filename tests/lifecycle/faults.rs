//! What can go wrong with long work: each a clear error, and the vault as it was or gone on with.

use crate::{check, filled};
use claviger_tests::{World, legacy, mode};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Many services, so that a rotation takes several commits.
fn many(world: &World) {
    let old: serde_json::Value = serde_json::from_slice(&fs::read(legacy("thousand.json")).unwrap()).unwrap();
    let key = world.file("old.key", old["key"].as_str().unwrap());
    let file = world.file("old.enc", fs::read(legacy("thousand.enc")).unwrap());
    world.run(["import", "apex", file.to_str().unwrap(), "--key-file", key.to_str().unwrap()]).ok();
}

fn all_there(world: &World) {
    assert_eq!(world.line("list --json").ok().json().as_array().unwrap().len(), 1205);
}

#[test]
fn a_rotation_that_a_live_process_carries_on_is_left_to_it() {
    let world = filled();
    world.line("rotate service svc1").ok();
    let lock = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(format!("{}-work", world.store().display()))
        .unwrap();
    mode(Path::new(&format!("{}-work", world.store().display())), 0o600);
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    for line in ["rotate master", "rotate resume", "rotate master --compromised"] {
        world.line(line).fails(9, &["another process is at work on the vault's keys", "help: wait"]);
    }
    check(&world);
    drop(lock);
    world.line("rotate master").ok();
    check(&world);
}

#[test]
fn a_rotation_that_is_killed_is_gone_on_with_by_the_next() {
    let world = filled();
    many(&world);
    for line in ["rotate master", "rotate master --compromised"] {
        let mut child = world.line(line).start();
        // As soon as the head names the job; a rotation that was too quick for that is tried again.
        let mut job = serde_json::Value::Null;
        while job.is_null() && child.try_wait().unwrap().is_none() {
            job = world.line("status --json").ok().json()["job"].clone();
        }
        let _ = child.kill();
        let _ = child.wait();
        check(&world);
        let left = world.line("status --json").ok().json()["job"].clone();
        let resumed = world.line("rotate resume --json").ok().json();
        assert_eq!(resumed["resumed"] == false, left.is_null(), "{resumed}");
        assert!(world.line("status --json").ok().json()["job"].is_null());
        check(&world);
        all_there(&world);
    }
}

#[test]
fn a_token_that_is_removed_half_way_loses_nothing() {
    let world = filled();
    many(&world);
    let token = world.token_directories().pop().unwrap();
    let away = world.home().join("away");
    let mut child = {
        let mut run = world.line("rotate master --compromised");
        run.command().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        run.command().spawn().unwrap()
    };
    let audit = || world.line("audit show --json").ok();
    while child.try_wait().unwrap().is_none() && !audit().text().contains("rotate master") {}
    fs::rename(&token, &away).unwrap();
    let failed = child.wait_with_output().unwrap();
    fs::rename(&away, &token).unwrap();
    // It may have been done already; if not, it said why.
    if !failed.status.success() {
        let stderr = String::from_utf8_lossy(&failed.stderr).into_owned();
        assert!(stderr.contains("error: ") && stderr.contains("help: "), "{stderr}");
    }
    check(&world);
    world.line("rotate resume").ok();
    check(&world);
    all_there(&world);
}

/// A small disk, mounted for one test. Only root can.
struct Disk(PathBuf);

impl Disk {
    fn new(at: PathBuf, options: &str) -> Self {
        fs::create_dir_all(&at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&at).status();
        assert!(mounted.is_ok_and(|status| status.success()), "{} cannot be mounted", at.display());
        Self(at)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_full_disk_stops_a_rotation_and_loses_nothing() {
    // Whoever is not root cannot have a small disk.
    stops_and_loses_nothing(is_root());
}

/// Here it is the commit itself that fails, each time.
#[test]
fn a_limit_on_the_size_of_files_stops_a_rotation_and_loses_nothing() {
    stops_and_loses_nothing(false);
}

fn stops_and_loses_nothing(small_disk: bool) {
    let world = World::empty();
    let disk = small_disk.then(|| Disk::new(world.home().join("disk"), "size=6m,mode=0700"));
    let place = world.home().join("disk");
    fs::create_dir_all(&place).unwrap();
    mode(&place, 0o700);
    let url = format!("sqlite://{}/vault.db", place.display());
    world.run(["init", "--token", world.uri(), "--store", &url]).ok();
    crate::fill(&world);
    let limited = |line: &str| {
        // A program that does not ignore the signal would be ended by it, before the write can fail.
        let script = "trap '' XFSZ; exec prlimit --fsize=900000 -- \"$@\"";
        if disk.is_some() { world.line(line) } else { world.line(line).under("sh", &["-c", script, "sh"]) }
    };
    world.set("large", vec![b'x'; 700_000]);
    let ballast = place.join("ballast");
    if disk.is_some() {
        // All that is left but a little.
        let _ = fs::write(&ballast, vec![1; 8 << 20]);
        let written = fs::metadata(&ballast).unwrap().len();
        fs::OpenOptions::new().write(true).open(&ballast).unwrap().set_len(written - 100_000).unwrap();
    }
    let backup = format!("backup create {}/b", place.display());
    let lines = ["rotate master --compromised", &backup];
    // A backup of this vault is a smaller file than the limit.
    for line in &lines[..if small_disk { 2 } else { 1 }] {
        let outcome = limited(line).outcome();
        assert_ne!(outcome.code, Some(0), "{line}");
        assert!(
            outcome.stderr.contains("error: ") && outcome.stderr.contains("help: "),
            "{}",
            outcome.stderr
        );
        assert!(!place.join("b").exists());
    }
    let _ = fs::remove_file(&ballast);
    check(&world);
    assert_eq!(world.get("large").len(), 700_000);
    // With room again it ends, whether it had begun or not.
    let large = world.line("destroy large --all --yes").outcome();
    assert_eq!(large.code, Some(0), "{}", large.stderr);
    world.line("rotate master --compromised").ok();
    check(&world);
}

#[test]
fn a_configuration_that_cannot_be_written_is_said_before_anything_changes() {
    let world = filled();
    let before = world.line("status --json").ok().json();
    // A lock that is a directory stops root as well as everybody else.
    let lock = world.home().join(".local/state/claviger/config.lock");
    let _ = fs::remove_file(&lock);
    fs::create_dir(&lock).unwrap();
    world
        .line("rotate master --compromised")
        .fails(1, &["cannot write", "config.lock", "help: check the path"]);
    let (uri, _) = world.another_token("backup");
    world.run(["token", "enroll", "--token", &uri]).fails(1, &["cannot write"]);
    fs::remove_dir(&lock).unwrap();
    let after = world.line("status --json").ok().json();
    for key in ["fingerprint", "epoch", "recipients"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    check(&world);
}

#[test]
fn versions_and_services_that_are_not_there() {
    let world = filled();
    world.line("get svc1 --version 9").fails(3, &["there is no version 9", "help: "]);
    world.line("destroy svc1 --versions 9 --yes").fails(3, &["there is no version 9"]);
    world.line("rotate service nope").fails(3, &["there is no service"]);
    world.line("token retire 0123 --yes").fails(2, &["no recipient", "token recipients"]);
    world.line("set svc1 --stdin --expires 0m").stdin("short-lived").ok();
    world.line("get svc1").fails(3, &["has expired", "claviger history"]);
    check_rest(&world);
}

fn check_rest(world: &World) {
    assert_eq!(world.get("svc2"), b"value 2");
    world.line("verify").ok();
}

#[test]
fn a_read_only_file_system_is_refused_clearly_and_harmed_by_nothing() {
    let world = filled();
    let directory = world.store().parent().unwrap().to_owned();
    let read_only = ReadOnly::new(&directory);
    for line in ["set svc0 --stdin", "rotate master", "rotate service --all", "gc --erase"] {
        let outcome = world.line(line).stdin("lost").outcome();
        assert!(!matches!(outcome.code, Some(0) | None), "{line}: {outcome:?}");
        assert!(outcome.stderr.contains("error: ") && outcome.stderr.contains("help: "), "{outcome:?}");
    }
    drop(read_only);
    check(&world);
    world.line("rotate master").ok();
    check(&world);
}

/// A directory that nothing can be written into: mounted so for root, whom no mode stops.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn new(at: &Path) -> Self {
        if is_root() {
            for arguments in [["--bind", at.to_str().unwrap()], ["-o", "remount,ro,bind"]] {
                let mounted = Command::new("mount").args(arguments).arg(at).status();
                assert!(mounted.is_ok_and(|status| status.success()), "{} cannot be mounted", at.display());
            }
        } else {
            Self::chmod(at, 0o400, 0o500);
        }
        Self(at.to_owned())
    }

    fn chmod(at: &Path, files: u32, directory: u32) {
        for entry in fs::read_dir(at).unwrap().flatten() {
            mode(&entry.path(), files);
        }
        mode(at, directory);
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        if is_root() {
            let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        } else {
            mode(&self.0, 0o700);
            Self::chmod(&self.0, 0o600, 0o700);
        }
    }
}

#[test]
fn a_store_of_a_newer_format_is_left_alone() {
    let world = filled();
    let store = || rusqlite::Connection::open(world.store()).unwrap();
    let now: i64 = store().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    store().execute_batch("PRAGMA user_version = 99").unwrap();
    for line in ["get svc0", "rotate master", "gc"] {
        let outcome = world.line(line).outcome();
        assert!(!matches!(outcome.code, Some(0) | None), "{line}: {outcome:?}");
        assert!(outcome.stderr.contains("99") && outcome.stderr.contains("help: "), "{}", outcome.stderr);
    }
    store().execute_batch(&format!("PRAGMA user_version = {now}")).unwrap();
    check(&world);
}
