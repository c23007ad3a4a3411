//! Clocks that a scenario sets: each replica reads the time of day off one of its own.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::installation::run;

/// One clock for each replica. All are right until they are shifted.
pub struct Clocks {
    directory: PathBuf,
}

impl Clocks {
    /// Makes them in this directory; `cc`, by which Rust links programs too, must be in PATH.
    pub async fn make(directory: &Path) -> Clocks {
        let clocks = Clocks { directory: directory.to_owned() };
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/ground/clock.c");
        let library = clocks.library();
        let how = ["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library.to_str().unwrap(), source];
        let made = run("cc", &how).await;
        assert_eq!(made.code, 0, "{}", made.stderr);
        for number in 0..2 {
            std::fs::write(clocks.file(number), 0_i64.to_ne_bytes()).unwrap();
        }
        clocks
    }

    /// From now on this replica's clock is so many seconds ahead; behind, where that is negative.
    pub fn shift(&self, number: usize, seconds: i64) {
        // In place: the replica has the file before it all the time.
        let file = File::options().write(true).open(self.file(number)).unwrap();
        file.write_all_at(&seconds.to_ne_bytes(), 0).unwrap();
    }

    /// What a replica is started with so that it goes by its clock.
    pub fn environment(&self, number: usize) -> [(&'static str, PathBuf); 2] {
        [("LD_PRELOAD", self.library()), ("SHIFTED_CLOCK", self.file(number))]
    }

    fn library(&self) -> PathBuf {
        self.directory.join("clock.so")
    }

    fn file(&self, number: usize) -> PathBuf {
        self.directory.join(format!("clock-{number}"))
    }
}
