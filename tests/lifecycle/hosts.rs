//! Other hosts: what they accept by themselves, what they must be told, and how one comes to be.

use crate::{check, filled_under_a_pair, fingerprint};
use claviger_tests::World;
use std::fs;

/// A second host on the same store, joined by the whole exchange of request, challenge, answer and invitation.
fn joined(world: &World) -> (World, String) {
    let (uri, _) = world.another_token("elsewhere");
    let host = world.neighbour("host");
    let keep = |name: &str, text: &str| host.file(name, text).to_str().unwrap().to_owned();
    let request = keep("request.json", host.run(["token", "request", "--token", &uri]).ok().text());
    let challenge = keep("challenge.json", world.run(["token", "enroll", "--request", &request]).ok().text());
    let answer = host.run(["token", "answer", &challenge, "--token", &uri, "--json"]).ok().json();
    let (id, answer) = (answer["recipient"].as_str().unwrap(), answer["answer"].as_str().unwrap());
    assert_eq!(world.recipients("pre-active"), [id]);
    world
        .run(["token", "activate", id, "--answer", &"00".repeat(32)])
        .fails(4, &["not the answer", "stays pre-active"]);
    world.run(["token", "activate", id, "--answer", answer]).ok();
    // It was lost on its way, and is had again.
    let again = world.run(["token", "activate", id, "--answer", answer]).ok();
    assert_eq!(again.json()["recipient"], id);
    let invitation = keep("invitation.json", again.text());
    host.run(["join", &invitation, "--token", &uri]).ok();
    (host, id.to_owned())
}

#[test]
fn a_host_joins_by_request_challenge_answer_and_invitation() {
    let world = filled_under_a_pair();
    let (host, _) = joined(&world);
    check(&host);
    host.set("from the other host", "value");
    assert_eq!(world.get("from%20the%20other%20host"), b"value");
    assert_eq!(world.line("status --json").ok().json()["hosts"].as_array().unwrap().len(), 2);
    host.line("audit show").ok();
}

#[test]
fn a_new_vault_key_is_accepted_by_the_word_of_a_pinned_signer_and_else_by_hand() {
    let world = filled_under_a_pair();
    let (host, _) = joined(&world);
    let (uri, _) = world.another_token("backup");
    world.run(["token", "enroll", "--token", &uri]).ok();
    host.set("written", "by the other host");
    // The other host learns of the new signer when its owner looks at the vault.
    host.line("status").ok();
    let first = fs::read_to_string(world.config()).unwrap();
    let first = first.split("recipient = \"").nth(1).unwrap()[..32].to_owned();
    let before = fingerprint(&world);
    let done = world.run(["token", "retire", &first, "--yes"]).ok();
    assert!(done.stderr.contains("has not seen the new vault key yet"), "{}", done.stderr);
    check(&host);
    assert_ne!(fingerprint(&host), before, "the pin has moved by itself");

    // A compromised token's signer vouches for nothing, so this time a person has to.
    world.line("rotate master --compromised").ok();
    host.line("get svc1").fails(7, &["the vault's fingerprint is", "claviger trust FINGERPRINT"]);
    let now = fingerprint(&world);
    host.run(["trust", &"ab".repeat(32)]).fails(7, &["the vault's fingerprint is"]);
    host.run(["trust", &now]).ok();
    check(&host);
}

#[test]
fn a_restored_vault_is_refused_elsewhere_until_it_is_trusted() {
    let world = filled_under_a_pair();
    let (host, _) = joined(&world);
    let backup = world.home().join("vault.backup").to_str().unwrap().to_owned();
    world.run(["backup", "create", &backup]).ok();
    host.set("later", "value");
    fs::remove_file(world.store()).unwrap();
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", world.store().display()));
    }
    world.run(["restore", &backup]).ok();
    host.line("get svc1").fails(8, &["restored from a backup", "claviger trust"]);
    let head = world.line("status --json").ok().json()["head"].as_str().unwrap().to_owned();
    host.run(["trust", "--head", &head]).ok();
    check(&host);
    check(&world);
}
