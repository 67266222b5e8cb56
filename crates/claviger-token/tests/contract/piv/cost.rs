//! How often the card is gone to.

use super::hands::{attended, kek};
use crate::lab::{CONTEXT, Lab, fresh, key};
use std::collections::BTreeMap;

/// One transaction and one command, whatever else there is.
pub(crate) fn an_unwrap_is_one_command(lab: &Lab<'_>) {
    let (lab, yubikey, person) = attended(lab);
    for touch in ["never", "cached"] {
        let made = kek(&lab, None, "once", touch);
        let opened = lab.open(&made).unwrap();
        let cek = fresh();
        let wrapped = made.wrap(&cek, CONTEXT).unwrap();
        for token in [&made, &opened] {
            assert!(key(token, &wrapped).same_as(&cek));
            person.heard();
            yubikey.reset_counts();
            lab.instance.pcsc_faults().reset_counts();
            for _ in 0..5 {
                assert!(key(token, &wrapped).same_as(&cek));
            }
            assert_eq!(yubikey.counts(), BTreeMap::from([(0x87, 5)]), "{touch}");
            let calls = ["begin", "transmit", "end"].map(|call| (call.to_owned(), 5));
            assert_eq!(lab.instance.pcsc_faults().counts(), BTreeMap::from(calls), "{touch}");
            assert_eq!(person.heard(), []);
        }
    }
}

/// With the profile of its enrolment a key is opened by one look into its slot.
pub(crate) fn opening_is_a_few(lab: &Lab<'_>) {
    let (lab, yubikey, _) = attended(lab);
    for slot in [None, Some("95")] {
        let made = kek(&lab, slot, "once", "never");
        yubikey.reset_counts();
        lab.instance.pcsc_faults().reset_counts();
        lab.open(&made).unwrap();
        // Whether PIV is selected, which version and serial; which key is there; whether the PIN stands.
        assert_eq!(yubikey.counts(), BTreeMap::from([(0xfd, 2), (0xf8, 1), (0xf7, 1), (0x20, 1)]));
        // There are two readers, of which one is empty.
        let calls = lab.instance.pcsc_faults().counts();
        assert_eq!((calls["connect"], calls["begin"], calls["transmit"]), (2, 3, 5), "{calls:?}");
    }
}
