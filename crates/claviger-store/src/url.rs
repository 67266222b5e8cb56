//! Store URLs: `sqlite:///absolute/path`, percent-encoded as in RFC 3986.

use crate::{SqliteStore, Store, StoreError, sqlite};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};
use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Opens the store that a URL names.
pub fn open_url(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(SqliteStore::open(&sqlite_path(url)?)?))
}

/// Makes a new, empty store where a URL says; one that is there already is refused.
pub fn create_url(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(SqliteStore::create(&sqlite_path(url)?)?))
}

/// The URL of the SQLite store in the file at this absolute path.
pub fn sqlite_url(path: &Path) -> String {
    /// What would end the path, or cannot stand in a URL (RFC 3986 section 3.3).
    const OUTSIDE_PATH: &AsciiSet =
        &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#').add(b'"').add(b'<').add(b'>');
    format!("sqlite://{}", percent_encode(path.as_os_str().as_bytes(), OUTSIDE_PATH))
}

/// All files that the SQLite store at this URL may consist of, there or not: the database first, then what lies beside
/// it. Whoever removes a store removes them in this order.
pub fn sqlite_files(url: &str) -> Result<Vec<PathBuf>, StoreError> {
    let path = sqlite_path(url)?;
    Ok(sqlite::files(&path).collect())
}

fn sqlite_path(url: &str) -> Result<PathBuf, StoreError> {
    let refuse =
        |reason: &str| Err(StoreError::Url { url: without_credentials(url), reason: reason.to_owned() });
    let Some((scheme, rest)) = url.split_once("://") else {
        return refuse("a store is named like sqlite:///absolute/path");
    };
    match scheme {
        "sqlite" => {}
        "postgres" | "postgresql" => return refuse("this build has no PostgreSQL engine"),
        "etcd" => return refuse("this build has no etcd engine"),
        _ => return refuse("the engine of this build is sqlite:///absolute/path"),
    }
    if !rest.starts_with('/') {
        return refuse("the path must be absolute, as in sqlite:///absolute/path");
    }
    if rest.contains(['?', '#']) {
        return refuse("it takes no options; write `?` in a path as %3F and `#` as %23");
    }
    if rest.ends_with('/') {
        return refuse("the path must name a file");
    }
    let path: Vec<u8> = percent_decode_str(rest).collect();
    if path.contains(&0) {
        return refuse("a path has no zero byte");
    }
    Ok(PathBuf::from(OsString::from_vec(path)))
}

/// The URL as it may be shown. A password may hold any character, so of a URL that could carry one only the scheme is.
fn without_credentials(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, _)) if scheme != "sqlite" => format!("{scheme}://..."),
        None if url.contains('@') => "...".to_owned(),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests;
