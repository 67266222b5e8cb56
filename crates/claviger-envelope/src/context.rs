//! Where an envelope belongs: what its external AAD binds it to, so that it opens nowhere else.

use crate::{
    codec::{Encode, Sink, Writer},
    cose::{Context, EncStructure, KdfContext},
    profile::RecipientHeader,
};
use claviger_types::{CredentialId, ObjectId, RecipientId, Scheme, ServiceId, VaultId};

/// The place of a data key: `["claviger/dek/v1", vault id, service id, n]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataKeyContext {
    /// The vault.
    pub vault: VaultId,
    /// The service whose credentials the key seals; [`ServiceId::VAULT_KEY`] for the vault key.
    pub service: ServiceId,
    /// The version of the service's data key, or of the vault key.
    pub n: u64,
}

impl DataKeyContext {
    /// What a recipient's wrapping of the CEK binds, as the token takes it: nothing for key wrap and OAEP, the
    /// `Enc_structure` as AAD for A256GCM (RFC 9052 section 5.3), the `COSE_KDF_Context` as HKDF info for ECDH-ES
    /// (RFC 9053 section 5.2).
    pub fn wrap_context(&self, recipient: RecipientId, scheme: Scheme) -> Vec<u8> {
        let protected = RecipientHeader { recipient, scheme }.protected();
        match scheme {
            Scheme::A256Kw | Scheme::RsaOaepSha256 | Scheme::RsaOaepSha1 => Vec::new(),
            Scheme::A256Gcm => EncStructure {
                context: Context::EncRecipient,
                protected: &protected,
                external_aad: &self.to_cbor(),
            }
            .to_cbor(),
            Scheme::EcdhEsA256Kw => {
                KdfContext { alg: Scheme::A256Kw.cose_alg(), key_bits: 256, protected: &protected }.to_cbor()
            }
        }
    }
}

impl Encode for DataKeyContext {
    fn encode<S: Sink>(&self, out: &mut Writer<S>) {
        out.array(4)
            .text("claviger/dek/v1")
            .bytes(self.vault.as_bytes())
            .bytes(self.service.as_bytes())
            .unsigned(self.n);
    }
}

/// The place of one version of a credential: `["claviger/cred/v1", vault id, service id, credential id, n]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CredentialContext {
    /// The vault.
    pub vault: VaultId,
    /// The service.
    pub service: ServiceId,
    /// The credential.
    pub credential: CredentialId,
    /// Its version.
    pub n: u64,
}

impl Encode for CredentialContext {
    fn encode<S: Sink>(&self, out: &mut Writer<S>) {
        out.array(5)
            .text("claviger/cred/v1")
            .bytes(self.vault.as_bytes())
            .bytes(self.service.as_bytes())
            .bytes(self.credential.as_bytes())
            .unsigned(self.n);
    }
}

/// What a sealed object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A service: its name, tags and credentials.
    Service,
    /// A further page of a service's credentials.
    Page,
    /// The recipients of the vault.
    Recipients,
    /// The policy set.
    Policy,
    /// The plugins and the hashes of their tokens.
    Plugins,
    /// The private half of the audit log's sealing key.
    AuditKey,
}

impl ObjectKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Service, Self::Page, Self::Recipients, Self::Policy, Self::Plugins, Self::AuditKey];

    /// The name in the external AAD.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Page => "page",
            Self::Recipients => "recipients",
            Self::Policy => "policy",
            Self::Plugins => "plugins",
            Self::AuditKey => "audit-key",
        }
    }

    /// The media type in the `typ` header (RFC 9596).
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Service => "application/vnd.claviger.service+cose",
            Self::Page => "application/vnd.claviger.page+cose",
            Self::Recipients => "application/vnd.claviger.recipients+cose",
            Self::Policy => "application/vnd.claviger.policy+cose",
            Self::Plugins => "application/vnd.claviger.plugins+cose",
            Self::AuditKey => "application/vnd.claviger.audit-key+cose",
        }
    }
}

/// The place of a sealed object: `["claviger/obj/v1", vault id, kind, object id]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectContext {
    /// The vault.
    pub vault: VaultId,
    /// What the object is.
    pub kind: ObjectKind,
    /// The id under which the store keeps it.
    pub id: ObjectId,
}

impl Encode for ObjectContext {
    fn encode<S: Sink>(&self, out: &mut Writer<S>) {
        out.array(4)
            .text("claviger/obj/v1")
            .bytes(self.vault.as_bytes())
            .text(self.kind.name())
            .bytes(self.id.as_bytes());
    }
}

/// The place of the head: `["claviger/head/v1", vault id]`.
pub(crate) struct HeadContext {
    pub(crate) vault: VaultId,
}

impl Encode for HeadContext {
    fn encode<S: Sink>(&self, out: &mut Writer<S>) {
        out.array(2).text("claviger/head/v1").bytes(self.vault.as_bytes());
    }
}

/// The place of a succession record: `["claviger/succession/v1", vault id]`.
pub(crate) struct SuccessionContext {
    pub(crate) vault: VaultId,
}

impl Encode for SuccessionContext {
    fn encode<S: Sink>(&self, out: &mut Writer<S>) {
        out.array(2).text("claviger/succession/v1").bytes(self.vault.as_bytes());
    }
}
