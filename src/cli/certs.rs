//! `castoff certs`.

use std::path::PathBuf;

use clap::Args;

use crate::trust::self_signed::{self, Files};

use super::Failure;

/// Makes a CA and a server certificate for development (ECDSA P-256): ca.crt, tls.crt, tls.key.
#[derive(Debug, Args)]
pub(super) struct Certs {
    /// Where to put them
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// One more name or address that the certificate is for, besides localhost; may be repeated
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,

    /// Make them anew where some are there
    #[arg(long)]
    force: bool,
}

/// Makes a CA and a certificate for development.
pub(super) fn run(command: &Certs) -> Result<(), Failure> {
    let files = Files::in_directory(&command.directory);
    let there: Vec<_> = [&files.ca, &files.certificate, &files.key].into_iter().filter(|path| path.exists()).collect();
    if let Some(first) = there.first().filter(|_| !command.force) {
        return Err(Failure::No(format!("{} is there already; --force makes all of it anew", first.display())));
    }
    for path in there {
        std::fs::remove_file(path).map_err(|error| Failure::No(format!("{}: {error}", path.display())))?;
    }
    let files = self_signed::make(&command.directory, &command.hosts).map_err(Failure::no)?;
    super::output::line(format_args!(
        "CA           {}   callers trust this one; its own key is forgotten",
        files.ca.display()
    ));
    super::output::line(format_args!("certificate  {}", files.certificate.display()));
    super::output::line(format_args!("key          {}   readable by you alone", files.key.display()));
    Ok(())
}
