//! The way to the tokens of one module: where keys are found and made. [`crate::pkcs11::Pkcs11Driver`] calls the module in
//! this process, [`crate::host::HostDriver`] in a child of its own; nobody above them can tell which it is.

use crate::{AnchorSlot, Attendant, Nobody, PinKind, PinSource, PinTries, Signer, Token, TokenError, Uri};
use claviger_types::{Entropy, Pin, RecipientId, Scheme, SignerId};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, sync::Arc};

/// Everything by which a token is reached.
#[derive(Clone)]
pub struct Access {
    /// Where the token is logged in to; kept, and asked again when the login is lost.
    pub pin: Arc<dyn PinSource>,
    /// Randomness for keys to be wrapped, nonces and ephemeral keys.
    pub entropy: Arc<dyn Entropy>,
    /// Who is told of a touch that is wanted.
    pub attendant: Arc<dyn Attendant>,
}

impl Access {
    /// By this PIN, with nobody beside the token.
    pub fn new(pin: Arc<dyn PinSource>, entropy: Arc<dyn Entropy>) -> Self {
        Self { pin, entropy, attendant: Arc::new(Nobody) }
    }

    /// The same with somebody there.
    #[must_use]
    pub fn attended(self, attendant: Arc<dyn Attendant>) -> Self {
        Self { attendant, ..self }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access")
    }
}

/// One module's tokens.
pub trait Driver: Send + Sync {
    /// The tokens that it shows, initialised or not. No PIN is needed.
    fn list(&self) -> Result<Vec<TokenSummary>, TokenError>;

    /// Makes a KEK on the token that fits the URI, reads every attribute back, and puts it through the self-test.
    ///
    /// Without a wish for a scheme, one that does not work here is passed over; a token that fails an attack is refused as a
    /// whole. Whatever fails, the new key is destroyed.
    fn generate(
        &self,
        uri: &Uri,
        access: &Access,
        new: &NewKek,
    ) -> Result<(Arc<dyn Kek>, SelfTestReport), TokenError>;

    /// Opens a KEK on the token that fits the URI. `profile` is [`crate::KeyDescription::profile`] as it was kept at
    /// enrolment; when it is empty or cannot be read, the module is probed once more.
    fn open(
        &self,
        uri: &Uri,
        access: &Access,
        recipient: RecipientId,
        scheme: Scheme,
        profile: &str,
    ) -> Result<Arc<dyn Kek>, TokenError>;

    /// Makes a signing key on the token that fits the URI, as carefully as a KEK. [`TokenError::NoScheme`] where the token
    /// makes no such key or does not sign with it.
    fn generate_signer(
        &self,
        uri: &Uri,
        access: &Access,
        id: SignerId,
        label: &str,
    ) -> Result<Arc<dyn Signer>, TokenError>;

    /// Opens the signing key of this id on the token that fits the URI.
    fn open_signer(&self, uri: &Uri, access: &Access, id: SignerId) -> Result<Arc<dyn Signer>, TokenError>;

    /// Opens the place for anchors on the token that fits the URI.
    fn open_anchors(&self, uri: &Uri, access: &Access) -> Result<Arc<dyn AnchorSlot>, TokenError>;

    /// What there is to know of the key that is this recipient, where its token is a PIV card; no PIN is needed. `None` from
    /// whoever drives no cards.
    #[cfg(feature = "piv")]
    fn piv_key(
        &self,
        _uri: &Uri,
        _recipient: RecipientId,
    ) -> Result<Option<crate::piv::PivKeyInfo>, TokenError> {
        Ok(None)
    }

    /// What of the sandbox around the module this kernel does not enforce; `None` where it has no process of its own.
    fn unenforced(&self) -> Result<Option<Vec<String>>, TokenError> {
        Ok(None)
    }
}

/// A KEK as whoever looks after its token sees it: a [`Token`] that can be tested and destroyed.
pub trait Kek: Token + fmt::Debug {
    /// Tests the scheme and attacks the key. A token that fails is [`TokenError::Refused`]; nothing of what the test makes
    /// stays on it.
    fn self_test(&self) -> Result<SelfTestReport, TokenError>;

    /// The place for anchors on the same token, without a second login.
    fn anchors(&self) -> Result<Arc<dyn AnchorSlot>, TokenError>;

    /// Destroys the key, both halves of a pair, and looks that it is gone. Whatever is wrapped to it alone is lost; from then
    /// on every call answers [`TokenError::KeyMissing`].
    fn destroy_key(&self) -> Result<(), TokenError>;
}

/// A KEK that is to be made, perhaps under a scheme that is still to be found.
///
/// Where a key has no place for a name beside it, as on a PIV card, it is named by its public half: then what is made has
/// another recipient than this, which its description says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKek {
    /// Whose key it will be; its bytes become the `CKA_ID`.
    pub recipient: RecipientId,
    /// The `CKA_LABEL`.
    pub label: String,
    /// The scheme; `None` takes the first that passes the self-test, in the order of [`Scheme::ALL`].
    pub scheme: Option<Scheme>,
    /// Whether RSAES-OAEP with SHA-1 may be taken when nothing else works.
    pub allow_sha1: bool,
    /// What only a PIV card asks.
    pub piv: PivKek,
}

/// Where on a PIV card a KEK is made, and when it asks its owner.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PivKek {
    /// The slot, as `9d`; `None` takes the first that is free.
    pub slot: Option<String>,
    /// When it wants the PIN: `once`, if nothing is said.
    pub pin_policy: Option<String>,
    /// When it wants a touch: `cached`, if nothing is said.
    pub touch_policy: Option<String>,
    /// Take the key that is in the slot instead of making one.
    pub existing: bool,
}

/// One token in one slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenSummary {
    /// Its label.
    pub label: String,
    /// Its serial number.
    pub serial: String,
    /// Its manufacturer.
    pub manufacturer: String,
    /// Its model.
    pub model: String,
    /// The slot's description.
    pub slot_description: String,
    /// The slot's manufacturer.
    pub slot_manufacturer: String,
    /// Whether it has been initialised; one that was not has no label to be named by.
    pub initialised: bool,
    /// Whether a user PIN is set.
    pub pin_set: bool,
    /// Whether the PIN is entered at the reader.
    pub pin_pad: bool,
    /// The tries that are left, as far as it tells.
    pub tries: PinTries,
    /// The URI that names this token and no other.
    pub uri: Uri,
    /// What it says besides.
    pub details: TokenDetails,
}

/// What a token says of itself besides its names and its user's PIN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenDetails {
    /// The number of its slot now; after a restart it may be another.
    pub slot: u64,
    /// The version of the device, `major.minor`.
    pub hardware: String,
    /// The version of the program in it.
    pub firmware: String,
    /// The bytes that are free for private objects, where it tells.
    pub free_memory: Option<u64>,
    /// Whether it takes new objects at all.
    pub writable: bool,
    /// How many tries the user's PIN has left, where it tells.
    pub tries_left: Option<u8>,
    /// The tries that are left for the security officer's PIN.
    pub so_tries: PinTries,
    /// How many those are, where it tells.
    pub so_tries_left: Option<u8>,
    /// What its PINs are called.
    pub pin_kind: PinKind,
    /// Whether the user's PIN has to be changed before use.
    pub pin_is_due: bool,
    /// Whether the security officer's PIN is still its maker's.
    pub so_pin_is_due: bool,
    /// The shortest PIN that it takes, in bytes.
    pub shortest_pin: u64,
    /// The longest; 0 where there is no limit.
    pub longest_pin: u64,
}

impl TokenDetails {
    /// Whether the token takes a PIN of this length, as far as it tells.
    pub fn takes(&self, pin: &Pin) -> Result<(), TokenError> {
        let length = pin.expose().len() as u64;
        if length >= self.shortest_pin && (self.longest_pin == 0 || length <= self.longest_pin) {
            return Ok(());
        }
        let reason = format!("it has {length} bytes, and this token takes {}", self.pin_lengths());
        Err(TokenError::NewPinRefused { reason })
    }

    /// How long a PIN may be, in words.
    pub fn pin_lengths(&self) -> String {
        match (self.shortest_pin, self.longest_pin) {
            (shortest, 0) => format!("at least {shortest} bytes"),
            (shortest, longest) => format!("{shortest} to {longest} bytes"),
        }
    }
}

/// What the self-test did and saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfTestReport {
    /// The scheme that was tested.
    pub scheme: Scheme,
    /// Check by check, in order.
    pub checks: Vec<SelfTestCheck>,
}

impl SelfTestReport {
    #[cfg(any(feature = "pkcs11", feature = "piv"))]
    pub(crate) fn note(&mut self, name: &'static str, outcome: impl Into<String>) {
        self.checks.push(SelfTestCheck { name: name.into(), outcome: outcome.into() });
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfTestCheck {
    /// What was tried.
    pub name: Cow<'static, str>,
    /// How the token answered.
    pub outcome: String,
}
