//! The schemes' operations on one session: raw bytes in, raw bytes out, no recovery.

use super::{
    fault::Fault,
    ffi::{Call, ObjectHandle, Raw, Session},
    module::Module,
    profile::Profile,
    template::{self, PointAs},
};
use crate::{IvSource, software};
use claviger_types::{EcPoint, Key256, Scheme};
use cryptoki::{
    error::RvError,
    mechanism::{
        Mechanism, MechanismType,
        aead::GcmParams,
        elliptic_curve::{EcKdf, Ecdh1DeriveParams},
        rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource},
    },
    object::KeyType,
};
use cryptoki_sys::{CK_OBJECT_HANDLE, CK_SESSION_HANDLE};
use zeroize::Zeroizing;

/// Bytes of a key.
const KEY: usize = 32;
/// Room for a wrapped key. More than any scheme's 48 bytes, because some modules want more room than they fill.
const ROOM: usize = 1024;
/// Room for a decrypted key: some modules want as much as the ciphertext takes. Under GCM little, because it is wiped each
/// time; under OAEP a modulus of 8192 bits.
const GCM_ROOM: usize = 64;
const OAEP_ROOM: usize = 1024;

/// One KEK on one session.
pub(super) struct Operation<'a> {
    pub(super) module: &'a Module,
    pub(super) session: &'a Session,
    pub(super) key: ObjectHandle,
    pub(super) profile: &'a Profile,
}

impl Operation<'_> {
    /// A256KW: the key comes in as a session object, is wrapped, and the object is destroyed.
    pub(super) fn wrap_by_key_wrap(&self, cek: &Key256) -> Result<Vec<u8>, Fault> {
        let template = template::imported(self.profile.import);
        let object = self.raw().create_with_value(self.session(), &template, cek.expose())?;
        let object = SessionObject { operation: self, object: Some(object) };
        let mut out = [0; ROOM];
        let count =
            self.raw().wrap(self.session(), self.key_wrap(), self.key(), object.handle(), &mut out)?;
        object.destroy()?;
        exactly(&out, count, software::KW_BYTES, "C_WrapKey")
    }

    /// A256KW: the key comes out as a session object, is read, and the object is destroyed.
    pub(super) fn unwrap_by_key_wrap(&self, wrapped: &[u8]) -> Result<Key256, Fault> {
        let template = template::unwrapped(self.profile.unwrap, KeyType::AES);
        let object = self.raw().unwrap(self.session(), self.key_wrap(), self.key(), wrapped, &template)?;
        self.read(object, false)
    }

    /// A256GCM: the nonce that was used, and the wrapped key. Where the token insists on a nonce of its own, that given is
    /// only room for it.
    pub(super) fn encrypt_by_gcm(
        &self,
        iv: [u8; 12],
        cek: &Key256,
        context: &[u8],
    ) -> Result<([u8; 12], Vec<u8>), Fault> {
        let tokens_own = self.module.settings.iv == IvSource::Token;
        let mut iv = if tokens_own { [0; 12] } else { iv };
        let mechanism = gcm("C_EncryptInit", &mut iv, context)?;
        let call = Call::from(&mechanism).or_vendors(self.module.settings.mechanisms.gcm);
        let mut out = [0; ROOM];
        let count = self.raw().encrypt(self.session(), call, self.key(), cek.expose(), &mut out)?;
        drop(mechanism);
        // A nonce that was never chosen would be the next one, too.
        if tokens_own && iv == [0; 12] {
            return Err(Fault { function: "C_EncryptInit", rv: RvError::MechanismParamInvalid });
        }
        Ok((iv, exactly(&out, count, software::GCM_BYTES, "C_Encrypt")?))
    }

    /// A256GCM.
    pub(super) fn decrypt_by_gcm(
        &self,
        iv: [u8; 12],
        wrapped: &[u8],
        context: &[u8],
    ) -> Result<Key256, Fault> {
        let mut iv = iv;
        let mechanism = gcm("C_DecryptInit", &mut iv, context)?;
        self.decrypt::<GCM_ROOM>(
            Call::from(&mechanism).or_vendors(self.module.settings.mechanisms.gcm),
            wrapped,
        )
    }

    /// ECDH: the shared secret's x coordinate.
    pub(super) fn derive(&self, ephemeral: &EcPoint) -> Result<Key256, Fault> {
        let point = software::sec1(ephemeral);
        let mut encoded = Vec::with_capacity(2 + point.len());
        if self.profile.point == PointAs::Der {
            // An octet string of 65 bytes (X.690, section 8.7).
            encoded.extend([0x04, 65]);
        }
        encoded.extend(point);
        let mechanism = Mechanism::Ecdh1Derive(Ecdh1DeriveParams::new(EcKdf::null(), &encoded));
        let call = Call::from(&mechanism).or_vendors(self.module.settings.mechanisms.ecdh);
        let template = template::unwrapped(self.profile.unwrap, KeyType::GENERIC_SECRET);
        let object = self.raw().derive(self.session(), call, self.key(), &template)?;
        self.read(object, true)
    }

    /// RSAES-OAEP with an empty label.
    pub(super) fn decrypt_by_oaep(&self, scheme: Scheme, wrapped: &[u8]) -> Result<Key256, Fault> {
        let (hash, mask) = match scheme {
            Scheme::RsaOaepSha1 => (MechanismType::SHA1, PkcsMgfType::MGF1_SHA1),
            _ => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256),
        };
        let parameters = PkcsOaepParams::new(hash, mask, PkcsOaepSource::empty());
        let mechanism = Mechanism::RsaPkcsOaep(parameters);
        self.decrypt::<OAEP_ROOM>(
            Call::from(&mechanism).or_vendors(self.module.settings.mechanisms.oaep),
            wrapped,
        )
    }

    fn decrypt<const N: usize>(&self, call: Call<'_>, wrapped: &[u8]) -> Result<Key256, Fault> {
        let mut out = Zeroizing::new([0; N]);
        let count = self.raw().decrypt(self.session(), call, self.key(), wrapped, out.as_mut_slice())?;
        out.get(..count).and_then(Key256::from_slice).ok_or_else(|| unfit("C_Decrypt"))
    }

    /// The key in a fresh session object, which is destroyed whatever happens. A `number` may come without its leading zeros.
    fn read(&self, object: CK_OBJECT_HANDLE, number: bool) -> Result<Key256, Fault> {
        let object = SessionObject { operation: self, object: Some(object) };
        let key = Key256::build(|key| {
            let count = self.raw().read_value(self.session(), object.handle(), key)?;
            let missing = KEY.saturating_sub(count);
            if number && count > 0 {
                key.rotate_right(missing);
                Ok(())
            } else if missing == 0 {
                Ok(())
            } else {
                Err(unfit("C_GetAttributeValue"))
            }
        })?;
        object.destroy()?;
        Ok(key)
    }

    pub(super) fn session(&self) -> CK_SESSION_HANDLE {
        self.session.handle()
    }

    fn raw(&self) -> &Raw {
        &self.module.raw
    }

    fn key_wrap(&self) -> Call<'static> {
        Call::from(&Mechanism::AesKeyWrap).or_vendors(self.module.settings.mechanisms.key_wrap)
    }

    fn key(&self) -> CK_OBJECT_HANDLE {
        self.key.handle()
    }
}

/// A session object that holds a key in clear: destroyed on every path. Where that fails on an error's path, the session is
/// closed for its error, and the object ends with it.
struct SessionObject<'a> {
    operation: &'a Operation<'a>,
    object: Option<CK_OBJECT_HANDLE>,
}

impl SessionObject<'_> {
    fn handle(&self) -> CK_OBJECT_HANDLE {
        self.object.unwrap_or_default()
    }

    fn destroy(mut self) -> Result<(), Fault> {
        self.object
            .take()
            .map_or(Ok(()), |object| self.operation.raw().destroy(self.operation.session(), object))
    }
}

impl Drop for SessionObject<'_> {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            let _ = self.operation.raw().destroy(self.operation.session(), object);
        }
    }
}

fn gcm<'a>(function: &'static str, iv: &'a mut [u8; 12], context: &'a [u8]) -> Result<Mechanism<'a>, Fault> {
    let parameters = GcmParams::new(iv, context, 128.into());
    parameters.map(Mechanism::AesGcm).map_err(|error| Fault::of(function, &error))
}

/// The module's answer, if it has the length that the scheme gives.
fn exactly(out: &[u8], count: usize, due: usize, function: &'static str) -> Result<Vec<u8>, Fault> {
    out.get(..count).filter(|written| written.len() == due).map(<[u8]>::to_vec).ok_or_else(|| unfit(function))
}

/// The call went well but what came is no 256-bit key.
const fn unfit(function: &'static str) -> Fault {
    Fault { function, rv: RvError::WrappedKeyInvalid }
}
