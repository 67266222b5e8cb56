//! Tokens that go away under their users and come back, each in its module's way.

use crate::{Instance, Provider, daemon::Daemon, opencryptoki, p11kit, tpm};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::PoisonError,
    thread,
    time::Duration,
};

const PAUSE: Duration = Duration::from_millis(2);

impl Instance {
    /// Takes the tokens away, as pulling a card does: files are moved elsewhere, daemons are killed.
    pub fn remove(&self) {
        match self.provider {
            Provider::SoftHsm | Provider::Kryoptic | Provider::Nss => {
                let (here, away) = self.files();
                moved(&here, &away);
                // A place for cards without a card.
                if self.provider == Provider::SoftHsm {
                    done(fs::create_dir(&here), &here);
                }
            }
            Provider::P11Kit => self.ids().into_iter().for_each(kill_with_children),
            // The bus stays, as a machine's does: a process keeps its one connection to it.
            Provider::Tpm => self.ids().into_iter().take(2).for_each(kill),
            Provider::OpenCryptoki => kill(opencryptoki::daemon()),
            Provider::YubiKey => self.yubikey(0).remove(),
        }
    }

    /// Puts them back.
    pub fn put_back(&self) {
        let started = match self.provider {
            Provider::SoftHsm | Provider::Kryoptic | Provider::Nss => {
                let (here, away) = self.files();
                if self.provider == Provider::SoftHsm {
                    done(fs::remove_dir(&here), &here);
                }
                moved(&away, &here);
                Vec::new()
            }
            Provider::Tpm => tpm::start_tpm(&self.home),
            Provider::P11Kit => p11kit::start(&self.home),
            Provider::OpenCryptoki => {
                opencryptoki::start_daemon();
                Vec::new()
            }
            Provider::YubiKey => {
                self.yubikey(0).insert();
                return;
            }
        };
        self.note(&started);
        self.keep(started);
    }

    /// Lets what was started later end with the instance.
    pub(crate) fn keep(&self, started: Vec<Daemon>) {
        self.later.lock().unwrap_or_else(PoisonError::into_inner).extend(started);
    }

    /// Writes down which processes these are, for the child that [`crate::in_own_process`] starts.
    pub(crate) fn note(&self, daemons: &[Daemon]) {
        let ids: Vec<_> = daemons.iter().map(|daemon| daemon.id().to_string()).collect();
        done(fs::write(self.home.join("daemons"), ids.join("\n")), &self.home);
    }

    fn ids(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.home.join("daemons")).unwrap_or_default();
        text.lines().filter_map(|id| id.parse().ok()).collect()
    }

    fn files(&self) -> (PathBuf, PathBuf) {
        let name = match self.provider {
            Provider::Kryoptic => "token-1.sql",
            Provider::Nss => "nss",
            _ => "tokens",
        };
        (self.home.join(name), self.home.join("away"))
    }
}

/// p11-kit's server has a child for each that it serves.
fn kill_with_children(id: u32) {
    let path = format!("/proc/{id}/task/{id}/children");
    let children = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    kill(id);
    children.split_whitespace().filter_map(|child| child.parse().ok()).for_each(kill);
}

/// Kills a process that a fixture started, and waits until it is gone or waits for its parent only.
pub(crate) fn kill(id: u32) {
    let process = i32::try_from(id).ok().and_then(Pid::from_raw);
    let process = process.unwrap_or_else(|| panic!("{id} is no process"));
    kill_process(process, Signal::KILL).unwrap_or_else(|error| panic!("process {id}: {error}"));
    let lives = || {
        // The first thread of several can be gone before the others, with whom it shares all that is open.
        let threads = fs::read_dir(format!("/proc/{id}/task")).map_or(0, Iterator::count);
        fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| {
            threads > 1 || stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
        })
    };
    while lives() {
        thread::sleep(PAUSE);
    }
}

fn moved(from: &Path, to: &Path) {
    done(fs::rename(from, to), from);
}

fn done(outcome: std::io::Result<()>, path: &Path) {
    outcome.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
