use super::*;
use std::cell::{Cell, RefCell};

type Meddle = fn(&Fake);

/// A token of a few objects whose calls fail when they are told to.
#[derive(Default)]
struct Fake {
    objects: RefCell<Vec<(u64, Vec<u8>)>>,
    next: Cell<u64>,
    calls: Cell<usize>,
    /// From this call on, so many calls of this function answer so.
    failing: Option<(&'static str, usize, usize, RvError)>,
    /// Before this call, another writer does this.
    meddler: Option<(usize, Meddle)>,
    /// Keeps another value than it is given.
    forgetful: bool,
    /// So many searches find nothing.
    blind: Cell<usize>,
}

impl Fake {
    fn with(values: &[&[u8]]) -> Self {
        let fake = Self::default();
        for value in values {
            fake.put(value);
        }
        fake
    }

    fn put(&self, value: &[u8]) {
        let object = self.next.replace(self.next.get() + 1);
        self.objects.borrow_mut().push((object, value.to_vec()));
    }

    fn kept(&self) -> Vec<Vec<u8>> {
        self.objects.borrow().iter().map(|(_, value)| value.clone()).collect()
    }

    fn call(&self, name: &'static str) -> Result<(), Fault> {
        let call = self.calls.replace(self.calls.get() + 1);
        if let Some((when, meddle)) = self.meddler
            && when == call
        {
            meddle(self);
        }
        match self.failing {
            Some((function, from, count, rv)) if (from..from + count).contains(&call) && function == name => {
                Err(Fault { function, rv })
            }
            _ => Ok(()),
        }
    }
}

const VANISHED: Fault = Fault { function: "fake", rv: RvError::ObjectHandleInvalid };

impl Shelf for Fake {
    type Object = u64;

    fn find(&self, _: &str, most: usize) -> Result<Vec<u64>, Fault> {
        self.call("find")?;
        if let Some(less) = self.blind.get().checked_sub(1) {
            self.blind.set(less);
            return Ok(Vec::new());
        }
        Ok(self.objects.borrow().iter().map(|(object, _)| *object).take(most).collect())
    }

    fn read(&self, object: u64) -> Result<Vec<u8>, Fault> {
        self.call("read")?;
        let objects = self.objects.borrow();
        let value = objects.iter().find(|(known, _)| *known == object).ok_or(VANISHED)?.1.clone();
        if value.len() > MAX_BYTES {
            return Err(Fault { function: "fake", rv: RvError::BufferTooSmall });
        }
        Ok(value)
    }

    fn create(&self, _: &str, value: &[u8]) -> Result<u64, Fault> {
        self.call("create")?;
        self.put(if self.forgetful { b"?" } else { value });
        Ok(self.next.get() - 1)
    }

    fn is_named(&self, object: u64, _: &str) -> Result<bool, Fault> {
        self.call("is_named")?;
        let objects = self.objects.borrow();
        objects.iter().find(|(known, _)| *known == object).map(|_| true).ok_or(VANISHED)
    }

    fn destroy(&self, object: u64) -> Result<(), Fault> {
        self.call("destroy")?;
        let before = self.objects.borrow().len();
        self.objects.borrow_mut().retain(|(known, _)| *known != object);
        if self.objects.borrow().len() == before { Err(VANISHED) } else { Ok(()) }
    }
}

fn error(outcome: Result<(), Failure>) -> TokenError {
    outcome.unwrap_err().into()
}

#[test]
fn a_write_replaces_all_that_was_there() {
    for earlier in ["", "old", "old older", "new old", "old new new", "new new old"] {
        let fake = Fake::default();
        for value in earlier.split_whitespace() {
            fake.put(value.as_bytes());
        }
        write(&fake, "a", b"new").unwrap();
        assert_eq!(fake.kept(), [b"new"], "{earlier}");
    }
}

#[test]
fn what_is_there_already_is_not_written_again() {
    let fake = Fake::with(&[b"same"]);
    write(&fake, "a", b"same").unwrap();
    assert_eq!((fake.kept(), fake.next.get()), (vec![b"same".to_vec()], 1));
}

#[test]
fn a_full_token_keeps_the_earlier_value() {
    let mut fake = Fake::with(&[b"old"]);
    fake.failing = Some(("create", 0, usize::MAX, RvError::DeviceMemory));
    assert!(matches!(error(write(&fake, "a", b"new")), TokenError::TokenFull));
    assert_eq!(fake.kept(), [b"old"]);
}

/// Whatever call fails however, the earlier value is there or the new one is; and a call that may pass is made again.
#[test]
fn no_failure_loses_both_values() {
    for rv in [
        RvError::DeviceMemory,
        RvError::ObjectHandleInvalid,
        RvError::SessionHandleInvalid,
        RvError::UserNotLoggedIn,
        RvError::TokenWriteProtected,
        RvError::ActionProhibited,
    ] {
        // The calls of a write that replaces one value.
        for (call, function) in
            ["find", "read", "create", "find", "read", "read", "destroy"].into_iter().enumerate()
        {
            for count in [1, usize::MAX - call] {
                let mut fake = Fake::with(&[b"old"]);
                fake.failing = Some((function, call, count, rv));
                let outcome = write(&fake, "a", b"new");
                let (kept, shown) = (fake.kept(), format!("{rv:?} {function} {call} {count}"));
                assert!(kept.iter().any(|value| value == b"old" || value == b"new"), "{shown}");
                if outcome.is_ok() {
                    assert!(kept.contains(&b"new".to_vec()), "{shown}");
                }
                let fault = Fault { function, rv };
                if count == 1 && (fault.may_pass() || (disturbed(&fault) && function != "create")) {
                    assert!(outcome.is_ok(), "{shown}");
                }
            }
        }
    }
}

#[test]
fn a_token_that_keeps_something_else_keeps_the_earlier_value() {
    let mut fake = Fake::with(&[b"old"]);
    fake.forgetful = true;
    assert!(matches!(error(write(&fake, "a", b"new")), TokenError::ModuleFailed { .. }));
    assert_eq!(fake.kept(), [b"old"]);
}

/// Another writer comes between any two calls: its value is never taken for an earlier one.
#[test]
fn a_value_that_came_meanwhile_stays() {
    for call in 1..7 {
        let mut fake = Fake::with(&[b"old"]);
        fake.meddler = Some((call, |fake| fake.put(b"theirs")));
        write(&fake, "a", b"new").unwrap();
        assert_eq!(fake.kept().iter().filter(|value| *value == b"theirs").count(), 1, "{call}");
        assert!(!fake.kept().contains(&b"old".to_vec()), "{call}");
    }
}

/// All is destroyed between any two calls: the new value is there in the end, unless that came last.
#[test]
fn a_value_that_vanished_unreplaced_is_written_again() {
    for call in 0..6 {
        let mut fake = Fake::with(&[b"old"]);
        fake.meddler = Some((call, |fake| fake.objects.borrow_mut().clear()));
        write(&fake, "a", b"new").unwrap();
        assert_eq!(fake.kept(), [b"new"], "{call}");
    }
}

#[test]
fn a_value_that_was_superseded_is_not_written_over() {
    let mut fake = Fake::with(&[b"old"]);
    // Before the new value is read back, a later writer put its own in its place.
    fake.meddler = Some((3, |fake| {
        fake.objects.borrow_mut().clear();
        fake.put(b"theirs");
    }));
    write(&fake, "a", b"new").unwrap();
    assert_eq!(fake.kept(), [b"theirs"]);
}

/// As a search does that meets another process between its new object and the removal of the old.
#[test]
fn a_search_that_finds_nothing_is_made_again() {
    let fake = Fake::with(&[b"old"]);
    fake.blind.set(CONFIRMATIONS);
    assert_eq!(values(&fake, "a").unwrap().len(), 1);
    fake.blind.set(CONFIRMATIONS);
    write(&fake, "a", b"new").unwrap();
    assert_eq!(fake.kept(), [b"new"]);
}

#[test]
fn values_are_bounded() {
    let fake = Fake::with(&[&[7; MAX_BYTES]]);
    assert_eq!(values(&fake, "a").map_err(TokenError::from).unwrap().len(), 1);
    let fake = Fake::with(&[&[7; MAX_BYTES + 1]]);
    let unusable = |outcome: Result<_, Failure>| {
        matches!(outcome.map_err(TokenError::from), Err(TokenError::AnchorUnusable { .. }))
    };
    assert!(unusable(values(&fake, "a").map(|_| ())));
    let fake = Fake::with(&[&b"many"[..]; MAX_VALUES + 1]);
    assert!(unusable(values(&fake, "a").map(|_| ())));
    assert!(unusable(write(&fake, "a", b"new")));
    assert_eq!(fake.kept().len(), MAX_VALUES + 1);
    remove(&fake, "a").map_err(TokenError::from).unwrap();
    assert!(fake.kept().is_empty());
}

#[test]
fn a_removal_meets_what_others_remove() {
    for call in 0..4 {
        let mut fake = Fake::with(&[b"one", b"two"]);
        fake.meddler = Some((call, |fake| fake.objects.borrow_mut().clear()));
        remove(&fake, "a").map_err(TokenError::from).unwrap();
        assert!(fake.kept().is_empty());
    }
}
