//! What every engine must do, as tests generic over the trait. An engine runs them all with
//! `contract::suite!(fresh)`, where `fresh` makes an empty store; one that lasts beyond a process runs
//! [`processes`] too.

pub(crate) mod disk;
pub(crate) mod processes;

use crate::{
    Commit, Erasure, MAX_COMMIT_OBJECTS, MAX_HEAD_BYTES, MAX_OBJECT_BYTES, Object, Store, StoreError,
};
use claviger_types::{Digest, ManualClock, ObjectId, OsEntropy, Timestamp};
use std::{
    any::Any,
    fmt::Display,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

/// An empty store, the clock of its ages, and whatever must live as long as it does.
pub(crate) struct Fresh {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) _keep: Box<dyn Any>,
}

/// One test for each function named here.
macro_rules! suite {
    ($fresh:path) => {
        $crate::contract::suite!(
            $fresh,
            a_fresh_store_is_empty,
            what_was_put_is_read_back_in_the_order_asked,
            a_put_of_thousands_is_read_back,
            an_id_that_recurs_is_refused,
            deleting_takes_away_and_passes_over_what_is_not_there,
            a_listing_pages_through_all_ids_in_order,
            ages_follow_the_clock_and_never_go_below_zero,
            a_commit_swaps_the_head_only_from_the_expected_one,
            a_commit_puts_then_deletes,
            a_commit_that_fails_changes_nothing,
            what_is_too_large_is_refused,
            one_of_many_threads_wins_each_round,
            readers_see_whole_commits_only,
            watching_sees_commits_and_times_out,
            one_at_a_time_has_the_work_lock,
            an_erasure_is_noted_until_it_succeeds,
            erasing_takes_nothing_that_is_there
        );
    };
    ($fresh:path, $($name:ident),+) => {
        $(#[test]
        fn $name() {
            $crate::contract::$name(&$fresh());
        })+
    };
}
pub(crate) use suite;

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_millis(1_700_000_000_000)))
}

/// An id that is different for each name and the same in every process.
pub(crate) fn id(name: impl Display) -> ObjectId {
    let digest = Digest::of(format!("{name}").as_bytes());
    ObjectId::from_bytes(digest.as_bytes()[..16].try_into().unwrap())
}

/// An object of some hundred bytes that tell its name.
pub(crate) fn object(name: impl Display) -> Object {
    let name = format!("{name}");
    Object { id: id(&name), bytes: name.as_bytes().repeat(1 + 300 / name.len()) }
}

fn random_object(length: usize) -> Object {
    Object { id: ObjectId::random(&OsEntropy).unwrap(), bytes: vec![0xa5; length] }
}

/// All ids of the store, by pages of this size.
pub(crate) fn all_ids(store: &dyn Store, page: usize) -> Vec<ObjectId> {
    let mut ids = Vec::new();
    loop {
        let listed = store.list(ids.last().copied(), page).unwrap();
        ids.extend(listed.iter().map(|one| one.id));
        if listed.len() < page {
            return ids;
        }
    }
}

pub(crate) fn a_fresh_store_is_empty(Fresh { store, .. }: &Fresh) {
    assert_eq!(store.head().unwrap(), None);
    assert_eq!(store.list(None, 10).unwrap(), []);
    assert_eq!(store.get(&[id("a")]).unwrap(), [None]);
    assert_eq!(store.get(&[]).unwrap(), Vec::<Option<Vec<u8>>>::new());
    store.put(&[]).unwrap();
    store.delete(&[]).unwrap();
    // Objects that were put before the first head are no sign that a head was lost.
    store.put(&[object("staged")]).unwrap();
    assert_eq!(store.head().unwrap(), None);
}

pub(crate) fn what_was_put_is_read_back_in_the_order_asked(Fresh { store, .. }: &Fresh) {
    let objects = [
        object("a"),
        object("b"),
        Object { id: id("empty"), bytes: vec![] },
        random_object(MAX_OBJECT_BYTES),
    ];
    store.put(&objects).unwrap();
    let ids = [id("b"), id("nobody"), objects[3].id, id("empty"), id("a"), id("b")];
    let expected = [&objects[1].bytes, &objects[3].bytes, &objects[2].bytes, &objects[0].bytes];
    let [b, large, empty, a] = expected.map(|bytes| Some(bytes.clone()));
    assert!(store.get(&ids).unwrap() == [b.clone(), None, large, empty, a, b]);
}

pub(crate) fn a_put_of_thousands_is_read_back(Fresh { store, .. }: &Fresh) {
    let objects: Vec<Object> = (0..2500).map(object).collect();
    store.put(&objects).unwrap();
    let ids: Vec<ObjectId> = objects.iter().map(|object| object.id).collect();
    let found = store.get(&ids).unwrap();
    assert!(found.into_iter().flatten().eq(objects.into_iter().map(|object| object.bytes)));
    // Large ones too, which fill a transaction by their bytes.
    let large: Vec<Object> = (0..20).map(|_| random_object(MAX_OBJECT_BYTES - 7)).collect();
    store.put(&large).unwrap();
    let ids: Vec<ObjectId> = large.iter().map(|object| object.id).collect();
    assert!(store.get(&ids).unwrap().into_iter().flatten().eq(large.into_iter().map(|object| object.bytes)));
}

pub(crate) fn an_id_that_recurs_is_refused(Fresh { store, .. }: &Fresh) {
    store.put(&[object("a")]).unwrap();
    let again = Object { id: id("a"), bytes: b"other".to_vec() };
    assert!(matches!(store.put(&[object("b"), again.clone()]), Err(StoreError::IdExists)));
    assert!(matches!(store.put(&[object("c"), object("c")]), Err(StoreError::IdExists)));
    assert!(matches!(store.commit(None, b"head", &[again], &[]), Err(StoreError::IdExists)));
    assert_eq!(store.get(&[id("a"), id("b"), id("c")]).unwrap(), [Some(object("a").bytes), None, None]);
    assert_eq!(store.head().unwrap(), None);
    // The store still works.
    store.put(&[object("d")]).unwrap();
}

pub(crate) fn deleting_takes_away_and_passes_over_what_is_not_there(Fresh { store, .. }: &Fresh) {
    store.put(&[object("a"), object("b"), object("c")]).unwrap();
    store.delete(&[id("a"), id("nobody"), id("c"), id("a")]).unwrap();
    assert_eq!(store.get(&[id("a"), id("b"), id("c")]).unwrap(), [None, Some(object("b").bytes), None]);
    assert_eq!(all_ids(&**store, 10), [id("b")]);
}

pub(crate) fn a_listing_pages_through_all_ids_in_order(Fresh { store, .. }: &Fresh) {
    let edges = [[0; 16], [0xff; 16]].map(|bytes| Object { id: ObjectId::from_bytes(bytes), bytes: vec![1] });
    store.put(&edges).unwrap();
    store.put(&(0..100).map(object).collect::<Vec<_>>()).unwrap();
    let mut expected: Vec<ObjectId> = (0..100).map(id).chain(edges.map(|edge| edge.id)).collect();
    expected.sort_unstable();
    for page in [1, 7, 51, 102, 1000] {
        assert_eq!(all_ids(&**store, page), expected);
    }
    // From between two ids, from one that was deleted, and past the end.
    let middle = expected[50];
    store.delete(&[middle]).unwrap();
    assert_eq!(store.list(Some(middle), 1).unwrap()[0].id, expected[51]);
    assert_eq!(store.list(Some(ObjectId::from_bytes([0xff; 16])), 5).unwrap(), []);
    assert_eq!(store.list(None, 0).unwrap(), []);
    assert_eq!(store.list(None, usize::MAX).unwrap().len(), 101);
}

pub(crate) fn ages_follow_the_clock_and_never_go_below_zero(Fresh { store, clock, .. }: &Fresh) {
    store.put(&[object("old")]).unwrap();
    clock.advance(Duration::from_hours(1));
    assert_eq!(store.commit(None, b"1", &[object("young")], &[]).unwrap(), Commit::Done);
    clock.advance(Duration::from_millis(5));
    let age =
        |name: &str| store.list(None, 10).unwrap().into_iter().find(|one| one.id == id(name)).unwrap().age;
    assert_eq!(age("old"), Duration::from_millis(3_600_005));
    assert_eq!(age("young"), Duration::from_millis(5));
}

pub(crate) fn a_commit_swaps_the_head_only_from_the_expected_one(Fresh { store, .. }: &Fresh) {
    assert_eq!(store.commit(Some(b"0"), b"1", &[object("a")], &[]).unwrap(), Commit::Conflict);
    assert_eq!(store.head().unwrap(), None);
    assert_eq!(store.commit(None, b"1", &[object("b")], &[]).unwrap(), Commit::Done);
    assert_eq!(store.head().unwrap().as_deref(), Some(b"1".as_slice()));
    for wrong in [None, Some(b"2".as_slice()), Some(b""), Some(b"11")] {
        assert_eq!(store.commit(wrong, b"3", &[object("c")], &[id("b")]).unwrap(), Commit::Conflict);
    }
    assert_eq!(store.head().unwrap().as_deref(), Some(b"1".as_slice()));
    assert_eq!(store.get(&[id("a"), id("b"), id("c")]).unwrap(), [None, Some(object("b").bytes), None]);
    // An empty head is a head.
    assert_eq!(store.commit(Some(b"1"), b"", &[], &[]).unwrap(), Commit::Done);
    assert_eq!(store.head().unwrap(), Some(vec![]));
    assert_eq!(store.commit(None, b"4", &[], &[]).unwrap(), Commit::Conflict);
    assert_eq!(store.commit(Some(b""), &vec![7; MAX_HEAD_BYTES], &[], &[]).unwrap(), Commit::Done);
    assert_eq!(store.head().unwrap(), Some(vec![7; MAX_HEAD_BYTES]));
}

pub(crate) fn a_commit_puts_then_deletes(Fresh { store, .. }: &Fresh) {
    store.put(&[object("old")]).unwrap();
    let puts = [object("new"), object("brief")];
    assert_eq!(
        store.commit(None, b"1", &puts, &[id("old"), id("brief"), id("nobody")]).unwrap(),
        Commit::Done
    );
    assert_eq!(all_ids(&**store, 10), [id("new")]);
}

pub(crate) fn a_commit_that_fails_changes_nothing(Fresh { store, .. }: &Fresh) {
    assert_eq!(store.commit(None, b"1", &[object("a"), object("z")], &[]).unwrap(), Commit::Done);
    // The second put fails when the first is done already.
    let puts = [object("b"), object("z"), object("c")];
    assert!(matches!(store.commit(Some(b"1"), b"2", &puts, &[id("a")]), Err(StoreError::IdExists)));
    assert_eq!(store.head().unwrap().as_deref(), Some(b"1".as_slice()));
    let found = store.get(&[id("a"), id("b"), id("c")]).unwrap();
    assert_eq!(found, [Some(object("a").bytes), None, None]);
    assert_eq!(store.commit(Some(b"1"), b"2", &[object("b")], &[]).unwrap(), Commit::Done);
}

pub(crate) fn what_is_too_large_is_refused(Fresh { store, .. }: &Fresh) {
    let large = random_object(MAX_OBJECT_BYTES + 1);
    let limit = MAX_OBJECT_BYTES;
    assert!(matches!(store.put(&[object("a"), large.clone()]),
        Err(StoreError::TooLarge { size, limit: most, .. }) if size == limit + 1 && most == limit));
    assert!(matches!(store.commit(None, b"1", &[large], &[]), Err(StoreError::TooLarge { .. })));
    assert!(matches!(
        store.commit(None, &vec![0; MAX_HEAD_BYTES + 1], &[], &[]),
        Err(StoreError::TooLarge { limit: MAX_HEAD_BYTES, .. })
    ));
    let puts: Vec<Object> = (0..MAX_COMMIT_OBJECTS).map(object).collect();
    assert!(matches!(store.commit(None, b"1", &puts, &[id("a")]),
        Err(StoreError::TooMany { count, .. }) if count == MAX_COMMIT_OBJECTS + 1));
    assert_eq!(store.list(None, 1).unwrap(), []);
    assert_eq!(store.commit(None, b"1", &puts, &[]).unwrap(), Commit::Done);
}

pub(crate) fn one_of_many_threads_wins_each_round(Fresh { store, .. }: &Fresh) {
    const THREADS: u8 = 6;
    const ROUNDS: u32 = 20;
    let barrier = Barrier::new(THREADS.into());
    let wins: Vec<u32> = thread::scope(|scope| {
        let race = |thread: u8| {
            let (store, barrier) = (store, &barrier);
            move || {
                let mut head = None;
                let mut wins = 0;
                for round in 0..ROUNDS {
                    barrier.wait();
                    let new = [round.to_be_bytes().as_slice(), &[thread]].concat();
                    let puts = [object(format!("{round}/{thread}"))];
                    match store.commit(head.as_deref(), &new, &puts, &[]).unwrap() {
                        Commit::Done => wins += 1,
                        Commit::Conflict => assert_eq!(store.get(&[puts[0].id]).unwrap(), [None]),
                    }
                    barrier.wait();
                    head = store.head().unwrap();
                    assert_eq!(head.as_deref().unwrap()[..4], round.to_be_bytes());
                }
                wins
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(race(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(wins.iter().sum::<u32>(), ROUNDS, "{wins:?}");
    assert_eq!(all_ids(&**store, 1000).len(), ROUNDS as usize);
}

pub(crate) fn readers_see_whole_commits_only(Fresh { store, .. }: &Fresh) {
    const COMMITS: u32 = 60;
    let names = |commit: u32| (0..4).map(move |part| format!("{commit}.{part}"));
    let put = |commit| names(commit).map(object).collect::<Vec<_>>();
    assert_eq!(store.commit(None, &0_u32.to_be_bytes(), &put(0), &[]).unwrap(), Commit::Done);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let head = u32::from_be_bytes(store.head().unwrap().unwrap().try_into().unwrap());
                    let found = store.get(&names(head).map(id).collect::<Vec<_>>()).unwrap();
                    // All of a commit's objects are there, or, when the next one came between, none.
                    let there = found.iter().filter(|bytes| bytes.is_some()).count();
                    assert!(there == 4 || there == 0, "{there} of 4 objects of commit {head}");
                    if head == COMMITS {
                        assert_eq!(there, 4);
                        return;
                    }
                }
            });
        }
        for commit in 1..=COMMITS {
            let deletes: Vec<ObjectId> = names(commit - 1).map(id).collect();
            let (old, new) = ((commit - 1).to_be_bytes(), commit.to_be_bytes());
            assert_eq!(store.commit(Some(&old), &new, &put(commit), &deletes).unwrap(), Commit::Done);
        }
    });
}

pub(crate) fn watching_sees_commits_and_times_out(Fresh { store, .. }: &Fresh) {
    const LONG: Duration = Duration::from_secs(20);
    let first = store.watch(None, LONG).unwrap();
    assert_eq!(store.watch(Some(first), Duration::ZERO).unwrap(), first);
    let start = Instant::now();
    assert_eq!(store.watch(Some(first), Duration::from_millis(30)).unwrap(), first);
    assert!(start.elapsed() >= Duration::from_millis(30));
    // A commit that is there already is seen at once; one to come wakes the watcher.
    assert_eq!(store.commit(None, b"1", &[], &[]).unwrap(), Commit::Done);
    let second = store.watch(Some(first), Duration::ZERO).unwrap();
    assert_ne!(second, first);
    let start = Instant::now();
    thread::scope(|scope| {
        let watcher = scope.spawn(|| store.watch(Some(second), LONG).unwrap());
        thread::sleep(Duration::from_millis(5));
        assert_eq!(store.commit(Some(b"1"), b"2", &[], &[]).unwrap(), Commit::Done);
        assert_ne!(watcher.join().unwrap(), second);
    });
    assert!(start.elapsed() < LONG / 2);
    // A commit that lost the race changes nothing; reading changes nothing.
    let third = store.watch(None, Duration::ZERO).unwrap();
    assert_eq!(store.commit(Some(b"1"), b"3", &[object("a")], &[]).unwrap(), Commit::Conflict);
    assert_eq!(store.head().unwrap().as_deref(), Some(b"2".as_slice()));
    assert_eq!(store.watch(Some(third), Duration::ZERO).unwrap(), third);
}

pub(crate) fn one_at_a_time_has_the_work_lock(Fresh { store, .. }: &Fresh) {
    let held = store.work_lock().unwrap().unwrap();
    let start = Instant::now();
    assert!(store.work_lock().unwrap().is_none());
    assert!(start.elapsed() < Duration::from_secs(1));
    thread::scope(|scope| {
        scope.spawn(|| assert!(store.work_lock().unwrap().is_none()));
    });
    // Whoever has it holds up nobody's reading or writing.
    assert_eq!(store.commit(None, b"1", &[object("a")], &[]).unwrap(), Commit::Done);
    drop(held);
    let again = store.work_lock().unwrap();
    assert!(again.is_some());
    assert!(store.work_lock().unwrap().is_none());
}

pub(crate) fn an_erasure_is_noted_until_it_succeeds(Fresh { store, .. }: &Fresh) {
    assert!(!store.erasure_pending().unwrap());
    store.put(&[object("a"), object("b")]).unwrap();
    store.delete(&[id("b")]).unwrap();
    assert!(!store.erasure_pending().unwrap());
    store.begin_erasure().unwrap();
    assert!(store.erasure_pending().unwrap());
    store.delete(&[id("a")]).unwrap();
    assert!(store.erasure_pending().unwrap());
    assert_eq!(store.erase().unwrap(), Erasure::Done);
    assert!(!store.erasure_pending().unwrap());
    // Erasing what nobody noted is no error.
    assert_eq!(store.erase().unwrap(), Erasure::Done);
    store.begin_erasure().unwrap();
    assert!(store.erasure_pending().unwrap());
}

pub(crate) fn erasing_takes_nothing_that_is_there(Fresh { store, clock, .. }: &Fresh) {
    let objects: Vec<Object> = (0..300).map(object).chain([random_object(MAX_OBJECT_BYTES)]).collect();
    assert_eq!(store.commit(None, b"the head", &objects, &[]).unwrap(), Commit::Done);
    store.begin_erasure().unwrap();
    store.delete(&(0..300).step_by(3).map(id).collect::<Vec<_>>()).unwrap();
    clock.advance(Duration::from_secs(7));
    let listed = store.list(None, 1000).unwrap();
    assert_eq!(store.erase().unwrap(), Erasure::Done);
    assert_eq!(store.list(None, 1000).unwrap(), listed);
    assert_eq!(store.head().unwrap().as_deref(), Some(b"the head".as_slice()));
    for object in &objects {
        let deleted = (0..300).step_by(3).any(|name| id(name) == object.id);
        let expected = (!deleted).then(|| object.bytes.clone());
        assert!(store.get(&[object.id]).unwrap() == [expected]);
    }
    assert_eq!(store.commit(Some(b"the head"), b"2", &[], &[objects[1].id]).unwrap(), Commit::Done);
}
