//! Making this vault's keys on a token: the master key, and where the token can sign, a signer. Until they are kept, they go
//! away again.

use crate::{
    commands::token::yubikey,
    config::{SignerConfig, TokenConfig},
    context::Context,
    error::CliError,
    modules::Found,
    open::{self, PinOf},
    report,
};
use claviger_token::{Access, Kek, KeyDescription, NewKek, PivKek, SelfTestReport, Signer, TokenError, Uri};
use claviger_types::{OsEntropy, RecipientId, Scheme, SignerId};
use claviger_vault::PinnedSigner;
use std::{path::PathBuf, sync::Arc};

/// Which schemes are tried.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Schemes {
    /// The first that passes the self-test, in the order of preference for a lone recipient.
    Any,
    /// The same among key pairs, to which everybody can wrap.
    Pairs,
    /// This one.
    One(Scheme),
}

/// What keys are wanted.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) schemes: Schemes,
    /// What only a YubiKey is asked.
    pub(crate) piv: PivKek,
    /// Whose PIN one is that was given in passing.
    pub(crate) pin: PinOf,
}

impl From<Schemes> for Wanted {
    fn from(schemes: Schemes) -> Self {
        Self { schemes, piv: PivKek::default(), pin: PinOf::TheTokenMeant }
    }
}

/// Keys that were made on a token.
pub(crate) struct NewKeys {
    key: Option<Arc<dyn Kek>>,
    pub(crate) self_test: SelfTestReport,
    signer: Option<Arc<dyn Signer>>,
    /// Whether the token takes private objects, and so can keep an anchor.
    pub(crate) keeps_anchors: bool,
    uri: Uri,
    // One that was there before is not taken away again.
    found: bool,
    kept: bool,
}

impl NewKeys {
    /// Makes them on the token that was found. `pin` says where its PIN comes from, if the URI does.
    pub(crate) fn make(
        found: &Found,
        pin_file: Option<PathBuf>,
        wanted: &Wanted,
        context: &Context,
    ) -> Result<Self, CliError> {
        let uri = Uri { pin_file: pin_file.clone(), ..found.uri() };
        let access = open::access_as(&uri, wanted.pin, context);
        let (key, self_test) = generate(found, &uri, &access, wanted)?;
        // A card's key has its public half for a name.
        let recipient = key.describe().recipient;
        let mut made = Self {
            key: Some(key),
            self_test,
            signer: None,
            keeps_anchors: false,
            uri: Uri { pin_file, ..found.way.to_key(&found.token.uri, recipient) },
            found: wanted.piv.existing,
            kept: false,
        };
        yubikey::not_contradicted(found, recipient, context)?;
        let id = SignerId::random(&OsEntropy)?;
        let label = format!("claviger sign {}", id.to_string().get(..8).unwrap_or_default());
        match found.driver.generate_signer(&found.uri(), &access, id, &label) {
            Ok(signer) => made.signer = Some(signer),
            Err(TokenError::NoScheme { .. } | TokenError::Refused { .. }) => report::note(
                "this token does not sign, so other hosts must be told by `claviger trust` when the vault key changes",
            ),
            Err(error) => return Err(error.into()),
        }
        made.keeps_anchors = made.try_anchor()?;
        Ok(made)
    }

    /// Whether a private object can be kept on the token, read back and removed.
    fn try_anchor(&self) -> Result<bool, CliError> {
        const NAME: &str = "claviger anchor test";
        let Ok(slot) = self.token()?.anchors() else { return Ok(false) };
        let kept = slot.write(NAME, b"test").is_ok()
            && slot.read(NAME).is_ok_and(|values| values == [b"test".to_vec()]);
        Ok(slot.remove(NAME).is_ok() && kept)
    }

    /// The master key, open.
    pub(crate) fn token(&self) -> Result<Arc<dyn Kek>, CliError> {
        self.key.clone().ok_or_else(|| TokenError::KeyMissing { key: "just made".to_owned() }.into())
    }

    /// What it is.
    pub(crate) fn description(&self) -> Result<KeyDescription, CliError> {
        Ok(self.token()?.describe().clone())
    }

    /// The signer, to be used.
    pub(crate) fn signers(&self) -> Vec<Arc<dyn Signer>> {
        self.signer.iter().cloned().collect()
    }

    /// The signer, to be pinned.
    pub(crate) fn pinned_signer(&self) -> Option<PinnedSigner> {
        self.signer.as_ref().map(|signer| PinnedSigner { id: signer.id(), public_key: signer.public_key() })
    }

    /// The same for the configuration.
    pub(crate) fn signer_entry(&self) -> Option<SignerConfig> {
        self.pinned_signer().map(|PinnedSigner { id, public_key }| SignerConfig { id, public_key })
    }

    /// What the configuration says of this token.
    pub(crate) fn entry(&self) -> Result<TokenConfig, CliError> {
        let key = self.description()?;
        Ok(TokenConfig {
            uri: self.uri.to_string(),
            recipient: key.recipient,
            scheme: key.scheme,
            profile: key.profile,
            anchor: self.keeps_anchors,
            signer: self.signer.as_ref().map(|signer| signer.id()),
        })
    }

    /// The keys stay.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for NewKeys {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let mut stayed = Vec::new();
        if let Some(signer) = self.signer.take() {
            let id = signer.id();
            if signer.destroy_key().is_err() {
                stayed.push(format!("signer {id}"));
            }
        }
        if let Some(key) = self.key.take().filter(|_| !self.found) {
            let label = key.describe().key_label.clone();
            if key.destroy_key().is_err() {
                stayed.push(format!("key `{label}`"));
            }
        }
        for key in stayed {
            report::warning(&format!(
                "the unused {key} stayed on the token; remove it with the token's tool"
            ));
        }
    }
}

fn generate(
    found: &Found,
    uri: &Uri,
    access: &Access,
    wanted: &Wanted,
) -> Result<(Arc<dyn Kek>, SelfTestReport), CliError> {
    let recipient = RecipientId::random(&OsEntropy)?;
    let schemes: &[Option<Scheme>] = match wanted.schemes {
        Schemes::Any => &[None],
        Schemes::Pairs => &[Some(Scheme::EcdhEsA256Kw), Some(Scheme::RsaOaepSha256)],
        Schemes::One(scheme) => &[Some(scheme)],
    };
    let mut tried = Vec::new();
    for scheme in schemes {
        let new = NewKek {
            recipient,
            label: key_label(recipient),
            scheme: *scheme,
            allow_sha1: *scheme == Some(Scheme::RsaOaepSha1),
            piv: wanted.piv.clone(),
        };
        match found.driver.generate(&Uri { id: None, object: None, ..uri.clone() }, access, &new) {
            Err(TokenError::NoScheme { tried: these }) => tried.extend(these),
            outcome => return Ok(outcome?),
        }
    }
    Err(TokenError::NoScheme { tried }.into())
}

/// The label of a master key on its token.
pub(crate) fn key_label(recipient: RecipientId) -> String {
    let id = recipient.to_string();
    format!("claviger {}", id.get(..8).unwrap_or(&id))
}
