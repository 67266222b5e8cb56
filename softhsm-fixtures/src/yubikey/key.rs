//! One virtual YubiKey, as a test has it in its hands.

use super::{key_directory, line, pcscd, readers};
use crate::At;
use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// pcscd looks at its readers 2.5 times a second; on a machine at work it takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(5);

/// What happens when the key wants a touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// It gets one at once.
    Auto,
    /// It gets none.
    Never,
    /// It gets one after this time, unless it has given up ([`YubiKey::touch_timeout`]).
    After(Duration),
}

/// What goes wrong with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardAction {
    /// This status word is the answer, and the card does nothing.
    Status(u16),
    /// This status word is the answer, after the card did it.
    After(u16),
    /// The answer's data have this length, and its status stays.
    Length(usize),
    /// This bit of the answer's data is flipped.
    Flip(usize),
    /// It says that it agreed on a secret, one that everybody knows, whatever it was asked.
    Secret,
    /// The card is pulled instead of answering.
    Remove,
    /// The card does it, and is pulled instead of answering.
    RemoveAfter,
    /// First, the card forgets PIN and selection, as when another program resets it; pcscd does not know.
    Reset,
    /// It takes so much longer.
    Delay(Duration),
}

/// One key of an instance. Whichever process makes this, it is the same key.
#[derive(Debug, Clone)]
pub struct YubiKey {
    home: PathBuf,
    index: usize,
}

impl YubiKey {
    pub(super) fn of(home: &Path, index: usize) -> Self {
        Self { home: home.to_owned(), index }
    }

    /// Its serial number.
    pub fn serial(&self) -> u32 {
        let path = self.directory().join("serial");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The name of its reader.
    pub fn reader(&self) -> String {
        pcscd::reader(self.index)
    }

    /// Pulls it; returns when pcscd sees that.
    pub fn remove(&self) {
        self.tell("remove");
        self.wait(false);
    }

    /// Inserts it again, after [`Self::remove`] or an action that pulled it; returns when pcscd sees that.
    pub fn insert(&self) {
        // One that was pulled a moment ago and is back too soon would never have been away.
        if !self.is_inserted() {
            self.wait(false);
        }
        self.tell("insert");
        self.wait_until_there();
    }

    /// Whether it is in its reader.
    pub fn is_inserted(&self) -> bool {
        self.tell("where") == "in"
    }

    /// What happens from now on, also with a touch that it waits for, when it wants one.
    pub fn touch(&self, touch: Touch) {
        self.tell(&match touch {
            Touch::Auto => "touch auto".to_owned(),
            Touch::Never => "touch never".to_owned(),
            Touch::After(time) => format!("touch after {}", time.as_millis()),
        });
    }

    /// How long it waits for a touch: 300 ms unless this changes it, 15 s in a real one.
    pub fn touch_timeout(&self, time: Duration) {
        self.tell(&format!("touch-timeout {}", time.as_millis()));
    }

    /// How much longer each command takes from now on.
    pub fn delay(&self, time: Duration) {
        self.tell(&format!("delay {}", time.as_millis()));
    }

    /// How many APDUs of each instruction came since it was made, or [`Self::reset_counts`].
    pub fn counts(&self) -> BTreeMap<u8, u64> {
        let answer = self.tell("counts");
        let counts = line::counts(&answer);
        counts.filter_map(|(ins, count)| Some((u8::from_str_radix(ins, 16).ok()?, count))).collect()
    }

    /// How many touches it wanted since then.
    pub fn touches(&self) -> u64 {
        let answer = self.tell("counts");
        line::counts(&answer)
            .find_map(|(name, count)| (name == "touches").then_some(count))
            .unwrap_or_default()
    }

    /// Counts from zero.
    pub fn reset_counts(&self) {
        self.tell("counts reset");
    }

    /// From now on this goes wrong too, with the APDUs of an instruction, or with any; they are counted from here.
    pub fn inject(&self, ins: impl Into<Option<u8>>, at: At, action: CardAction) {
        let ins = ins.into().map_or_else(|| "any".to_owned(), |ins| format!("{ins:02x}"));
        self.tell(&format!("inject {ins} {} {action}", when(at)));
    }

    /// From now on nothing goes wrong. Delay and touch stay as they are.
    pub fn clear(&self) {
        self.tell("inject clear");
    }

    /// The certificate (PEM) at the root of its attestations.
    pub fn attestation_root(&self) -> PathBuf {
        self.directory().join("attestation-root.pem")
    }

    pub(super) fn wait_until_there(&self) {
        self.wait(true);
    }

    fn wait(&self, there: bool) {
        let deadline = Instant::now() + PATIENCE;
        while readers::states(&self.home).and_then(|states| states.get(self.index).copied()) != Some(there) {
            assert!(Instant::now() < deadline, "pcscd does not see that key {} came or went", self.index);
            thread::sleep(PAUSE);
        }
    }

    fn directory(&self) -> PathBuf {
        key_directory(&self.home, self.index)
    }

    fn tell(&self, command: &str) -> String {
        line::tell(&line::control(&self.directory()), command)
    }
}

/// In the words of the control sockets.
pub(super) fn when(at: At) -> String {
    match at {
        At::Nth(nth) => nth.to_string(),
        At::Every => "every".to_owned(),
        At::From(first) => format!("from {first}"),
    }
}

/// In the words of the control socket.
impl fmt::Display for CardAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status:04x}"),
            Self::After(status) => write!(f, "after {status:04x}"),
            Self::Length(length) => write!(f, "length {length}"),
            Self::Flip(bit) => write!(f, "flip {bit}"),
            Self::Secret => f.write_str("secret"),
            Self::Remove => f.write_str("remove"),
            Self::RemoveAfter => f.write_str("remove-after"),
            Self::Reset => f.write_str("reset"),
            Self::Delay(time) => write!(f, "delay {}", time.as_millis()),
        }
    }
}
