//! Backups, and the drills of docs/backup.md.

use crate::{check, filled_under_a_pair, fingerprint};
use claviger_tests::World;
use rusqlite::Connection;
use std::fs;

fn backup(world: &World, name: &str) -> String {
    let file = world.home().join(name).to_str().unwrap().to_owned();
    world.run(["backup", "create", &file]).ok();
    file
}

fn lose_store(world: &World) {
    for entry in fs::read_dir(world.store().parent().unwrap()).unwrap().flatten() {
        fs::remove_file(entry.path()).unwrap();
    }
}

#[test]
fn a_lost_store_is_restored_from_a_backup() {
    let world = filled_under_a_pair();
    let file = backup(&world, "vault.backup");
    world.run(["backup", "verify", &file]).ok();
    world.run(["backup", "create", &file]).fails(9, &["exists already", "help: name another file"]);
    world.set("later", "value");
    world.run(["restore", &file]).fails(8, &["would be lost"]);
    lose_store(&world);
    world.run(["restore", &file]).fails(8, &["would be lost"]);
    let done = world.run(["restore", &file, "--accept-rollback"]).ok();
    assert!(
        done.stderr.contains("is lost") && done.stderr.contains("claviger trust --head"),
        "{}",
        done.stderr
    );
    check(&world);
    world.line("get later").fails(3, &["no service"]);
    let log = world.line("audit show --json").ok();
    assert!(log.text().contains("accepting a roll-back"), "a record is left");
}

#[test]
fn an_older_store_is_gone_on_with_by_accept_rollback_only() {
    let world = filled_under_a_pair();
    let copy = world.home().join("copy");
    crate::copy_store(&world, &copy);
    world.set("later", "value");
    crate::put_store(&world, &copy);
    world.line("get svc1").fails(8, &["rolled back", "restore --accept-rollback"]);
    world.line("restore --accept-rollback").ok();
    check(&world);
    assert!(world.line("audit show --json").ok().text().contains("accepting a roll-back"));
}

/// What is left when a machine has burnt with its first token: the second one, a backup, the fingerprint on paper, and a
/// new machine.
struct Rest {
    uri: String,
    file: String,
    paper: String,
    machine: World,
}

fn burnt(world: &World) -> Rest {
    let first = world.token_directories().pop().unwrap();
    let (uri, _) = world.another_token("backup");
    world.run(["token", "enroll", "--token", &uri]).ok();
    let (file, paper) = (backup(world, "vault.backup"), fingerprint(world));
    let machine = world.neighbour("machine");
    fs::remove_dir_all(first).unwrap();
    fs::rename(world.config(), world.home().join("burnt")).unwrap();
    Rest { uri, file, paper, machine }
}

/// The drill: the machine burnt, the backup and the second token are left, and the fingerprint on paper.
#[test]
fn a_new_machine_is_set_up_from_a_backup_and_a_second_token() {
    let world = filled_under_a_pair();
    let Rest { uri, file, paper, machine } = burnt(&world);

    machine.run(["restore", &file, "--token", &uri]).fails(2, &["--fingerprint"]);
    machine
        .run(["restore", &file, "--token", &uri, "--fingerprint", &"ab".repeat(32)])
        .fails(7, &["the vault's fingerprint is"]);
    assert!(!machine.config().exists());
    lose_if_any(&machine);
    machine.run(["restore", &file, "--token", &uri, "--fingerprint", &paper]).ok();
    check(&machine);
    machine.set("after the fire", "value");
    machine.line("audit show").ok();
    // The burnt machine's token is retired, and another one takes its place.
    let lost = machine
        .recipients("active")
        .into_iter()
        .find(|id| !fs::read_to_string(machine.config()).unwrap().contains(id.as_str()));
    machine.run(["token", "retire", &lost.unwrap(), "--yes"]).ok();
    let (third, _) = machine.another_token("third");
    machine.run(["token", "enroll", "--token", &third]).ok();
    check(&machine);
}

/// The same with what `init` makes: a secret key on the first token, to which nobody else can wrap.
#[test]
fn a_new_machine_goes_on_without_the_first_tokens_secret_key() {
    let world = crate::filled();
    let lost = world.recipients("active").pop().unwrap();
    let Rest { uri, file, paper, machine } = burnt(&world);

    let again = ["restore", &file, "--token", &uri, "--fingerprint", &paper];
    machine.run(again).fails(6, &[&lost, "--lost"]);
    machine.run([&again[..], &["--lost", &lost]].concat()).ok();
    check(&machine);
    machine.set("after the fire", "value");
    assert_ne!(fingerprint(&machine), paper, "the lost token has the former vault key");
    assert_eq!(machine.recipients("deactivated"), [lost]);
}

fn lose_if_any(world: &World) {
    if world.store().parent().is_some_and(std::path::Path::exists) {
        lose_store(world);
    }
}

#[test]
fn repair_mends_what_the_backup_has_and_names_the_rest() {
    let world = filled_under_a_pair();
    let file = backup(&world, "vault.backup");
    world.set("svc4", "later");
    let damage = |sql: &str| {
        let store = Connection::open(world.store()).unwrap();
        store.execute(sql, []).unwrap()
    };
    // Every object that lay there when the backup was made, but what opens the vault and the heads.
    let named = world.line("verify --json").ok().json();
    assert_eq!(named["damage"].as_array().unwrap().len(), 0);
    // By their size, and the tag of COSE_Encrypt0, which a small node of the index does not have.
    let these = "length(bytes) BETWEEN 120 AND 200 AND hex(substr(bytes, 1, 1)) = 'D0'";
    assert!(damage(&format!("UPDATE object SET bytes = zeroblob(150) WHERE {these}")) >= 5);
    let found = world.line("verify --json").outcome();
    assert_eq!(found.code, Some(7));
    let found = found.json()["damage"].as_array().unwrap().len();
    let outcome = world.run(["repair", "--from", &file, "--json"]).outcome();
    assert_eq!(outcome.code, Some(7), "{}", outcome.stderr);
    let report = outcome.json();
    let count = |list: &str| report[list].as_array().unwrap().len();
    assert_eq!((count("restored"), count("resealed"), count("left")), (found - 1, 0, 1), "{report:#}");
    assert_eq!((&report["left"][0]["service"], &report["left"][0]["version"]), (&"svc4".into(), &2.into()));
    for n in 0..4 {
        assert_eq!(world.get(&format!("svc{n}")), format!("value {n}").into_bytes());
    }
    world.line("destroy svc4 --versions 2 --yes").ok();
    world.line("verify").ok();
    world.run(["repair", "--from", &file]).ok();
}

#[test]
fn a_backup_is_rewrapped_for_the_tokens_of_today() {
    let world = filled_under_a_pair();
    let old = backup(&world, "old.backup");
    let (uri, _) = world.another_token("backup");
    world.run(["token", "enroll", "--token", &uri]).ok();
    let new = world.home().join("new.backup").to_str().unwrap().to_owned();
    let done = world.run(["backup", "rewrap", &old, &new]).ok();
    assert!(done.text().contains("recipients added") && done.stderr.contains("destroy it"), "{done:?}");
    assert_eq!(
        fs::read_dir(world.home())
            .unwrap()
            .flatten()
            .filter(|entry| { entry.file_name().to_string_lossy().starts_with(".claviger-rewrap") })
            .count(),
        0,
        "the scratch store is gone"
    );
    // By the second token alone.
    let paper = fingerprint(&world);
    let machine = world.neighbour("machine");
    machine.run(["restore", &old, "--token", &uri, "--fingerprint", &paper]).fails(7, &["no recipient"]);
    lose_if_any(&machine);
    machine.run(["restore", &new, "--token", &uri, "--fingerprint", &paper]).ok();
    check(&machine);
}
