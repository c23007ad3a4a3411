//! Compressed archives that come out the same everywhere.

use std::path::Path;

use crate::Failure;
use crate::oci::tar::{self, File};

/// The files below a folder by their places in it, in order; links are followed.
pub fn folder(root: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<File>, Failure> {
    let mut found = Vec::new();
    let mut waiting = vec![String::new()];
    while let Some(inside) = waiting.pop() {
        let folder = root.join(&inside);
        let told = |error: std::io::Error| format!("{}: {error}", folder.display());
        for entry in std::fs::read_dir(&folder).map_err(told)? {
            let name = entry.map_err(told)?.file_name().to_string_lossy().into_owned();
            let path = folder.join(&name);
            let place = if inside.is_empty() { name.clone() } else { format!("{inside}/{name}") };
            if path.is_dir() {
                waiting.push(place);
            } else if wanted(&name) {
                found.push(File::plain(&place, std::fs::read(&path).map_err(told)?));
            }
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// These files in a folder of this name, as a .tar.gz without a time.
pub fn compressed(folder: &str, files: Vec<File>) -> Result<Vec<u8>, Failure> {
    let files: Vec<File> =
        files.into_iter().map(|file| File { name: format!("{folder}/{}", file.name), ..file }).collect();
    Ok(tar::compressed(&tar::pack(&files)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_packed_in_order_with_what_its_links_lead_to_and_the_same_each_time() {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::write(elsewhere.path().join("inner"), "1").unwrap();
        std::fs::write(root.path().join("z"), "2").unwrap();
        std::fs::write(root.path().join("ignored"), "3").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), root.path().join("linked")).unwrap();
        let files = || folder(root.path(), |name| name != "ignored").unwrap();
        let names: Vec<String> = files().into_iter().map(|file| file.name).collect();
        assert_eq!(names, ["linked/inner", "z"]);
        let packed = compressed("x", files()).unwrap();
        assert_eq!(packed, compressed("x", files()).unwrap());
        assert_eq!(packed[4..8], [0; 4], "a time is in it");
    }
}
