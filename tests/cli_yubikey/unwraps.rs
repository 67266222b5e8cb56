//! How often a YubiKey is used: each use takes tens of milliseconds, and perhaps a touch.

use crate::lone;
use softhsm_fixtures::YubiKey;

/// GENERAL AUTHENTICATE with the shared secret of a key in a slot; the management key's steps are others.
const USE: u8 = 0x87;
const SERVICES: usize = 6;

fn uses(key: &YubiKey, work: impl FnOnce()) -> u64 {
    key.reset_counts();
    work();
    key.counts().get(&USE).copied().unwrap_or_default()
}

/// One for the vault key, and one for each service, however many credentials and versions it has.
#[test]
fn a_service_is_unwrapped_once_in_an_unlock() {
    let world = lone();
    for service in 0..SERVICES {
        for name in ["a", "b", "c"] {
            for version in 0..2 {
                world.set(&format!("s{service}/{name}"), format!("{version}"));
            }
        }
    }
    let key = world.token().yubikey(0);
    assert_eq!(uses(&key, || drop(world.line("list").ok())), 1, "a list");
    assert_eq!(uses(&key, || drop(world.get("s1/b"))), 2, "one value");
    assert_eq!(uses(&key, || drop(world.line("history s1/b").ok())), 1, "a history");
    assert_eq!(uses(&key, || world.set("s1/b", "new")), 2, "a new version");
    // Every version of every credential is opened and sealed again.
    let services: Vec<_> = (0..SERVICES).map(|service| format!("s{service}")).collect();
    let line = format!("rotate service {}", services.join(" "));
    assert_eq!(uses(&key, || drop(world.line(&line).ok())), SERVICES as u64 + 1, "all of it");
    assert_eq!(uses(&key, || drop(world.line("verify").ok())), 1, "what is verified is not opened");
}

/// A rotation of the master key unwraps each data key once; wrapping needs no card.
#[test]
fn a_rotation_unwraps_each_data_key_once() {
    let world = lone();
    for service in 0..SERVICES {
        world.set(&format!("s{service}"), "value");
    }
    let key = world.token().yubikey(0);
    let before = uses(&key, || world.set("one more", "value"));
    assert_eq!(before, 1, "a new service is wrapped to without the card");
    // What making, testing and certifying the new key takes: counted where there is nothing to unwrap.
    let empty = lone();
    let making = uses(&empty.token().yubikey(0), || drop(empty.line("rotate master").ok()));
    let all = uses(&key, || drop(world.line("rotate master").ok()));
    assert_eq!(all - making, SERVICES as u64 + 1);
}
