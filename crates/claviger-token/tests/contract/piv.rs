//! YubiKeys behind the PIV driver, virtual ones in readers of a real pcscd: the contract of all tokens, and what only cards
//! have.

mod admin;
mod contention;
mod cost;
mod faults;
mod firmware;
mod hands;
mod hosted;
mod lies;
mod loss;
mod management;
mod modules;
mod others;
mod pins;
mod several;
mod slots;
mod touch;

use hands::Hands;
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
    tries: piv::pins::the_tries_are_told_before_each;
    pin_before_keys: piv::pins::it_is_asked_for_before_anything_is_made;
    last_try: piv::pins::the_last_one_is_never_spent_unasked;
    right_pin: piv::pins::the_right_one_makes_up_for_wrong_ones;
    impossible_pin: piv::pins::a_pin_of_no_length_spends_no_try;
    unclear_answer: piv::pins::an_answer_that_is_none_is_no_absence;
    wrong_pin_once: piv::pins::a_wrong_one_is_given_once_whatever_else_fails;
    pin_policies: piv::pins::each_use_asks_where_the_policy_says_so;
    pin_on_its_way: piv::pins::a_pin_that_was_on_its_way_is_not_given_again;
    admin_changes_pins: piv::admin::who_knows_them_changes_them;
    admin_counts: piv::admin::wrong_ones_are_counted_and_locked_ones_not_asked_for;
    admin_last_try: piv::admin::the_last_one_is_never_spent_unasked;
    admin_new_pin: piv::admin::a_new_one_that_cannot_be_spends_nothing;
    admin_puk_on_its_way: piv::admin::a_puk_that_was_on_its_way_is_tried_once;
    admin_wrong_once: piv::admin::a_wrong_one_is_tried_once_whatever_else_fails;
    admin_older_card: piv::admin::an_older_card_tells_less;
    no_touch: piv::touch::one_that_does_not_come_costs_nothing_else;
    touch_is_told_first: piv::touch::it_is_told_before_the_card_waits;
    touches_are_told: piv::touch::it_is_told_as_often_as_it_is_wanted;
    cached_touch: piv::touch::a_cached_one_is_lost_with_the_pin;
    occupied_slots: piv::slots::an_occupied_one_is_never_overwritten;
    free_slots: piv::slots::the_first_free_one_is_taken;
    slots_of_others: piv::slots::those_of_others_are_refused;
    full_card: piv::slots::a_full_card_says_so;
    overwritten_slots: piv::slots::an_overwritten_one_is_used_again;
    existing_keys: piv::slots::what_is_there_is_taken_as_it_is;
    existing_keys_of_vaults: piv::slots::what_is_a_vaults_already_is_refused;
    named_alike: piv::slots::what_is_only_named_alike_is_its_owners;
    marks_of_destroyed_ones: piv::slots::what_takes_a_destroyed_ones_place_is_refused;
    certificates_left_behind: piv::slots::what_is_left_of_a_destroyed_one_is_no_hindrance;
    failed_enrolment: piv::slots::what_does_not_pass_is_taken_away("5.4.3");
    failed_enrolment_on_5_7: piv::slots::what_does_not_pass_is_taken_away("5.7.1");
    management_tdes: piv::management::a_makers_key(("3des", "5.4.3", "3DES"));
    management_aes128: piv::management::a_makers_key(("aes128", "5.4.3", "AES-128"));
    management_aes192: piv::management::a_makers_key(("aes192", "5.7.1", "AES-192"));
    management_aes256: piv::management::a_makers_key(("aes256", "5.7.1", "AES-256"));
    management_of_its_own: piv::management::another_is_asked_for;
    management_behind_the_pin: piv::management::one_behind_the_pin_is_found_there;
    management_with_touch: piv::management::one_that_wants_a_touch_is_told;
    firmware_5_4: piv::firmware::keys_live_on_it("5.4.3");
    firmware_5_7: piv::firmware::keys_live_on_it("5.7.1");
    attestation_5_4: piv::firmware::what_it_attests_is_verified("5.4.3");
    attestation_5_7: piv::firmware::what_it_attests_is_verified("5.7.1");
    older_card: piv::firmware::an_older_card_is_given_no_key;
    older_card_with_a_key: piv::firmware::an_older_card_lends_the_key_that_it_shows;
    no_pin_wanted: piv::lies::one_that_wants_no_pin_is_refused;
    point_off_the_curve: piv::lies::one_that_agrees_with_any_point_is_refused;
    nothing_written: piv::lies::one_that_only_says_that_it_wrote_is_refused;
    management_not_proven: piv::lies::one_that_does_not_prove_its_management_key_gets_none;
    several: piv::several::a_key_is_found_on_whichever_it_is;
    several_and_one_held: piv::several::the_only_one_that_is_seen_is_not_taken_for_the_only_one;
    one_of_several_pulled: piv::several::one_is_pulled_while_the_other_works;
    reset: piv::loss::reset_by_another_program;
    pulled_in_the_middle: piv::loss::pulled_in_the_middle;
    service: piv::loss::the_service_stops_and_starts;
    another_key: piv::loss::another_key_in_its_slot;
    moved: piv::loss::it_is_found_where_it_was_moved;
    moved_stays_known: piv::loss::a_moved_key_stays_known;
    stayed: piv::loss::a_key_that_stays_is_spoken_of;
    listed: piv::loss::the_others_are_listed;
    logins_of_others: piv::others::nobody_loses_a_login;
    other_application: piv::others::another_application_is_put_back;
    held: piv::others::one_that_has_it_alone_is_named;
    contention: piv::contention::each_use_goes_well;
    contention_that_passes: piv::contention::what_passes_is_got_over;
    contention_that_lasts: piv::contention::what_lasts_is_told;
    contention_in_use: piv::contention::resets_in_a_row_are_got_over;
    cost: piv::cost::an_unwrap_is_one_command;
    cost_of_opening: piv::cost::opening_is_a_few;
    ykcs11: piv::modules::yubicos_opens_it;
    ykcs11_siblings: piv::modules::yubicos_finds_siblings;
    opensc: piv::modules::openscs_opens_it;
    faults_of_all_commands: piv::faults::no_command_is_left_out;
    faults_in_use: piv::faults::in_use;
    faults_in_a_login: piv::faults::in_a_login;
    faults_in_opening: piv::faults::in_opening;
    faults_in_a_self_test: piv::faults::in_a_self_test;
    faults_in_enrolment: piv::faults::in_enrolment;
    faults_of_garbled_answers_in_enrolment: piv::faults::of_garbled_answers_in_enrolment;
    faults_in_a_signers_enrolment: piv::faults::in_a_signers_enrolment;
    faults_in_destruction: piv::faults::in_destruction;
    faults_in_changes_of_pins: piv::faults::in_changes_of_pins;
    faults_of_the_service_in_use: piv::faults::of_the_service_in_use;
    faults_of_the_service_in_opening: piv::faults::of_the_service_in_opening;
    faults_of_the_service_in_enrolment: piv::faults::of_the_service_in_enrolment;
    faults_by_pulling: piv::faults::pulled;
} }

contract! { hosted_yubikey = YubiKey by crate::hosted::lab {
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
    tries: piv::pins::the_tries_are_told_before_each;
    pin_on_its_way: piv::pins::a_pin_that_was_on_its_way_is_not_given_again;
    cached_touch: piv::touch::a_cached_one_is_lost_with_the_pin;
    held: piv::others::one_that_has_it_alone_is_named;
    service: piv::loss::the_service_stops_and_starts;
    killed: piv::hosted::a_killed_process_costs_one_error;
    attendant: piv::hosted::whoever_attends_is_reached;
    stayed: piv::loss::a_key_that_stays_is_spoken_of;
    pin_at_each_use: piv::hosted::each_use_asks;
} }

/// Another program resets the card, as many do when they end.
pub(crate) fn reset(instance: &Instance) {
    Hands::on(&instance.yubikey(0)).reset();
}

/// How many slots have a key that is used, as the card tells it.
pub(crate) fn occupied(instance: &Instance) -> usize {
    Hands::on(&instance.yubikey(0)).occupied().len()
}
