//! What an engine must do for several processes: the test binary runs itself again as the other ones.

use super::{all_ids, id, object};
use crate::{ArchiveWriter, Commit, Erasure, Object, Store, StoreError, open_url, sqlite_files};
use claviger_types::{Entropy as _, ObjectId, OsEntropy};
use std::{
    env,
    fmt::Display,
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

const ROLE: &str = "CLAVIGER_STORE_TEST_ROLE";
const URL: &str = "CLAVIGER_STORE_TEST_URL";

/// Marks the lines that are ours among those of the test harness.
const MARK: &str = "@";

/// Another process that plays a role on the store at a URL. Killed when dropped.
pub(crate) struct Other {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Other {
    pub(crate) fn start(role: &str, url: &str) -> Self {
        Self::start_by(Command::new(env::current_exe().unwrap()), role, url)
    }

    /// The same through a command that runs the test binary with the arguments it is given.
    pub(crate) fn start_by(mut command: Command, role: &str, url: &str) -> Self {
        let mut child = command
            .args(["--exact", "contract::processes::other_process", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .env(URL, url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, said }
    }

    /// The next line that it says; `None` after its end.
    pub(crate) fn hear(&mut self) -> Option<String> {
        self.said.find_map(|line| {
            // The harness may have begun the line.
            line.unwrap().split_once(MARK).map(|(_, line)| line.to_owned())
        })
    }

    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Ends it as a crash would, and returns all that it still said.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        std::iter::from_fn(|| self.hear()).collect()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// Says a line to the test that started this process.
fn say(line: impl Display) {
    println!("{MARK}{line}");
}

fn wait_for_go() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

/// No test of its own: what the other processes run.
#[test]
fn other_process() {
    let (Ok(role), Ok(url)) = (env::var(ROLE), env::var(URL)) else { return };
    let store = open_url(&url).unwrap();
    match role.as_str() {
        "race" => race(&*store),
        "commit for ever" => commit_for_ever(&*store),
        "commit once" => {
            say("ready");
            wait_for_go();
            let head = store.head().unwrap();
            assert_eq!(
                store.commit(head.as_deref(), b"from another process", &[], &[]).unwrap(),
                Commit::Done
            );
            say("done");
        }
        "fill" => say(fill(&*store)),
        "hold the work lock" => {
            let held = store.work_lock().unwrap();
            say(if held.is_some() { "held" } else { "not held" });
            wait_for_go();
        }
        "begin an erasure and delete" => {
            store.begin_erasure().unwrap();
            store.delete(&[id("deleted")]).unwrap();
            say("deleted");
            wait_for_go();
        }
        "write an archive for ever" => say(write_for_ever(&url)),
        "erase" => say(format!("{:?}", store.erase())),
        "erase for ever" => erase_for_ever(&*store),
        _ => panic!("no such role: {role}"),
    }
}

fn number(head: Option<&[u8]>) -> u32 {
    head.map_or(0, |head| u32::from_be_bytes(head.try_into().unwrap()))
}

const RACE_ROUNDS: u32 = 150;

fn race(store: &dyn Store) {
    say("ready");
    wait_for_go();
    let (mut wins, mut losses) = (0, 0);
    loop {
        let head = store.head().unwrap();
        let round = number(head.as_deref()) + 1;
        if round > RACE_ROUNDS {
            break;
        }
        let puts = [Object { id: ObjectId::random(&OsEntropy).unwrap(), bytes: vec![1; 2000] }];
        match store.commit(head.as_deref(), &round.to_be_bytes(), &puts, &[]).unwrap() {
            Commit::Done => wins += 1,
            Commit::Conflict => losses += 1,
        }
    }
    say(format!("{wins} {losses}"));
}

/// Several processes commit at once: one wins each round, and nobody waits for ever.
pub(crate) fn one_of_many_processes_wins_each_round(url: &str) {
    let mut racers: Vec<Other> = (0..4).map(|_| Other::start("race", url)).collect();
    for racer in &mut racers {
        assert_eq!(racer.hear().as_deref(), Some("ready"));
    }
    for racer in &mut racers {
        racer.tell("go");
    }
    let (mut wins, mut losses) = (0, 0);
    for racer in &mut racers {
        let counts = racer.hear().unwrap();
        let (won, lost) = counts.split_once(' ').unwrap();
        wins += won.parse::<u32>().unwrap();
        losses += lost.parse::<u32>().unwrap();
    }
    assert_eq!(wins, RACE_ROUNDS);
    assert!(losses > 0, "they never met");
    let store = open_url(url).unwrap();
    assert_eq!(number(store.head().unwrap().as_deref()), RACE_ROUNDS);
    assert_eq!(all_ids(&*store, 1000).len(), RACE_ROUNDS as usize);
}

/// A watcher sees the commit of another process.
pub(crate) fn watching_sees_the_commit_of_another_process(url: &str) {
    const LONG: Duration = Duration::from_secs(20);
    let store = open_url(url).unwrap();
    let mut other = Other::start("commit once", url);
    assert_eq!(other.hear().as_deref(), Some("ready"));
    let seen = store.watch(None, LONG).unwrap();
    thread::scope(|scope| {
        let watcher = scope.spawn(|| store.watch(Some(seen), LONG).unwrap());
        other.tell("go");
        assert_ne!(watcher.join().unwrap(), seen);
    });
    assert_eq!(store.head().unwrap().as_deref(), Some(b"from another process".as_slice()));
}

/// The objects that a head of [`commit_for_ever`] means: so many that the commit takes a while.
fn names_of(head: u32) -> impl Iterator<Item = String> {
    (0..150).map(move |part| format!("{head}.{part}"))
}

fn commit_for_ever(store: &dyn Store) {
    loop {
        let head = store.head().unwrap();
        let old = number(head.as_deref());
        let puts: Vec<Object> = names_of(old + 1).map(object).collect();
        let deletes: Vec<ObjectId> = names_of(old).map(id).collect();
        let done = store.commit(head.as_deref(), &(old + 1).to_be_bytes(), &puts, &deletes).unwrap();
        assert_eq!(done, Commit::Done);
        say(old + 1);
    }
}

/// The one whole commit that a store shows which [`commit_for_ever`] writes; an error when it shows anything else.
pub(crate) fn whole_commit(store: &dyn Store) -> Result<u32, StoreError> {
    let torn = |context: String| Err(StoreError::Damaged { context, source: None });
    let head = number(store.head()?.as_deref());
    let expected: Vec<Object> = if head == 0 { vec![] } else { names_of(head).map(object).collect() };
    let ids: Vec<ObjectId> = expected.iter().map(|object| object.id).collect();
    let found = store.get(&ids)?;
    if !found.into_iter().eq(expected.into_iter().map(|object| Some(object.bytes))) {
        return torn(format!("commit {head} is torn"));
    }
    if store.list(None, 1000)?.len() != ids.len() {
        return torn(format!("objects of another commit lie beside those of {head}"));
    }
    Ok(head)
}

/// A writer that is killed anywhere leaves the old head or the new one, with all its objects.
pub(crate) fn a_killed_writer_leaves_whole_commits(url: &str) {
    for _ in 0..10 {
        let mut writer = Other::start("commit for ever", url);
        let first: u32 = writer.hear().unwrap().parse().unwrap();
        let mut random = [0; 2];
        OsEntropy.fill(&mut random).unwrap();
        thread::sleep(Duration::from_micros(u16::from_be_bytes(random).into()) / 4);
        let said = writer.kill();
        let acknowledged = said.last().map_or(first, |last| last.parse().unwrap());
        let head = whole_commit(&*open_url(url).unwrap()).unwrap();
        assert!(head == acknowledged || head == acknowledged + 1, "{head} after {acknowledged}");
    }
}

/// Puts until the store refuses, and says how it did.
fn fill(store: &dyn Store) -> String {
    loop {
        let object = Object { id: ObjectId::random(&OsEntropy).unwrap(), bytes: vec![0x5a; 100_000] };
        if let Err(error) = store.put(&[object]) {
            return format!("{error:?}");
        }
    }
}

/// Whoever has the work lock keeps it from all others, and gives it back when killed.
pub(crate) fn one_of_many_processes_has_the_work_lock(url: &str) {
    let store = open_url(url).unwrap();
    let mut holders: Vec<Other> = (0..3).map(|_| Other::start("hold the work lock", url)).collect();
    let said: Vec<String> = holders.iter_mut().map(|holder| holder.hear().unwrap()).collect();
    assert_eq!(said.iter().filter(|said| *said == "held").count(), 1, "{said:?}");
    assert!(store.work_lock().unwrap().is_none());
    let holder = said.iter().position(|said| said == "held").unwrap();
    // Those who did not get it die first, and that frees nothing.
    let holder = holders.swap_remove(holder);
    drop(holders);
    assert!(store.work_lock().unwrap().is_none());
    holder.kill();
    assert!(store.work_lock().unwrap().is_some());
}

/// While another process has begun an erasure and not finished it, nobody's success takes its note away; its death
/// leaves the note, and then anybody can finish.
pub(crate) fn an_erasure_of_another_process_stays_noted(url: &str) {
    let store = open_url(url).unwrap();
    store.put(&[object("deleted")]).unwrap();
    let mut other = Other::start("begin an erasure and delete", url);
    assert_eq!(other.hear().as_deref(), Some("deleted"));
    store.begin_erasure().unwrap();
    assert_eq!(store.erase().unwrap(), Erasure::Done);
    assert!(store.erasure_pending().unwrap());
    other.kill();
    assert!(store.erasure_pending().unwrap());
    assert_eq!(store.erase().unwrap(), Erasure::Done);
    assert!(!store.erasure_pending().unwrap());
}

fn erase_for_ever(store: &dyn Store) {
    loop {
        store.begin_erasure().unwrap();
        say("begun");
        assert_eq!(store.erase().unwrap(), Erasure::Done);
    }
}

/// An erasure that is killed anywhere takes nothing that is there, and the next one succeeds.
pub(crate) fn a_killed_erasure_leaves_whole_commits(url: &str) {
    let mut writer = Other::start("commit for ever", url);
    writer.hear().unwrap();
    writer.kill();
    let expected = whole_commit(&*open_url(url).unwrap()).unwrap();
    for _ in 0..10 {
        let mut eraser = Other::start("erase for ever", url);
        eraser.hear().unwrap();
        let mut random = [0; 2];
        OsEntropy.fill(&mut random).unwrap();
        thread::sleep(Duration::from_micros(u16::from_be_bytes(random).into()) / 2);
        eraser.kill();
        let store = open_url(url).unwrap();
        assert_eq!(whole_commit(&*store).unwrap(), expected);
        assert_eq!(store.erase().unwrap(), Erasure::Done);
        assert!(!store.erasure_pending().unwrap());
    }
}

/// The archive that other processes write, in the directory of a SQLite store.
pub(crate) fn archive_beside(url: &str) -> PathBuf {
    sqlite_files(url).unwrap()[0].with_extension("archive")
}

/// Writes an archive that is never finished, and says what stopped it.
fn write_for_ever(url: &str) -> String {
    let mut archive = ArchiveWriter::create(&archive_beside(url)).unwrap();
    loop {
        let object = Object { id: ObjectId::random(&OsEntropy).unwrap(), bytes: vec![0x5a; 50_000] };
        if let Err(error) = archive.put(&object) {
            return format!("{error:?}");
        }
        say(archive.count());
    }
}
