//! A TPM 2.0 in software (swtpm), behind a resource manager of its own (tpm2-abrmd on a private message bus), reached by
//! tpm2-pkcs11.
//!
//! The resource manager is what lets the module have more than one key loaded, as /dev/tpmrm0 does on real hardware. All
//! talk by sockets in the fixture's directory.

use crate::{PIN, SO_PIN, daemon::Daemon, process};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const INSTALL: &str = "apt-get install -y swtpm libtpm2-pkcs11-1 tpm2-abrmd libtss2-tcti-tabrmd0 dbus opensc";

/// Where Debian puts it, out of an ordinary user's PATH.
const MANAGER: &str = "/usr/sbin/tpm2-abrmd";

/// How often and how long its start is tried.
const ATTEMPTS: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) fn module() -> PathBuf {
    process::installed("libtpm2_pkcs11.so.1", INSTALL)
}

pub(crate) fn env(home: &Path) -> Vec<(&'static str, PathBuf)> {
    vec![
        ("TPM2_PKCS11_STORE", home.join("store")),
        ("TPM2_PKCS11_TCTI", "tabrmd:bus_type=session".into()),
        ("TPM2_PKCS11_LOG_LEVEL", "0".into()),
        ("DBUS_SESSION_BUS_ADDRESS", PathBuf::from(format!("unix:path={}", bus(home).display()))),
    ]
}

/// The TPM and its resource manager, which ends first, and the bus between it and its users.
pub(crate) fn start(home: &Path) -> Vec<Daemon> {
    for directory in ["state", "store"] {
        let directory = home.join(directory);
        fs::create_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    }
    let bus = start_bus(home);
    let mut daemons = start_tpm(home);
    daemons.push(bus);
    daemons
}

/// The TPM and its resource manager alone: what ends and begins when a machine's are started again.
pub(crate) fn start_tpm(home: &Path) -> Vec<Daemon> {
    // A manager that finds its TPM or its bus not there yet ends; or it hangs, as one in five does, since it leaves its main
    // loop before it has entered it. Both are waited for below; should one fail nevertheless, another is started.
    let mut failed = String::new();
    for _ in 0..ATTEMPTS {
        match try_start_tpm(home) {
            Ok(daemons) => return daemons,
            Err(why) => failed = why,
        }
    }
    panic!("{failed}, {ATTEMPTS} times");
}

fn try_start_tpm(home: &Path) -> Result<Vec<Daemon>, String> {
    let socket = home.join("tpm");
    // The module's library looks for the control socket beside the other, under this name.
    let control = home.join("tpm.ctrl");
    // Of one that was killed; without it there is nothing to remove.
    for left in [&socket, &control] {
        let _ = fs::remove_file(left);
    }
    let mut swtpm = Daemon::start(
        Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .args(["--tpmstate", &format!("dir={}", home.join("state").display())])
            .args(["--server", &format!("type=unixio,path={}", socket.display())])
            .args(["--ctrl", &format!("type=unixio,path={}", control.display())]),
        INSTALL,
    );
    swtpm.wait_for_socket(&control);
    swtpm.wait_for_socket(&socket);

    let mut manager = Daemon::start(
        Command::new(if Path::new(MANAGER).exists() { MANAGER } else { "tpm2-abrmd" })
            // Room for tests with many keys and many processes; the most that it gives.
            .args(["--max-connections", "100", "--max-transients", "100"])
            .args(["--session", "--allow-root", "--tcti"])
            .arg(format!("swtpm:path={}", socket.display()))
            .envs(env(home)),
        INSTALL,
    );
    let ready = manager.ready_within(PATIENCE, || {
        Command::new("dbus-send")
            .arg(format!("--bus=unix:path={}", bus(home).display()))
            .args(["--print-reply=literal", "--dest=org.freedesktop.DBus", "/org/freedesktop/DBus"])
            .args(["org.freedesktop.DBus.NameHasOwner", "string:com.intel.tss2.Tabrmd"])
            .output()
            .is_ok_and(|answer| String::from_utf8_lossy(&answer.stdout).contains("true"))
    });
    // The manager comes first, so that it is dropped first.
    let daemons = vec![manager, swtpm];
    ready.map(|()| daemons)
}

fn bus(home: &Path) -> PathBuf {
    home.join("bus")
}

fn start_bus(home: &Path) -> Daemon {
    let bus = bus(home);
    let config = home.join("bus.conf");
    let text = format!(
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
         \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n\
         <busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
         <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/>\
         <allow own=\"*\"/></policy></busconfig>\n",
        bus.display()
    );
    fs::write(&config, text).unwrap_or_else(|error| panic!("{}: {error}", config.display()));
    let mut daemon = Daemon::start(
        Command::new("dbus-daemon").args(["--nofork", "--nopidfile", "--config-file"]).arg(&config),
        INSTALL,
    );
    daemon.wait_for_socket(&bus);

    daemon
}

pub(crate) fn add_token(home: &Path, label: &str) {
    let tool = |args: &[&str]| {
        let mut tool = Command::new("pkcs11-tool");
        process::run(tool.arg("--module").arg(module()).args(args).envs(env(home)), INSTALL)
    };
    // The module always shows one slot more than there are tokens.
    let free = tool(&["--list-token-slots"]).matches("token label").count() + 1;
    let slot = free.to_string();
    tool(&["--slot", &slot, "--init-token", "--label", label, "--so-pin", SO_PIN]);
    tool(&["--slot", &slot, "--login", "--login-type", "so", "--so-pin", SO_PIN, "--init-pin", "--pin", PIN]);
}
