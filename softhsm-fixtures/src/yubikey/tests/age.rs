//! age with its plugin for `YubiKeys`: a driver that people entrust their files to.

use super::{INSTALL, file, tool};
use crate::{Instance, Provider, built};
use std::{
    env,
    ffi::OsString,
    fs,
    io::Write as _,
    path::PathBuf,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

const VERSION: &str = "0.5.1";
/// With the one that keys come with, the plugin would first ask for another.
const NEW_PIN: &str = "654321";
const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(100);

/// The plugin, which is built when it is not there yet.
fn plugin() -> PathBuf {
    let target = super::super::target();
    let root = target.join("tools").join(VERSION);
    let program = root.join("bin").join("age-plugin-yubikey");
    built::build(&program, &[], || {
        let _ = writeln!(std::io::stderr(), "building age-plugin-yubikey (about a minute, once)");
        let root = root.display().to_string();
        // Without assertions its texts are in the program; with them it reads them where it was built from.
        let profile =
            ["--config", "profile.dev.debug-assertions=false", "--config", "profile.dev.debug=false"];
        let install = ["install", "--locked", "--debug", "--version", VERSION, "--root", &root];
        let arguments = [&install[..], &profile, &["age-plugin-yubikey"]].concat();
        let needs = "apt-get install -y libpcsclite-dev pkg-config";
        let scratch = target.join("age");
        built::cargo(&arguments, &target, &scratch, needs);
        let _ = fs::remove_dir_all(scratch);
    });
    program
}

/// Runs this on a terminal where somebody types the PIN again and again, since what is typed before it is asked for is lost.
fn with_pin(instance: &Instance, path: &OsString, command: &str) -> String {
    let mut script = instance.command("script");
    script.args(["--quiet", "--return", "--command", command, "/dev/null"]).env("PATH", path);
    script.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut script = script.spawn().unwrap_or_else(|error| panic!("script cannot run ({error}): {INSTALL}"));
    let deadline = Instant::now() + PATIENCE;
    let mut keyboard = script.stdin.take().unwrap();
    while script.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "{command} does not end");
        let _ = keyboard.write_all(format!("{NEW_PIN}\n").as_bytes());
        thread::sleep(PAUSE);
    }
    let output = script.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command}: {said}");
    said
}

#[test]
fn age_decrypts_what_was_encrypted_to_the_key() {
    let plugin = plugin();
    let tools = plugin.parent().unwrap().to_owned();
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([tools].into_iter().chain(env::split_paths(&path))).unwrap();
    let instance = Provider::YubiKey.instance();
    tool(
        &instance,
        "ykman",
        &["--device", "11111111", "piv", "access", "change-pin", "-P", "123456", "-n", NEW_PIN],
    );

    let policies = "--slot 1 --pin-policy once --touch-policy cached";
    let generate = format!("{} --generate {policies} --name lab", plugin.display());
    assert!(with_pin(&instance, &path, &generate).contains("Recipient: age1yubikey1"));
    let identity = tool(&instance, &plugin.display().to_string(), &["--identity"]);
    let recipient = identity.lines().find_map(|line| line.split_once("Recipient: ")).unwrap().1;
    let identity = file(&instance, "identity", &identity).display().to_string();
    let plain = file(&instance, "plain", "for one key only").display().to_string();
    let cipher = instance.home().join("cipher").display().to_string();

    let mut age = instance.command("age");
    age.args(["--encrypt", "--recipient", recipient, "--output", &cipher, &plain]).env("PATH", &path);
    crate::process::run(&mut age, INSTALL);
    let back = instance.home().join("back");
    let decrypt = format!("age --decrypt --identity {identity} --output {} {cipher}", back.display());
    with_pin(&instance, &path, &decrypt);
    assert_eq!(fs::read_to_string(&back).unwrap(), "for one key only");
}
