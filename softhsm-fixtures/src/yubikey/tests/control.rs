//! What a test can do to a key.

use super::{
    apdu::{SELECT, TRIES, VERIFY, ecdh, outside, send, statuses, try_send},
    generate,
};
use crate::{At, CardAction, Provider, Touch, in_own_process};
use std::{
    thread,
    time::{Duration, Instant},
};

#[test]
fn a_touch_comes_or_does_not() {
    let instance = Provider::YubiKey.instance();
    let key = instance.yubikey(0);
    generate(&instance, "9d", "never", "always");
    generate(&instance, "82", "never", "cached");
    let (_, point) = outside(&instance);
    let [always, cached] = ["9D", "82"].map(|slot| ecdh(slot, &point));
    key.reset_counts();
    assert_eq!(statuses(&instance, &[SELECT, &always, &always, &cached]), [0x9000; 4]);
    // The one that remembers has seen the touch of the other.
    assert_eq!(key.touches(), 2);
    key.touch(Touch::Never);
    let begin = Instant::now();
    assert_eq!(statuses(&instance, &[SELECT, &cached, &always]), [0x9000, 0x9000, 0x6982]);
    assert!(begin.elapsed() >= Duration::from_millis(300));
    key.remove();
    key.insert();
    assert_eq!(statuses(&instance, &[SELECT, &cached]), [0x9000, 0x6982]);
    key.touch_timeout(Duration::from_millis(20));
    assert_eq!(statuses(&instance, &[SELECT, &always]), [0x9000, 0x6982]);
    key.touch_timeout(Duration::from_secs(10));
    key.touch(Touch::After(Duration::from_millis(50)));
    let begin = Instant::now();
    assert_eq!(statuses(&instance, &[SELECT, &always, &cached]), [0x9000; 3]);
    assert!((50..5000).contains(&begin.elapsed().as_millis()));
    // Somebody comes while the card waits.
    key.touch(Touch::Never);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| statuses(&instance, &[SELECT, &always]));
        thread::sleep(Duration::from_millis(100));
        key.touch(Touch::Auto);
        assert_eq!(waiting.join().unwrap(), [0x9000, 0x9000]);
    });
    assert_eq!(key.touches(), 7);
}

#[test]
fn what_is_injected_happens_when_it_is_to() {
    let instance = Provider::YubiKey.instance();
    let key = instance.yubikey(0);
    generate(&instance, "9d", "once", "never");
    let (_, point) = outside(&instance);
    let ecdh = ecdh("9D", &point);
    let all = [SELECT, VERIFY, &ecdh, &ecdh, &ecdh];
    let good = send(&instance, &all).remove(2).0;

    key.reset_counts();
    key.inject(0x87, At::Nth(2), CardAction::Status(0x6f00));
    assert_eq!(statuses(&instance, &all), [0x9000, 0x9000, 0x9000, 0x6f00, 0x9000]);
    assert_eq!(key.counts().into_iter().collect::<Vec<_>>(), [(0x20, 1), (0x87, 3), (0xa4, 1)]);
    key.clear();
    key.inject(0x87, At::From(2), CardAction::Length(33));
    key.inject(0x87, At::Every, CardAction::Flip(32));
    let replies = send(&instance, &all);
    assert_eq!([4, 3, 2].map(|nth| replies[nth].0.len()), [33, 33, 36]);
    assert_eq!(replies[2].0[4], good[4] ^ 1);
    key.clear();
    key.inject(0x87, At::Every, CardAction::Secret);
    let reply = send(&instance, &all).remove(2);
    assert_eq!((&reply.0[..4], &reply.0[4..], reply.1), (&good[..4], &[0x5a; 32][..], 0x9000));
    key.clear();
    key.inject(None, At::Nth(3), CardAction::Delay(Duration::from_millis(50)));
    key.delay(Duration::from_millis(10));
    let begin = Instant::now();
    assert_eq!(send(&instance, &all)[4].0, good);
    assert!(begin.elapsed() >= Duration::from_millis(100));
    key.delay(Duration::ZERO);
    key.clear();
    // It was verified, whatever it said.
    key.inject(0x20, At::Nth(1), CardAction::After(0x6983));
    assert_eq!(statuses(&instance, &all), [0x9000, 0x6983, 0x9000, 0x9000, 0x9000]);
    // Nothing is selected, and after another SELECT nothing verified.
    key.inject(0x87, At::Nth(1), CardAction::Reset);
    let commands = [SELECT, VERIFY, &ecdh, SELECT, &ecdh];
    assert_eq!(statuses(&instance, &commands), [0x9000, 0x9000, 0x6d00, 0x9000, 0x6982]);
}

#[test]
fn a_key_is_pulled_and_put_back() {
    let instance = Provider::YubiKey.instance();
    let key = instance.yubikey(0);
    generate(&instance, "9d", "never", "never");
    let (_, point) = outside(&instance);
    let ecdh = ecdh("9D", &point);
    let before = send(&instance, &[SELECT, &ecdh]);
    instance.remove();
    assert!(!key.is_inserted() && try_send(&instance, &[SELECT]).is_err());
    instance.put_back();
    assert_eq!(send(&instance, &[SELECT, &ecdh]), before);

    let wrong = "0020008008363534333231FFFF";
    for (action, tries) in [(CardAction::Remove, 0x63c3), (CardAction::RemoveAfter, 0x63c2)] {
        key.inject(0x20, At::Nth(1), action);
        let begin = Instant::now();
        try_send(&instance, &[SELECT, wrong]).unwrap_err();
        assert!(begin.elapsed() < Duration::from_secs(5));
        assert!(!key.is_inserted());
        key.insert();
        assert_eq!(statuses(&instance, &[SELECT, TRIES]), [0x9000, tries]);
    }
}

#[test]
fn a_key_is_pulled_while_it_waits_for_a_touch() {
    let instance = Provider::YubiKey.instance();
    let key = instance.yubikey(0);
    generate(&instance, "9d", "never", "always");
    let (_, point) = outside(&instance);
    key.touch(Touch::Never);
    key.touch_timeout(Duration::from_mins(1));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| try_send(&instance, &[SELECT, &ecdh("9D", &point)]));
        while key.touches() == 0 {
            thread::sleep(Duration::from_millis(5));
        }
        let begin = Instant::now();
        key.remove();
        waiting.join().unwrap().unwrap_err();
        assert!(begin.elapsed() < Duration::from_secs(10));
    });
    key.touch(Touch::Auto);
    key.insert();
    assert_eq!(statuses(&instance, &[SELECT, &ecdh("9D", &point)]), [0x9000; 2]);
}

#[test]
fn a_process_of_its_own_has_the_same_key_in_its_hands() {
    in_own_process(
        concat!(module_path!(), "::a_process_of_its_own_has_the_same_key_in_its_hands"),
        Provider::YubiKey,
        |instance| {
            let key = instance.yubikey(0);
            assert_eq!(key.serial(), 11_111_111);
            generate(instance, "9d", "never", "never");
            let (_, point) = outside(instance);
            let ecdh = ecdh("9D", &point);
            let before = send(instance, &[SELECT, &ecdh]);
            key.remove();
            key.insert();
            instance.restart_pcscd();
            instance.restart_pcscd();
            assert_eq!(send(instance, &[SELECT, &ecdh]), before);
            let second = instance.add_yubikey(&crate::KeySpec::default());
            assert_eq!(second.serial(), 22_222_222);
            assert!(second.attestation_root().exists());
        },
    );
}
