//! The module in this process.

use super::{admin, anchor, enrol, module::Module, signer, slots};
use crate::{
    Access, AnchorSlot, Driver, Kek, ModuleSpec, NewKek, NewToken, PinOwner, PinSource, SelfTestReport,
    Signer, TokenAdmin, TokenError, TokenSummary, Uri,
};
use claviger_types::{RecipientId, Scheme, SignerId};
use std::sync::Arc;

/// The tokens of one module, which is loaded into this process.
///
/// Initialised once per process however many drivers and keys use it, and finalised with the last.
#[derive(Debug, Clone)]
pub struct Pkcs11Driver {
    spec: ModuleSpec,
}

impl Pkcs11Driver {
    /// The tokens of this module; it is loaded when it is first needed.
    pub const fn new(spec: ModuleSpec) -> Self {
        Self { spec }
    }
}

impl Driver for Pkcs11Driver {
    fn list(&self) -> Result<Vec<TokenSummary>, TokenError> {
        slots::list(&*Module::open(&self.spec)?)
    }

    fn generate(
        &self,
        uri: &Uri,
        access: &Access,
        new: &NewKek,
    ) -> Result<(Arc<dyn Kek>, SelfTestReport), TokenError> {
        let (token, report) = enrol::generate(Module::open(&self.spec)?, uri, access, new)?;
        Ok((Arc::new(token), report))
    }

    fn open(
        &self,
        uri: &Uri,
        access: &Access,
        recipient: RecipientId,
        scheme: Scheme,
        profile: &str,
    ) -> Result<Arc<dyn Kek>, TokenError> {
        let module = Module::open(&self.spec)?;
        Ok(Arc::new(enrol::open(module, uri, access, recipient, scheme, profile)?))
    }

    fn generate_signer(
        &self,
        uri: &Uri,
        access: &Access,
        id: SignerId,
        label: &str,
    ) -> Result<Arc<dyn Signer>, TokenError> {
        Ok(Arc::new(signer::generate(Module::open(&self.spec)?, uri, access, id, label)?))
    }

    fn open_signer(&self, uri: &Uri, access: &Access, id: SignerId) -> Result<Arc<dyn Signer>, TokenError> {
        Ok(Arc::new(signer::open(Module::open(&self.spec)?, uri, access, id)?))
    }

    fn open_anchors(&self, uri: &Uri, access: &Access) -> Result<Arc<dyn AnchorSlot>, TokenError> {
        Ok(Arc::new(anchor::open(Module::open(&self.spec)?, uri, access)?))
    }
}

impl TokenAdmin for Pkcs11Driver {
    fn init_token(&self, new: &NewToken<'_>) -> Result<TokenSummary, TokenError> {
        admin::init_token(&Module::open(&self.spec)?, new)
    }

    fn set_pin(&self, uri: &Uri, so_pin: &dyn PinSource, new: &dyn PinSource) -> Result<(), TokenError> {
        admin::set_pin(&*Module::open(&self.spec)?, uri, so_pin, new)
    }

    fn change_pin(
        &self,
        uri: &Uri,
        whose: PinOwner,
        old: &dyn PinSource,
        new: &dyn PinSource,
    ) -> Result<(), TokenError> {
        admin::change_pin(&*Module::open(&self.spec)?, uri, whose, old, new)
    }
}
