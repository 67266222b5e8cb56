//! `modules.toml`: modules in a process of their own, and what that process is given.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test that cannot go on has failed.

use claviger_tests::World;
use softhsm_fixtures::{Action, At, Faults};
use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Beside the configuration, before there is one.
fn modules(world: &World, module: &Path, more: &str) {
    let path = world.config().with_file_name("modules.toml");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, format!("[[module]]\npath = \"{}\"\n{more}", module.display())).unwrap();
    claviger_tests::mode(&path, 0o600);
}

/// The environment by which the module finds its tokens, as `modules.toml` gives it.
fn environment(world: &World) -> String {
    let variables = world.token().env().into_iter();
    let lines: Vec<_> =
        variables.map(|(name, value)| format!("{name} = \"{}\"\n", value.display())).collect();
    let home = world.token().home().display();
    format!("process = \"own\"\nsandbox.write = [\"{home}\"]\n[module.env]\n{}", lines.concat())
}

/// A vault whose module has faults before it, and runs in a process of its own.
fn faulty() -> (World, Faults) {
    let world = World::empty();
    let faults = Faults::of(world.token());
    modules(&world, faults.module(), &environment(&world));
    let uri = format!("{}&module-path={}", world.token().uri_with_pin(), faults.module().display());
    world.run(["init", "--token", &uri]).ok();
    world.set("openai", "sk-test-1");
    (world, faults)
}

#[test]
fn a_vault_is_made_and_used_through_a_process_of_its_own() {
    let world = World::empty();
    modules(&world, world.token().module(), &environment(&world));
    world.init();
    world.set("openai", "sk-test-1");
    assert_eq!(world.get("openai"), b"sk-test-1");
    world.line("rotate master").ok();
    world.line("verify").ok();
    world.line("token self-test").ok();
    let doctor = world.line("doctor").ok();
    for check in ["self-test", "ok    sandbox        the module runs in a process that can do little"] {
        assert!(doctor.text().contains(check), "{check}:\n{}", doctor.text());
    }
    // The same vault with the module in the command's own process.
    fs::remove_file(world.config().with_file_name("modules.toml")).unwrap();
    assert_eq!(world.get("openai"), b"sk-test-1");
}

/// The environment of the command does not reach the module: what it is told is what the file says.
#[test]
fn the_process_has_no_environment_but_its_own() {
    let world = World::new();
    modules(&world, world.token().module(), "process = \"own\"\n");
    // The system's SoftHSM has no such token, or is not for this user to look into.
    world.line("get openai").fails(6, &["help: "]);
    // It has to be told, too, where the module may write: its tokens lie where only its own configuration says.
    let granted = environment(&world);
    let withheld = granted.replace("sandbox.write = [", "sandbox.write = [] #");
    modules(&world, world.token().module(), &withheld);
    world.line("get openai").fails(6, &["C_Initialize answered", "`sandbox` in modules.toml"]);
    modules(&world, world.token().module(), &granted);
    world.line("get openai").fails(3, &["there is no"]);
}

#[test]
fn a_crash_is_an_error_that_says_so() {
    let (world, faults) = faulty();
    faults.inject("C_UnwrapKey", At::Every, Action::Segv);
    world.line("get openai").fails(1, &["crashed its process", "SIGSEGV", "help: "]);
    faults.clear();
    assert_eq!(world.get("openai"), b"sk-test-1");
    // Without a process of its own, the C code takes the command along.
    modules(&world, faults.module(), "");
    faults.inject("C_UnwrapKey", At::Every, Action::Segv);
    assert_eq!(world.line("get openai").outcome().code, None);
}

#[test]
fn the_command_is_not_for_people() {
    let world = World::empty();
    world.line("token-host").fails(2, &["started by claviger itself"]);
    assert!(!world.line("help").ok().text().contains("token-host"));
}

#[test]
fn a_file_that_makes_no_sense_says_where() {
    let world = World::new();
    modules(&world, world.token().module(), "proces = \"own\"\n");
    world.line("list").fails(1, &["modules.toml", "line 3", "unknown field `proces`", "[piv] for YubiKeys"]);
    modules(&world, world.token().module(), "process = \"mine\"\n");
    world.line("list").fails(1, &["unknown variant `mine`"]);
    // What would be said in vain is not taken for said.
    let again = format!("[[module]]\npath = \"{}\"\n", world.token().module().display());
    for (more, says) in [
        (again.as_str(), "stands in it twice"),
        ("sandbox.network = true\n", "are for a process of its own"),
        ("[module.env]\nA = \"b\"\n", "are for a process of its own"),
        ("process = \"own\"\nsandbox.write = [\"~/tokens\"]\n", "`~/tokens` is no absolute path"),
    ] {
        modules(&world, world.token().module(), more);
        world.line("list").fails(1, &["modules.toml", says]);
    }
    modules(&world, Path::new("libsofthsm2.so"), "");
    world.line("list").fails(1, &["`libsofthsm2.so` is no absolute path"]);
    // A link that leads nowhere would otherwise undo what stood behind it.
    let file = world.config().with_file_name("modules.toml");
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/nowhere/modules.toml", &file).unwrap();
    world.line("list").fails(1, &["modules.toml"]);
}

/// However the command dies, and whatever the module is at: its process goes too.
#[test]
fn the_process_does_not_outlive_the_command() {
    let (world, faults) = faulty();
    faults.inject("C_UnwrapKey", At::Every, Action::Delay(Duration::from_hours(1)));
    let mut command = world.line("get openai").start();
    let children = format!("/proc/{0}/task/{0}/children", command.id());
    let module_process = until(|| fs::read_to_string(&children).unwrap().trim().parse::<u32>().ok());
    // It has come as far as the module's call when its login is done.
    until(|| faults.calls().iter().any(|call| call.function == "C_FindObjectsFinal").then_some(()));
    let status = fs::read_to_string(format!("/proc/{module_process}/status")).unwrap();
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{line} is not in\n{status}");
    }
    command.kill().unwrap();
    command.wait().unwrap();
    until(|| {
        let stat = fs::read_to_string(format!("/proc/{module_process}/stat")).unwrap_or_default();
        let gone =
            stat.rsplit(')').next().is_none_or(|rest| rest.trim_start().is_empty() || rest.starts_with(" Z"));
        gone.then_some(())
    });
}

/// Asks again until there is an answer.
fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "no answer");
        thread::sleep(Duration::from_millis(2));
    }
}
