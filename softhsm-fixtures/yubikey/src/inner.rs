//! The card inside: `piv-authenticator`, a PIV implementation by others. It makes the keys and computes with them.
//!
//! Its own PIN and management key stay as they were made, and every command that needs them is preceded by them: who may do
//! what is decided in front of it, where a YubiKey's rules are.

use crate::apdu::{Answer, Sw, tlv};
use des::{
    TdesEde3,
    cipher::{BlockEncrypt as _, KeyInit as _},
};
use heapless::VecView;
use iso7816::{Status, command::CommandView};
use piv_authenticator::{Authenticator, Options};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng as _;
use trussed::{
    backend::{Backend as _, BackendId},
    platform::Platform,
    serde_extensions::{ExtensionDispatch, ExtensionId, ExtensionImpl as _},
    service::ServiceResources,
    types::{Context, CoreContext},
    virt::{self, StoreConfig},
};
use trussed_auth::AuthExtension;
use trussed_auth_backend::{AuthBackend, AuthContext, FilesystemLayout};
use trussed_chunked::ChunkedExtension;
use trussed_core::{
    Error,
    api::{Reply, Request, reply, request},
    types::Location,
};
use trussed_hpke::HpkeExtension;
use trussed_staging::{StagingBackend, StagingContext};
use trussed_wrap_key_to_file::WrapKeyToFileExtension;

const PIN: &[u8; 8] = b"123456\xff\xff";
const MANAGEMENT_KEY: [u8; 24] = [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8];
const TDES: u8 = 0x03;
const SIGNATURE: u8 = 0x9c;

/// The card inside, running.
pub(crate) struct Inner<'a> {
    card: Authenticator<virt::Client<'a, Dispatch>>,
    administered: bool,
    verified: bool,
}

/// Lets a card run as long as this closure does.
pub(crate) fn run<R>(body: impl FnOnce(Inner<'_>) -> R) -> R {
    virt::with_platform(StoreConfig::ram(), |mut platform| {
        // The platform's own seed never changes, and all cards would make the same keys.
        let mut seed = [0; 32];
        getrandom::getrandom(&mut seed).unwrap_or_else(|error| panic!("no randomness: {error}"));
        *platform.rng() = ChaCha8Rng::from_seed(seed);
        let dispatch = Dispatch {
            auth: AuthBackend::new(Location::Internal, FilesystemLayout::V1),
            staging: StagingBackend::new(),
        };
        platform.run_client_with_backends("piv", dispatch, BACKENDS, |client| {
            body(Inner {
                card: Authenticator::new(client, Options::default()),
                administered: false,
                verified: false,
            })
        })
    })
}

impl Inner<'_> {
    /// Makes a key in this slot; the public key as the card answers it (7F49).
    pub(crate) fn generate(&mut self, slot: u8, algorithm: u8) -> Answer {
        self.administer()?;
        self.call(0x47, 0, slot, &tlv(&[0xac], &tlv(&[0x80], &[algorithm])))
    }

    /// Computes with the key in this slot.
    pub(crate) fn authenticate(&mut self, algorithm: u8, slot: u8, data: &[u8]) -> Answer {
        // One slot's key wants it at once before.
        if !self.verified || slot == SIGNATURE {
            self.call(0x20, 0, 0x80, PIN)?;
            self.verified = true;
        }
        self.call(0x87, algorithm, slot, data)
    }

    fn administer(&mut self) -> Result<(), Sw> {
        if self.administered {
            return Ok(());
        }
        let challenge = self.call(0x87, TDES, 0x9b, &tlv(&[0x7c], &tlv(&[0x81], &[])))?;
        let mut block = [0; 8];
        block.copy_from_slice(challenge.get(4..12).ok_or(Sw::CONDITIONS)?);
        TdesEde3::new(&MANAGEMENT_KEY.into()).encrypt_block((&mut block).into());
        self.call(0x87, TDES, 0x9b, &tlv(&[0x7c], &tlv(&[0x82], &block)))?;
        self.administered = true;
        Ok(())
    }

    fn call(&mut self, ins: u8, p1: u8, p2: u8, data: &[u8]) -> Answer {
        // With the long forms of both lengths.
        let length = (data.len() as u16).to_be_bytes();
        let raw = [&[0, ins, p1, p2, 0], length.as_slice(), data, &[0, 0]].concat();
        let command = CommandView::try_from(raw.as_slice()).map_err(|_| Sw::WRONG_LENGTH)?;
        let mut reply: heapless::Vec<u8, 4096> = heapless::Vec::new();
        let view: &mut VecView<u8> = &mut reply;
        match self.card.respond(command, view) {
            Ok(()) => Ok(reply.to_vec()),
            Err(status) => Err(sw(status)),
        }
    }
}

fn sw(status: Status) -> Sw {
    let [high, low]: [u8; 2] = status.into();
    Sw(u16::from_be_bytes([high, low]))
}

const BACKENDS: &[BackendId<Backend>] =
    &[BackendId::Custom(Backend::Staging), BackendId::Custom(Backend::Auth), BackendId::Core];

/// Where the card's platform sends what its core does not do.
pub(crate) struct Dispatch {
    auth: AuthBackend,
    staging: StagingBackend,
}

/// The backends beside the core.
pub(crate) enum Backend {
    Auth,
    Staging,
}

/// What they remember of a client.
#[derive(Default)]
pub(crate) struct Backends {
    auth: AuthContext,
    staging: StagingContext,
}

/// What they add.
#[derive(Clone, Copy)]
pub(crate) enum Extension {
    Auth,
    Chunked,
    Hpke,
    WrapKeyToFile,
}

const EXTENSIONS: [Extension; 4] =
    [Extension::Auth, Extension::Chunked, Extension::Hpke, Extension::WrapKeyToFile];

impl From<Extension> for u8 {
    fn from(extension: Extension) -> Self {
        extension as Self
    }
}

impl TryFrom<u8> for Extension {
    type Error = Error;

    fn try_from(id: u8) -> Result<Self, Error> {
        EXTENSIONS.get(usize::from(id)).copied().ok_or(Error::FunctionNotSupported)
    }
}

impl ExtensionDispatch for Dispatch {
    type BackendId = Backend;
    type Context = Backends;
    type ExtensionId = Extension;

    fn core_request<P: Platform>(
        &mut self,
        backend: &Backend,
        context: &mut Context<Backends>,
        request: &Request,
        resources: &mut ServiceResources<P>,
    ) -> Result<Reply, Error> {
        let core: &mut CoreContext = &mut context.core;
        match backend {
            Backend::Auth => self.auth.request(core, &mut context.backends.auth, request, resources),
            Backend::Staging => self.staging.request(core, &mut context.backends.staging, request, resources),
        }
    }

    fn extension_request<P: Platform>(
        &mut self,
        backend: &Backend,
        extension: &Extension,
        context: &mut Context<Backends>,
        request: &request::SerdeExtension,
        resources: &mut ServiceResources<P>,
    ) -> Result<reply::SerdeExtension, Error> {
        let (core, backends) = (&mut context.core, &mut context.backends);
        let staging = &mut backends.staging;
        match (backend, extension) {
            (Backend::Auth, Extension::Auth) => {
                self.auth.extension_request_serialized(core, &mut backends.auth, request, resources)
            }
            (Backend::Staging, Extension::Chunked) => {
                <StagingBackend as trussed::serde_extensions::ExtensionImpl<ChunkedExtension>>::extension_request_serialized(
                    &mut self.staging, core, staging, request, resources,
                )
            }
            (Backend::Staging, Extension::Hpke) => {
                <StagingBackend as trussed::serde_extensions::ExtensionImpl<HpkeExtension>>::extension_request_serialized(
                    &mut self.staging, core, staging, request, resources,
                )
            }
            (Backend::Staging, Extension::WrapKeyToFile) => {
                <StagingBackend as trussed::serde_extensions::ExtensionImpl<WrapKeyToFileExtension>>::extension_request_serialized(
                    &mut self.staging, core, staging, request, resources,
                )
            }
            _ => Err(Error::RequestNotAvailable),
        }
    }
}

impl ExtensionId<AuthExtension> for Dispatch {
    type Id = Extension;
    const ID: Extension = Extension::Auth;
}

impl ExtensionId<ChunkedExtension> for Dispatch {
    type Id = Extension;
    const ID: Extension = Extension::Chunked;
}

impl ExtensionId<HpkeExtension> for Dispatch {
    type Id = Extension;
    const ID: Extension = Extension::Hpke;
}

impl ExtensionId<WrapKeyToFileExtension> for Dispatch {
    type Id = Extension;
    const ID: Extension = Extension::WrapKeyToFile;
}
