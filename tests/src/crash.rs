//! kill -9 at every write: a command runs under `strace`, which kills it on its way into the chosen system call.
//!
//! What is killed is a process, not the machine: the kernel still writes what it was given. That the right calls are
//! made for the other case is the store's own business.

use crate::{Dice, Run, World};
use std::{
    collections::BTreeMap,
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
    thread,
};

/// How many points are tried: `all`, or a number.
pub const POINTS: &str = "CLAVIGER_CRASH_POINTS";
/// The one scenario that is tried.
pub const SCENARIO: &str = "CLAVIGER_CRASH_SCENARIO";

const USUAL_POINTS: usize = 30;

/// The calls that change what is on a disk; `?` where not every machine has them.
const WRITES: &str = "trace=write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,ftruncate,fallocate,\
     ?rename,renameat,renameat2,?unlink,unlinkat,?link,linkat,?mkdir,mkdirat";

/// A command that may be killed anywhere, and what must hold then.
pub struct Scenario {
    /// Its name, for choosing it.
    pub name: &'static str,
    /// Whether the command finds a vault that is damaged or gone: then only what it leaves in the end must be whole.
    pub starts_broken: bool,
    /// Makes what is there before the command, in a world with a vault.
    pub prepare: fn(&World),
    /// The command. Run again after it was killed, it must succeed.
    pub command: fn(&World) -> Run,
    /// Reads everything: what the command does not change is as it was, what it changes is old or new.
    pub readable: fn(&World),
    /// The command has done what it should.
    pub finished: fn(&World),
}

impl Scenario {
    /// A scenario in a vault that is whole at any time, whose command is still to be named.
    pub const fn whole(
        name: &'static str,
        prepare: fn(&World),
        readable: fn(&World),
        finished: fn(&World),
    ) -> Self {
        Self { name, starts_broken: false, prepare, command: |world| world.line("help"), readable, finished }
    }
}

/// The `n`th call of this name by any one thread.
#[derive(Debug, Clone)]
struct Point {
    call: String,
    n: usize,
}

/// One scenario with its world and its points.
struct Prepared<'a> {
    scenario: &'a Scenario,
    world: World,
    points: Vec<Point>,
}

/// Kills the scenarios' commands at as many points as the environment asks for, or at a sample that is spread evenly
/// over all; panics with what failed.
pub fn run(scenarios: &[Scenario]) {
    let wanted = env::var(SCENARIO).ok();
    let chosen = scenarios.iter().filter(|one| wanted.as_ref().is_none_or(|name| name == one.name));
    let prepared: Vec<Prepared<'_>> = chosen.map(Prepared::new).collect();
    let names: Vec<_> = scenarios.iter().map(|one| one.name).collect();
    assert!(!prepared.is_empty(), "no scenario is called {wanted:?}; there are {names:?}");
    for one in &prepared {
        eprintln!("{}: {} points", one.scenario.name, one.points.len());
    }

    let all: Vec<_> =
        prepared.iter().flat_map(|one| one.points.iter().map(move |point| (one, point))).collect();
    let sample = sample(all.len());
    let (total, done) = (sample.len(), Mutex::new((sample.into_iter().enumerate(), 0, Vec::new())));
    let lock = || done.lock().unwrap_or_else(|error| panic!("{error}"));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some((number, at)) = lock().0.next() else { return };
                    let Some((one, point)) = all.get(at) else { return };
                    let label = format!("{}, {} {}", one.scenario.name, point.call, point.n);
                    let outcome = catch_unwind(AssertUnwindSafe(|| one.kill_at(point)));
                    let word = outcome
                        .as_ref()
                        .map_or("FAILED", |killed| if *killed { "ok" } else { "ended before it" });
                    eprintln!("[{}/{total}] {label}: {word}", number + 1);
                    match outcome {
                        Ok(killed) => lock().1 += usize::from(killed),
                        Err(_) => lock().2.push(label),
                    }
                }
            });
        }
    });
    let (_, killed, failed) = done.into_inner().unwrap_or_else(|error| panic!("{error}"));
    eprintln!("{} passed, {} failed", total - failed.len(), failed.len());
    assert!(failed.is_empty(), "killed there, these did not keep their promise: {failed:#?}");
    // A command may take another way at times and end before the point; that must stay the exception.
    assert!(killed * 10 >= total * 9, "of {total} commands only {killed} were killed");
}

/// Which of so many points are tried.
fn sample(all: usize) -> Vec<usize> {
    let wanted = match env::var(POINTS) {
        Ok(text) if text == "all" => all,
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{POINTS}={text}: {error}")),
        Err(_) => USUAL_POINTS,
    };
    assert!(wanted > 0, "{POINTS}=0 tries nothing");
    if wanted >= all {
        return (0..all).collect();
    }
    let mut dice = Dice::throw();
    let bound = |stratum: usize| stratum * all / wanted;
    (0..wanted).map(|n| bound(n) + dice.below(bound(n + 1) - bound(n))).collect()
}

impl<'a> Prepared<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let world = World::new();
        (scenario.prepare)(&world);
        (scenario.readable)(&world);
        let points = points(scenario, &world.copy());
        assert!(!points.is_empty(), "{} writes nothing", scenario.name);
        Self { scenario, world, points }
    }

    /// Kills the command there and looks at what is left; whether it had not ended before.
    fn kill_at(&self, point: &Point) -> bool {
        let (scenario, world) = (self.scenario, self.world.copy());
        let inject = format!("inject={}:signal=SIGKILL:when={}", point.call, point.n);
        let (code, log) =
            traced(scenario, &world, &["-y", "-e", &format!("trace={}", point.call), "-e", &inject]);
        let last = log.lines().rev().find(|line| line.contains('(')).unwrap_or_default();
        assert!(code.is_none() || code == Some(0), "it fails under strace: {code:?}\n{last}");
        mend_token(&self.world, &world);

        let outcome = catch_unwind(AssertUnwindSafe(|| {
            if scenario.starts_broken {
                (scenario.readable)(&world);
            } else {
                check(scenario, &world);
            }
            (scenario.command)(&world).ok();
            (scenario.finished)(&world);
            check(scenario, &world);
        }));
        assert!(outcome.is_ok(), "killed at: {last}");
        code.is_none()
    }
}

/// What must hold at any time.
fn check(scenario: &Scenario, world: &World) {
    (scenario.readable)(world);
    let verified = world.line("verify").ok();
    assert!(verified.text().ends_with("everything is whole\n"), "{}", verified.text());
    world.line("audit show").ok();
}

/// Runs the command to its end and counts what it writes.
fn points(scenario: &Scenario, world: &World) -> Vec<Point> {
    let (code, log) = traced(scenario, world, &["-e", WRITES]);
    assert_eq!(code, Some(0), "{} fails under strace", scenario.name);
    (scenario.finished)(world);
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut most: BTreeMap<&str, usize> = BTreeMap::new();
    let mut points = Vec::new();
    for line in log.lines() {
        // `THREAD CALL(...) = ...`; the second half of an interrupted line has no call's name before its bracket.
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let Some((call, _)) = call.trim_start().split_once('(') else { continue };
        if !call.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            continue;
        }
        let n = counts.entry((thread, call)).or_default();
        *n += 1;
        // strace counts for each thread by itself, and kills by the first one that gets so far.
        if *n > most.get(call).copied().unwrap_or_default() {
            most.insert(call, *n);
            points.push(Point { call: call.to_owned(), n: *n });
        }
    }
    points
}

/// Runs the command under strace; its exit code, `None` if it was killed, and what strace wrote down.
fn traced(scenario: &Scenario, world: &World, arguments: &[&str]) -> (Option<i32>, String) {
    let log = world.token().home().join("strace.log");
    let log_name = log.to_string_lossy();
    let arguments = [&["-f", "-qq", "-o", &log_name], arguments].concat();
    let outcome = (scenario.command)(world).under("strace", &arguments).outcome();
    let text = fs::read_to_string(&log)
        .unwrap_or_else(|error| panic!("{error}: {}\n(needs: apt-get install -y strace)", outcome.stderr));
    (outcome.code, text)
}

/// SoftHSM writes its files anew in place. One that was cut off in the middle of that is its own loss, and no token's
/// that is no file: it is put back.
fn mend_token(before: &World, after: &World) {
    let all = |world: &World| walk(&world.token().home().join("tokens"));
    let (old, new) = (before.token().home(), after.token().home());
    for file in all(before) {
        let Ok(place) = file.strip_prefix(old) else { continue };
        let now = new.join(place);
        let length = |path| fs::metadata(path).map(|meta| meta.len());
        if let (Ok(was), Ok(is)) = (length(&file), length(&now))
            && is < was
        {
            fs::copy(&file, &now).unwrap_or_else(|error| panic!("{}: {error}", now.display()));
        }
    }
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return vec![directory.to_owned()] };
    entries.flatten().flat_map(|entry| walk(&entry.path())).collect()
}
