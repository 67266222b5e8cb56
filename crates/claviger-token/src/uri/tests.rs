use super::*;
use proptest::{collection::vec, option, prelude::*};

fn refused(uri: &str) -> String {
    match uri.parse::<Uri>() {
        Err(TokenError::Uri { reason, .. }) => reason,
        other => panic!("{uri}: {other:?}"),
    }
}

#[test]
fn reads_the_examples_of_the_standard() {
    // RFC 7512, section 3, but for those with what is refused here.
    let uri: Uri = "pkcs11:".parse().unwrap();
    assert_eq!(uri, Uri::default());

    let uri: Uri = "pkcs11:object=my-pubkey;type=public".parse().unwrap();
    assert_eq!((uri.object.as_deref(), uri.object_type.as_deref()), (Some("my-pubkey"), Some("public")));

    let uri: Uri = "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;\
                    object=my-certificate;type=cert;id=%69%95%3E%5C%F4%BD%EC%91;serial=?pin-source=file:/etc/token_pin"
        .parse()
        .unwrap();
    assert_eq!(uri.token.as_deref(), Some("The Software PKCS#11 Softtoken"));
    assert_eq!(uri.manufacturer.as_deref(), Some("Snake Oil, Inc."));
    assert_eq!(uri.id.as_deref(), Some(&[0x69, 0x95, 0x3e, 0x5c, 0xf4, 0xbd, 0xec, 0x91][..]));
    assert_eq!(uri.serial.as_deref(), Some(""));
    assert_eq!(uri.pin_file.as_deref(), Some(Path::new("/etc/token_pin")));

    let uri: Uri = "pkcs11:slot-description=Sun%20Metaslot".parse().unwrap();
    assert_eq!(uri.slot_description.as_deref(), Some("Sun Metaslot"));

    let uri: Uri =
        "pkcs11:library-manufacturer=Snake%20Oil,%20Inc.;library-description=Soft%20Token%20Library;\
                    library-version=1.23?module-name=libfoo&module-path=/mnt/libfoo.so"
            .parse()
            .unwrap();
    assert_eq!(uri.library_version.as_deref(), Some("1.23"));
    assert_eq!(uri.module_name.as_deref(), Some("libfoo"));
    assert_eq!(uri.module_path.as_deref(), Some(Path::new("/mnt/libfoo.so")));

    let uri: Uri = "pkcs11:token=Software%20PKCS%2311%20softtoken;object=my%3Bcertificate".parse().unwrap();
    assert_eq!(uri.object.as_deref(), Some("my;certificate"));
}

#[test]
fn writes_every_attribute_in_one_order_with_the_least_escaping() {
    let text = "pkcs11:library-version=3;slot-description=a%2Fb;model=m;manufacturer=Snake%20Oil,%20Inc.;serial=00:1f;\
                token=t%C3%B6k%25en%3B;object=o;type=private;id=%00%FF?pin-source=file:/a/b%20c&module-name=n&\
                module-path=/usr/lib/x%26y.so&vendor=kept";
    let uri: Uri = text.parse().unwrap();
    assert_eq!(uri.token.as_deref(), Some("t\u{f6}k%en;"));
    assert_eq!(uri.module_path.as_deref(), Some(Path::new("/usr/lib/x&y.so")));
    assert_eq!(uri.other, [("vendor".to_owned(), "kept".to_owned())]);
    assert_eq!(uri.to_string(), text);
    assert_eq!(
        uri.of_token().to_string(),
        text.replace(";object=o;type=private;id=%00%FF", "").replace("pin-source=file:/a/b%20c&", "")
    );
}

#[test]
fn refuses_what_would_select_by_chance_or_carry_a_pin() {
    assert!(refused("pkcs11:slot-id=0").contains("slot numbers change"));
    assert!(refused("pkcs11:token=a;token=a").contains("twice"));
    assert!(refused("pkcs11:token=a;id=%00;id=%00").contains("twice"));
    assert!(refused("pkcs11:?module-path=/a&module-path=/b").contains("twice"));
    assert!(refused("pkcs11:colour=red").contains("can match nothing"));
    assert!(refused("pkcs11:type=key").contains("secret-key"));
    assert!(refused("pkcs11:?pin-source=%7C/usr/bin/pin").contains("absolute path"));
    assert!(refused("pkcs11:?pin-source=file:pin").contains("absolute path"));
    assert!(refused("pkcs11:?pin-source=/etc/pin").contains("absolute path"));
    let with_pin = "pkcs11:token=a?pin-value=12%3434&module-name=x";
    match with_pin.parse::<Uri>() {
        Err(TokenError::Uri { uri, reason }) => {
            assert!(reason.contains("a PIN does not belong in a URI"));
            assert_eq!(uri, "pkcs11:token=a?pin-value=...&module-name=x");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn refuses_what_is_no_uri() {
    for uri in [
        "",
        "pkcs11",
        "http://token",
        "pkcs11:token",
        "pkcs11:=a",
        "pkcs11:token=%",
        "pkcs11:token=%4",
        "pkcs11:token=%zz",
        "pkcs11:token=%FF",
        "pkcs11:to ken=a",
        "pkcs11:token=a b",
        "pkcs11:token=a/b",
        "pkcs11:token=\u{f6}",
        "pkcs11:token=a;",
        "pkcs11:;token=a",
        "pkcs11:?a=b&",
        "pkcs11:?a=b?c=#d",
    ] {
        refused(uri);
    }
    assert!(
        "PKCS11:token=a".parse::<Uri>().is_ok(),
        "a scheme's case does not matter (RFC 3986, section 3.1)"
    );
}

fn any_uri() -> impl Strategy<Value = Uri> {
    let text = || option::of(".{0,12}");
    let path = || option::of("/[^\u{0}]{0,12}".prop_map(PathBuf::from));
    let tokens = (text(), text(), text(), text(), text(), text(), text());
    let objects = (
        text(),
        option::of(proptest::sample::select(TYPES.as_slice()).prop_map(str::to_owned)),
        option::of(vec(any::<u8>(), 0..20)),
    );
    let query = (path(), text(), path(), vec(("x-[a-z]{1,8}", ".{0,12}"), 0..3));
    (tokens, objects, query).prop_map(
        |(
            (token, manufacturer, model, serial, slot_description, library_description, library_version),
            (object, object_type, id),
            (module_path, module_name, pin_file, other),
        )| Uri {
            token,
            manufacturer,
            model,
            serial,
            slot_description,
            library_description,
            library_version,
            object,
            object_type,
            id,
            module_path,
            module_name,
            // `file://` is how an absolute path may be introduced, so one that begins with `//` is written otherwise.
            pin_file: pin_file.filter(|path| !path.to_string_lossy().starts_with("//")),
            other,
            ..Uri::default()
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(uri in any_uri()) {
        let text = uri.to_string();
        let again: Uri = text.parse().unwrap();
        prop_assert_eq!(&again, &uri);
        prop_assert_eq!(again.to_string(), text);
    }

    #[test]
    fn nothing_panics_and_errors_hide_the_pin(text in "(pkcs11:)?.{0,40}(pin-value=SECRET)?[;&]?.{0,10}") {
        if let Err(error) = text.parse::<Uri>() {
            prop_assert!(!error.to_string().contains("SECRET"));
        }
    }
}
