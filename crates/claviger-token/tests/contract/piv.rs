//! YubiKeys behind the PIV driver, virtual ones in readers of a real pcscd: the contract of all tokens, and what only cards
//! have.

use softhsm_fixtures::Instance;

contract! { yubikey = YubiKey {
    preference: kek::the_preferred_scheme_is(EcdhEsA256Kw);
    round_trip: wrapping::round_trip(EcdhEsA256Kw);
    changed_blobs: wrapping::changed_blobs_are_corrupt(EcdhEsA256Kw);
    not_its_own: wrapping::foreign_is_not_mine(EcdhEsA256Kw);
    threads: wrapping::threads_do_not_disturb_each_other(EcdhEsA256Kw);
    destroy: kek::a_destroyed_key_is_gone(EcdhEsA256Kw);
    probes_without_profile: kek::a_lost_profile_is_probed_again;
    wrong_pin: access::a_wrong_pin_is_tried_once;
    absent_token: access::an_absent_token_names_those_present;
    missing_key: access::a_missing_key_is_named;
    two_keys_one_login: access::a_second_key_asks_for_no_second_pin;
    survives_logout: loss::logout(EcdhEsA256Kw);
    refused_pin_after_a_loss: loss::a_refused_pin_is_not_tried_again_after_a_loss;
    asks_again_only_for_a_lost_login: loss::a_one_shot_pin_source_is_enough_without_a_loss;
    fork_and_exit: fork::a_child_that_only_ends_takes_nothing(EcdhEsA256Kw);
    fork: fork::child_and_parent_both_unwrap(EcdhEsA256Kw);
    siblings: siblings::a_sibling_is_found_without_a_second_pin;
    missing_sibling: siblings::a_sibling_that_is_not_there_is_missing;
    siblings_and_uris: siblings::what_the_uri_says_of_one_key_is_not_said_of_its_sibling;
    new_sibling: siblings::a_sibling_is_made_without_a_second_pin;
    second_enrolment: siblings::a_second_enrolment_asks_for_no_pin;
    refused_for_siblings: siblings::a_refused_pin_is_refused_for_all_siblings;
    destroyed_sibling: siblings::a_destroyed_sibling_is_gone_and_the_other_stays;
    absence_and_login: siblings::a_lost_login_is_no_proof_of_absence;
    others_stay: siblings::what_is_made_and_destroyed_is_never_anothers;
    signer: signers::what_is_signed_verifies;
    signer_shares_a_login: signers::a_signer_and_a_key_share_a_login;
    signer_survives_logout: signers::a_signer_survives_logout;
    pulled_and_put_back: loss::a_token_is_pulled_and_put_back;
} }

/// The card past the driver, shared with it.
fn beside(instance: &Instance) -> pcsc::Card {
    let context = pcsc::Context::establish(pcsc::Scope::System).unwrap();
    let readers = context.list_readers_owned().unwrap();
    let serial = instance.yubikey(0).serial();
    let wanted = readers.iter().find_map(|reader| {
        let card = context.connect(reader, pcsc::ShareMode::Shared, pcsc::Protocols::ANY).ok()?;
        (answer(&card, &[0, 0xf8, 0, 0, 0]) == [&serial.to_be_bytes()[..], &[0x90, 0]].concat())
            .then_some(card)
    });
    wanted.unwrap()
}

fn answer(card: &pcsc::Card, command: &[u8]) -> Vec<u8> {
    let mut buffer = [0; 258];
    card.transmit(command, &mut buffer).unwrap().to_vec()
}

/// Another program resets the card, as many do when they end.
pub(crate) fn reset(instance: &Instance) {
    beside(instance).disconnect(pcsc::Disposition::ResetCard).map_err(|(_, error)| error).unwrap();
}

/// The slots that have a key that is used, as the card tells it: before firmware 5.7 keys are overwritten, and marked.
pub(crate) fn occupied(instance: &Instance) -> Vec<u8> {
    let card = beside(instance);
    let slots = [0x9a, 0x9c, 0x9d, 0x9e].into_iter().chain(0x82..=0x95);
    let has = |slot: &u8| {
        answer(&card, &[0, 0xf7, 0, *slot, 0]).ends_with(&[0x90, 0])
            && !certificate(&card, *slot).windows(6).any(|text| text == b"unused")
    };
    let occupied = slots.filter(has).collect();
    card.disconnect(pcsc::Disposition::LeaveCard).map_err(|(_, error)| error).unwrap();
    occupied
}

/// The beginning of the object that holds a slot's certificate.
fn certificate(card: &pcsc::Card, slot: u8) -> Vec<u8> {
    let object = match slot {
        0x9a => 0x05,
        0x9c => 0x0a,
        0x9d => 0x0b,
        0x9e => 0x01,
        retired => 0x0d + (retired - 0x82),
    };
    answer(card, &[0, 0xcb, 0x3f, 0xff, 5, 0x5c, 3, 0x5f, 0xc1, object, 0])
}
