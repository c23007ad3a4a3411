//! Keeps what must outlive the container in a file, on a volume that lives as long as the pod.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::memory::Stored;

/// Where it is kept, and for which pod.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The file.
    pub file: PathBuf,
    /// The pod's UID; what another pod has kept counts for nothing. Empty where it is not known.
    pub pod: String,
}

#[derive(Serialize, Deserialize)]
struct Page {
    pod: String,
    #[serde(flatten)]
    stored: Stored,
}

/// Why something can't be kept, or what was kept not be read.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// It can't be read.
    #[error("what was kept in {} can't be read: {why}", file.display())]
    Read {
        /// Where.
        file: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// It can't be written.
    #[error("nothing can be kept in {}: {why}; it belongs on a volume of the pod, as an emptyDir", file.display())]
    Write {
        /// Where.
        file: PathBuf,
        /// Why.
        why: io::Error,
    },
}

impl Kept {
    /// What this pod's container before this one has kept.
    ///
    /// # Errors
    /// When the file is there and can't be read.
    pub fn read(&self) -> Result<Stored, NotKept> {
        let failed = |why| NotKept::Read { file: self.file.clone(), why };
        let text = match std::fs::read(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Stored::default()),
            read => read.map_err(failed)?,
        };
        let page: Page = serde_json::from_slice(&text).map_err(|error| failed(error.into()))?;
        Ok(if page.pod == self.pod { page.stored } else { Stored::default() })
    }

    /// Keeps it: whole, or not at all.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write(&self, stored: &Stored) -> Result<(), NotKept> {
        let beside = self.file.with_extension("new");
        let page = Page { pod: self.pod.clone(), stored: stored.clone() };
        serde_json::to_vec(&page)
            .map_err(io::Error::from)
            .and_then(|text| std::fs::write(&beside, text))
            .and_then(|()| std::fs::rename(&beside, &self.file))
            .map_err(|why| NotKept::Write { file: self.file.clone(), why })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::hook::memory::State;

    #[test]
    fn what_was_kept_is_that_pods_alone() {
        let directory = tempfile::tempdir().unwrap();
        let kept = |pod: &str| Kept { file: directory.path().join("hook.json"), pod: pod.to_owned() };
        assert_eq!(kept("a").read().unwrap(), Stored::default());
        let stored = Stored { state: State::Prepared, removal: true };
        kept("a").write(&stored).unwrap();
        assert_eq!(kept("a").read().unwrap(), stored);
        assert_eq!(kept("b").read().unwrap(), Stored::default());
    }

    #[test]
    fn what_can_not_be_kept_or_read_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let nowhere = Kept { file: directory.path().join("no/hook.json"), pod: String::new() };
        assert!(nowhere.write(&Stored::default()).unwrap_err().to_string().contains("emptyDir"));
        let broken = Kept { file: directory.path().join("hook.json"), pod: String::new() };
        std::fs::write(&broken.file, "{").unwrap();
        assert!(broken.read().is_err());
    }
}
