//! A module's private token as the contract tests use it.

use claviger_token::{
    PinFile, Token as _, Uri,
    pkcs11::{self, Access, NewKek, Pkcs11Token, SelfTestReport},
};
use claviger_types::{OsEntropy, RecipientId, Scheme};
use softhsm_fixtures::Instance;
use std::sync::Arc;

pub struct Lab<'a> {
    pub instance: &'a Instance,
    pub access: Access,
    pub uri: Uri,
}

impl<'a> Lab<'a> {
    pub fn new(instance: &'a Instance) -> Self {
        let pin = Arc::new(PinFile::new(instance.pin_file().to_owned()));
        let access = Access { pin, entropy: Arc::new(OsEntropy) };
        Self { instance, access, uri: instance.uri().parse().unwrap() }
    }

    pub fn try_generate(
        &self,
        scheme: Option<Scheme>,
    ) -> Result<(Pkcs11Token, SelfTestReport), claviger_token::TokenError> {
        let recipient = RecipientId::random(&OsEntropy).unwrap();
        let new = NewKek { recipient, label: "claviger".to_owned(), scheme, allow_sha1: false };
        pkcs11::generate(self.instance.module(), &self.uri, &self.access, &new)
    }

    pub fn generate(&self, scheme: Scheme) -> Pkcs11Token {
        let (token, report) = self.try_generate(Some(scheme)).unwrap();
        println!("{report:#?}");
        println!("{:#?}", token.describe());
        token
    }

    pub fn open(&self, token: &Pkcs11Token) -> Pkcs11Token {
        let description = token.describe();
        pkcs11::open(
            self.instance.module(),
            &self.uri,
            &self.access,
            description.recipient,
            description.scheme,
            &description.profile,
        )
        .unwrap()
    }
}
