use super::*;
use crate::{
    Progress, RotateMaster,
    draft::Draft,
    testing::{filled, get},
};
use claviger_types::{RecipientId, Scheme, ServiceName};
use std::thread;

const SERVICES: usize = 700;

fn places(vault: &Vault) -> Vec<Digest> {
    let leaves = vault.read(|snapshot| index::after(snapshot, None, usize::MAX)).unwrap();
    leaves.iter().map(|leaf| leaf.name).collect()
}

#[test]
fn everything_comes_in_order_and_no_more_than_was_asked_for() {
    let (_bench, vault) = filled(Scheme::A256Kw, SERVICES);
    let places = places(&vault);
    let workshop = Workshop::new(&vault, None);
    thread::scope(|scope| {
        let mut prepared = Prepared::ahead(scope, &workshop);
        for (reached, batch) in places.chunks(250).enumerate() {
            let last = batch.last().unwrap();
            prepared.reach(last);
            let have = |place| prepared.made.keys().any(|(made_for, _)| made_for == place);
            assert!(batch.iter().all(have), "batch {reached} is there");
            assert!(prepared.made.len() <= 250 + PORTION, "and little else");
            prepared.committed(last);
        }
        prepared.reach(&Digest::from_bytes([0xff; 32]));
        assert!(prepared.made.is_empty(), "there is nothing after the last");
    });
}

#[test]
fn nothing_is_made_for_nobody() {
    let (_bench, vault) = filled(Scheme::A256Kw, SERVICES);
    let workshop = Workshop::new(&vault, None);
    thread::scope(|scope| drop(Prepared::ahead(scope, &workshop)));
    let state = workshop.lock();
    assert!(state.taken <= MOST_AHEAD, "{} portions were made", state.taken);
    drop(state);
}

/// Takes the master key away as soon as the first batch is committed.
struct Thief<'a>(&'a Vault, RecipientId);

impl Progress for Thief<'_> {
    fn begin(&self, _what: &str, _total: Option<u64>) {}

    fn advance(&self, by: u64) {
        if by > 0 {
            self.0.keyring.token().destroy_sibling(self.1, Scheme::A256Kw).unwrap();
        }
    }
}

#[test]
fn a_key_that_is_lost_meanwhile_is_an_error_and_no_endless_wait() {
    let (bench, vault) = filled(Scheme::A256Kw, SERVICES);
    let thief = Thief(&vault, bench.pinned.recipient);
    let error = vault.rotate_master(RotateMaster::default(), &thief).unwrap_err();
    assert!(matches!(error, VaultError::NotARecipient), "{error:?}");
    let job = vault.fresh().unwrap().payload.job().unwrap().unwrap();
    assert!((1..job.total).contains(&job.done), "what was committed stays: {} of {}", job.done, job.total);
    get(&vault, "service 1").unwrap();
}

/// What others change after it was made ahead is made anew when its batch comes.
#[test]
fn a_service_that_changes_meanwhile_is_made_again() {
    let (_bench, vault) = filled(Scheme::A256Kw, SERVICES);
    let places = places(&vault);
    let workshop = Workshop::new(&vault, None);
    thread::scope(|scope| {
        let mut prepared = Prepared::ahead(scope, &workshop);
        prepared.reach(&places[0]);
        let service = (0..SERVICES)
            .map(|n| ServiceName::new(format!("service {n}")).unwrap())
            .find(|name| vault.fresh().unwrap().index_name(name).unwrap() == places[0])
            .unwrap();
        let _ = vault.rotate_service(&service).unwrap();
        let snapshot = vault.fresh().unwrap();
        let leaves = index::after(&snapshot, None, 1).unwrap();
        assert_eq!(leaves[0].name, places[0]);
        let at = (leaves[0].name, leaves[0].keys[0].envelope.id);
        assert!(prepared.get(&at).is_none(), "what is there is of the former data key");
        let mut draft = Draft::default();
        vault.rewrap_batch(&snapshot, leaves, &mut prepared, &mut draft).unwrap();
        assert!(prepared.get(&at).is_some());
    });
}
