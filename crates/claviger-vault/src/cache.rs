//! What was decoded already, by the link that vouches for it: an object never changes, so nothing here grows old.

use crate::format::{Node, Registry, ServiceObject, ServicePage};
use claviger_types::Link;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// How many encoded bytes each generation of a shelf stands for.
const NODE_BYTES: usize = 6 << 20;
const SERVICE_BYTES: usize = 6 << 20;
const REGISTRY_BYTES: usize = 1 << 20;

/// The decoded pieces of one open vault.
pub(crate) struct Cache {
    pub(crate) nodes: Shelf<Node>,
    pub(crate) services: Shelf<ServiceObject>,
    pub(crate) pages: Shelf<ServicePage>,
    pub(crate) registries: Shelf<Registry>,
}

impl Cache {
    /// One that keeps hardly anything, so that all is read from the store.
    pub(crate) fn none() -> Self {
        Self {
            nodes: Shelf::new(0),
            services: Shelf::new(0),
            pages: Shelf::new(0),
            registries: Shelf::new(0),
        }
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            nodes: Shelf::new(NODE_BYTES),
            services: Shelf::new(SERVICE_BYTES),
            pages: Shelf::new(SERVICE_BYTES),
            registries: Shelf::new(REGISTRY_BYTES),
        }
    }
}

/// A bounded shelf in two generations: when the young one is full it becomes the old one, and what was in the old one
/// and was not asked for meanwhile is gone.
pub(crate) struct Shelf<T> {
    most: usize,
    generations: Mutex<Generations<T>>,
}

struct Generations<T> {
    young: HashMap<Link, Kept<T>>,
    old: HashMap<Link, Kept<T>>,
    weight: usize,
}

struct Kept<T> {
    what: Arc<T>,
    weight: usize,
}

impl<T> Shelf<T> {
    fn new(most: usize) -> Self {
        let generations = Generations { young: HashMap::new(), old: HashMap::new(), weight: 0 };
        Self { most, generations: Mutex::new(generations) }
    }

    /// What lies under this link, or what `make` reads; it says how many bytes that was.
    pub(crate) fn get_or<E>(
        &self,
        link: &Link,
        make: impl FnOnce() -> Result<(T, usize), E>,
    ) -> Result<Arc<T>, E> {
        if let Some(kept) = self.get(link) {
            return Ok(kept);
        }
        let (what, weight) = make()?;
        let what = Arc::new(what);
        self.put(*link, Kept { what: Arc::clone(&what), weight });
        Ok(what)
    }

    /// Keeps what was just written, so that it need not be read back: it is what its link vouches for.
    pub(crate) fn keep(&self, link: Link, what: T, weight: usize) {
        self.put(link, Kept { what: Arc::new(what), weight });
    }

    /// What lies under this link, if it is here.
    pub(crate) fn get(&self, link: &Link) -> Option<Arc<T>> {
        let mut both = self.lock();
        if let Some(kept) = both.young.get(link) {
            return Some(Arc::clone(&kept.what));
        }
        let kept = both.old.remove(link)?;
        let what = Arc::clone(&kept.what);
        drop(both);
        self.put(*link, kept);
        Some(what)
    }

    fn put(&self, link: Link, kept: Kept<T>) {
        let mut both = self.lock();
        if both.weight + kept.weight > self.most {
            both.old = std::mem::take(&mut both.young);
            both.weight = 0;
        }
        both.weight += kept.weight;
        both.young.insert(link, kept);
    }

    // A map of finished things is whole at every moment, so a panic elsewhere does not spoil it.
    fn lock(&self) -> std::sync::MutexGuard<'_, Generations<T>> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
