use super::*;
use std::{
    fs,
    io::Write as _,
    os::fd::AsRawFd as _,
    sync::{Arc, atomic::AtomicUsize},
};

fn prompt(tries: PinTries) -> PinPrompt {
    PinPrompt {
        token_label: "lab".to_owned(),
        token_serial: "1".to_owned(),
        tries,
        left: None,
        kind: PinKind::Token,
    }
}

fn text(source: &dyn PinSource) -> String {
    String::from_utf8(source.pin(&prompt(PinTries::Normal)).unwrap().expose().to_vec()).unwrap()
}

fn file(directory: &Path, content: &[u8], mode: u32) -> PathBuf {
    let path = directory.join("pin");
    let _ = fs::remove_file(&path);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn a_file_gives_its_first_line_and_no_more() {
    let home = tempfile::tempdir().unwrap();
    for (content, pin) in [
        ("123456", "123456"),
        ("123456\n", "123456"),
        ("123456\r\n", "123456"),
        ("123456\n\n", "123456\n"),
        (" 12 ", " 12 "),
    ] {
        let source = PinFile::new(file(home.path(), content.as_bytes(), 0o600));
        assert_eq!(text(&source), pin);
        // A file answers again: a login that was lost is regained without a person.
        assert_eq!(text(&source), pin);
    }
}

#[test]
fn a_file_that_others_may_read_is_refused_with_what_mends_it() {
    let home = tempfile::tempdir().unwrap();
    for mode in [0o604, 0o640, 0o620, 0o601, 0o666] {
        let path = file(home.path(), b"123456", mode);
        let outcome = PinFile::new(path.clone()).pin(&prompt(PinTries::Normal));
        let Err(error @ TokenError::PinFileExposed { .. }) = outcome else { panic!("{mode:o}: {outcome:?}") };
        assert!(error.to_string().ends_with(&format!("run: chmod 600 {}", path.display())));
    }
    assert_eq!(text(&PinFile::new(file(home.path(), b"1", 0o400))), "1");
}

#[test]
fn no_pin_is_said_with_the_place_that_has_none() {
    let home = tempfile::tempdir().unwrap();
    let missing = PinFile::new(home.path().join("nowhere"));
    let empty = PinFile::new(file(home.path(), b"\n", 0o600));
    for source in [&missing, &empty] {
        match source.pin(&prompt(PinTries::Normal)) {
            Err(TokenError::PinUnavailable { reason }) => {
                assert!(reason.contains(&*home.path().to_string_lossy()), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
    let endless = PinFile::new(file(home.path(), &[b'1'; 2000], 0o600));
    assert!(matches!(endless.pin(&prompt(PinTries::Normal)), Err(TokenError::PinUnavailable { .. })));
}

#[test]
fn a_descriptor_is_read_once() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"654321\n").unwrap();
    drop(writer);
    let source = PinFd::new(u32::try_from(reader.as_raw_fd()).unwrap());
    assert_eq!(text(&source), "654321");
    match source.pin(&prompt(PinTries::Normal)) {
        Err(TokenError::PinUnavailable { reason }) => assert!(reason.contains("was read already")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_service_managers_credential_is_read_whatever_its_group_bits() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("claviger-pin");
    fs::write(&path, "777777").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
    assert_eq!(text(&PinCredential::in_directory(home.path())), "777777");
}

/// Answers with a fixed outcome and counts.
struct Fixed(Option<&'static str>, Arc<AtomicUsize>);

impl PinSource for Fixed {
    fn pin(&self, _: &PinPrompt) -> Result<Pin, TokenError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        match self.0 {
            Some(pin) => Ok(Pin::new(SecretBytes::copy_of(pin.as_bytes()))),
            None => Err(unavailable("nobody there".to_owned())),
        }
    }
}

#[test]
fn a_chain_asks_in_turn_and_stops_at_the_first_pin() {
    let asked: Vec<_> = (0..3).map(|_| Arc::new(AtomicUsize::new(0))).collect();
    let answers = [None, Some("2"), Some("3")];
    let sources = answers.iter().zip(&asked);
    let chain =
        PinChain::new(sources.map(|(pin, asked)| Box::new(Fixed(*pin, Arc::clone(asked))) as _).collect());
    assert_eq!(text(&chain), "2");
    assert_eq!(asked.iter().map(|asked| asked.load(Ordering::SeqCst)).collect::<Vec<_>>(), [1, 1, 0]);

    for chain in [PinChain::new(Vec::new()), PinChain::new(vec![Box::new(Fixed(None, Arc::default()))])] {
        assert!(matches!(chain.pin(&prompt(PinTries::Normal)), Err(TokenError::PinUnavailable { .. })));
    }
}

#[test]
fn a_chain_does_not_pass_over_an_exposed_file() {
    let home = tempfile::tempdir().unwrap();
    let exposed = PinFile::new(file(home.path(), b"123456", 0o644));
    let chain = PinChain::new(vec![Box::new(exposed), Box::new(Fixed(Some("2"), Arc::default()))]);
    assert!(matches!(chain.pin(&prompt(PinTries::Normal)), Err(TokenError::PinFileExposed { .. })));
}

#[test]
fn the_last_try_is_left_to_a_person() {
    let home = tempfile::tempdir().unwrap();
    let source = PinFile::new(file(home.path(), b"123456", 0o600));
    assert!(source.pin(&prompt(PinTries::Low)).is_ok());
    assert!(matches!(source.pin(&prompt(PinTries::Final)), Err(TokenError::PinUnavailable { .. })));
    assert!(matches!(source.pin(&prompt(PinTries::Locked)), Err(TokenError::PinLocked)));
    // A chain goes on to whoever can ask one.
    let person = Box::new(Fixed(Some("2"), Arc::default()));
    let chain = PinChain::new(vec![Box::new(source), person]);
    assert_eq!(chain.pin(&prompt(PinTries::Final)).unwrap().expose(), b"2");
}
