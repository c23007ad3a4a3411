//! An image of one static program, for one processor.

use serde_json::{Value, json};

use super::layout::{Layout, bytes, digest};
use super::tar::{self, File};

/// An image, before it is packed. The first file is what it runs.
pub struct Image {
    pub architecture: &'static str,
    pub user: u32,
    pub files: Vec<File>,
    pub created: String,
    pub labels: Value,
    /// How many bytes its layer may have, as a registry holds it.
    pub most: usize,
}

impl Image {
    /// Puts the image into a layout, and describes it.
    pub fn put(&self, layout: &mut Layout) -> Result<Value, String> {
        let layer = tar::pack(&self.files)?;
        let compressed = tar::compressed(&layer)?;
        if compressed.len() > self.most {
            return Err(format!("the image has {} bytes, and may have {}", compressed.len(), self.most));
        }
        let config = bytes(&json!({
            "architecture": self.architecture,
            "os": "linux",
            "created": self.created,
            "config": {
                "User": format!("{0}:{0}", self.user),
                "Entrypoint": [format!("/{}", self.files[0].name)],
                "WorkingDir": "/",
                "Labels": self.labels,
            },
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
            "history": [{"created": self.created, "created_by": "hack/image"}],
        }));
        let config = layout.add("application/vnd.oci.image.config.v1+json", config);
        let layer = layout.add("application/vnd.oci.image.layer.v1.tar+gzip", compressed);
        let mut described = layout.add_manifest(&config, &[layer], &self.labels);
        described["platform"] = json!({"architecture": self.architecture, "os": "linux"});
        Ok(described)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn image(architecture: &'static str) -> Image {
        let files = vec![File { name: "castoff".to_owned(), content: vec![1, 2, 3], mode: 0o755 }];
        let created = "2030-01-01T00:00:00Z".to_owned();
        Image { architecture, user: 65532, files, created, labels: json!({"a": "b"}), most: 1000 }
    }

    fn find<'a>(files: &'a [File], name: &str) -> &'a [u8] {
        &files.iter().find(|file| file.name == name).unwrap().content
    }

    fn at(files: &[File], described: &Value) -> Value {
        let place = format!("blobs/{}", described["digest"].as_str().unwrap().replace(':', "/"));
        serde_json::from_slice(find(files, &place)).unwrap()
    }

    #[test]
    fn an_index_leads_to_the_program_by_digests() {
        let mut layout = Layout::default();
        let described = image("amd64").put(&mut layout).unwrap();
        let files = layout.files("castoff:1", described);
        let index: Value = serde_json::from_slice(find(&files, "index.json")).unwrap();
        assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], "docker.io/library/castoff:1");
        let manifest = at(&files, &index["manifests"][0]);
        let config = at(&files, &manifest["config"]);
        assert_eq!(config["config"]["Entrypoint"][0], "/castoff");
        assert_eq!(config["config"]["User"], "65532:65532");
        let place = manifest["layers"][0]["digest"].as_str().unwrap().replace(':', "/");
        let mut layer = Vec::new();
        GzDecoder::new(find(&files, &format!("blobs/{place}"))).read_to_end(&mut layer).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], digest(&layer));
        assert_eq!(layer[512..515], [1, 2, 3]);
        for file in files.iter().filter(|file| file.name.starts_with("blobs/")) {
            assert_eq!(format!("blobs/{}", digest(&file.content).replace(':', "/")), file.name);
        }
    }

    #[test]
    fn an_image_for_two_processors_is_one_name_for_both() {
        let mut layout = Layout::default();
        let images = ["amd64", "arm64"].map(|architecture| image(architecture).put(&mut layout).unwrap());
        let described = layout.add_index(&images, &json!({}));
        let files = layout.files("registry.example/castoff:1", described);
        let outer: Value = serde_json::from_slice(find(&files, "index.json")).unwrap();
        assert_eq!(outer["manifests"].as_array().unwrap().len(), 1);
        let inner = at(&files, &outer["manifests"][0]);
        let platforms = inner["manifests"].as_array().unwrap().iter().map(|image| &image["platform"]["architecture"]);
        assert_eq!(platforms.collect::<Vec<_>>(), ["amd64", "arm64"]);
    }

    #[test]
    fn an_image_that_is_too_large_is_refused() {
        let image = Image { most: 10, ..image("amd64") };
        assert!(image.put(&mut Layout::default()).unwrap_err().contains("may have 10"));
    }

    #[test]
    fn the_same_content_gives_the_same_archive() {
        let packed = || {
            let mut layout = Layout::default();
            let described = image("amd64").put(&mut layout).unwrap();
            tar::pack(&layout.files("castoff:1", described)).unwrap()
        };
        assert_eq!(packed(), packed());
    }
}
