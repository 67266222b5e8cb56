//! The vault that is attacked, and what must hold of it whatever was done to its store.

use crate::tools::{Kind, Object, Store, roots};
use claviger_tests::World;
use claviger_types::{Digest, ObjectId};
use std::collections::{BTreeMap, BTreeSet};

/// Enough names of nearly the greatest length that one service object cannot hold them all.
const PAGED: usize = 58;

/// A vault with several services, and the values that it holds.
pub(crate) struct Victim {
    pub(crate) world: World,
    pub(crate) store: Store,
    /// What follows `get`, and the value that must come; where two readings lie on two pages, those two.
    pub(crate) values: BTreeMap<String, String>,
}

impl Victim {
    /// Services enough for an index of more than one node.
    pub(crate) fn new() -> Self {
        Self::on(World::new())
    }

    /// The same under a key pair.
    pub(crate) fn with_key_pair() -> Self {
        let world = World::empty();
        world.run(["init", "--scheme", "ECDH-ES+A256KW", "--token", world.uri()]).ok();
        Self::on(world)
    }

    fn on(world: World) -> Self {
        let store = Store::at(world.store());
        let mut victim = Self { world, store, values: BTreeMap::new() };
        victim.set("pair/one", "first of two");
        victim.set("pair/two", "second of two");
        victim.set("twice", "older");
        victim.set("twice", "newer");
        victim.values.insert("twice --version 1".into(), "older".into());
        for service in 0.. {
            victim.set(&format!("service{service}"), &format!("value {service}"));
            let nodes = victim.of_kind(Kind::Node).len();
            if nodes > 0 && service >= 3 {
                return victim;
            }
        }
        unreachable!("no two names meet in the index")
    }

    /// The same, with a service whose credentials fill two pages.
    pub(crate) fn with_pages() -> Self {
        let mut victim = Self::new();
        let mut names: Vec<String> = (0..PAGED).map(|n| format!("{n:02}{}", "x".repeat(1000))).collect();
        for name in &names {
            victim.world.set(&format!("paged/{name}"), &name[..2]);
        }
        // Credentials stand in the order of this digest: the outermost two are on two pages.
        names.sort_by_key(|name| Digest::of(name.as_bytes()));
        for name in [names.first(), names.last()].into_iter().flatten() {
            victim.values.insert(format!("paged/{name}"), name[..2].to_owned());
        }
        assert_eq!(victim.of_kind(Kind::Page).len(), 2);
        victim
    }

    /// Writes a value, which is from now on the true one.
    pub(crate) fn set(&mut self, reference: &str, value: &str) {
        self.world.set(reference, value);
        self.values.insert(reference.to_owned(), value.to_owned());
    }

    /// The objects of this kind.
    pub(crate) fn of_kind(&self, kind: Kind) -> Vec<Object> {
        let mut objects = self.store.objects();
        objects.retain(|object| object.kind == kind);
        objects
    }

    /// Reads everything. Each reading gives the true value or is refused as damaged, and says so; nothing is ever "not
    /// found", empty, or old. Returns what was refused, with what was said.
    #[track_caller]
    pub(crate) fn refused(&self) -> BTreeMap<&str, String> {
        let mut refused = BTreeMap::new();
        for (line, value) in &self.values {
            let outcome = self.world.line(&format!("get {line}")).outcome();
            if outcome.code == Some(0) {
                assert_eq!(outcome.text(), value, "get {line}");
                continue;
            }
            assert_eq!((outcome.code, outcome.text()), (Some(7), ""), "get {line}: {}", outcome.stderr);
            assert!(outcome.stderr.starts_with("error: ") && outcome.stderr.contains("\nhelp: "));
            refused.insert(line.as_str(), outcome.stderr);
        }
        refused
    }

    /// Nothing can be read, listed, written or verified: each command fails with this code and says each of these.
    #[track_caller]
    pub(crate) fn all_refused(&self, code: i32, says: &[&str]) {
        self.nothing_read(code, says);
        self.world.line("verify").fails(code, says);
    }

    /// The same of all commands but `verify`, which may see more.
    #[track_caller]
    pub(crate) fn nothing_read(&self, code: i32, says: &[&str]) {
        let before = (self.store.all(), self.store.head());
        // Where nothing at all can be read, some readings stand for all.
        for line in self.values.keys().step_by(3) {
            self.world.line(&format!("get {line}")).fails(code, says);
        }
        for line in
            ["list", "list --json", "list twice", "history twice", "status", "gc --now", "delete twice"]
        {
            let outcome = self.world.line(line).outcome();
            assert_eq!((outcome.code, outcome.text()), (Some(code), ""), "{line}: {}", outcome.stderr);
            for text in says {
                assert!(outcome.stderr.contains(text), "{line} says nothing of {text:?}: {}", outcome.stderr);
            }
        }
        for line in ["set twice --stdin", "set twice --stdin --cas 0", "set new --stdin --cas 0"] {
            self.world.line(line).stdin("written").fails(code, says);
        }
        assert!((self.store.all(), self.store.head()) == before, "a command that was refused wrote");
    }

    /// Every value is there, and `verify` finds nothing.
    #[track_caller]
    pub(crate) fn assert_whole(&self) {
        assert_eq!(self.refused(), BTreeMap::new());
        assert_eq!(self.damage(), []);
        let listed = self.world.line("list --json").ok().json();
        let listed: BTreeSet<&str> =
            listed.as_array().unwrap().iter().map(|line| line["service"].as_str().unwrap()).collect();
        let services: BTreeSet<&str> = self.values.keys().map(|line| service(line)).collect();
        assert_eq!(listed, services);
    }

    /// A `set` of this fails so, and leaves the store alone.
    #[track_caller]
    pub(crate) fn refuses_to_write(&self, reference: &str, says: &[&str]) {
        let before = (self.store.all(), self.store.head());
        for cas in [&["--cas", "0"][..], &[]] {
            let arguments = [&["set", reference, "--stdin"], cas].concat();
            self.world.run(arguments).stdin("written").fails(7, says);
        }
        assert!((self.store.all(), self.store.head()) == before, "a command that was refused wrote");
    }

    /// How many credentials there are.
    pub(crate) fn credentials(&self) -> usize {
        let read = self.values.keys().filter(|line| !line.contains(' ')).count();
        let unread = if self.values.keys().any(|line| service(line) == "paged") { PAGED - 2 } else { 0 };
        read + unread
    }

    /// The object of this kind that a `set` of this reference makes.
    pub(crate) fn made_by_set(&mut self, reference: &str, value: &str, kind: Kind) -> Object {
        let before = self.store.all();
        self.set(reference, value);
        let mut made = self.store.since(&before);
        made.retain(|object| object.kind == kind);
        assert_eq!(made.len(), 1, "{made:?}");
        made.remove(0)
    }

    /// Whether this is the root of the index.
    pub(crate) fn is_root(&self, id: ObjectId) -> bool {
        roots(&self.store.head()).1 == Some(id)
    }
}

/// The service in what follows `get`.
pub(crate) fn service(line: &str) -> &str {
    line.split(['/', ' ']).next().unwrap_or(line)
}

/// A choice of the objects: all of those kinds of which there are few, some of the others.
pub(crate) fn sample(dice: &mut claviger_tests::Dice, mut objects: Vec<Object>) -> Vec<Object> {
    const MOST: usize = 4;
    let mut chosen = Vec::new();
    for kind in Kind::ALL {
        let (mut of_kind, rest): (Vec<_>, Vec<_>) =
            objects.into_iter().partition(|object| object.kind == kind);
        objects = rest;
        assert!(!of_kind.is_empty(), "there is no {kind:?}");
        while of_kind.len() > MOST {
            of_kind.swap_remove(dice.below(of_kind.len()));
        }
        chosen.extend(of_kind);
    }
    chosen
}
