//! Files of keys: the operator's, and the one that the server generates. Neither is read if others may read it.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use base64ct::{Base64, Base64Unpadded, Base64Url, Base64UrlUnpadded, Encoding as _};
use zeroize::Zeroizing;

use super::KeyError;
use super::rotation::Dated;
use crate::auth::secret::{hex, random};
use crate::auth::token::SigningKey;
use crate::storage::files::{beside, sync_folder};

/// Bytes of a file of keys, at most.
const FILE_BYTES: u64 = 64 * 1024;

/// What stands at the top of a generated file.
const NOTICE: &str = "# The keys of access tokens: whoever has them signs in as anybody. When made (ms since 1970), and key.
# Without this file the server makes a new one, and everybody refreshes their access token.
";

/// The keys of a file that the operator writes: one a line, in hexadecimal or base64. The group may read it, as secrets
/// that are mounted into a container are often the group's.
pub fn given(path: &Path) -> Result<Vec<SigningKey>, KeyError> {
    let text = read(path, 0o007)?;
    let mut keys = Vec::new();
    for (line, text) in lines(&text) {
        let bytes = bytes(text).ok_or_else(|| KeyError::Malformed {
            path: path.to_owned(),
            line,
        })?;
        let key = SigningKey::new(&bytes).ok_or_else(|| KeyError::Short {
            path: path.to_owned(),
            line,
            bytes: bytes.len(),
        })?;
        keys.push(key);
    }
    if keys.is_empty() {
        return Err(KeyError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(keys)
}

/// The keys of a file that the server has written, newest first; none where there is none yet.
pub fn generated(path: &Path) -> Result<Vec<Dated>, KeyError> {
    let text = match read(path, 0o077) {
        Err(KeyError::Io { cause, .. }) if cause.kind() == ErrorKind::NotFound => {
            return Ok(Vec::new());
        }
        read => read?,
    };
    let mut keys = Vec::new();
    for (line, text) in lines(&text) {
        let key = text.split_once(' ').and_then(|(created_ms, key)| {
            let bytes = bytes(key)?;
            Dated::new(created_ms.parse().ok()?, &bytes)
        });
        let damaged = || KeyError::Damaged {
            path: path.to_owned(),
            line,
        };
        keys.push(key.ok_or_else(damaged)?);
    }
    if keys.is_empty() {
        return Err(KeyError::Damaged {
            path: path.to_owned(),
            line: 1,
        });
    }
    keys.sort_by_key(|key| std::cmp::Reverse(key.created_ms()));
    Ok(keys)
}

/// Writes the keys, whole or not at all. Nobody else may read them at any time.
pub fn write(path: &Path, keys: &[Dated]) -> Result<(), KeyError> {
    let mut text = Zeroizing::new(NOTICE.to_owned());
    for key in keys {
        let bytes = Zeroizing::new(hex(key.bytes()));
        text.push_str(&key.created_ms().to_string());
        text.push(' ');
        text.push_str(&bytes);
        text.push('\n');
    }
    let partial = beside(path, &format!(".partial-{}", hex(&random::<4>())));
    let written = write_partial(&partial, text.as_bytes())
        .and_then(|()| fs::rename(&partial, path))
        .and_then(|()| sync_folder(path.parent().unwrap_or(Path::new("."))));
    if written.is_err() {
        let _ = fs::remove_file(&partial);
    }
    written.map_err(|cause| KeyError::Io {
        path: path.to_owned(),
        cause,
    })
}

fn write_partial(partial: &Path, text: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(partial)?;
    file.write_all(text)?;
    file.sync_all()
}

/// The text of a file that those of `others` may do nothing with.
fn read(path: &Path, others: u32) -> Result<Zeroizing<String>, KeyError> {
    use io::Read as _;
    let failed = |cause| KeyError::Io {
        path: path.to_owned(),
        cause,
    };
    let file = fs::File::open(path).map_err(failed)?;
    let mode = mode(&file).map_err(failed)?;
    if mode & others != 0 {
        return Err(KeyError::Loose {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_BYTES)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text)
}

/// Who may do what with it. Where there is no such thing, the folder has to keep others out.
#[cfg_attr(
    not(unix),
    expect(clippy::unnecessary_wraps, reason = "elsewhere nothing can fail")
)]
fn mode(file: &fs::File) -> io::Result<u32> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        Ok(file.metadata()?.permissions().mode() & 0o777)
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        Ok(0)
    }
}

/// Lines that say something, with their numbers from one on.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = (1..).zip(text.lines().map(str::trim));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// The bytes of a key. What can be read as hexadecimal is.
fn bytes(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let is_hex = text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex {
        let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).ok();
        let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(byte).collect();
        return bytes.map(Zeroizing::new);
    }
    let decoders = [
        Base64::decode_vec,
        Base64Unpadded::decode_vec,
        Base64Url::decode_vec,
        Base64UrlUnpadded::decode_vec,
    ];
    let decoded = decoders.iter().find_map(|decode| decode(text).ok());
    decoded.map(Zeroizing::new)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        (folder, path)
    }

    fn refused(text: &str, mode: u32) -> String {
        let (_folder, path) = file(text, mode);
        let refused = given(&path).expect_err("refused").to_string();
        assert!(refused.contains(path.to_str().expect("text")), "{refused}");
        let secret = text.lines().next().unwrap_or_default();
        assert!(secret.is_empty() || !refused.contains(secret), "{refused}");
        refused
    }

    #[test]
    fn keys_are_read_in_hexadecimal_and_every_base64_and_in_order() {
        let (one, other) = ([0xfb; 33], [7; 32]);
        let texts = [
            hex(&one),
            Base64::encode_string(&one),
            Base64UrlUnpadded::encode_string(&one),
        ];
        for text in texts {
            let text = format!("# mine\n{text}\n\n  {}  \n", hex(&other));
            let (_folder, path) = file(&text, 0o600);
            let keys = given(&path).expect("good");
            let wanted = [&one[..], &other].map(|bytes| SigningKey::new(bytes).expect("long"));
            let ids = |keys: &[SigningKey]| -> Vec<String> {
                keys.iter().map(|key| key.id().to_string()).collect()
            };
            assert_eq!(ids(&keys), ids(&wanted));
        }
    }

    #[test]
    fn no_weak_key_is_taken_and_none_is_shown() {
        assert!(refused("", 0o600).contains("holds no key"));
        assert!(refused("\n# nothing\n", 0o600).contains("holds no key"));
        assert!(refused(&hex(&[9; 31]), 0o600).contains("31 bytes"));
        assert!(refused("c2VjcmV0", 0o600).contains("bytes"));
        assert!(refused("correct horse battery staple!", 0o600).contains("line 1"));
        let good = hex(&[9; 32]);
        assert!(refused(&format!("{good}\nshort"), 0o600).contains("line 2"));
        for loose in [0o604, 0o602, 0o644, 0o666] {
            assert!(refused(&good, loose).contains("chmod 600"));
        }
        let (_folder, path) = file(&good, 0o640);
        assert!(given(&path).is_ok());
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error_where_the_operator_named_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("none");
        assert!(matches!(given(&path), Err(KeyError::Io { .. })));
        assert!(generated(&path).expect("none yet").is_empty());
    }

    #[test]
    fn what_is_generated_is_read_back_and_is_nobody_elses_to_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("amadeus.db.keys");
        let keys = vec![Dated::generate(2), Dated::generate(1)];
        write(&path, &keys).expect("written");
        assert_eq!(generated(&path).expect("good"), keys);
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let beside = fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(beside, 1);
        write(&path, &keys[..1]).expect("written");
        assert_eq!(generated(&path).expect("good"), keys[..1]);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
        assert!(matches!(generated(&path), Err(KeyError::Loose { .. })));
    }

    #[test]
    fn a_generated_file_that_is_damaged_is_left_as_it_is() {
        for text in ["", "12 abc", "x ff", "\u{0}"] {
            let (_folder, path) = file(text, 0o600);
            assert!(generated(&path).is_err(), "{text}");
            assert_eq!(fs::read_to_string(&path).expect("there"), text);
        }
    }
}
