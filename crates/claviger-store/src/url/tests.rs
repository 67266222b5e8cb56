use super::*;

#[test]
fn path_and_url_are_inverse() {
    for path in ["/v/vault.db", "/with space/a%20b/ü?.db", "/#\"<>/x"] {
        let url = sqlite_url(Path::new(path));
        assert!(!url.contains([' ', '?', '#']), "{url}");
        assert_eq!(sqlite_path(&url).unwrap(), Path::new(path));
    }
    let bytes = PathBuf::from(OsString::from_vec(b"/not/utf8/\xff\xfe".to_vec()));
    assert_eq!(sqlite_path(&sqlite_url(&bytes)).unwrap(), bytes);
}

#[test]
fn refuses_what_names_no_store_and_says_why() {
    for (url, reason) in [
        ("vault.db", "a store is named like"),
        ("sqlite:vault.db", "a store is named like"),
        ("sqlite://host/path", "absolute"),
        ("sqlite://relative", "absolute"),
        ("sqlite:///a?mode=ro", "no options"),
        ("sqlite:///a/", "must name a file"),
        ("sqlite:///a%00b", "zero byte"),
        ("postgres://db/vault", "no PostgreSQL"),
        ("postgresql://db/vault", "no PostgreSQL"),
        ("etcd://a,b,c/prefix", "no etcd"),
        ("mysql://db", "the engine of this build"),
        ("", "a store is named like"),
    ] {
        let error = open_url(url).err().unwrap();
        assert!(matches!(error, StoreError::Url { .. }), "{url}: {error}");
        assert!(error.to_string().contains(reason), "{url}: {error}");
        assert!(create_url(url).is_err());
    }
}

#[test]
fn an_error_never_shows_credentials() {
    for url in [
        "postgres://user:hunter2@db.example/vault?password=hunter2",
        "postgres://user:hun@hunter2@db.example/vault",
        "user:hunter2@db.example",
        "postgres://user:a/b?hunter2@db.example/vault",
        "etcd://h1/p#hunter2",
    ] {
        let shown = open_url(url).err().unwrap().to_string();
        assert!(!shown.contains("hunter2") && !shown.contains("user"), "{shown}");
    }
}
