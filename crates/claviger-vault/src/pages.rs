//! A service and its credentials: in one sealed object while they are few, in pages when they are many.

use crate::{
    MAX_CREDENTIALS, VaultError,
    draft::Draft,
    format::{CredentialRecord, Leaf, PageRef, ServiceObject, ServicePage, decode, encode, service::place},
    snapshot::Snapshot,
};
use claviger_envelope::ObjectKind;
use claviger_types::{Digest, Entropy, Link, ServiceName, Timestamp};
use std::sync::Arc;

/// A page that grows beyond this many bytes of records is split in two; with its envelope it stays within 64 KiB.
const PAGE_LIMIT: usize = 60 << 10;

/// A service as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) name: ServiceName,
    object: Arc<ServiceObject>,
}

impl Service {
    /// A service without credentials, whose data key was made now.
    pub(crate) fn new(name: &ServiceName, now: Timestamp) -> Self {
        let object = ServiceObject {
            name: name.as_str().to_owned(),
            tags: Vec::new(),
            rotate_days: None,
            credentials: Vec::new(),
            pages: Vec::new(),
            key_made: now,
        };
        Self { name: name.clone(), object: Arc::new(object) }
    }

    /// When its data key was made, and after how many days it wants another one, if it says so itself.
    pub(crate) fn key_age(&self) -> (Timestamp, Option<u32>) {
        (self.object.key_made, self.object.rotate_days)
    }

    /// Notes that its data key was made now.
    pub(crate) fn key_is_new(&mut self, now: Timestamp) {
        Arc::make_mut(&mut self.object).key_made = now;
    }

    /// Sets after how many days it wants another data key; `None` for the vault's default.
    pub(crate) fn set_rotate_days(&mut self, days: Option<u32>) {
        Arc::make_mut(&mut self.object).rotate_days = days;
    }

    /// The words to find it by.
    pub(crate) fn tags(&self) -> &[String] {
        &self.object.tags
    }

    /// Sets the words to find it by.
    pub(crate) fn set_tags(&mut self, tags: Vec<String>) {
        Arc::make_mut(&mut self.object).tags = tags;
    }

    /// The service that a leaf links to. Its name must be the one that the leaf stands for.
    pub(crate) fn load(snapshot: &Snapshot, leaf: &Leaf) -> Result<Self, VaultError> {
        let object = snapshot.cache.services.get_or(&leaf.object, || {
            let plain = snapshot.read_sealed("service", ObjectKind::Service, &leaf.object)?;
            Ok::<_, VaultError>((checked(decode("a service", plain.expose())?)?, plain.len()))
        })?;
        let damaged = |why: &str| VaultError::Damaged { what: format!("a service object {why}") };
        let name = ServiceName::new(object.name.as_str()).map_err(|_| damaged("has no possible name"))?;
        if snapshot.index_name(&name)? != leaf.name {
            return Err(damaged("stands in another's place"));
        }
        Ok(Self { name, object })
    }

    /// How many credentials there are.
    pub(crate) fn len(&self) -> usize {
        let paged = self.object.pages.iter().map(|page| usize::try_from(page.count).unwrap_or(usize::MAX));
        paged.fold(self.object.credentials.len(), usize::saturating_add)
    }

    /// The pages that this service links to.
    pub(crate) fn pages(&self) -> impl Iterator<Item = &Link> {
        self.object.pages.iter().map(|page| &page.link)
    }

    /// The credential of that name.
    pub(crate) fn find(
        &self,
        snapshot: &Snapshot,
        name: &str,
    ) -> Result<Option<CredentialRecord>, VaultError> {
        let place = place(name);
        let here = |records: &[CredentialRecord]| records.iter().find(|record| record.name == name).cloned();
        if self.object.pages.is_empty() {
            return Ok(here(&self.object.credentials));
        }
        let after = self.object.pages.partition_point(|page| page.first <= place);
        match after.checked_sub(1).and_then(|index| self.object.pages.get(index)) {
            Some(page) => Ok(here(&load_page(snapshot, page)?.credentials)),
            None => Ok(None),
        }
    }

    /// Every credential, in order of place.
    pub(crate) fn all(&self, snapshot: &Snapshot) -> Result<Vec<CredentialRecord>, VaultError> {
        let mut all = self.object.credentials.clone();
        for page in &self.object.pages {
            all.extend_from_slice(&load_page(snapshot, page)?.credentials);
        }
        Ok(all)
    }

    /// Calls `visit` with every credential, a page at a time.
    pub(crate) fn each(
        &self,
        snapshot: &Snapshot,
        visit: &mut dyn FnMut(&CredentialRecord) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        self.object.credentials.iter().try_for_each(&mut *visit)?;
        for page in &self.object.pages {
            load_page(snapshot, page)?.credentials.iter().try_for_each(&mut *visit)?;
        }
        Ok(())
    }

    /// Writes the service with the credentials that it has.
    pub(crate) fn write(
        &self,
        snapshot: &Snapshot,
        draft: &mut Draft,
        entropy: &dyn Entropy,
    ) -> Result<Link, VaultError> {
        self.seal(snapshot, draft, entropy)
    }

    /// Writes the service with one credential changed, or taken out. Only the page that holds it is made anew.
    pub(crate) fn write_one(
        mut self,
        snapshot: &Snapshot,
        name: &str,
        record: Option<CredentialRecord>,
        draft: &mut Draft,
        entropy: &dyn Entropy,
    ) -> Result<Link, VaultError> {
        let place = place(name);
        let object = Arc::make_mut(&mut self.object);
        if object.pages.is_empty() {
            let mut records = std::mem::take(&mut object.credentials);
            change(&mut records, name, place, record);
            return self.write_all(snapshot, records, draft, entropy);
        }
        let index = object.pages.partition_point(|page| page.first <= place).saturating_sub(1);
        let Some(page) = object.pages.get(index) else {
            return Err(VaultError::Damaged { what: "a service lost a page".to_owned() });
        };
        let mut records = load_page(snapshot, page)?.credentials.clone();
        draft.replace(&page.link);
        change(&mut records, name, place, record);
        let fresh = write_pages(snapshot, records, draft, entropy)?;
        object.pages.splice(index..=index, fresh);
        if let Some(first) = object.pages.first_mut() {
            first.first = Digest::from_bytes([0; 32]);
        }
        self.seal(snapshot, draft, entropy)
    }

    /// Writes the service with these credentials, in order of place, and no others.
    pub(crate) fn write_all(
        mut self,
        snapshot: &Snapshot,
        records: Vec<CredentialRecord>,
        draft: &mut Draft,
        entropy: &dyn Entropy,
    ) -> Result<Link, VaultError> {
        let object = Arc::make_mut(&mut self.object);
        for page in std::mem::take(&mut object.pages) {
            draft.replace(&page.link);
        }
        if size(&records)? <= PAGE_LIMIT {
            object.credentials = records;
        } else {
            object.credentials = Vec::new();
            object.pages = write_pages(snapshot, records, draft, entropy)?;
            if let Some(first) = object.pages.first_mut() {
                first.first = Digest::from_bytes([0; 32]);
            }
        }
        self.seal(snapshot, draft, entropy)
    }

    fn seal(
        &self,
        snapshot: &Snapshot,
        draft: &mut Draft,
        entropy: &dyn Entropy,
    ) -> Result<Link, VaultError> {
        if self.len() > MAX_CREDENTIALS {
            return Err(VaultError::Invalid {
                reason: format!(
                    "a service holds at most {MAX_CREDENTIALS} credentials; name a second service"
                ),
            });
        }
        draft.put_sealed(snapshot, ObjectKind::Service, &encode("a service", self.object.as_ref())?, entropy)
    }
}

/// Reads a page.
pub(crate) fn load_page(snapshot: &Snapshot, page: &PageRef) -> Result<Arc<ServicePage>, VaultError> {
    let read = snapshot.cache.pages.get_or(&page.link, || {
        let plain = snapshot.read_sealed("service page", ObjectKind::Page, &page.link)?;
        let read: ServicePage = decode("a service page", plain.expose())?;
        check_order(read.credentials.iter().map(CredentialRecord::place))?;
        Ok::<_, VaultError>((read, plain.len()))
    })?;
    let belongs = read.credentials.first().is_none_or(|record| record.place() >= page.first);
    if !belongs || u32::try_from(read.credentials.len()) != Ok(page.count) {
        return Err(VaultError::Damaged {
            what: "a service page is not the one that it should be".to_owned(),
        });
    }
    Ok(read)
}

/// A service object whose parts stand in order.
fn checked(object: ServiceObject) -> Result<ServiceObject, VaultError> {
    if !object.credentials.is_empty() && !object.pages.is_empty() {
        return Err(VaultError::Damaged {
            what: "a service object has credentials and pages at once".to_owned(),
        });
    }
    check_order(object.credentials.iter().map(CredentialRecord::place))?;
    check_order(object.pages.iter().map(|page| page.first))?;
    Ok(object)
}

impl Service {
    /// The page table, for whoever must go on when a page cannot be read.
    pub(crate) fn page_table(&self) -> &[PageRef] {
        &self.object.pages
    }

    /// The credentials that stand in the service object itself.
    pub(crate) fn inline(&self) -> &[CredentialRecord] {
        &self.object.credentials
    }
}

fn change(records: &mut Vec<CredentialRecord>, name: &str, place: Digest, record: Option<CredentialRecord>) {
    records.retain(|present| present.name != name);
    if let Some(record) = record {
        let position = records.partition_point(|present| present.place() < place);
        records.insert(position, record);
    }
}

fn size(records: &[CredentialRecord]) -> Result<usize, VaultError> {
    records.iter().map(|record| Ok(encode("a credential", record)?.len())).sum()
}

/// Cuts records into pages that fit, by halves.
fn write_pages(
    snapshot: &Snapshot,
    mut records: Vec<CredentialRecord>,
    draft: &mut Draft,
    entropy: &dyn Entropy,
) -> Result<Vec<PageRef>, VaultError> {
    let Some(first) = records.first().map(CredentialRecord::place) else { return Ok(Vec::new()) };
    if records.len() > 1 && size(&records)? > PAGE_LIMIT {
        let rest = records.split_off(records.len() / 2);
        let mut pages = write_pages(snapshot, records, draft, entropy)?;
        pages.extend(write_pages(snapshot, rest, draft, entropy)?);
        return Ok(pages);
    }
    let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
    let plain = encode("a service page", &ServicePage { credentials: records })?;
    let link = draft.put_sealed(snapshot, ObjectKind::Page, &plain, entropy)?;
    Ok(vec![PageRef { first, count, link }])
}

fn check_order(places: impl Iterator<Item = Digest>) -> Result<(), VaultError> {
    let mut last = None;
    for place in places {
        if last.is_some_and(|last| last >= place) {
            return Err(VaultError::Damaged { what: "a service's credentials are out of order".to_owned() });
        }
        last = Some(place);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
