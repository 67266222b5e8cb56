//! A store in memory: the contract without an engine, and a place to make any call fail.

use crate::{Commit, Erasure, Listed, Object, Revision, Store, StoreError, WorkLock, limits};
use claviger_types::{Clock, ObjectId, SystemClock, Timestamp};
use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

/// What goes wrong at a chosen call.
#[derive(Debug)]
pub enum Fault {
    /// This call fails with this error and does nothing; later ones work.
    Fail(StoreError),
    /// The program dies before this call: it does nothing, and it and all later ones fail until
    /// [`MemoryStore::restart`].
    CrashBefore,
    /// The program dies after this call: it does its work, then it and all later ones fail until
    /// [`MemoryStore::restart`].
    CrashAfter,
    /// The call does its work, but its answer is [`StoreError::Ambiguous`]; later ones work.
    LoseAnswer,
}

/// A store that lasts as long as the process, for tests. Faults are put in with [`MemoryStore::inject`]; so that a
/// test can go through all of them, [`MemoryStore::calls`] says how many there were.
pub struct MemoryStore {
    state: Mutex<State>,
    changed: Condvar,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<ObjectId, (Timestamp, Vec<u8>)>,
    head: Option<Vec<u8>>,
    revision: u64,
    calls: u64,
    faults: BTreeMap<u64, Fault>,
    crashed: bool,
    /// Alive as long as the lock that was given out.
    work: Weak<()>,
    erasing: bool,
    unerasable: Option<String>,
}

/// The reason behind an injected failure.
#[derive(Debug, thiserror::Error)]
#[error("a fault that the test asked for")]
struct Injected;

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }
}

impl MemoryStore {
    /// An empty store whose ages follow the machine's clock.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store whose ages follow this clock.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), clock }
    }

    /// How many calls there were, failed ones included.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Lets the call fail that comes after `more` further calls; 0 is the next one.
    pub fn inject(&self, more: u64, fault: Fault) {
        let mut state = self.lock();
        let number = state.calls + more;
        state.faults.insert(number, fault);
    }

    /// Lets every erasure from now on stay pending for this reason; `None` lets them succeed again.
    pub fn keep_bytes(&self, reason: Option<&str>) {
        self.lock().unerasable = reason.map(str::to_owned);
    }

    /// Forgets a crash, who had the work lock, and all faults to come; the contents stay.
    pub fn restart(&self) {
        let mut state = self.lock();
        state.crashed = false;
        state.work = Weak::new();
        state.faults.clear();
    }

    /// Replaces the bytes of one object behind the vault's back; `None` removes it.
    pub fn tamper(&self, id: ObjectId, bytes: Option<Vec<u8>>) {
        let now = self.clock.now();
        let mut state = self.lock();
        match bytes {
            Some(bytes) => state.objects.insert(id, (now, bytes)),
            None => state.objects.remove(&id),
        };
    }

    /// Replaces the head behind the vault's back.
    pub fn tamper_head(&self, head: Option<Vec<u8>>) {
        self.lock().head = head;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and a test that did has failed already.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one call, with the fault that waits for it.
    fn call<T>(&self, run: impl FnOnce(&mut State) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut state = self.lock();
        let number = state.calls;
        state.calls += 1;
        if state.crashed {
            return Err(unreachable());
        }
        match state.faults.remove(&number) {
            None => run(&mut state),
            Some(Fault::Fail(error)) => Err(error),
            Some(Fault::CrashBefore) => {
                state.crashed = true;
                Err(unreachable())
            }
            Some(Fault::CrashAfter) => {
                run(&mut state)?;
                state.crashed = true;
                Err(unreachable())
            }
            Some(Fault::LoseAnswer) => {
                run(&mut state)?;
                Err(StoreError::Ambiguous { source: Box::new(Injected) })
            }
        }
    }
}

fn unreachable() -> StoreError {
    StoreError::Unreachable { context: "the store in memory is down".to_owned(), source: Box::new(Injected) }
}

impl State {
    fn put(&mut self, objects: &[Object], now: Timestamp) -> Result<(), StoreError> {
        let mut new = BTreeMap::new();
        for object in objects {
            let known = self.objects.contains_key(&object.id);
            if known || new.insert(object.id, (now, object.bytes.clone())).is_some() {
                return Err(StoreError::IdExists);
            }
        }
        self.objects.append(&mut new);
        Ok(())
    }

    fn delete(&mut self, ids: &[ObjectId]) {
        for id in ids {
            self.objects.remove(id);
        }
    }
}

impl Store for MemoryStore {
    fn put(&self, objects: &[Object]) -> Result<(), StoreError> {
        limits::objects(objects)?;
        let now = self.clock.now();
        self.call(|state| state.put(objects, now))
    }

    fn get(&self, ids: &[ObjectId]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.call(|state| {
            Ok(ids.iter().map(|id| state.objects.get(id).map(|(_, bytes)| bytes.clone())).collect())
        })
    }

    fn delete(&self, ids: &[ObjectId]) -> Result<(), StoreError> {
        self.call(|state| {
            state.delete(ids);
            Ok(())
        })
    }

    fn list(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<Listed>, StoreError> {
        use std::ops::Bound::{Excluded, Unbounded};

        let now = self.clock.now();
        self.call(|state| {
            let range = (after.map_or(Unbounded, Excluded), Unbounded);
            let listed = state.objects.range(range).take(limit);
            Ok(listed.map(|(&id, &(put, _))| Listed { id, age: now.since(put) }).collect())
        })
    }

    fn head(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.call(|state| Ok(state.head.clone()))
    }

    fn commit(
        &self,
        expected: Option<&[u8]>,
        new: &[u8],
        puts: &[Object],
        deletes: &[ObjectId],
    ) -> Result<Commit, StoreError> {
        limits::commit(new, puts, deletes)?;
        let now = self.clock.now();
        self.call(|state| {
            if state.head.as_deref() != expected {
                return Ok(Commit::Conflict);
            }
            state.put(puts, now)?;
            state.delete(deletes);
            state.head = Some(new.to_vec());
            state.revision += 1;
            self.changed.notify_all();
            Ok(Commit::Done)
        })
    }

    fn watch(&self, seen: Option<Revision>, timeout: Duration) -> Result<Revision, StoreError> {
        self.call(|_| Ok(()))?;
        let state = self.lock();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, timeout, |state| seen == Some(Revision(state.revision)))
            .unwrap_or_else(PoisonError::into_inner);
        Ok(Revision(state.revision))
    }

    fn work_lock(&self) -> Result<Option<WorkLock>, StoreError> {
        self.call(|state| {
            if state.work.strong_count() > 0 {
                return Ok(None);
            }
            let held = Arc::new(());
            state.work = Arc::downgrade(&held);
            Ok(Some(WorkLock::new(held)))
        })
    }

    fn begin_erasure(&self) -> Result<(), StoreError> {
        self.call(|state| {
            state.erasing = true;
            Ok(())
        })
    }

    fn erase(&self) -> Result<Erasure, StoreError> {
        self.call(|state| {
            if let Some(reason) = state.unerasable.clone() {
                return Ok(Erasure::Pending { reason });
            }
            state.erasing = false;
            Ok(Erasure::Done)
        })
    }

    fn erasure_pending(&self) -> Result<bool, StoreError> {
        self.call(|state| Ok(state.erasing))
    }
}

#[cfg(test)]
mod tests;
