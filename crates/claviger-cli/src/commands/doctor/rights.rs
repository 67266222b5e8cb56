//! What this user may do with a file, and what would let them.

use crate::config::shell_word;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

/// Whether this user may read and write there, and in a directory look around.
pub(super) fn may_write(path: &Path) -> bool {
    let wanted = Access::READ_OK | Access::WRITE_OK;
    let wanted = if path.is_dir() { wanted | Access::EXEC_OK } else { wanted };
    accessat(CWD, path, wanted, AtFlags::EACCESS).is_ok()
}

/// What lets this user in: the group to which the first thing on the way that keeps others out belongs.
pub(super) fn access_help(path: &Path) -> String {
    let way: Vec<_> = path.ancestors().collect();
    for step in way.into_iter().rev() {
        let Ok(meta) = step.metadata() else { break };
        let last = step == path;
        let others = if last { 0o006 } else { 0o001 };
        let grants_group = meta.mode() & (others << 3) != 0;
        if meta.mode() & others != others && meta.uid() != rustix::process::geteuid().as_raw() {
            return match group(meta.gid()) {
                Some(group) if grants_group && meta.gid() != 0 => {
                    format!("sudo usermod -aG {group} \"$(id -un)\", then log in anew")
                }
                _ => format!("run it as the user that has it, or see who may: ls -ld {}", shell_word(step)),
            };
        }
    }
    format!("ls -ld {}", shell_word(path))
}

fn group(id: u32) -> Option<String> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    let mut names = groups.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number.parse() == Ok(id)).then(|| name.to_owned())
    });
    names.next()
}
