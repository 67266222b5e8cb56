//! What a module needs around it: services, devices, groups. Some of that only root can take away or put there, in a mount
//! namespace of its own; for anybody else these tests end at once.

use crate::{
    doctor::{doctor, finds},
    module,
};
use claviger_tests::{Run, World, mode};
use softhsm_fixtures::{Instance, Provider};
use std::path::Path;

const NOBODY: [&str; 6] = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The run as a user without rights.
fn as_nobody(run: Run) -> Run {
    run.under(NOBODY[0], &NOBODY[1..])
}

/// The run after this was done to the file system that it alone sees.
fn where_first(script: &str, run: Run) -> Run {
    // With processes of its own, which end with it.
    let script = format!("set -e; {script}; \"$@\"");
    let space = ["--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", &script, "sh"];
    run.under("unshare", &space)
}

fn card_module() -> String {
    let place = format!("/usr/lib/{}-linux-gnu/opensc-pkcs11.so", std::env::consts::ARCH);
    assert!(Path::new(&place).exists(), "{place} is missing: apt-get install -y opensc-pkcs11");
    place
}

fn tpm_module() -> String {
    Provider::Tpm.module().to_str().unwrap().to_owned()
}

#[test]
fn a_users_rights_to_softhsm() {
    if !is_root() {
        return;
    }
    let world = World::empty();
    let home = world.token().home();
    let path = module(&world);
    mode(home, 0o755);
    mode(world.home(), 0o755);
    let tokens = home.join("tokens");
    mode(&tokens, 0o700);
    let run = || as_nobody(doctor(&world, &path));
    let shown = format!(
        "FAIL  SoftHSM        its tokens in {} may not be read and written by this user\n",
        tokens.display()
    );
    finds(
        run(),
        6,
        &[
            &shown,
            &format!(
                "        do: run it as the user that has it, or see who may: ls -ld {}",
                tokens.display()
            ),
        ],
    );
    // As Debian has it, a group may.
    mode(&tokens, 0o770);
    let chgrp = std::process::Command::new("chgrp").arg("softhsm").arg(&tokens).status();
    assert!(chgrp.unwrap().success());
    let help = "        do: sudo usermod -aG softhsm \"$(id -un)\", then log in anew; or name a configuration of your own: export SOFTHSM2_CONF=";
    finds(run(), 6, &[&shown, help]);
    let config = home.join("softhsm2.conf");
    mode(&config, 0o600);
    finds(
        run(),
        6,
        &[&format!("FAIL  SoftHSM        its configuration {} cannot be read: ", config.display())],
    );
    // And that of the whole machine.
    finds(run().without("SOFTHSM2_CONF"), 6, &["/etc/softhsm/softhsm2.conf cannot be read", help]);
}

#[test]
fn a_module_that_may_not_be_read() {
    if !is_root() {
        return;
    }
    let world = World::empty();
    mode(world.token().home(), 0o755);
    mode(world.home(), 0o755);
    let file = world.file("module.so", "x");
    let shown = file.to_str().unwrap();
    finds(
        as_nobody(doctor(&world, shown)),
        6,
        &[
            &format!("FAIL  module         {shown} may not be read by this user\n"),
            "        do: run it as the user that has it",
        ],
    );
}

#[test]
fn services_that_do_not_run() {
    let world = World::empty();
    let cryptoki = Provider::OpenCryptoki.module().to_str().unwrap().to_owned();
    let daemons = [
        (
            card_module(),
            "pcscd",
            "/run/pcscd/pcscd.comm",
            "do: sudo apt-get install pcscd; sudo systemctl start pcscd.socket",
        ),
        (cryptoki, "pkcsslotd", "/run/pkcsslotd.socket", "do: sudo systemctl start pkcsslotd"),
    ];
    for (module, name, socket, help) in daemons {
        let run = || doctor(&world, &module);
        let fails = format!("FAIL  {name:<13}  ");
        if !Path::new(socket).exists() {
            finds(run(), 6, &[&format!("{fails}it does not run\n"), help]);
        }
        if !is_root() {
            continue;
        }
        // Nobody listens any more.
        let bound = format!(
            "mount -t tmpfs tmpfs /run; mkdir -p /run/pcscd; chmod 755 /run /run/pcscd; \
             python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"{socket}\")'"
        );
        let ended = if name == "pcscd" {
            [
                format!("{fails}it has ended: nobody answers at {socket}\n"),
                "do: sudo systemctl restart pcscd.socket".to_owned(),
            ]
        } else {
            [
                "FAIL  module         ".to_owned(),
                "do: pkcsslotd has ended: sudo systemctl restart pkcsslotd".to_owned(),
            ]
        };
        finds(where_first(&bound, run()), 6, &ended.each_ref().map(String::as_str));
        // A group may use it, and this user is not in it.
        let closed = format!("{bound}; chgrp pkcs11 {socket}; chmod 660 {socket}");
        finds(
            where_first(&closed, as_nobody(run())),
            6,
            &[
                &format!("{fails}{socket} may not be used by this user\n"),
                "do: sudo usermod -aG pkcs11 \"$(id -un)\", then log in anew",
            ],
        );
    }
}

#[test]
fn a_tpm_that_is_not_there_or_not_for_this_user() {
    let world = World::empty();
    let run = || doctor(&world, &tpm_module());
    if !Path::new("/dev/tpmrm0").exists() && !Path::new("/dev/tpm0").exists() {
        finds(
            run(),
            6,
            &[
                "FAIL  TPM            this machine shows none: there is no /dev/tpmrm0\n",
                "do: switch it on in the firmware's settings",
            ],
        );
    }
    finds(
        run().env("TPM2_PKCS11_STORE", "/nowhere/store"),
        6,
        &[
            "FAIL  TPM            TPM2_PKCS11_STORE names /nowhere/store, which cannot be written\n",
            "do: mkdir -p -m 700 /nowhere/store",
        ],
    );
    if is_root() {
        let device = "mount -t tmpfs tmpfs /dev; chmod 755 /dev; touch /dev/tpmrm0; chgrp tss /dev/tpmrm0; chmod 660 /dev/tpmrm0";
        finds(
            where_first(device, as_nobody(run())),
            6,
            &[
                "FAIL  TPM            /dev/tpmrm0 may not be used by this user\n",
                "do: sudo usermod -aG tss \"$(id -un)\", then log in anew",
            ],
        );
    }
}

#[test]
fn a_resource_manager_that_does_not_run() {
    if !is_root() {
        return;
    }
    let world = World::empty();
    let run = doctor(&world, &tpm_module()).env("TPM2_PKCS11_TCTI", "tabrmd:bus_type=session");
    finds(
        where_first("true", run),
        6,
        &["FAIL  TPM            tpm2-abrmd does not run\n", "do: sudo systemctl start tpm2-abrmd"],
    );
}

/// A stand-in for pcscd that hangs up on everybody, as it does on whom polkit refuses.
#[test]
fn a_reader_that_polkit_keeps_from_this_user() {
    if !is_root() {
        return;
    }
    let world = World::empty();
    let daemon = "mount -t tmpfs tmpfs /run; mkdir /run/pcscd; chmod 755 /run /run/pcscd; python3 -c 'import os, socket
s = socket.socket(socket.AF_UNIX)
s.bind(\"/run/pcscd/pcscd.comm\")
s.listen()
os.chmod(\"/run/pcscd/pcscd.comm\", 0o777)
while os.fork() == 0:
    while True:
        s.accept()[0].close()
'";
    let run = || as_nobody(doctor(&world, &card_module()));
    let runs = [
        "ok    pcscd          it runs\n",
        "ok    module",
        "FAIL  token          no card or key is seen\n",
        "do: plug it in; lsusb",
    ];
    let without = "mount -t tmpfs tmpfs /usr/share/polkit-1 2>/dev/null || true";
    finds(where_first(&format!("{daemon}; {without}"), run()), 6, &runs);
    let policy = "mount -t tmpfs tmpfs /usr/share; \
                  mkdir -p /usr/share/polkit-1/actions; touch /usr/share/polkit-1/actions/org.debian.pcsc-lite.policy";
    let told = [
        "no card or key is seen: none is plugged in, or polkit keeps this user from it\n",
        "        do: plug it in; if it is: pkaction",
    ];
    finds(where_first(&format!("{daemon}; {policy}"), run()), 6, &told);
}

#[test]
fn what_runs_is_found_running() {
    let world = World::on(Provider::Tpm);
    finds(
        doctor(&world, &module(&world)),
        0,
        &["ok    TPM            tabrmd:bus_type=session\n", "ok    token          `lab`", "ok    PIN "],
    );
    if !is_root() {
        return;
    }
    let cryptoki = Provider::OpenCryptoki.instance();
    let run = |instance: &Instance| {
        let mut command = instance.command(claviger_tests::claviger());
        command.args(["token", "doctor", "--module"]).arg(instance.module()).env("HOME", instance.home());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = run(&cryptoki);
    assert_eq!(code, Some(0), "{said}");
    for line in [
        "ok    pkcsslotd      it listens at /run/",
        "ok    token          `lab`",
        "warn  SO PIN         it is still its maker's",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(said.contains("do: claviger token pin change --so --token 'pkcs11:"), "{said}");
}
