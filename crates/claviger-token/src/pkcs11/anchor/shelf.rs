//! Data objects on a session: found, read, made, destroyed, one call each.

use super::{
    super::{
        fault::Fault,
        ffi::{ObjectHandle, Session},
        login,
        module::Module,
    },
    MAX_BYTES,
};
use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use cryptoki_sys::CK_OBJECT_HANDLE;

/// Whose objects they are (`CKA_APPLICATION`).
const APPLICATION: &[u8] = b"claviger";

/// Where objects with a name and a value are kept.
pub(super) trait Shelf {
    type Object: Copy + PartialEq;

    /// The objects of this name, at most so many.
    fn find(&self, name: &str, most: usize) -> Result<Vec<Self::Object>, Fault>;
    /// The value, if it has no more than [`MAX_BYTES`].
    fn read(&self, object: Self::Object) -> Result<Vec<u8>, Fault>;
    fn create(&self, name: &str, value: &[u8]) -> Result<Self::Object, Fault>;
    /// Whether the object has this name.
    fn is_named(&self, object: Self::Object, name: &str) -> Result<bool, Fault>;
    fn destroy(&self, object: Self::Object) -> Result<(), Fault>;
}

pub(super) struct SessionShelf<'a> {
    module: &'a Module,
    session: &'a Session,
}

impl<'a> SessionShelf<'a> {
    pub(super) const fn new(module: &'a Module, session: &'a Session) -> Self {
        Self { module, session }
    }
}

/// Private, because whoever has no PIN can put public objects on a token.
fn template(name: &str) -> [Attribute; 5] {
    [
        Attribute::Class(ObjectClass::DATA),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Application(APPLICATION.to_vec()),
        Attribute::Label(name.as_bytes().to_vec()),
    ]
}

impl Shelf for SessionShelf<'_> {
    type Object = CK_OBJECT_HANDLE;

    fn find(&self, name: &str, most: usize) -> Result<Vec<CK_OBJECT_HANDLE>, Fault> {
        let found = self.session.find(&template(name), most)?;
        let found: Vec<_> = found.into_iter().map(ObjectHandle::handle).collect();
        if found.is_empty() {
            login::sees_all(self.module, self.session)?;
        }
        Ok(found)
    }

    fn read(&self, object: CK_OBJECT_HANDLE) -> Result<Vec<u8>, Fault> {
        let mut value = vec![0; MAX_BYTES];
        let count = self.module.raw.read_value(self.session.handle(), object, &mut value)?;
        value.truncate(count);
        Ok(value)
    }

    fn create(&self, name: &str, value: &[u8]) -> Result<CK_OBJECT_HANDLE, Fault> {
        self.module.raw.create_with_value(self.session.handle(), &template(name), value)
    }

    fn is_named(&self, object: CK_OBJECT_HANDLE, name: &str) -> Result<bool, Fault> {
        let object = ObjectHandle::of(object);
        let class = self.session.attribute(object, AttributeType::Class)?;
        let label = self.session.attribute(object, AttributeType::Label)?;
        Ok(class == Some(Attribute::Class(ObjectClass::DATA))
            && matches!(label, Some(Attribute::Label(label)) if label == name.as_bytes()))
    }

    fn destroy(&self, object: CK_OBJECT_HANDLE) -> Result<(), Fault> {
        self.module.raw.destroy(self.session.handle(), object)
    }
}
