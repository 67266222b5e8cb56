//! What this host keeps outside the store: the configuration file is the place, and the tokens sign.

use crate::config::{Config, ConfigFile, SignerConfig, TokenConfig};
use crate::{error::CliError, modules};
use claviger_token::{KeyDescription, Signer, Uri};
use claviger_types::{Digest, HostId, RecipientId};
use claviger_vault::{Host, PinnedSigner, Pins, VaultError};
use std::sync::Arc;

/// Makes the signers that the open token has, when something is to be signed.
pub(crate) type SignerSource = Box<dyn Fn() -> Vec<Arc<dyn Signer>> + Send + Sync>;

/// This host, by its configuration file.
pub(crate) struct ConfigHost {
    file: ConfigFile,
    id: HostId,
    name: String,
    signers: SignerSource,
}

impl ConfigHost {
    /// The host that this configuration file is of.
    pub(crate) fn new(file: ConfigFile, config: &Config, signers: SignerSource) -> Self {
        Self { file, id: config.host.id, name: config.host.name.clone(), signers }
    }

    fn edit(
        &self,
        change: impl FnOnce(&mut crate::config::ConfigDraft) -> Result<(), CliError>,
    ) -> Result<(), VaultError> {
        self.file.edit(change).map(drop).map_err(|error| failed("written", error))
    }
}

fn failed(action: &'static str, error: CliError) -> VaultError {
    VaultError::Host { action, source: Box::new(error) }
}

impl Host for ConfigHost {
    fn id(&self) -> HostId {
        self.id
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn pins(&self) -> Result<Pins, VaultError> {
        let config = self.file.read().map_err(|error| failed("read", error))?;
        Ok(Pins {
            fingerprints: std::iter::once(config.fingerprint).chain(config.next_fingerprint).collect(),
            signers: config
                .signers
                .iter()
                .map(|signer| PinnedSigner { id: signer.id, public_key: signer.public_key })
                .collect(),
        })
    }

    fn expect(&self, fingerprint: Digest) -> Result<(), VaultError> {
        self.edit(|draft| {
            draft.set("next-fingerprint", &fingerprint);
            Ok(())
        })
    }

    fn settle(&self, fingerprint: Digest) -> Result<(), VaultError> {
        self.edit(|draft| {
            draft.set("fingerprint", &fingerprint);
            draft.remove("next-fingerprint");
            Ok(())
        })
    }

    fn adopt(&self, former: RecipientId, key: &KeyDescription) -> Result<(), VaultError> {
        let config = self.file.read().map_err(|error| failed("read", error))?;
        let follow = |token: &TokenConfig| {
            if token.recipient == former { successor(token, key) } else { Ok(token.clone()) }
        };
        let tokens: Result<Vec<_>, CliError> = config.tokens().map(follow).collect();
        let tokens = tokens.map_err(|error| failed("written", error))?;
        let Some((first, others)) = tokens.split_first() else { return Ok(()) };
        self.edit(|draft| draft.tokens(first, others))
    }

    fn believe(&self, signers: &[PinnedSigner]) -> Result<(), VaultError> {
        let signers: Vec<_> = signers
            .iter()
            .map(|signer| SignerConfig { id: signer.id, public_key: signer.public_key })
            .collect();
        self.edit(|draft| draft.signers(&signers))
    }

    fn signers(&self) -> Vec<Arc<dyn Signer>> {
        (self.signers)()
    }
}

/// The entry of a token whose key has a successor.
fn successor(token: &TokenConfig, key: &KeyDescription) -> Result<TokenConfig, CliError> {
    let uri: Uri = token.uri.parse()?;
    let uri = modules::renamed(&uri, key.recipient);
    Ok(TokenConfig {
        uri: uri.to_string(),
        recipient: key.recipient,
        scheme: key.scheme,
        profile: key.profile.clone(),
        ..token.clone()
    })
}
