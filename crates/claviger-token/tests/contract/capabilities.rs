//! What each module can do, tried out, and kept in `docs/tokens.md`.

use crate::{
    anchors,
    fork::Forked,
    lab::{CONTEXT, Counting, Lab, access, fresh, key},
};
use claviger_token::{Kek, NewKek, PivKek, TokenError, Unwrapped};
use claviger_types::{OsEntropy, RecipientId, Scheme, SignerId};
use cryptoki::{mechanism::Mechanism, object::Attribute};
use softhsm_fixtures::{Instance, LABEL, Provider, in_own_processes};
use std::{env, fs, path::PathBuf, sync::Arc, thread, time::Duration};

const BEGIN: &str = "<!-- tried by crates/claviger-token/tests/contract/capabilities.rs -->";
const END: &str = "<!-- so far -->";
/// Where the document is to be written instead of compared.
const WRITE: &str = "CLAVIGER_WRITE_DOCS";
const HEAD: &str = "| module | version | AES key | A256KW | A256GCM | ECDH-ES+A256KW | RSAES-OAEP-SHA256 | \
                    RSAES-OAEP-SHA1 | chosen | ES256 | anchors | PIN locks | fork | pulled, put back |";
const ANCHOR: &str = "vault 0013";
/// More wrong PINs than any of the modules takes.
const WRONG_PINS: usize = 12;

#[test]
fn the_document_says_what_was_tried() {
    let test = concat!(module_path!(), "::the_document_says_what_was_tried");
    let mine: Vec<_> = Provider::ALL.into_iter().filter(|provider| provider.is_for_this_user()).collect();
    let mut tried = Vec::new();
    let body = |instance: &Instance| {
        let lab = Lab::new(instance);
        if anchors::worker().is_some() {
            return lab.driver.open_anchors(&lab.uri, &lab.access).unwrap().write(ANCHOR, b"2").unwrap();
        }
        fs::write(instance.home().join("row"), row(&lab)).unwrap();
    };
    in_own_processes(test, &mine, body, |instance| {
        tried.push(fs::read_to_string(instance.home().join("row")).unwrap());
    });
    if !tried.is_empty() {
        compare(&tried);
    }
}

/// The document's table with the rows that were tried now; a row that could not be, stays.
fn compare(tried: &[String]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/tokens.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (table, after) = rest.split_once(END).unwrap();
    let rows = Provider::ALL.into_iter().filter_map(|provider| {
        let of = |row: &&str| name(row) == provider.name();
        tried.iter().map(String::as_str).find(|row| of(row)).or_else(|| table.lines().find(of))
    });
    let line = format!("|{}", "---|".repeat(HEAD.matches('|').count() - 1));
    let now = [HEAD, &line].into_iter().chain(rows).collect::<Vec<_>>().join("\n");
    if env::var_os(WRITE).is_some() {
        fs::write(&path, format!("{before}{BEGIN}\n\n{now}\n\n{END}{after}")).unwrap();
    } else {
        let (was, now) = (without_versions(table), without_versions(&now));
        assert_eq!(was, now, "docs/tokens.md is behind; run this test again with {WRITE}=1");
    }
}

fn name(row: &str) -> &str {
    row.split('|').nth(1).unwrap_or_default().trim()
}

/// What a module can do is compared; which release it was is told.
fn without_versions(table: &str) -> Vec<String> {
    let rows = table.lines().filter(|line| line.starts_with('|'));
    rows.map(|row| row.split('|').enumerate().filter(|(at, _)| *at != 2).map(|(_, cell)| cell).collect())
        .collect()
}

fn row(lab: &Lab<'_>) -> String {
    let mut cells = vec![lab.instance.provider().name().to_owned()];
    let login = lab.driver.open_anchors(&lab.uri, &lab.access).unwrap();
    cells.push(lab.second_handle().get_library_info().unwrap().library_version().to_string());
    cells.push(yes(makes_aes_keys(lab)).to_owned());
    drop(login);
    cells.extend(Scheme::ALL.map(|scheme| said(&generate(lab, Some(scheme), true)).to_owned()));
    let chosen = generate(lab, None, false);
    cells.push(match &chosen {
        Ok(kek) => kek.describe().scheme.to_string(),
        Err(TokenError::NoScheme { .. }) => "none without SHA-1".to_owned(),
        refused => said(refused).to_owned(),
    });
    let id = SignerId::random(&OsEntropy).unwrap();
    cells.push(said(&lab.driver.generate_signer(&lab.uri, &lab.access, id, "signer")).to_owned());
    cells.push(keeps_anchors(lab).to_owned());
    // No login stays when the PINs are tried.
    let kek = chosen.or_else(|_| generate(lab, None, true));
    let (forked, pulled) = match kek {
        Ok(kek) => (yes(unwraps_when_forked(&kek)), is_pulled(lab, &kek)),
        Err(_) => ("-", "-"),
    };
    cells.extend([locks(lab), forked.to_owned(), pulled.to_owned()]);
    format!("| {} |", cells.join(" | "))
}

const fn yes(can: bool) -> &'static str {
    if can { "yes" } else { "no" }
}

fn said<T>(outcome: &Result<T, TokenError>) -> &'static str {
    match outcome {
        Ok(_) => "yes",
        Err(TokenError::Refused { .. }) => "refused",
        Err(TokenError::NoScheme { .. }) => "no",
        Err(error) => panic!("{error}"),
    }
}

fn generate(lab: &Lab<'_>, scheme: Option<Scheme>, allow_sha1: bool) -> Result<Arc<dyn Kek>, TokenError> {
    let recipient = RecipientId::random(&OsEntropy).unwrap();
    let new = NewKek { recipient, label: "claviger".to_owned(), scheme, allow_sha1, piv: PivKek::default() };
    lab.driver.generate(&lab.uri, &lab.access, &new).map(|(kek, _)| kek)
}

fn makes_aes_keys(lab: &Lab<'_>) -> bool {
    let template = [Attribute::Token(false), Attribute::Private(true), Attribute::ValueLen(32.into())];
    lab.beside().generate_key(&Mechanism::AesKeyGen, &template).is_ok()
}

/// Whether it keeps them, and shows them to a process that had begun before they were written.
fn keeps_anchors(lab: &Lab<'_>) -> &'static str {
    let anchors = lab.driver.open_anchors(&lab.uri, &lab.access).unwrap();
    if anchors.write(ANCHOR, b"1").is_err() {
        return "no";
    }
    assert_eq!(anchors.read(ANCHOR).unwrap(), [b"1"]);
    assert!(anchors::again("0").status().unwrap().success());
    if anchors.read(ANCHOR).unwrap() == [b"2"] { "yes" } else { "for one process" }
}

fn unwraps_when_forked(kek: &Arc<dyn Kek>) -> bool {
    let cek = fresh();
    let wrapped = kek.wrap(&cek, CONTEXT).unwrap();
    let well = Forked::run(|| assert!(key(kek, &wrapped).same_as(&cek))).ends_well();
    assert!(key(kek, &wrapped).same_as(&cek), "the parent is disturbed");
    well
}

fn is_pulled(lab: &Lab<'_>, kek: &Arc<dyn Kek>) -> &'static str {
    let cek = fresh();
    let wrapped = kek.wrap(&cek, CONTEXT).unwrap();
    lab.instance.remove();
    let away = kek.unwrap(&wrapped, CONTEXT);
    lab.instance.put_back();
    // On a machine at work SoftHSM has been seen to need a second look.
    let again = (0..20).any(|_| {
        let opened = kek.unwrap(&wrapped, CONTEXT);
        if opened.is_err() {
            thread::sleep(Duration::from_millis(50));
        }
        matches!(opened, Ok(Unwrapped::Key(key)) if key.same_as(&cek))
    });
    assert!(again, "it is put back, and does not come back");
    if away.is_ok() { "goes on" } else { "yes" }
}

/// Which wrong PIN in a row is answered with the lock.
fn locks(lab: &Lab<'_>) -> String {
    for count in 1..=WRONG_PINS {
        match lab.driver.open_anchors(&lab.uri, &access(&Counting::new("654321"))).map(|_| ()) {
            Err(TokenError::PinIncorrect { .. }) => {}
            Err(TokenError::PinLocked) => return format!("told at wrong PIN {count}"),
            outcome => panic!("{LABEL}: {outcome:?}"),
        }
    }
    "never".to_owned()
}
