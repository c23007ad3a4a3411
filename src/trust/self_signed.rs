//! A CA and a certificate of one's own, for development.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::authority::{Authority, Pair};
use super::{TrustError, at};

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// What callers trust.
    pub ca: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// Its private key, readable by its owner alone.
    pub key: PathBuf,
}

impl Files {
    /// Where the files of this directory are, or will be.
    #[must_use]
    pub fn in_directory(directory: &Path) -> Self {
        Files { ca: directory.join("ca.crt"), certificate: directory.join("tls.crt"), key: directory.join("tls.key") }
    }
}

/// The names that the certificate is always for.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Makes a CA and a certificate for localhost and these hosts (ECDSA P-256), or finds those that are there already.
/// The CA's own key is forgotten.
///
/// # Errors
/// A sentence that names the directory; also where only some of the files are there.
pub fn make(directory: &Path, hosts: &[String]) -> Result<Files, TrustError> {
    let files = Files::in_directory(directory);
    let there = [&files.ca, &files.certificate, &files.key].map(|path| path.exists());
    if there == [true; 3] {
        return Ok(files);
    }
    let place = directory.display();
    if there != [false; 3] {
        return Err(at(&place)(
            "some of ca.crt, tls.crt and tls.key are there, but not all: remove them, or give another directory",
        ));
    }
    let made = generate(hosts).map_err(at(&place))?;
    write_all(directory, &files, &made).map_err(at(&place))?;
    Ok(files)
}

struct Made {
    ca: String,
    server: Pair,
}

fn generate(hosts: &[String]) -> Result<Made, TrustError> {
    let authority = Authority::make("castoff development CA", None)?;
    let names = LOCAL.into_iter().map(str::to_owned).chain(hosts.iter().cloned()).collect::<Vec<_>>();
    Ok(Made { ca: authority.certificate().to_owned(), server: authority.issue(&names, None)? })
}

fn write_all(directory: &Path, files: &Files, made: &Made) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&files.key)?
        .write_all(made.server.key.as_bytes())?;
    fs::write(&files.certificate, &made.server.certificate)?;
    fs::write(&files.ca, &made.ca)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn makes_a_pair_that_can_be_served_and_keeps_it() {
        let directory = tempfile::tempdir().unwrap();
        let files = make(directory.path(), &["guard.example".to_owned()]).unwrap();
        crate::trust::Certificates::load(&files.certificate, &files.key).unwrap();
        assert_eq!(fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o600);
        let before = fs::read(&files.certificate).unwrap();
        make(directory.path(), &[]).unwrap();
        assert_eq!(fs::read(&files.certificate).unwrap(), before);
    }

    #[test]
    fn overwrites_nothing_where_only_some_files_are_there() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("tls.key"), "precious").unwrap();
        assert!(make(directory.path(), &[]).unwrap_err().to_string().contains("not all"));
        assert_eq!(fs::read_to_string(directory.path().join("tls.key")).unwrap(), "precious");
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_by_name() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (one, other) = (make(one.path(), &[]).unwrap(), make(other.path(), &[]).unwrap());
        let error = crate::trust::Certificates::load(&one.certificate, &other.key).unwrap_err().to_string();
        assert!(error.contains("is not the private key of the certificate"), "{error}");
    }
}
