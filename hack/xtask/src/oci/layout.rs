//! An OCI image layout: blobs by their digests, and an index that names what they are for.
//!
//! Nothing in it depends on the time or on this machine.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::tar::File;

/// What an image, an artefact or an index is made of.
#[derive(Default)]
pub struct Layout {
    blobs: BTreeMap<String, Vec<u8>>,
}

impl Layout {
    /// Keeps content, and describes it.
    pub fn add(&mut self, media_type: &str, content: Vec<u8>) -> Value {
        let digest = digest(&content);
        let described = json!({"mediaType": media_type, "digest": digest, "size": content.len()});
        self.blobs.insert(digest, content);
        described
    }

    /// Keeps a manifest, and describes it.
    pub fn add_manifest(&mut self, config: &Value, layers: &[Value], annotations: &Value) -> Value {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config,
            "layers": layers,
            "annotations": annotations,
        });
        self.add("application/vnd.oci.image.manifest.v1+json", bytes(&manifest))
    }

    /// Keeps an index of what these describe, and describes it.
    pub fn add_index(&mut self, manifests: &[Value], annotations: &Value) -> Value {
        let mut index = index(manifests);
        index["annotations"] = annotations.clone();
        self.add("application/vnd.oci.image.index.v1+json", bytes(&index))
    }

    /// All files, with what `described` describes under this name: NAME:TAG, as a client loads or copies it.
    pub fn files(self, name: &str, mut described: Value) -> Vec<File> {
        let tag = name.rsplit(':').next().unwrap_or_default();
        let full = if name.contains('/') { name.to_owned() } else { format!("docker.io/library/{name}") };
        described["annotations"] = json!({"io.containerd.image.name": full, "org.opencontainers.image.ref.name": tag});
        let layout = bytes(&json!({"imageLayoutVersion": "1.0.0"}));
        let mut files = vec![File::plain("oci-layout", layout), File::plain("index.json", bytes(&index(&[described])))];
        let place = |digest: &str| format!("blobs/{}", digest.replace(':', "/"));
        files.extend(self.blobs.into_iter().map(|(digest, content)| File::plain(&place(&digest), content)));
        files
    }
}

fn index(manifests: &[Value]) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    })
}

/// The same bytes for the same value.
pub fn bytes(value: &Value) -> Vec<u8> {
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    sorted.to_string().into_bytes()
}

/// As OCI names content.
pub fn digest(content: &[u8]) -> String {
    format!("sha256:{}", sha256(content))
}

/// The hexadecimal digits of content's SHA-256.
pub fn sha256(content: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(content).iter().fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
