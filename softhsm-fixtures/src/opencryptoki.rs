//! openCryptoki's software token, with its daemon, in namespaces of its own: its places in the file system are compiled
//! in, and shared memory joins it to its users. Only root can have that.

use crate::{PIN, daemon::Daemon, process};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const INSTALL: &str = "apt-get install -y opencryptoki opensc util-linux";

/// The PIN that the maker gives the security officer.
const FACTORY_SO_PIN: &str = "87654321";

/// Where the daemon writes its process id.
const ID: &str = "/run/pkcsslotd.pid";

/// Lays the fixture's directories over those of the system, starts the daemon, says so, and waits to be ended.
const SET_UP: &str = r#"
set -e
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /var/log
mkdir -p /run/opencryptoki /run/lock/opencryptoki/swtok /var/log/opencryptoki "$1/etc" "$1/var"
mount --bind "$1/etc" /etc/opencryptoki
mount --bind "$1/var" /var/lib/opencryptoki
mkdir -p /var/lib/opencryptoki/swtok/TOK_OBJ
printf 'version opencryptoki-3.8\nslot 3\n{\nstdll = libpkcs11_sw.so\ntokname = swtok\n}\n' >/etc/opencryptoki/opencryptoki.conf
chgrp -R pkcs11 /run/opencryptoki /run/lock/opencryptoki /var/lib/opencryptoki /var/log/opencryptoki
chmod -R 770 /run/opencryptoki /run/lock/opencryptoki /var/lib/opencryptoki /var/log/opencryptoki
pkcsslotd
mkfifo "$1/end"
: >"$1/ready"
read -r _ <"$1/end"
"#;

pub(crate) fn module() -> PathBuf {
    process::installed("pkcs11/libopencryptoki.so", INSTALL)
}

pub(crate) fn start(home: &Path) -> Vec<Daemon> {
    let mut holder = Daemon::start(
        Command::new("unshare")
            .args(["--mount", "--ipc", "--pid", "--fork", "--mount-proc", "--kill-child"])
            .args(["bash", "-c", SET_UP, "bash"])
            .arg(home),
        INSTALL,
    );
    holder.wait_for(&home.join("ready"));
    let id = first_child(holder.id());
    let file = home.join("namespace");
    fs::write(&file, id.to_string()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    vec![holder]
}

/// What runs a program where the daemon is.
pub(crate) fn inside(home: &Path) -> Vec<String> {
    let file = home.join("namespace");
    let id = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    ["nsenter", "--target", &id, "--mount", "--ipc", "--pid", "--"].map(str::to_owned).to_vec()
}

/// The daemon's process id, for whoever runs where it is.
pub(crate) fn daemon() -> u32 {
    let id = fs::read_to_string(ID).unwrap_or_else(|error| panic!("{ID}: {error}"));
    id.trim().parse().unwrap_or_else(|error| panic!("{ID}: {error}"))
}

/// Starts it again, where this process is.
pub(crate) fn start_daemon() {
    process::run(&mut Command::new("pkcsslotd"), INSTALL);
}

pub(crate) fn add_token(home: &Path, label: &str) {
    let tool = |args: &[&str]| {
        let mut tool = process::command(&inside(home), "pkcs11-tool");
        process::run(tool.arg("--module").arg(module()).args(["--slot", "3"]).args(args), INSTALL)
    };
    tool(&["--init-token", "--label", label, "--so-pin", FACTORY_SO_PIN]);
    tool(&["--login", "--login-type", "so", "--so-pin", FACTORY_SO_PIN, "--init-pin", "--pin", PIN]);
}

fn first_child(id: u32) -> u32 {
    let path = format!("/proc/{id}/task/{id}/children");
    let children = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let child = children.split_whitespace().next().and_then(|child| child.parse().ok());
    child.unwrap_or_else(|| panic!("process {id} has no child"))
}
