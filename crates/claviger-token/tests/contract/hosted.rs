//! The same with the module in a process of its own, and what only such a process has: crashes, ends, a sandbox.

use crate::{
    access,
    lab::{CONTEXT, Lab, fresh, key},
    siblings, signers, wrapping,
};
use claviger_token::{
    ModuleSpec, TokenError,
    host::{Deadlines, HostSpec, Sandbox, serve},
};
use claviger_types::{Digest, OsEntropy, Scheme, SignerId};
use softhsm_fixtures::Instance;
use std::{env, os::fd::AsFd as _};

/// Tells this program that it is the child.
const CHILD: &str = "CLAVIGER_TEST_TOKEN_HOST";

/// The child: this program again, in the environment of the instance and in no other.
pub(crate) fn spec(instance: &Instance) -> HostSpec {
    let mut environment: Vec<_> =
        instance.env().into_iter().map(|(name, value)| (name.into(), value.into_os_string())).collect();
    environment.push((CHILD.into(), "1".into()));
    HostSpec {
        program: env::current_exe().unwrap(),
        args: ["--exact", "hosted::child", "--ignored", "--nocapture"].map(Into::into).to_vec(),
        env: environment,
        module: ModuleSpec::new(instance.module()),
        sandbox: Sandbox::default(),
        deadlines: Deadlines::default(),
    }
}

#[test]
#[ignore = "the child that the other tests start"]
fn child() {
    if env::var_os(CHILD).is_some() {
        let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
        serve(socket.into()).unwrap();
        std::process::exit(0);
    }
}

/// One test per line, as `contract!` has them.
macro_rules! hosted {
    ($provider_name:ident = $provider:ident { $($name:ident: $($function:ident)::+ $(($scheme:ident))?;)+ }) => {
        mod $provider_name {
            use super::*;

            $(
                #[test]
                fn $name() {
                    if !softhsm_fixtures::Provider::$provider.is_for_this_user() {
                        return;
                    }
                    let test = concat!(module_path!(), "::", stringify!($name));
                    softhsm_fixtures::in_own_process(test, softhsm_fixtures::Provider::$provider, |instance| {
                        let (lab, _driver) = Lab::hosted(instance);
                        $($function)::+(&lab, $(Scheme::$scheme,)?);
                    });
                }
            )+
        }
    };
}

hosted! { softhsm = SoftHsm {
    a256kw_round_trip: wrapping::round_trip(A256Kw);
    a256gcm_round_trip: wrapping::round_trip(A256Gcm);
    ecdh_round_trip: wrapping::round_trip(EcdhEsA256Kw);
    oaep_sha1_round_trip: wrapping::round_trip(RsaOaepSha1);
    a256kw_refuses_changed_blobs: wrapping::changed_blobs_are_corrupt(A256Kw);
    ecdh_refuses_changed_blobs: wrapping::changed_blobs_are_corrupt(EcdhEsA256Kw);
    a256kw_leaves_what_is_not_its_own: wrapping::foreign_is_not_mine(A256Kw);
    a256kw_serves_threads: wrapping::threads_do_not_disturb_each_other(A256Kw);
    ecdh_serves_threads: wrapping::threads_do_not_disturb_each_other(EcdhEsA256Kw);
    wrong_pin: access::a_wrong_pin_is_tried_once;
    absent_token: access::an_absent_token_names_those_present;
    ambiguous_token: access::two_tokens_with_one_label_are_told_apart_by_serial;
    missing_key: access::a_missing_key_is_named;
    list: access::list_shows_what_selects;
    siblings: siblings::a_sibling_is_found_without_a_second_pin;
    missing_sibling: siblings::a_sibling_that_is_not_there_is_missing;
    signer: signers::what_is_signed_verifies;
    killed: a_killed_process_costs_one_error;
} }

/// The process is killed from outside: one error, and then all is as it was, with a PIN anew.
fn a_killed_process_costs_one_error(lab: &Lab<'_>) {
    let (hosted, driver) = Lab::hosted(lab.instance);
    let token = hosted.generate(Scheme::A256Kw);
    let signer = hosted
        .driver
        .generate_signer(&hosted.uri, &hosted.access, SignerId::random(&OsEntropy).unwrap(), "signer")
        .unwrap();
    let anchors = token.anchors().unwrap();
    anchors.write("vault", b"value").unwrap();
    let cek = fresh();
    let wrapped = token.wrap(&cek, CONTEXT).unwrap();
    let asked = hosted.pin.asked();
    let first = driver.id().unwrap();
    kill(first);
    let outcome = token.unwrap(&wrapped, CONTEXT);
    let Err(TokenError::ModuleCrashed { how, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(how.contains("SIGKILL"), "{how}");
    assert!(key(&token, &wrapped).same_as(&cek));
    assert_ne!(driver.id().unwrap(), first);
    signer.sign(&Digest::of(b"text")).unwrap();
    assert_eq!(anchors.read("vault").unwrap(), [b"value"]);
    assert_eq!(hosted.pin.asked(), asked + 1, "one login for all that is on the token");
}

fn kill(id: u32) {
    let killed = std::process::Command::new("kill").args(["-KILL", &id.to_string()]).status().unwrap();
    assert!(killed.success());
    // Until the kernel has closed its end, a request could still be written.
    while std::fs::read_to_string(format!("/proc/{id}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
    {
        std::thread::yield_now();
    }
}
