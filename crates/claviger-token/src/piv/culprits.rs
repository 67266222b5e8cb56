//! Who usually keeps a card from others. They are named, and never ended.

use std::fs;

/// Programs that open a card for themselves alone, as the kernel calls them (at most 15 bytes), and what has them let go.
const KNOWN: [(&str, &str); 3] = [
    ("scdaemon", "GnuPG's, until `gpgconf --kill scdaemon`; `pcsc-shared` in scdaemon.conf has it share"),
    ("yubikey-agent", "until it is stopped"),
    ("ykman-gui", "until it is closed"),
];

/// What is known of who may hold a card now, in words.
pub(super) fn holding() -> String {
    let running: Vec<String> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let id: u32 = entry.file_name().to_str()?.parse().ok()?;
            let name = fs::read_to_string(entry.path().join("comm")).ok()?;
            let (name, how) = KNOWN.iter().find(|(known, _)| *known == name.trim_end())?;
            Some(format!("{name} (process {id}; {how})"))
        })
        .collect();
    if running.is_empty() {
        let (name, how) = KNOWN.first().copied().unwrap_or_default();
        return format!("which one cannot be seen from here; usually it is {name} ({how})");
    }
    format!("probably {}", running.join(" or "))
}
