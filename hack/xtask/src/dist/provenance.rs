//! How a release came about: an in-toto statement with SLSA's predicate, which a signature can be put under.

use serde_json::{Value, json};

use super::{Files, Release, subject};
use crate::oci::layout::{bytes, sha256};

/// The statement for these files and the image of this digest.
pub fn statement(release: &Release, files: &Files, image: &str, rust: &str, lock: &[u8]) -> Vec<u8> {
    let mut subjects: Vec<Value> = files.iter().map(|(name, content)| subject(name, &sha256(content))).collect();
    subjects.push(subject(&release.image(), image));
    bytes(&json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://castoff.dev/hack-dist/v1",
                "externalParameters": {
                    "version": release.version, "registry": release.registry, "url": release.url,
                },
                "resolvedDependencies": [
                    {"name": "source", "digest": {"gitCommit": release.revision}},
                    {"name": "Cargo.lock", "digest": {"sha256": sha256(lock)}},
                    {"name": "rustc", "uri": format!("pkg:generic/rust@{rust}")},
                ],
            },
            "runDetails": {"builder": {"id": "https://castoff.dev/hack-dist"}},
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;

    #[test]
    fn every_file_and_the_image_are_subjects() {
        let files = Files::from([("a.tgz".to_owned(), Vec::new())]);
        let statement: Value =
            serde_json::from_slice(&statement(&example(), &files, "sha256:12", "1.95.0", b"")).unwrap();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(statement["subject"][0], json!({"name": "a.tgz", "digest": {"sha256": empty}}));
        let image = json!({"name": "registry.example/tools/castoff:1.2.3", "digest": {"sha256": "12"}});
        assert_eq!(statement["subject"][1], image);
        let source = &statement["predicate"]["buildDefinition"]["resolvedDependencies"][0];
        assert_eq!(source["digest"]["gitCommit"], "abc");
    }
}
