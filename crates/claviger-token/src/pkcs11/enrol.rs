//! Making a KEK, opening one, destroying one.

use super::{
    fault::{Failure, Fault},
    ffi::Session,
    kek,
    login::{self, Login},
    module::Module,
    pool::{KeyQuery, Pool},
    profile::{Profile, TestBlob},
    self_test::self_test,
    template::{self, ImportAs, PointAs, UnwrapAs},
    token::{Pkcs11Token, SharedEntropy},
};
use crate::{Access, KeyDescription, NewKek, NewKey, SelfTestReport, TokenError, Uri};
use claviger_types::{Entropy, Key256, RecipientId, Scheme};
use cryptoki::{error::RvError, object::Attribute};
use std::sync::Arc;

/// See [`crate::Driver::generate`].
pub(super) fn generate(
    module: Arc<Module>,
    uri: &Uri,
    access: &Access,
    new: &NewKek,
) -> Result<(Pkcs11Token, SelfTestReport), TokenError> {
    let keyless = Pool::attach(module, uri.clone(), Login::new(&access.pin), None)?;
    let schemes = Scheme::ALL.into_iter().filter(|scheme| match new.scheme {
        Some(wanted) => *scheme == wanted,
        None => *scheme != Scheme::RsaOaepSha1 || new.allow_sha1,
    });
    let mut tried = Vec::new();
    for scheme in schemes {
        match generate_as(&keyless, &access.entropy, (new.recipient, &new.label), scheme) {
            Err(
                error @ (TokenError::ModuleFailed { .. }
                | TokenError::CorruptWrappedKey
                | TokenError::PublicKeyUnusable { .. }),
            ) => tried.push(format!("{scheme}: {error}")),
            Err(TokenError::NoScheme { tried: variants }) => tried.extend(variants),
            outcome => return outcome,
        }
    }
    Err(TokenError::NoScheme { tried })
}

fn generate_as(
    keyless: &Pool,
    entropy: &Arc<dyn Entropy>,
    (recipient, label): (RecipientId, &str),
    scheme: Scheme,
) -> Result<(Pkcs11Token, SelfTestReport), TokenError> {
    let writer = keyless.writer()?;
    let ids = template::ids(scheme, recipient.as_bytes());
    must_be_new(&writer, &ids, &recipient.to_string())?;
    let made = kek::make(&writer, &keyless.module().settings, scheme, recipient, label)?;
    let as_asked = kek::read_back(&writer, &made);
    let tested = || {
        let serial = keyless.summary()?.serial;
        let entropy = SharedEntropy(Arc::clone(entropy));
        let token = beside(keyless, &serial, entropy, recipient, scheme, None)?;
        let mut report = self_test(&token)?;
        report.note_strictness(made.strictness);
        Ok((token, report))
    };
    // An attack that works says more than an attribute that is not as asked, and either is enough.
    let outcome = match as_asked {
        Ok(()) => tested(),
        Err(refused @ TokenError::Refused { .. }) => match tested() {
            Err(worse @ TokenError::Refused { .. }) => Err(worse),
            _ => Err(refused),
        },
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        drop(writer);
        discard(keyless, &ids);
    }
    outcome
}

/// That the token has nothing of the new key's id yet: of two with one id, neither could be opened again.
pub(super) fn must_be_new(session: &Session, ids: &[Vec<Attribute>], shown: &str) -> Result<(), TokenError> {
    for id in ids {
        if !kek::find_all(session, id)?.is_empty() {
            return Err(TokenError::Refused { finding: format!("it has a key {shown} already") });
        }
    }
    Ok(())
}

/// Destroys a new key that is not to stay, on a fresh session, because its own may be what failed; and by its id, because
/// after a loss its handle may be another object's. What failed matters more than a key that cannot be removed, which is
/// useless by itself.
pub(super) fn discard(pool: &Pool, ids: &[Vec<Attribute>]) {
    let _ = pool.run_writing(|session| {
        for id in ids {
            match kek::find_all(session, id)?[..] {
                [] => login::sees_all(pool.module(), session)?,
                [object] => kek::destroy(session, object, template::id_in(id))?,
                // Not all of them are new.
                _ => {}
            }
        }
        Ok(())
    });
}

/// Destroys what fits the template, and looks that nothing does any more; whether anything did.
fn destroy_all(session: &Session, template: &[Attribute], id: &[u8]) -> Result<bool, TokenError> {
    let found = kek::find_all(session, template)?;
    for object in &found {
        match kek::destroy(session, *object, id) {
            // Another program was quicker.
            Err(Failure::Call(Fault { rv: RvError::ObjectHandleInvalid, .. })) => {}
            outcome => outcome?,
        }
    }
    if kek::find_all(session, template)?.is_empty() { Ok(!found.is_empty()) } else { Err(still_there()) }
}

fn still_there() -> TokenError {
    TokenError::ModuleFailed {
        function: "C_DestroyObject".into(),
        ckr: "CKR_OK, but the key is still there".to_owned(),
    }
}

/// See [`crate::Driver::open`].
pub(super) fn open(
    module: Arc<Module>,
    uri: &Uri,
    access: &Access,
    recipient: RecipientId,
    scheme: Scheme,
    profile: &str,
) -> Result<Pkcs11Token, TokenError> {
    let entropy = SharedEntropy(Arc::clone(&access.entropy));
    let login = Login::new(&access.pin);
    if scheme == Scheme::EcdhEsA256Kw && uri.id.is_none() && uri.object.is_none() {
        let keyless = Pool::attach(module, uri.clone(), login, None)?;
        return beside(&keyless, "", entropy, recipient, scheme, Profile::parse(profile));
    }
    let id = uri.id.clone().unwrap_or_else(|| recipient.as_bytes().to_vec());
    let query = KeyQuery {
        template: template::query(scheme, &id, uri.object.as_deref()),
        shown: uri.object.clone().unwrap_or_else(|| recipient.to_string()),
    };
    let pool = Pool::attach(module, uri.clone(), login, Some(query))?;
    attach(pool, entropy, &id, recipient, scheme, Profile::parse(profile))
}

/// The KEK of this recipient on the token that the pool is on already, and on no other.
fn beside(
    pool: &Pool,
    serial: &str,
    entropy: SharedEntropy,
    recipient: RecipientId,
    scheme: Scheme,
    profile: Option<Profile>,
) -> Result<Pkcs11Token, TokenError> {
    let id = match scheme {
        Scheme::EcdhEsA256Kw => pool.run(|session, _| Ok(kek::id_of(session, scheme, recipient)?))?,
        _ => recipient.as_bytes().to_vec(),
    };
    let query = KeyQuery { template: template::query(scheme, &id, None), shown: recipient.to_string() };
    attach(pool.beside(serial, Some(query))?, entropy, &id, recipient, scheme, profile)
}

fn attach(
    pool: Pool,
    entropy: SharedEntropy,
    id: &[u8],
    recipient: RecipientId,
    scheme: Scheme,
    profile: Option<Profile>,
) -> Result<Pkcs11Token, TokenError> {
    let crate::TokenSummary { label, serial, .. } = pool.summary()?;
    let lease = pool.lease()?;
    let (session, key) = (lease.session()?, lease.key()?);
    let description = KeyDescription {
        recipient,
        scheme,
        public_key: kek::public_key(session, scheme, id)?,
        token_label: label,
        token_serial: serial,
        key_label: kek::label(session, key)?,
        profile: String::new(),
    };
    lease.give_back();
    let mut token = Pkcs11Token { pool, description, profile: Profile::default(), entropy };
    token.profile = match profile {
        Some(profile) => profile,
        None => probe(&token)?,
    };
    token.description.profile = token.profile.to_string();
    Ok(token)
}

/// Finds the templates with which a round trip works, and keeps a test blob that was made by them.
fn probe(token: &Pkcs11Token) -> Result<Profile, TokenError> {
    let scheme = token.description.scheme;
    let imports = if scheme == Scheme::A256Kw { ImportAs::ALL } else { &[ImportAs::Plain] };
    let unwraps = match scheme {
        Scheme::A256Kw | Scheme::EcdhEsA256Kw => UnwrapAs::ALL,
        _ => &[UnwrapAs::Plain],
    };
    let points = if scheme == Scheme::EcdhEsA256Kw { PointAs::ALL } else { &[PointAs::Raw] };
    let mut tried = Vec::new();
    for &import in imports {
        for &point in points {
            for &unwrap in unwraps {
                let mut profile = Profile { unwrap, import, point, test: None };
                match round_trip(token, &profile) {
                    Ok(test) => {
                        profile.test = Some(test);
                        return Ok(profile);
                    }
                    Err(Failure::Token(error)) => return Err(error),
                    Err(failure) => tried.push(format!(
                        "{scheme} with {}/{}/{}: {}",
                        import.name(),
                        point.name(),
                        unwrap.name(),
                        TokenError::from(failure)
                    )),
                }
            }
        }
    }
    Err(TokenError::NoScheme { tried })
}

fn round_trip(token: &Pkcs11Token, profile: &Profile) -> Result<TestBlob, Failure> {
    let entropy = token.entropy.0.as_ref();
    let no_entropy = |error: claviger_types::EntropyError| Failure::Token(error.into());
    let key = Key256::random(entropy).map_err(no_entropy)?;
    let wrapped = token.wrap_with(profile, &key, TestBlob::CONTEXT)?;
    let back = token.unwrap_with(profile, &wrapped, TestBlob::CONTEXT)?;
    if !back.same_as(&key) {
        return Err(Failure::Unverified);
    }
    TestBlob::new(wrapped, &key, entropy).map_err(no_entropy)
}

impl Pkcs11Token {
    /// See [`crate::Kek::destroy_key`].
    pub(super) fn destroy(&self) -> Result<(), TokenError> {
        let writer = self.pool.writer()?;
        let lease = self.pool.lease()?;
        let (key, version) = (lease.key()?, lease.version);
        lease.give_back();
        let recipient = self.description.recipient;
        let id = self.pool.key_id().unwrap_or(recipient.as_bytes());
        let public =
            if self.description.scheme.is_symmetric() { None } else { kek::public_object(&writer, id)? };
        kek::destroy(&writer, key, id)?;
        if let Some(public) = public {
            kek::destroy(&writer, public, id)?;
        }
        match self.pool.rebuild(version, None) {
            Err(TokenError::KeyMissing { .. }) => Ok(()),
            Ok(()) => Err(still_there()),
            Err(error) => Err(error),
        }
    }

    /// See [`crate::Token::sibling`]; the module is probed anew for it.
    pub(super) fn sibling_key(&self, recipient: RecipientId, scheme: Scheme) -> Result<Self, TokenError> {
        beside(&self.pool, &self.description.token_serial, self.entropy.clone(), recipient, scheme, None)
    }

    /// See [`crate::Token::generate_sibling`].
    pub(super) fn make_sibling(&self, new: &NewKey) -> Result<Self, TokenError> {
        let keyless = self.pool.beside(&self.description.token_serial, None)?;
        let made = generate_as(&keyless, &self.entropy.0, (new.recipient, &new.label), new.scheme);
        made.map(|(token, _)| token)
    }

    /// See [`crate::Token::destroy_sibling`]. A public half that was left alone is destroyed as well, and counts as absent.
    pub(super) fn end_sibling(&self, recipient: RecipientId, scheme: Scheme) -> Result<bool, TokenError> {
        let pool = self.pool.beside(&self.description.token_serial, None)?;
        let writer = pool.writer()?;
        let id = kek::id_of(&writer, scheme, recipient)?;
        let was_there = destroy_all(&writer, &template::query(scheme, &id, None), &id)?;
        if !scheme.is_symmetric() {
            destroy_all(&writer, &template::public_query(&id), &id)?;
        }
        login::sees_all(pool.module(), &writer)?;
        Ok(was_there)
    }
}
