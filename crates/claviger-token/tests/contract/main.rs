//! What every PKCS#11 module must do behind the driver, run against real ones.
//!
//! Each test runs in a process of its own: a module's tokens, login and sessions belong to the process, and some tests take
//! exactly those away.
// Test code outside of #[test] functions, which clippy.toml does not recognise as such.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

/// One test per line, in a module per provider: `name: function(arguments)` or `name: function`. What only root can have is
/// tested as root only. `by` says how its token is reached: without it, with the module in this process.
macro_rules! contract {
    ($provider_name:ident = $provider:ident { $($tests:tt)+ }) => {
        contract! { $provider_name = $provider by crate::lab::Lab::new { $($tests)+ } }
    };
    ($provider_name:ident = $provider:ident by $lab:path {
        $($name:ident: $($function:ident)::+ $(($argument:expr))?;)+
    }) => {
        mod $provider_name {
            #[allow(unused_imports)]
            use claviger_types::Scheme::{A256Gcm, A256Kw, EcdhEsA256Kw, RsaOaepSha1, RsaOaepSha256};

            $(
                #[test]
                fn $name() {
                    if !softhsm_fixtures::Provider::$provider.is_for_this_user() {
                        return;
                    }
                    let test = concat!(module_path!(), "::", stringify!($name));
                    softhsm_fixtures::in_own_process(test, softhsm_fixtures::Provider::$provider, |instance| {
                        crate::$($function)::+(&$lab(instance), $($argument)?);
                    });
                }
            )+
        }
    };
}

mod access;
mod admin;
mod anchors;
mod capabilities;
mod faults;
mod fork;
mod hosted;
mod kek;
mod lab;
mod loss;
mod pins;
mod piv;
mod refused;
mod siblings;
mod signers;
mod vendors;
mod wrapping;

/// What every module that may be a home does, under the scheme that the driver prefers there; then what is its own.
macro_rules! home {
    ($provider_name:ident = $provider:ident($scheme:ident) { $($own:tt)* }) => {
        contract! { $provider_name = $provider {
            preference: kek::the_preferred_scheme_is($scheme);
            round_trip: wrapping::round_trip($scheme);
            changed_blobs: wrapping::changed_blobs_are_corrupt($scheme);
            not_its_own: wrapping::foreign_is_not_mine($scheme);
            threads: wrapping::threads_do_not_disturb_each_other($scheme);
            attributes: kek::attributes_are_as_the_template_says($scheme);
            destroy: kek::a_destroyed_key_is_gone($scheme);
            probes_without_profile: kek::a_lost_profile_is_probed_again;
            wrong_pin: access::a_wrong_pin_is_tried_once;
            absent_token: access::an_absent_token_names_those_present;
            missing_key: access::a_missing_key_is_named;
            two_keys_one_login: access::a_second_key_asks_for_no_second_pin;
            survives_logout: loss::logout($scheme);
            asks_again_only_for_a_lost_login: loss::a_one_shot_pin_source_is_enough_without_a_loss;
            key_destroyed_elsewhere: loss::key_destroyed_elsewhere($scheme);
            another_key_in_its_place: loss::another_key_in_its_place;
            fork_and_exit: fork::a_child_that_only_ends_takes_nothing($scheme);
            siblings: siblings::a_sibling_is_found_without_a_second_pin;
            missing_sibling: siblings::a_sibling_that_is_not_there_is_missing;
            siblings_and_uris: siblings::what_the_uri_says_of_one_key_is_not_said_of_its_sibling;
            new_sibling: siblings::a_sibling_is_made_without_a_second_pin;
            second_enrolment: siblings::a_second_enrolment_asks_for_no_pin;
            destroyed_sibling: siblings::a_destroyed_sibling_is_gone_and_the_other_stays;
            others_stay: siblings::what_is_made_and_destroyed_is_never_anothers;
            anchors: anchors::what_was_written_is_read;
            cut_anchor_write: anchors::a_cut_write_leaves_both_and_the_next_one_tidies_up;
            anchors_survive_logout: anchors::a_lost_login_hides_nothing;
            anchors_share_a_login: anchors::a_key_and_anchors_share_a_login;
            $($own)*
        } }
    };
}

// Everything. It never locks a PIN, and of OAEP it knows SHA-1 only.
home! { softhsm = SoftHsm(A256Kw) {
    anchor_of_another_process: anchors::what_another_process_wrote(true);
    anchors_of_processes: anchors::processes_under_a_lock_lose_nothing;
    anchors_without_a_lock: anchors::processes_without_a_lock_lose_no_last_value;
    a256gcm_round_trip: wrapping::round_trip(A256Gcm);
    ecdh_round_trip: wrapping::round_trip(EcdhEsA256Kw);
    oaep_sha1_round_trip: wrapping::round_trip(RsaOaepSha1);
    a256gcm_refuses_changed_blobs: wrapping::changed_blobs_are_corrupt(A256Gcm);
    ecdh_refuses_changed_blobs: wrapping::changed_blobs_are_corrupt(EcdhEsA256Kw);
    oaep_sha1_refuses_changed_blobs: wrapping::changed_blobs_are_corrupt(RsaOaepSha1);
    ecdh_leaves_what_is_not_its_own: wrapping::foreign_is_not_mine(EcdhEsA256Kw);
    a256gcm_serves_threads: wrapping::threads_do_not_disturb_each_other(A256Gcm);
    ecdh_serves_threads: wrapping::threads_do_not_disturb_each_other(EcdhEsA256Kw);
    a256kw_leaves_no_session_object: wrapping::no_session_object_stays(A256Kw);
    ecdh_leaves_no_session_object: wrapping::no_session_object_stays(EcdhEsA256Kw);
    a256kw_equals_software: wrapping::symmetric_schemes_equal_software(A256Kw);
    a256gcm_equals_software: wrapping::symmetric_schemes_equal_software(A256Gcm);
    ecdh_equals_rfc_9053: wrapping::ecdh_equals_a_second_implementation;
    ambiguous_token: access::two_tokens_with_one_label_are_told_apart_by_serial;
    unusable_modules: access::what_is_no_module_is_unusable;
    list: access::list_shows_what_selects;
    never_locks: pins::it_never_locks;
    a256gcm_attributes: kek::attributes_are_as_the_template_says(A256Gcm);
    ecdh_attributes: kek::attributes_are_as_the_template_says(EcdhEsA256Kw);
    oaep_sha1_attributes: kek::attributes_are_as_the_template_says(RsaOaepSha1);
    no_scheme: kek::oaep_sha256_does_not_work_and_leaves_nothing;
    weak_keys: kek::the_self_test_finds_weak_keys;
    weak_pairs: kek::the_self_test_finds_weak_pairs(RsaOaepSha1);
    destroy_pair: kek::a_destroyed_key_is_gone(EcdhEsA256Kw);
    ecdh_survives_logout: loss::logout(EcdhEsA256Kw);
    survives_closed_sessions: loss::all_sessions_closed(A256Kw);
    ecdh_survives_closed_sessions: loss::all_sessions_closed(EcdhEsA256Kw);
    survives_finalize: loss::module_finalised_and_initialised_again;
    refused_pin_after_a_loss: loss::a_refused_pin_is_not_tried_again_after_a_loss;
    ecdh_key_destroyed_elsewhere: loss::key_destroyed_elsewhere(EcdhEsA256Kw);
    fork: fork::child_and_parent_both_unwrap(A256Kw);
    refused_for_siblings: siblings::a_refused_pin_is_refused_for_all_siblings;
    absence_and_login: siblings::a_lost_login_is_no_proof_of_absence;
    anchors_on_a_full_disk: anchors::a_full_disk_keeps_the_earlier_value;
    signer: signers::what_is_signed_verifies;
    signer_attributes: signers::attributes_are_a_signers;
    signer_shares_a_login: signers::a_signer_and_a_key_share_a_login;
    signer_survives_logout: signers::a_signer_survives_logout;
    planted_public_key: signers::a_planted_public_key_signs_nothing;
    anchors_and_a_pulled_token: anchors::a_pulled_token_hides_nothing;
    pulled_and_put_back: loss::a_token_is_pulled_and_put_back;
    faults_of_all_functions: faults::no_function_is_left_out;
    faults_in_opening: faults::opening;
    faults_in_a256kw: faults::wrapping(A256Kw);
    faults_in_a256gcm: faults::wrapping(A256Gcm);
    faults_in_ecdh: faults::wrapping(EcdhEsA256Kw);
    faults_in_anchors_and_signatures: faults::anchors_and_signatures;
    faults_in_a256kw_enrolment: faults::enrolment(A256Kw);
    faults_in_ecdh_enrolment: faults::enrolment(EcdhEsA256Kw);
    faults_in_a_signers_enrolment: faults::enrolment_of_a_signer;
    lost_underneath: faults::lost_underneath;
    lost_while_opening: faults::lost_while_opening;
    lost_while_a256kw_enrolment: faults::lost_while_enrolling(A256Kw);
    lost_while_ecdh_enrolment: faults::lost_while_enrolling(EcdhEsA256Kw);
    lost_by_threads: faults::lost_by_threads;
    pulled_in_the_middle: faults::pulled_in_the_middle;
    delays: faults::delays;
    warnings_of_the_token: faults::the_token_warns;
    refused_pins: faults::a_refused_pin_is_never_given_again;
    last_try: faults::the_last_try_locks;
    wrong_lengths: faults::wrong_lengths;
    wrong_lengths_in_enrolment: faults::wrong_lengths_in_enrolment;
    wrong_lengths_while_opening: faults::wrong_lengths_while_opening;
    flipped_bits: faults::flipped_bits;
    flipped_a256kw_wraps: faults::flipped_wraps(A256Kw);
    flipped_a256gcm_wraps: faults::flipped_wraps(A256Gcm);
    flipped_a256kw_keys: faults::flipped_keys(A256Kw);
    flipped_a256gcm_keys: faults::flipped_keys(A256Gcm);
    second_failures: faults::a_second_failure;
    done_and_denied: faults::done_and_denied;
    done_and_denied_in_enrolment: faults::done_and_denied_in_enrolment;
    missing_functions: faults::missing_functions;
    admin_makes_a_token: admin::a_token_is_made_and_found_again;
    admin_erases_nothing_unasked: admin::an_initialised_token_is_not_erased_unasked;
    admin_keeps_keys: admin::keys_of_a_vault_are_not_erased_without_a_word_for_it;
    admin_erases_what_it_may: admin::everything_goes_where_that_is_said;
    admin_changes_pins: admin::pins_are_changed_by_who_knows_them;
    admin_tries_a_pin_once: admin::old_pins_are_refused_and_tried_once;
    admin_new_pin_too_short: admin::a_new_pin_of_a_wrong_length_is_refused_first;
    admin_token_in_use: admin::a_token_in_use_is_not_initialised;
} }

// Everything but a pulled token: it works on an open file, so it goes on.
home! { kryoptic = Kryoptic(A256Kw) {
    anchor_of_another_process: anchors::what_another_process_wrote(true);
    anchors_of_processes: anchors::processes_under_a_lock_lose_nothing;
    anchors_without_a_lock: anchors::processes_without_a_lock_lose_no_last_value;
    a256gcm_round_trip: wrapping::round_trip(A256Gcm);
    ecdh_round_trip: wrapping::round_trip(EcdhEsA256Kw);
    oaep_round_trip: wrapping::round_trip(RsaOaepSha256);
    oaep_sha1_round_trip: wrapping::round_trip(RsaOaepSha1);
    a256gcm_refuses_changed_blobs: wrapping::changed_blobs_are_corrupt(A256Gcm);
    ecdh_refuses_changed_blobs: wrapping::changed_blobs_are_corrupt(EcdhEsA256Kw);
    oaep_refuses_changed_blobs: wrapping::changed_blobs_are_corrupt(RsaOaepSha256);
    ecdh_leaves_what_is_not_its_own: wrapping::foreign_is_not_mine(EcdhEsA256Kw);
    a256gcm_serves_threads: wrapping::threads_do_not_disturb_each_other(A256Gcm);
    ecdh_serves_threads: wrapping::threads_do_not_disturb_each_other(EcdhEsA256Kw);
    a256kw_leaves_no_session_object: wrapping::no_session_object_stays(A256Kw);
    ecdh_leaves_no_session_object: wrapping::no_session_object_stays(EcdhEsA256Kw);
    a256kw_equals_software: wrapping::symmetric_schemes_equal_software(A256Kw);
    a256gcm_equals_software: wrapping::symmetric_schemes_equal_software(A256Gcm);
    ecdh_equals_rfc_9053: wrapping::ecdh_equals_a_second_implementation;
    ambiguous_token: access::two_tokens_with_one_label_are_told_apart_by_serial;
    list: access::list_shows_what_selects;
    pin_lock: pins::it_locks_at(10);
    right_pin: pins::the_right_pin_makes_up_for_wrong_ones(10);
    a256gcm_attributes: kek::attributes_are_as_the_template_says(A256Gcm);
    ecdh_attributes: kek::attributes_are_as_the_template_says(EcdhEsA256Kw);
    oaep_attributes: kek::attributes_are_as_the_template_says(RsaOaepSha256);
    weak_keys: kek::the_self_test_finds_weak_keys;
    weak_pairs: kek::the_self_test_finds_weak_pairs(RsaOaepSha256);
    destroy_pair: kek::a_destroyed_key_is_gone(RsaOaepSha256);
    ecdh_survives_logout: loss::logout(EcdhEsA256Kw);
    survives_closed_sessions: loss::all_sessions_closed(A256Kw);
    ecdh_survives_closed_sessions: loss::all_sessions_closed(EcdhEsA256Kw);
    survives_finalize: loss::module_finalised_and_initialised_again;
    refused_pin_after_a_loss: loss::a_refused_pin_is_not_tried_again_after_a_loss;
    ecdh_key_destroyed_elsewhere: loss::key_destroyed_elsewhere(EcdhEsA256Kw);
    fork: fork::child_and_parent_both_unwrap(A256Kw);
    refused_for_siblings: siblings::a_refused_pin_is_refused_for_all_siblings;
    absence_and_login: siblings::a_lost_login_is_no_proof_of_absence;
    anchors_on_a_full_disk: anchors::a_full_disk_keeps_the_earlier_value;
    signer: signers::what_is_signed_verifies;
    signer_attributes: signers::attributes_are_a_signers;
    signer_shares_a_login: signers::a_signer_and_a_key_share_a_login;
    signer_survives_logout: signers::a_signer_survives_logout;
    planted_public_key: signers::a_planted_public_key_signs_nothing;
    pulled: loss::a_token_that_is_pulled_goes_on;
    faults_in_anchors_and_signatures: faults::anchors_and_signatures;
    lost_underneath: faults::lost_underneath;
    pulled_in_the_middle: faults::pulled_in_the_middle;
    refused_pins: faults::a_refused_pin_is_never_given_again;
    last_try: faults::the_last_try_locks;
    flipped_a256kw_wraps: faults::flipped_wraps(A256Kw);
    second_failures: faults::a_second_failure;
    missing_functions: faults::missing_functions;
    admin_makes_a_token: admin::a_token_is_made_and_found_again;
    admin_erases_nothing_unasked: admin::an_initialised_token_is_not_erased_unasked;
    admin_keeps_keys: admin::keys_of_a_vault_are_not_erased_without_a_word_for_it;
    admin_erases_what_it_may: admin::everything_goes_where_that_is_said;
    admin_changes_pins: admin::pins_are_changed_by_who_knows_them;
    admin_tries_a_pin_once: admin::old_pins_are_refused_and_tried_once;
    admin_new_pin_too_short: admin::a_new_pin_of_a_wrong_length_is_refused_first;
    admin_token_in_use: admin::a_token_in_use_is_not_initialised;
    admin_unblocks: admin::a_locked_pin_is_unblocked;
    admin_locked_so_pin: admin::a_locked_so_pin_is_told_before_it_is_asked_for;
} }

contract! { vendors_kryoptic = Kryoptic {
    own_numbers: vendors::its_own_numbers;
    own_number_in_attacks: vendors::its_own_number_is_tried_in_attacks;
    own_iv: vendors::its_own_iv;
} }

// No secret keys: nothing about them, nor session objects. No weak pairs: EXTRACTABLE is a note beside a key that the chip
// keeps. No two tokens of one label: its store has a unique index over them, and all have one serial number. No planted
// public key: it has none apart from the private one. No processes with anchors: each reads the store once, when it begins,
// and does not see what the others write. No pulled anchors: they lie in the store, not in the chip. A forked child is
// refused, because the module does not notice that it is one.
home! { tpm = Tpm(RsaOaepSha256) {
    anchor_of_another_process: anchors::what_another_process_wrote(false);
    list: access::list_shows_what_selects;
    pin_lock: pins::it_locks_without_a_sign_at(3);
    survives_closed_sessions: loss::all_sessions_closed(RsaOaepSha256);
    survives_finalize: loss::module_finalised_and_initialised_again;
    refused_pin_after_a_loss: loss::a_refused_pin_is_not_tried_again_after_a_loss;
    fork: fork::a_child_of_a_connected_module_has_no_token(RsaOaepSha256);
    refused_for_siblings: siblings::a_refused_pin_is_refused_for_all_siblings;
    absence_and_login: siblings::a_lost_login_is_no_proof_of_absence;
    anchors_on_a_full_disk: anchors::a_full_disk_keeps_the_earlier_value;
    admin_makes_a_token: admin::a_token_is_made_and_found_again;
    admin_erases_nothing_unasked: admin::an_initialised_token_is_not_erased_unasked;
    admin_cannot_erase: admin::what_cannot_be_erased_is_told;
    admin_changes_pins: admin::pins_are_changed_by_who_knows_them;
    signer: signers::what_is_signed_verifies;
    signer_attributes: signers::attributes_are_a_signers;
    signer_shares_a_login: signers::a_signer_and_a_key_share_a_login;
    signer_survives_logout: signers::a_signer_survives_logout;
    pulled_and_put_back: loss::a_token_is_pulled_and_put_back;
} }

// Key wrap, GCM and ECDH do not pass its filter. No closed sessions, logout or `C_Finalize` under the driver: each handle
// is another client, so nobody else in the process reaches the driver's; the server is stopped and started instead. That
// needs the module to be initialised anew, which the driver does for a single user of it, so losses with several keys
// (a PIN that was refused, siblings) are not here. No full disk: it is the server's.
home! { p11kit = P11Kit(RsaOaepSha1) {
    anchor_of_another_process: anchors::what_another_process_wrote(true);
    anchors_of_processes: anchors::processes_under_a_lock_lose_nothing;
    anchors_without_a_lock: anchors::processes_without_a_lock_lose_no_last_value;
    ambiguous_token: access::two_tokens_with_one_label_are_told_apart_by_serial;
    list: access::list_shows_what_selects;
    never_locks: pins::it_never_locks;
    weak_pairs: kek::the_self_test_finds_weak_pairs(RsaOaepSha1);
    fork: fork::child_and_parent_both_unwrap(RsaOaepSha1);
    signer: signers::what_is_signed_verifies;
    signer_attributes: signers::attributes_are_a_signers;
    signer_shares_a_login: signers::a_signer_and_a_key_share_a_login;
    signer_survives_logout: signers::a_signer_survives_logout;
    planted_public_key: signers::a_planted_public_key_signs_nothing;
    anchors_and_a_pulled_token: anchors::a_pulled_token_hides_nothing;
    pulled_and_put_back: loss::a_token_is_pulled_and_put_back;
} }

// No scheme with a secret key, no signer: the software token has no such mechanisms. One token to a slot: no ambiguous labels,
// no second one to list. No anchors without a lock: for a moment a reader finds none. A pulled daemon is not missed, and
// neither is a full disk.
home! { opencryptoki = OpenCryptoki(RsaOaepSha256) {
    anchor_of_another_process: anchors::what_another_process_wrote(true);
    anchors_of_processes: anchors::processes_under_a_lock_lose_nothing;
    pin_lock: pins::it_locks_at(3);
    right_pin: pins::the_right_pin_makes_up_for_wrong_ones(3);
    weak_pairs: kek::the_self_test_finds_weak_pairs(RsaOaepSha256);
    survives_closed_sessions: loss::all_sessions_closed(RsaOaepSha256);
    survives_finalize: loss::module_finalised_and_initialised_again;
    refused_pin_after_a_loss: loss::a_refused_pin_is_not_tried_again_after_a_loss;
    fork: fork::child_and_parent_both_unwrap(RsaOaepSha256);
    refused_for_siblings: siblings::a_refused_pin_is_refused_for_all_siblings;
    absence_and_login: siblings::a_lost_login_is_no_proof_of_absence;
    anchors_on_a_full_disk: anchors::a_full_disk_goes_unnoticed;
    no_signer: signers::a_token_without_ecdsa_says_so;
    pulled: loss::a_token_that_is_pulled_goes_on;
    admin_erases_nothing_unasked: admin::an_initialised_token_is_not_erased_unasked;
    admin_keeps_keys: admin::keys_of_a_vault_are_not_erased_without_a_word_for_it;
    admin_erases_what_it_may: admin::everything_goes_where_that_is_said;
    admin_changes_pins: admin::pins_are_changed_by_who_knows_them;
    admin_tries_a_pin_once: admin::old_pins_are_refused_and_tried_once;
    admin_new_pin_too_short: admin::a_new_pin_of_a_wrong_length_is_refused_first;
    admin_token_in_use: admin::a_token_in_use_is_not_initialised;
    admin_unblocks: admin::a_locked_pin_is_unblocked;
    admin_locked_so_pin: admin::a_locked_so_pin_is_told_before_it_is_asked_for;
} }

// It is refused, so nothing that needs a key.
contract! { nss = Nss {
    refused: refused::every_scheme_is_refused;
    signer_refused: refused::a_signer_is_refused;
    absent_token: access::an_absent_token_names_those_present;
} }
