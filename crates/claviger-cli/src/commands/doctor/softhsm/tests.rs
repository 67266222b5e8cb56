use super::*;

#[test]
fn the_directory_is_what_the_configuration_says_last() {
    assert_eq!(tokens(""), Path::new(SYSTEM_TOKENS));
    assert_eq!(tokens("# directories.tokendir = /a\n"), Path::new(SYSTEM_TOKENS));
    assert_eq!(tokens("log.level = ERROR\ndirectories.tokendir=/a b/c \n"), Path::new("/a b/c"));
    assert_eq!(tokens("directories.tokendir = /a\ndirectories.tokendir = /b\n"), Path::new("/b"));
}
