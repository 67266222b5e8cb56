//! `docs/format.md` shows golden files byte by byte; it must show the ones that are.

use super::golden;
use std::path::Path;

#[test]
fn the_document_shows_the_golden_files() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/format.md");
    let document = std::fs::read_to_string(path).unwrap();
    let shown: Vec<_> = document.split("```text golden=").skip(1).collect();
    assert_eq!(shown.len(), 5);
    for block in shown {
        let (file, rest) = block.split_once('\n').unwrap();
        let (lines, _) = rest.split_once("```").unwrap();
        let hex: String = lines.lines().map(|line| line.split('#').next().unwrap().trim()).collect();
        assert_eq!(hex, hex::encode(std::fs::read(golden::directory().join(file)).unwrap()), "{file}");
    }
}
