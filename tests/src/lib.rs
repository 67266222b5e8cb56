//! What whole-program tests share: the real binary, a home of its own for each test, and a token to go with it.
#![allow(clippy::panic, clippy::missing_panics_doc)] // What cannot be set up fails its test.

mod binary;
pub mod crash;
mod dice;
mod run;
mod terminal;

pub use binary::claviger;
pub use dice::Dice;
pub use run::{Outcome, Run};
pub use terminal::Terminal;

use softhsm_fixtures::{Instance, Provider};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

/// A home directory, a token beside it, and perhaps a vault.
pub struct World {
    token: Arc<Instance>,
    home: PathBuf,
    first_uri: String,
}

impl World {
    /// A SoftHSM token and no vault yet.
    pub fn empty() -> Self {
        Self::on(Provider::SoftHsm)
    }

    /// A token of this provider and no vault yet.
    pub fn on(provider: Provider) -> Self {
        Self::beside(provider.instance())
    }

    /// A module of this provider that has no token yet.
    pub fn without_token(provider: Provider) -> Self {
        Self::beside(provider.empty())
    }

    fn beside(token: Instance) -> Self {
        let token = Arc::new(token);
        let home = token.home().join("user");
        fs::create_dir(&home).unwrap_or_else(|error| panic!("{}: {error}", home.display()));
        let way = match token.provider() {
            Provider::YubiKey => "module-name=piv".to_owned(),
            _ => format!("module-path={}", token.module().display()),
        };
        let first_uri = format!("{}&{way}", token.uri_with_pin());
        Self { token, home, first_uri }
    }

    /// A SoftHSM token with a vault under it.
    pub fn new() -> Self {
        let world = Self::empty();
        world.init();
        world
    }

    /// Makes the vault.
    pub fn init(&self) {
        self.run(["init", "--token", &self.first_uri]).ok();
    }

    /// Another world in a directory of its own, in which everything is as it is here now: home, vault and token.
    #[must_use]
    pub fn copy(&self) -> Self {
        let token = Arc::new(self.token.copy());
        let moved = |text: &str| {
            text.replace(&self.token.home().display().to_string(), &token.home().display().to_string())
        };
        let copy = Self {
            home: token.home().join(self.home.file_name().unwrap_or_default()),
            first_uri: moved(&self.first_uri),
            token: Arc::clone(&token),
        };
        copy.edit_config(|text| moved(&text));
        copy
    }

    /// Another user's empty home directory, with the same token.
    #[must_use]
    pub fn neighbour(&self, name: &str) -> Self {
        let home = self.token.home().join(name);
        fs::create_dir(&home).unwrap_or_else(|error| panic!("{}: {error}", home.display()));
        Self { token: Arc::clone(&self.token), home, first_uri: self.first_uri.clone() }
    }

    /// Another host of this vault, as one would be set up by copying everything in the home directory, the store
    /// included; the token is the same.
    #[must_use]
    pub fn host(&self, name: &str) -> Self {
        let host = self.neighbour(name);
        let copied = Command::new("cp").arg("-a").arg(self.home.join(".")).arg(&host.home).status();
        assert!(copied.is_ok_and(|status| status.success()), "{} cannot be copied", self.home.display());
        let (old, new) = (format!("{}/", self.home.display()), format!("{}/", host.home.display()));
        host.edit_config(|text| text.replace(&old, &new));
        host
    }

    /// The token.
    pub fn token(&self) -> &Instance {
        &self.token
    }

    /// The token's URI with module and PIN file.
    pub fn uri(&self) -> &str {
        &self.first_uri
    }

    /// Makes one more token and returns its URI, with module and PIN file, and the directory that holds it.
    pub fn another_token(&self, label: &str) -> (String, PathBuf) {
        let before = self.token_directories();
        self.token.add_token(label);
        let fresh = self.token_directories().into_iter().find(|directory| !before.contains(directory));
        (
            self.first_uri.replace(&format!("token={}", softhsm_fixtures::LABEL), &format!("token={label}")),
            fresh.unwrap_or_else(|| panic!("no token was made")),
        )
    }

    /// The directories of the SoftHSM tokens that there are.
    pub fn token_directories(&self) -> Vec<PathBuf> {
        let tokens = self.token.home().join("tokens");
        let entries = fs::read_dir(&tokens).unwrap_or_else(|error| panic!("{}: {error}", tokens.display()));
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }

    /// The recipients in this state, by id.
    pub fn recipients(&self, state: &str) -> Vec<String> {
        let all = self.line("token recipients --json").ok().json();
        let all = all.as_array().cloned().unwrap_or_default();
        let fitting = all.iter().filter(|one| one["state"] == state);
        fitting.filter_map(|one| one["id"].as_str().map(str::to_owned)).collect()
    }

    /// The home directory that the program sees.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.home.join(".config/claviger/claviger.toml")
    }

    /// The store's SQLite file.
    pub fn store(&self) -> PathBuf {
        self.home.join(".local/share/claviger/vault.db")
    }

    /// Changes the configuration's text.
    pub fn edit_config(&self, edit: impl FnOnce(String) -> String) {
        let path = self.config();
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        fs::write(&path, edit(text)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Puts a file into the home directory, for its owner alone.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home.join(name);
        fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        mode(&path, 0o600);
        path
    }

    /// The program with these arguments, in this world.
    pub fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Run {
        let mut run = Run::new(arguments).env("HOME", &self.home);
        for (name, value) in self.token.env() {
            run = run.env(name, value);
        }
        run
    }

    /// The program with a line of arguments, split at blanks.
    pub fn line(&self, arguments: &str) -> Run {
        self.run(arguments.split_whitespace())
    }

    /// Writes a value through standard input.
    pub fn set(&self, reference: &str, value: impl AsRef<[u8]>) {
        self.run(["set", reference, "--stdin"]).stdin(value).ok();
    }

    /// Reads a value.
    pub fn get(&self, reference: &str) -> Vec<u8> {
        self.run(["get", reference]).ok().stdout
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// Sets a file's or directory's permissions.
pub fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// A file that the old program wrote.
pub fn legacy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/claviger-legacy/fixtures").join(name)
}
