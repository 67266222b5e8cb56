//! What people and other programs write: references, token URIs, the old manager's file and key.

use claviger_legacy::{Contents, LegacyKey, plaintext_entries, read};
use claviger_token::Uri;
use claviger_types::{Reference, SecretBytes};

/// A reference that is read has one canonical spelling, which is read as the same.
pub fn reference(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(reference) = text.parse::<Reference>() {
        let spelled = reference.to_string();
        assert_eq!(spelled.parse::<Reference>().expect("a canonical spelling"), reference);
        assert!(reference.is_canonical(&spelled));
    }
}

/// A token URI that is read is written back to one that is read as the same.
pub fn token_uri(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(uri) = text.parse::<Uri>() {
        assert_eq!(uri.to_string().parse::<Uri>().expect("its own spelling"), uri);
    }
}

/// A file of the old manager, under a fixed key.
pub fn legacy_file(data: &[u8]) {
    let key = LegacyKey::parse(&SecretBytes::copy_of(b"ms63Fmsp-JlpnZvusCquWxOf58qjpv31--G68CMmjgs="))
        .expect("a key");
    match read(data, &key) {
        Ok(Contents::NeverWritten) => assert!(data.is_empty(), "only an empty file was never written"),
        Ok(Contents::Entries(_)) | Err(_) => {}
    }
}

/// What such a file holds once it is opened.
pub fn legacy_plaintext(data: &[u8]) {
    let _ = plaintext_entries(data);
}

/// A key as somebody stored it.
pub fn legacy_key(data: &[u8]) {
    let _ = LegacyKey::parse(&SecretBytes::copy_of(data));
}
