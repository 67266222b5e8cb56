use super::*;
use claviger_types::{Digest, EcPoint, SignerId};

const TEXT: &str = "\
# a comment at the top
vault = \"00000000000000000000000000000001\"
fingerprint = \"0000000000000000000000000000000000000000000000000000000000000002\"
store = \"sqlite:///v.db\" # where it lies
anchors = []

[host]
id = \"00000000000000000000000000000003\"
name = \"here\"

[token]
uri = \"pkcs11:token=lab\"
recipient = \"00000000000000000000000000000004\"
scheme = \"A256KW\"

[audit]
public-key = \"00000000000000000000000000000000000000000000000000000000000000050000000000000000000000000000000000000000000000000000000000000006\"
";

fn file(directory: &Path) -> ConfigFile {
    let path = directory.join("claviger.toml");
    fs::write(&path, TEXT).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
    ConfigFile::new(path, directory.join("state/config.lock"))
}

#[test]
fn a_change_keeps_comments_and_everything_else() {
    let directory = tempfile::tempdir().unwrap();
    let file = file(directory.path());
    let before = file.read().unwrap();
    let next = Digest::of(b"next");
    let signer =
        SignerConfig { id: SignerId::from_bytes([7; 16]), public_key: EcPoint { x: [1; 32], y: [2; 32] } };
    let second = TokenConfig { uri: "pkcs11:token=second".to_owned(), anchor: true, ..before.token.clone() };
    let after = file
        .edit(|draft| {
            draft.set("next-fingerprint", &next);
            draft.signers(std::slice::from_ref(&signer))?;
            draft.tokens(&before.token, std::slice::from_ref(&second))
        })
        .unwrap();
    assert_eq!(after, file.read().unwrap());
    assert_eq!(
        after,
        Config { next_fingerprint: Some(next), signers: vec![signer], backup_tokens: vec![second], ..before }
    );
    let text = fs::read_to_string(&file.path).unwrap();
    assert!(text.contains("# a comment at the top") && text.contains("# where it lies"), "{text}");
    let again = file.edit(|draft| {
        draft.remove("next-fingerprint");
        draft.signers(&[])?;
        draft.tokens(&after.token, &[])
    });
    assert_eq!(
        again.unwrap(),
        Config { next_fingerprint: None, signers: vec![], backup_tokens: vec![], ..after }
    );
    assert_eq!(fs::metadata(&file.path).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn what_would_be_no_configuration_is_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let file = file(directory.path());
    let other = file.edit(|draft| {
        draft.set("vault", &"00000000000000000000000000000009");
        Ok(())
    });
    assert!(other.is_err());
    let nonsense = file.edit(|draft| {
        draft.set("fingerprint", &"none");
        Ok(())
    });
    assert!(nonsense.is_err());
    assert_eq!(fs::read_to_string(&file.path).unwrap(), TEXT);
}

#[test]
fn changes_at_once_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = file(directory.path());
    std::thread::scope(|scope| {
        for n in 0..8_u8 {
            let file = &file;
            scope.spawn(move || {
                let add = |draft: &mut Draft| {
                    let id = SignerId::from_bytes([n; 16]);
                    draft.push("signer", &SignerConfig { id, public_key: EcPoint { x: [n; 32], y: [n; 32] } })
                };
                file.edit(add).unwrap();
            });
        }
    });
    assert_eq!(file.read().unwrap().signers.len(), 8);
}
