//! One vault under keys of three makers' modules: a file's, another file's, a TPM's. Each opens it alone.

use claviger_tests::{Run, World};
use softhsm_fixtures::{Instance, Provider};

/// A program that reaches these tokens and no others.
fn reaching<'a>(world: &World, tokens: &[&Instance], arguments: impl IntoIterator<Item = &'a str>) -> Run {
    let mut run = Run::new(arguments).env("HOME", world.home());
    for (name, value) in tokens.iter().flat_map(|token| token.env()) {
        run = run.env(name, value);
    }
    run
}

fn uri(token: &Instance) -> String {
    format!("{}&module-path={}", token.uri_with_pin(), token.module().display())
}

/// A vault under the keys of all three; the first is a key of this scheme.
fn vault(world: &World, tokens: &[&Instance], scheme: &str) {
    let [first, others @ ..] = tokens else { panic!("no tokens") };
    reaching(world, tokens, ["init", "--token", &uri(first), "--scheme", scheme]).ok();
    reaching(world, tokens, ["set", "before", "--stdin"]).stdin("value 0").ok();
    for token in others {
        reaching(world, tokens, ["token", "enroll", "--token", &uri(token)]).ok();
    }
}

#[test]
fn each_token_alone_opens_and_writes() {
    let world = World::empty();
    let (kryoptic, tpm) = (Provider::Kryoptic.instance(), Provider::Tpm.instance());
    let tokens = [world.token(), &kryoptic, &tpm];
    vault(&world, &tokens, "ECDH-ES+A256KW");
    let outcome = reaching(&world, &tokens, ["token", "recipients", "--json"]).ok();
    let schemes = outcome.text();
    assert!(schemes.contains("ECDH-ES+A256KW") && schemes.contains("RSAES-OAEP-SHA256"), "{schemes}");

    for (number, token) in tokens.iter().enumerate() {
        let run = |arguments: &[&str]| reaching(&world, &[token], arguments.iter().copied());
        assert_eq!(run(&["get", "before"]).ok().text(), "value 0", "{}", token.provider().name());
        // What one writes, in an old service and in a new one, every other reads.
        let (changed, new) = (format!("value {}", number + 1), format!("from-{number}"));
        run(&["set", "before", "--stdin"]).stdin(&changed).ok();
        run(&["set", &new, "--stdin"]).stdin(&changed).ok();
        for other in tokens {
            let get = |name: &str| reaching(&world, &[other], ["get", name]).ok().text().to_owned();
            assert_eq!((get("before"), get(&new)), (changed.clone(), changed.clone()));
        }
        reaching(&world, &[token], ["set", "before", "--stdin"]).stdin("value 0").ok();
    }
    let outcome = reaching(&world, &[&tpm], ["verify"]).ok();
    assert!(outcome.text().ends_with("everything is whole\n"));
    reaching(&world, &[], ["get", "before"]).fails(6, &["help: "]);

    // The TPM keeps house without the others, whose keys get new data keys all the same.
    reaching(&world, &[&tpm], ["rotate", "service", "before"]).ok();
    for token in tokens {
        assert_eq!(reaching(&world, &[token], ["get", "before"]).ok().text(), "value 0");
    }
}

/// A secret key beside key pairs: whoever does not reach it reads and writes what there is, and is told what cannot be.
#[test]
fn one_secret_key_among_pairs() {
    let world = World::empty();
    let (kryoptic, tpm) = (Provider::Kryoptic.instance(), Provider::Tpm.instance());
    let tokens = [world.token(), &kryoptic, &tpm];
    vault(&world, &tokens, "A256KW");
    for token in [&kryoptic, &tpm] {
        let run = |arguments: &[&str]| reaching(&world, &[token], arguments.iter().copied());
        assert_eq!(run(&["get", "before"]).ok().text(), "value 0");
        run(&["set", "before", "--stdin"]).stdin("value 0").ok();
        run(&["set", "new", "--stdin"])
            .stdin("value")
            .fails(6, &["whose key only its own token holds", "reach that token"]);
    }
}
