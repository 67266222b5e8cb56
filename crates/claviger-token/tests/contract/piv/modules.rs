//! The same card through PKCS#11 modules: one key, whichever driver it is reached by.

use super::hands::{Hands, attended, kek};
use crate::lab::{CONTEXT, Counting, Lab, access, fresh, key};
use claviger_token::{Access, Driver, ModuleSpec, TokenError, Uri, pkcs11::Pkcs11Driver};
use claviger_types::Scheme;
use softhsm_fixtures::PIN;
use std::sync::Arc;

const SCHEME: Scheme = Scheme::EcdhEsA256Kw;
const OPENSC: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so", "/usr/lib/aarch64-linux-gnu/opensc-pkcs11.so"];

struct Way {
    driver: Pkcs11Driver,
    uri: Uri,
    access: Access,
}

impl Way {
    /// The one token with this serial number, in the module's own words.
    fn through(module: impl Into<std::path::PathBuf>, serial: u32) -> Self {
        let driver = Pkcs11Driver::new(ModuleSpec::new(module.into()));
        let tokens = driver.list().unwrap();
        let serials: Vec<_> = tokens.iter().map(|token| (&token.label, &token.serial)).collect();
        let is_it = |uri: &Uri| uri.serial.as_ref().is_some_and(|it| *it == serial.to_string());
        // OpenSC calls the card by another number.
        let uri = tokens.iter().map(|token| &token.uri).find(|uri| is_it(uri)).or(match &tokens[..] {
            [one] => Some(&one.uri),
            _ => None,
        });
        let uri = uri.unwrap_or_else(|| panic!("{serials:?}")).clone();
        Self { driver, uri, access: access(&Counting::new(PIN)) }
    }

    fn opens(&self, lab: &Lab<'_>, slots: &[&str]) {
        for slot in slots {
            let made = kek(lab, Some(slot), "once", "never");
            let cek = fresh();
            let wrapped = made.wrap(&cek, CONTEXT).unwrap();
            let recipient = made.describe().recipient;
            let opened = self.driver.open(&self.uri, &self.access, recipient, SCHEME, "").unwrap();
            assert_eq!(opened.describe().recipient, recipient);
            assert!(key(&opened, &wrapped).same_as(&cek), "{slot}");
            let back = opened.wrap(&cek, CONTEXT).unwrap();
            drop(opened);
            assert!(key(&made, &back).same_as(&cek), "{slot}");
        }
    }

    fn finds_siblings(&self, lab: &Lab<'_>) {
        let [one, other] = [(); 2].map(|()| kek(lab, None, "once", "never"));
        let recipients = [&one, &other].map(|it| it.describe().recipient);
        let opened = self.driver.open(&self.uri, &self.access, recipients[0], SCHEME, "").unwrap();
        let sibling = opened.sibling(recipients[1], SCHEME).unwrap();
        assert_eq!(sibling.describe().recipient, recipients[1]);
        // Whether it can or not, it does not say that there was none.
        let outcome = opened.destroy_sibling(recipients[1], SCHEME);
        let there =
            Hands::on(&lab.instance.yubikey(0)).metadata(super::hands::slot(other.as_ref())).is_some();
        assert!(
            matches!(&outcome, Ok(true)) && !there || outcome.is_err() && there,
            "{outcome:?}, and there: {there}"
        );
        let outcome = opened.destroy_key();
        assert!(outcome.is_err(), "{outcome:?}");
    }
}

pub(crate) fn yubicos_opens_it(lab: &Lab<'_>) {
    let (lab, yubikey, _) = attended(lab);
    let made = kek(&lab, None, "once", "never");
    let way = Way::through(lab.instance.module(), yubikey.serial());
    drop(made);
    way.opens(&lab, &["82", "95"]);
}

pub(crate) fn yubicos_finds_siblings(lab: &Lab<'_>) {
    let (lab, yubikey, _) = attended(lab);
    let way = Way::through(lab.instance.module(), yubikey.serial());
    way.finds_siblings(&lab);
}

pub(crate) fn openscs_opens_it(lab: &Lab<'_>) {
    let (lab, yubikey, _) = attended(lab);
    let module = OPENSC.into_iter().find(|path| std::path::Path::new(path).exists());
    let Some(module) = module else {
        panic!("opensc-pkcs11.so is missing: apt-get install -y opensc-pkcs11")
    };
    let made = kek(&lab, None, "once", "never");
    let cek = fresh();
    let wrapped = made.wrap(&cek, CONTEXT).unwrap();
    let way = Way::through(module, yubikey.serial());
    let recipient = made.describe().recipient;
    let opened = way.driver.open(&way.uri, &way.access, recipient, SCHEME, "").unwrap();
    assert!(key(&opened, &wrapped).same_as(&cek));
    let absent = claviger_types::RecipientId::random(&claviger_types::OsEntropy).unwrap();
    let outcome = way.driver.open(&way.uri, &way.access, absent, SCHEME, "").map(drop);
    assert!(matches!(outcome, Err(TokenError::KeyMissing { .. })), "{outcome:?}");
    drop(Arc::clone(&opened));
}
