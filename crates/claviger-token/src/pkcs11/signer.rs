//! A signing key on a PKCS#11 token.
//!
//! The token signs a digest by `CKM_ECDSA`, the one mechanism that all modules with ECDSA have; what it gives is verified in
//! software before anybody sees it.

use super::{
    enrol::{discard, must_be_new},
    fault::Failure,
    kek,
    login::Login,
    module::Module,
    pool::{KeyQuery, Pool},
    self_test, template,
};
use crate::{Access, PublicKey, Signer, TokenError, Uri, software};
use claviger_types::{Digest, EcPoint, Scheme, SignerId};
use cryptoki::mechanism::Mechanism;
use std::sync::Arc;

/// Bytes of a signature.
const SIGNATURE: usize = 64;
/// Room for one, because some modules want more than they fill.
const ROOM: usize = 256;

/// A P-256 key on one PKCS#11 token that signs and does nothing else.
#[derive(Debug)]
pub(super) struct Pkcs11Signer {
    pool: Pool,
    id: SignerId,
    public_key: EcPoint,
}

/// See [`crate::Driver::generate_signer`].
pub(super) fn generate(
    module: Arc<Module>,
    uri: &Uri,
    access: &Access,
    id: SignerId,
    label: &str,
) -> Result<Pkcs11Signer, TokenError> {
    let keyless = Pool::attach(module, uri.clone(), Login::new(&access.pin), None)?;
    let writer = keyless.writer()?;
    let ids = template::ids(Scheme::EcdhEsA256Kw, id.as_bytes());
    must_be_new(&writer, &ids, &id.to_string())?;
    let made = kek::make_by(&writer, &ids, |strictness| template::signer(id, label, strictness));
    let made = made.map_err(|fault| no_scheme(&fault.into()))?;
    let outcome = kek::is_its_own(&writer, &made).and_then(|()| {
        self_test::attack_pair(&keyless, made.key)?;
        kek::read_back(&writer, &made)?;
        let key = KeyQuery { template: template::signer_query(id.as_bytes(), None), shown: id.to_string() };
        let signer = attach(keyless.beside(&keyless.summary()?.serial, Some(key))?, id, id.as_bytes())?;
        test(&signer, access)?;
        Ok(signer)
    });
    if outcome.is_err() {
        drop(writer);
        discard(&keyless, &ids);
    }
    outcome
}

/// See [`crate::Driver::open_signer`].
pub(super) fn open(
    module: Arc<Module>,
    uri: &Uri,
    access: &Access,
    id: SignerId,
) -> Result<Pkcs11Signer, TokenError> {
    let key_id = uri.id.clone().unwrap_or_else(|| id.as_bytes().to_vec());
    let query = KeyQuery {
        template: template::signer_query(&key_id, uri.object.as_deref()),
        shown: uri.object.clone().unwrap_or_else(|| id.to_string()),
    };
    let pool = Pool::attach(module, uri.clone(), Login::new(&access.pin), Some(query))?;
    attach(pool, id, &key_id)
}

fn attach(pool: Pool, id: SignerId, key_id: &[u8]) -> Result<Pkcs11Signer, TokenError> {
    let lease = pool.lease()?;
    let found = kek::public_key(lease.session()?, Scheme::EcdhEsA256Kw, key_id)?;
    lease.give_back();
    let Some(PublicKey::P256(public_key)) = found else {
        return Err(TokenError::KeyMissing { key: "the public half of the key pair".to_owned() });
    };
    software::check_point(&public_key)?;
    Ok(Pkcs11Signer { pool, id, public_key })
}

/// That it signs, and that what it signs is bound to the digest.
fn test(signer: &Pkcs11Signer, access: &Access) -> Result<(), TokenError> {
    let mut bytes = [0; 32];
    access.entropy.fill(&mut bytes)?;
    let signature = signer.sign(&Digest::from_bytes(bytes)).map_err(|error| no_scheme(&error))?;
    let [first, ..] = &mut bytes;
    *first ^= 1;
    if software::verify_signature(&signer.public_key, &Digest::from_bytes(bytes), &signature) {
        return Err(TokenError::Refused { finding: "its signature fits another digest".to_owned() });
    }
    Ok(())
}

fn no_scheme(error: &TokenError) -> TokenError {
    TokenError::NoScheme { tried: vec![format!("ES256: {error}")] }
}

impl Signer for Pkcs11Signer {
    fn id(&self) -> SignerId {
        self.id
    }

    fn public_key(&self) -> EcPoint {
        self.public_key
    }

    fn sign(&self, digest: &Digest) -> Result<[u8; SIGNATURE], TokenError> {
        let signature = self.pool.retried(|| self.sign_once(digest))?;
        if software::verify_signature(&self.public_key, digest, &signature) {
            Ok(signature)
        } else {
            Err(wrong())
        }
    }

    fn destroy_key(&self) -> Result<(), TokenError> {
        let writer = self.pool.writer()?;
        let lease = self.pool.lease()?;
        let key = lease.key()?;
        lease.give_back();
        let id = self.pool.key_id().unwrap_or(self.id.as_bytes());
        let public = kek::public_object(&writer, id)?;
        kek::destroy(&writer, key, id)?;
        if let Some(public) = public {
            kek::destroy(&writer, public, id)?;
        }
        Ok(())
    }
}

impl Pkcs11Signer {
    fn sign_once(&self, digest: &Digest) -> Result<[u8; SIGNATURE], Failure> {
        self.pool.run(|session, key| {
            let mut out = [0; ROOM];
            let raw = &self.pool.module().raw;
            let (session, key) = (session.handle(), key?.handle());
            let count = raw.sign(session, (&Mechanism::Ecdsa).into(), key, digest.as_bytes(), &mut out)?;
            let signature = out.get(..count).and_then(|signature| signature.try_into().ok());
            signature.ok_or_else(|| Failure::from(wrong()))
        })
    }
}

fn wrong() -> TokenError {
    TokenError::ModuleFailed {
        function: "C_Sign".into(),
        ckr: "CKR_OK, but the signature does not verify".to_owned(),
    }
}
