//! Touches: who is told of them, when, and what a missing one costs.

use super::hands::{FIRST_PIN, Hands, Heard, MANAGEMENT_APPLICATION, attended, kek};
use crate::lab::{CONTEXT, Lab, fresh, key};
use claviger_token::TokenError;
use softhsm_fixtures::Touch;

pub(crate) fn one_that_does_not_come_costs_nothing_else(lab: &Lab<'_>) {
    let (lab, yubikey, person) = attended(lab);
    let made = kek(&lab, None, "once", "always");
    let cek = fresh();
    let wrapped = made.wrap(&cek, CONTEXT).unwrap();
    person.heard();
    yubikey.touch(Touch::Never);
    for _ in 0..2 {
        let outcome = made.unwrap(&wrapped, CONTEXT);
        assert!(matches!(outcome, Err(TokenError::TouchTimeout)), "{outcome:?}");
        assert_eq!(person.heard(), [Heard::Touch]);
    }
    // Also right after the PIN.
    Hands::on(&yubikey).reset();
    let outcome = made.unwrap(&wrapped, CONTEXT);
    assert!(matches!(outcome, Err(TokenError::TouchTimeout)), "{outcome:?}");
    assert_eq!(person.heard(), [FIRST_PIN, Heard::Touch]);
    yubikey.touch(Touch::Auto);
    assert!(key(&made, &wrapped).same_as(&cek));
    assert_eq!(person.heard(), [Heard::Touch]);
    assert_eq!(Hands::on(&yubikey).tries(0x80), 3);
}

/// It is touched by nobody who was not told, and nobody is told before the PIN was given.
pub(crate) fn it_is_told_before_the_card_waits(lab: &Lab<'_>) {
    let (lab, yubikey, person) = attended(lab);
    let (made, at_touch) = (kek(&lab, None, "once", "always"), yubikey.clone());
    let cek = fresh();
    let wrapped = made.wrap(&cek, CONTEXT).unwrap();
    person.heard();
    person.at_touch(move || at_touch.touch(Touch::Auto));
    yubikey.touch(Touch::Never);
    Hands::on(&yubikey).reset();
    assert!(key(&made, &wrapped).same_as(&cek));
    assert_eq!(person.heard(), [FIRST_PIN, Heard::Touch]);
}

/// Each time the card wants one, and at no other.
pub(crate) fn it_is_told_as_often_as_it_is_wanted(lab: &Lab<'_>) {
    let (lab, yubikey, person) = attended(lab);
    let cek = fresh();
    let told = || person.heard().into_iter().filter(|heard| *heard == Heard::Touch).count() as u64;
    for (policy, due) in [("always", 3), ("cached", 0), ("never", 0)] {
        // The touch for another's is good for a while, on this card: until it is pulled.
        yubikey.remove();
        yubikey.insert();
        yubikey.reset_counts();
        let (made, at_enrolment) = (kek(&lab, None, "once", policy), told());
        assert_eq!((at_enrolment, at_enrolment > 0), (yubikey.touches(), policy != "never"), "{policy}");
        let wrapped = made.wrap(&cek, CONTEXT).unwrap();
        yubikey.reset_counts();
        for _ in 0..3 {
            assert!(key(&made, &wrapped).same_as(&cek));
        }
        assert_eq!((told(), yubikey.touches()), (due, due), "{policy}");
        made.self_test().unwrap();
        assert_eq!(told() + due, yubikey.touches(), "{policy}");
    }
}

/// What takes the touch away, with the PIN or without: then it is told again.
pub(crate) fn a_cached_one_is_lost_with_the_pin(lab: &Lab<'_>) {
    let (lab, yubikey, person) = attended(lab);
    let made = kek(&lab, None, "once", "cached");
    let free = kek(&lab, None, "never", "cached");
    let cek = fresh();
    let wrapped = [&made, &free].map(|token| token.wrap(&cek, CONTEXT).unwrap());
    assert!(key(&made, &wrapped[0]).same_as(&cek) && key(&free, &wrapped[1]).same_as(&cek));
    let reset = || Hands::on(&yubikey).reset();
    let elsewhere = || Hands::on(&yubikey).select(&MANAGEMENT_APPLICATION);
    let anew = || Hands::on(&yubikey).select(&[0xa0, 0, 0, 3, 8]);
    for (what, lose) in [("reset", &reset as &dyn Fn()), ("elsewhere", &elsewhere), ("anew", &anew)] {
        assert!(key(&made, &wrapped[0]).same_as(&cek));
        person.heard();
        lose();
        assert!(key(&made, &wrapped[0]).same_as(&cek));
        assert_eq!(person.heard(), [FIRST_PIN, Heard::Touch], "{what}");
        assert!(key(&made, &wrapped[0]).same_as(&cek));
        assert_eq!(person.heard(), [], "{what}");
    }
    for lose in [&reset as &dyn Fn(), &elsewhere] {
        assert!(key(&free, &wrapped[1]).same_as(&cek));
        person.heard();
        lose();
        assert!(key(&free, &wrapped[1]).same_as(&cek));
        assert_eq!(person.heard(), [Heard::Touch]);
    }
}
