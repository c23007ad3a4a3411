//! A tar, all of one owner and of no time, as POSIX.1-1988 (ustar) has it.

use std::io::Write;

use flate2::{Compression, GzBuilder};

/// A block's size; content is filled up to whole ones.
const BLOCK: usize = 512;

/// An archive is filled up to whole records of 20 blocks.
const RECORD: usize = 20 * BLOCK;

/// A file in an archive.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    pub name: String,
    pub content: Vec<u8>,
    pub mode: u32,
}

impl File {
    /// A file that is only read.
    pub fn plain(name: &str, content: Vec<u8>) -> File {
        File { name: name.to_owned(), content, mode: 0o644 }
    }
}

/// The archive of these files.
pub fn pack(files: &[File]) -> Result<Vec<u8>, String> {
    let mut archive = Vec::new();
    for file in files {
        archive.extend(header(file)?);
        archive.extend(&file.content);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    // Two blocks of nothing are the end.
    archive.resize((archive.len() + 2 * BLOCK).next_multiple_of(RECORD), 0);
    Ok(archive)
}

/// The same, compressed as gzip does it, without a time. What comes of it is the compressor's, whose version Cargo.lock
/// has.
pub fn compressed(archive: &[u8]) -> Result<Vec<u8>, String> {
    let mut writer = GzBuilder::new().write(Vec::new(), Compression::best());
    let written = writer.write_all(archive).and_then(|()| writer.finish());
    written.map_err(|error| error.to_string())
}

fn header(file: &File) -> Result<[u8; BLOCK], String> {
    let mut header = [0; BLOCK];
    if file.name.len() > 100 {
        return Err(format!("{}: the name is too long for an archive", file.name));
    }
    put(&mut header, 0, file.name.as_bytes());
    put(&mut header, 100, format!("{:07o}", file.mode).as_bytes());
    put(&mut header, 108, b"0000000"); // owner
    put(&mut header, 116, b"0000000"); // group
    put(&mut header, 124, format!("{:011o}", file.content.len()).as_bytes());
    put(&mut header, 136, b"00000000000"); // time
    put(&mut header, 148, b"        "); // the sum, while it is made
    put(&mut header, 156, b"0"); // a file
    put(&mut header, 257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut header, 148, format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}

fn put(header: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    header[at..at + bytes.len()].copy_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{File, pack};

    #[test]
    fn tar_reads_what_was_packed() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8], mode| File { name: name.to_owned(), content: content.to_vec(), mode };
        let packed = pack(&[file("castoff", &[7; 600], 0o755), file("a/b.json", b"{}", 0o644)]).unwrap();
        assert_eq!(packed.len(), 10_240);
        std::fs::write(folder.path().join("it.tar"), packed).unwrap();
        let output = Command::new("tar").args(["-tvf", "it.tar"]).current_dir(folder.path()).output().unwrap();
        let listed = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines: Vec<&str> = listed.lines().collect();
        assert!(lines[0].starts_with("-rwxr-xr-x 0/0") && lines[0].ends_with("castoff"), "{listed}");
        assert!(lines[1].starts_with("-rw-r--r-- 0/0") && lines[1].ends_with("a/b.json"), "{listed}");
    }

    #[test]
    fn a_name_that_does_not_fit_is_refused() {
        let file = File { name: "x".repeat(101), content: Vec::new(), mode: 0o644 };
        assert!(pack(&[file]).is_err());
    }
}
