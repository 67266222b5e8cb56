//! The bare module: its C functions in a loop, with nothing between.
//!
//! The driver has initialised the module and logged in, which holds for the whole process; p11-kit's client is another instance
//! of itself for each who asks, and is initialised and logged in to once more.

use claviger_types::{Key256, Scheme, WrappedCek};
use cryptoki_sys::{
    CK_ATTRIBUTE, CK_ATTRIBUTE_TYPE, CK_BBOOL, CK_C_INITIALIZE_ARGS, CK_FALSE, CK_FUNCTION_LIST,
    CK_GCM_PARAMS, CK_KEY_TYPE, CK_MECHANISM, CK_MECHANISM_TYPE, CK_OBJECT_CLASS, CK_OBJECT_HANDLE,
    CK_RSA_PKCS_MGF_TYPE, CK_RSA_PKCS_OAEP_PARAMS, CK_RV, CK_SESSION_HANDLE, CK_SLOT_ID, CK_TRUE, CK_ULONG,
    CKA_CLASS, CKA_DECRYPT, CKA_DERIVE, CKA_ENCRYPT, CKA_EXTRACTABLE, CKA_ID, CKA_KEY_TYPE, CKA_PRIVATE,
    CKA_SENSITIVE, CKA_TOKEN, CKA_UNWRAP, CKA_VALUE, CKA_WRAP, CKF_OS_LOCKING_OK, CKF_SERIAL_SESSION,
    CKG_MGF1_SHA1, CKG_MGF1_SHA256, CKK_AES, CKM_AES_GCM, CKM_AES_KEY_WRAP, CKM_RSA_PKCS_OAEP, CKM_SHA_1,
    CKM_SHA256, CKO_PRIVATE_KEY, CKO_SECRET_KEY, CKR_OK, CKU_USER, CKZ_DATA_SPECIFIED, Pkcs11,
};
use std::{hint::black_box, path::Path, ptr};

static YES: CK_BBOOL = CK_TRUE;
static NO: CK_BBOOL = CK_FALSE;
static CLASS: CK_OBJECT_CLASS = CKO_SECRET_KEY;
static TYPE: CK_KEY_TYPE = CKK_AES;

/// A module's functions and the key on its token.
pub(crate) struct Bare {
    functions: CK_FUNCTION_LIST,
    slot: CK_SLOT_ID,
    key: CK_OBJECT_HANDLE,
    _library: Pkcs11,
}

/// One session, closed at its end.
struct Session<'a> {
    bare: &'a Bare,
    handle: CK_SESSION_HANDLE,
}

fn check(function: &str, rv: CK_RV) {
    assert_eq!(rv, CKR_OK, "{function}");
}

macro_rules! call {
    ($functions:expr, $name:ident($($argument:expr),* $(,)?)) => {
        // SAFETY: the list belongs to a loaded module, and every buffer outlives the call.
        check(stringify!($name), unsafe { $functions.$name.unwrap()($($argument),*) })
    };
}

impl Bare {
    /// Finds the key with this id on the one token that has it.
    pub(crate) fn new(module: &Path, id: &[u8; 16], scheme: Scheme, pin: &[u8]) -> Self {
        // SAFETY: the module is loaded in this process already.
        let library = unsafe { Pkcs11::new(module) }.unwrap();
        let mut list = ptr::null_mut();
        // SAFETY: `list` is a place for one pointer, and what it gets is a function list.
        let functions = unsafe {
            check("C_GetFunctionList", library.C_GetFunctionList(&raw mut list));
            *list
        };
        let mut arguments =
            CK_C_INITIALIZE_ARGS { flags: CKF_OS_LOCKING_OK, ..CK_C_INITIALIZE_ARGS::default() };
        // SAFETY: as below.
        let initialised = unsafe { functions.C_Initialize.unwrap()((&raw mut arguments).cast()) };
        let mut slots = [0; 16];
        let mut count = length(&slots);
        call!(functions, C_GetSlotList(CK_TRUE, slots.as_mut_ptr(), &raw mut count));
        let mut bare = Self { functions, slot: 0, key: 0, _library: library };
        for &slot in slots.iter().take(usize::try_from(count).unwrap()) {
            bare.slot = slot;
            let session = bare.open();
            if initialised == CKR_OK {
                call!(functions, C_Login(session.handle, CKU_USER, pin.as_ptr().cast_mut(), length(pin)));
            }
            let class = if scheme.is_symmetric() { &CKO_SECRET_KEY } else { &CKO_PRIVATE_KEY };
            if let Some(key) = session.find(id, class) {
                if initialised == CKR_OK {
                    // The login ends with the last session.
                    std::mem::forget(session);
                } else {
                    drop(session);
                }
                bare.key = key;
                return bare;
            }
        }
        panic!("the bare loop does not find the key");
    }

    fn open(&self) -> Session<'_> {
        let mut handle = 0;
        call!(
            self.functions,
            C_OpenSession(self.slot, CKF_SERIAL_SESSION, ptr::null_mut(), None, &raw mut handle)
        );
        Session { bare: self, handle }
    }

    /// The loop that unwraps this blob.
    pub(crate) fn unwrap_loop<'a>(
        &'a self,
        wrapped: &'a WrappedCek,
        context: &'a [u8],
    ) -> Box<dyn FnMut() + 'a> {
        let session = self.open();
        let mut iv = wrapped.iv.unwrap_or_default();
        match wrapped.scheme {
            Scheme::A256Kw => Box::new(move || session.unwrap_key(&wrapped.ciphertext)),
            Scheme::RsaOaepSha256 => {
                Box::new(move || session.decrypt_oaep(CKM_SHA256, CKG_MGF1_SHA256, &wrapped.ciphertext))
            }
            Scheme::RsaOaepSha1 => {
                Box::new(move || session.decrypt_oaep(CKM_SHA_1, CKG_MGF1_SHA1, &wrapped.ciphertext))
            }
            _ => Box::new(move || session.decrypt(&mut iv, &wrapped.ciphertext, context)),
        }
    }

    /// The loop that wraps this key.
    pub(crate) fn wrap_loop<'a>(
        &'a self,
        scheme: Scheme,
        cek: &'a Key256,
        context: &'a [u8],
    ) -> Box<dyn FnMut() + 'a> {
        let session = self.open();
        let mut iv = [7; 12];
        match scheme {
            Scheme::A256Kw => Box::new(move || session.wrap_key(cek)),
            _ => Box::new(move || session.encrypt(&mut iv, cek, context)),
        }
    }
}

impl Session<'_> {
    fn find(&self, id: &[u8; 16], class: &CK_OBJECT_CLASS) -> Option<CK_OBJECT_HANDLE> {
        let mut template = [attribute(CKA_ID, id), attribute(CKA_CLASS, class)];
        let (mut key, mut found) = (0, 0);
        let functions = &self.bare.functions;
        call!(functions, C_FindObjectsInit(self.handle, template.as_mut_ptr(), length(&template)));
        call!(functions, C_FindObjects(self.handle, &raw mut key, 1, &raw mut found));
        call!(functions, C_FindObjectsFinal(self.handle));
        (found == 1).then_some(key)
    }

    fn unwrap_key(&self, wrapped: &[u8]) {
        let functions = &self.bare.functions;
        let mut mechanism = mechanism::<()>(CKM_AES_KEY_WRAP, None);
        let mut template = [
            attribute(CKA_CLASS, &CLASS),
            attribute(CKA_KEY_TYPE, &TYPE),
            attribute(CKA_TOKEN, &NO),
            attribute(CKA_PRIVATE, &NO),
            attribute(CKA_SENSITIVE, &NO),
            attribute(CKA_EXTRACTABLE, &YES),
        ];
        let mut object = 0;
        call!(
            functions,
            C_UnwrapKey(
                self.handle,
                &raw mut mechanism,
                self.bare.key,
                wrapped.as_ptr().cast_mut(),
                length(wrapped),
                template.as_mut_ptr(),
                length(&template),
                &raw mut object,
            )
        );
        let key = [0_u8; 32];
        let mut value = attribute(CKA_VALUE, &key);
        call!(functions, C_GetAttributeValue(self.handle, object, &raw mut value, 1));
        call!(functions, C_DestroyObject(self.handle, object));
        black_box(key);
    }

    fn wrap_key(&self, cek: &Key256) {
        let functions = &self.bare.functions;
        let mut template = [
            attribute(CKA_CLASS, &CLASS),
            attribute(CKA_KEY_TYPE, &TYPE),
            attribute(CKA_TOKEN, &NO),
            attribute(CKA_EXTRACTABLE, &YES),
            attribute(CKA_PRIVATE, &NO),
            attribute(CKA_SENSITIVE, &NO),
            attribute(CKA_ENCRYPT, &NO),
            attribute(CKA_DECRYPT, &NO),
            attribute(CKA_WRAP, &NO),
            attribute(CKA_UNWRAP, &NO),
            attribute(CKA_DERIVE, &NO),
            attribute(CKA_VALUE, cek.expose()),
        ];
        let mut object = 0;
        call!(
            functions,
            C_CreateObject(self.handle, template.as_mut_ptr(), length(&template), &raw mut object)
        );
        let mut mechanism = mechanism::<()>(CKM_AES_KEY_WRAP, None);
        let mut out = [0_u8; 64];
        let mut count = length(&out);
        call!(
            functions,
            C_WrapKey(
                self.handle,
                &raw mut mechanism,
                self.bare.key,
                object,
                out.as_mut_ptr(),
                &raw mut count
            )
        );
        call!(functions, C_DestroyObject(self.handle, object));
        black_box(out);
    }

    fn decrypt(&self, iv: &mut [u8; 12], wrapped: &[u8], context: &[u8]) {
        let parameters = gcm(iv, context);
        self.decrypt_by::<64>(mechanism(CKM_AES_GCM, Some(&parameters)), wrapped);
    }

    fn decrypt_oaep(&self, hash: CK_MECHANISM_TYPE, mask: CK_RSA_PKCS_MGF_TYPE, wrapped: &[u8]) {
        let parameters = CK_RSA_PKCS_OAEP_PARAMS {
            hashAlg: hash,
            mgf: mask,
            source: CKZ_DATA_SPECIFIED,
            pSourceData: ptr::null_mut(),
            ulSourceDataLen: 0,
        };
        self.decrypt_by::<1024>(mechanism(CKM_RSA_PKCS_OAEP, Some(&parameters)), wrapped);
    }

    fn decrypt_by<const ROOM: usize>(&self, mut mechanism: CK_MECHANISM, wrapped: &[u8]) {
        let functions = &self.bare.functions;
        let mut out = [0_u8; ROOM];
        let mut count = length(&out);
        call!(functions, C_DecryptInit(self.handle, &raw mut mechanism, self.bare.key));
        call!(
            functions,
            C_Decrypt(
                self.handle,
                wrapped.as_ptr().cast_mut(),
                length(wrapped),
                out.as_mut_ptr(),
                &raw mut count
            )
        );
        black_box(out);
    }

    fn encrypt(&self, iv: &mut [u8; 12], cek: &Key256, context: &[u8]) {
        let functions = &self.bare.functions;
        let parameters = gcm(iv, context);
        let mut mechanism = mechanism(CKM_AES_GCM, Some(&parameters));
        let mut out = [0_u8; 64];
        let mut count = length(&out);
        let plain = cek.expose();
        call!(functions, C_EncryptInit(self.handle, &raw mut mechanism, self.bare.key));
        call!(
            functions,
            C_Encrypt(
                self.handle,
                plain.as_ptr().cast_mut(),
                length(plain),
                out.as_mut_ptr(),
                &raw mut count
            )
        );
        black_box(out);
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        call!(self.bare.functions, C_CloseSession(self.handle));
    }
}

fn length<T>(items: &[T]) -> CK_ULONG {
    CK_ULONG::try_from(items.len()).unwrap()
}

fn attribute<T>(kind: CK_ATTRIBUTE_TYPE, value: &T) -> CK_ATTRIBUTE {
    let size = CK_ULONG::try_from(size_of::<T>()).unwrap();
    CK_ATTRIBUTE { type_: kind, pValue: ptr::from_ref(value).cast_mut().cast(), ulValueLen: size }
}

fn mechanism<T>(number: CK_MECHANISM_TYPE, parameters: Option<&T>) -> CK_MECHANISM {
    let (start, size) = parameters.map_or((ptr::null(), 0), |it| (ptr::from_ref(it), size_of::<T>()));
    CK_MECHANISM {
        mechanism: number,
        pParameter: start.cast_mut().cast(),
        ulParameterLen: CK_ULONG::try_from(size).unwrap(),
    }
}

fn gcm(iv: &mut [u8; 12], context: &[u8]) -> CK_GCM_PARAMS {
    CK_GCM_PARAMS {
        pIv: iv.as_mut_ptr(),
        ulIvLen: 12,
        ulIvBits: 96,
        pAAD: context.as_ptr().cast_mut(),
        ulAADLen: length(context),
        ulTagBits: 128,
    }
}
