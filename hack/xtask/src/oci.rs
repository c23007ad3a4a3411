//! Packs one static program as an OCI image archive, with the list of what it is made of.
//!
//! Nothing in an archive depends on the time or on this machine: so the layer is not compressed, as what comes of that
//! depends on the compressor. A registry's client does it on the way.

mod elf;
mod sbom;
mod tar;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{Failure, Outcome};
use tar::File;

const USER: u32 = 65532;
const USER_OF_PAUSE: u32 = 65535;
const TITLE: &str = "Castoff";
const DESCRIPTION: &str =
    "Holds back the delete of an important Kubernetes pod until its backend is ready for it to leave";

/// An image, before it is packed. The first file is what it runs.
struct Image<'a> {
    name: &'a str,
    architecture: &'static str,
    user: u32,
    files: Vec<File>,
    created: String,
    labels: Value,
}

/// `oci image --name NAME:TAG --output FILE ...`: Castoff's program, as hack/image asks for it.
pub fn image(options: &[&str]) -> Outcome {
    let option = |name: &str| -> Result<&str, Failure> {
        let at = options.iter().position(|given| given.strip_prefix("--") == Some(name)).ok_or(Failure::Usage)?;
        options.get(at + 1).copied().ok_or(Failure::Usage)
    };
    let number = |name: &str| option(name)?.parse::<i64>().map_err(|_| Failure::Usage);
    let (name, output, version) = (option("name")?, option("output")?, option("version")?);
    if !name.contains(':') {
        return Err(Failure::Usage);
    }
    let created = jiff::Timestamp::from_second(number("created")?).map_err(|error| format!("--created: {error}"))?;
    let binary = read(option("binary")?)?;
    let metadata = serde_json::from_slice(&read(option("metadata")?)?).map_err(|error| error.to_string())?;
    let bill = sbom::of(&metadata, version, &created.to_string())?;
    let listed = bytes(&bill);
    let size = binary.len() + listed.len();
    let most = number("most")?;
    if i64::try_from(size).unwrap_or(i64::MAX) > most {
        return Err(format!("hack/image: {size} bytes, and it may have {most}").into());
    }
    let architecture = elf::architecture(&binary).map_err(|error| format!("hack/image: {error}"))?;
    let files = vec![
        File { name: "castoff".to_owned(), content: binary, mode: 0o755 },
        File { name: "sbom.spdx.json".to_owned(), content: listed, mode: 0o644 },
    ];
    let labels = json!({
        "org.opencontainers.image.title": TITLE,
        "org.opencontainers.image.description": DESCRIPTION,
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.revision": option("revision")?,
        "org.opencontainers.image.licenses": "Apache-2.0",
    });
    let image = Image { name, architecture, user: USER, files, created: created.to_string(), labels };
    let (files, found) = archive(&image);
    write(output, &tar::pack(&files)?)?;
    let tenths = size / 100_000;
    println!("{name}  {found}  {}.{} MB", tenths / 10, tenths % 10);
    println!("{output}: {} crates in its SBOM", bill["packages"].as_array().map_or(0, Vec::len));
    Ok(true)
}

/// `oci pause PROGRAM NAME:TAG ARCHIVE`: the program that holds a pod's namespaces.
pub fn pause(program: &str, name: &str, output: &str) -> Outcome {
    let binary = read(program)?;
    let architecture = elf::architecture(&binary)?;
    let files = vec![File { name: "pause".to_owned(), content: binary, mode: 0o755 }];
    let created = "1970-01-01T00:00:00Z".to_owned();
    let image = Image { name, architecture, user: USER_OF_PAUSE, files, created, labels: json!({}) };
    write(output, &tar::pack(&archive(&image).0)?)?;
    Ok(true)
}

/// The files of an image's archive, and the image's digest.
fn archive(image: &Image) -> (Vec<File>, String) {
    let layer = tar::pack(&image.files).unwrap_or_default();
    let config = bytes(&json!({
        "architecture": image.architecture,
        "os": "linux",
        "created": image.created,
        "config": {
            "User": format!("{0}:{0}", image.user),
            "Entrypoint": [format!("/{}", image.files[0].name)],
            "WorkingDir": "/",
            "Labels": image.labels,
        },
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
        "history": [{"created": image.created, "created_by": "hack/image"}],
    }));
    let manifest = bytes(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("config.v1+json", &config),
        "layers": [descriptor("layer.v1.tar", &layer)],
        "annotations": image.labels,
    }));
    let tag = image.name.rsplit(':').next().unwrap_or_default();
    let full =
        if image.name.contains('/') { image.name.to_owned() } else { format!("docker.io/library/{}", image.name) };
    let mut described = descriptor("manifest.v1+json", &manifest);
    described["platform"] = json!({"architecture": image.architecture, "os": "linux"});
    described["annotations"] = json!({"io.containerd.image.name": full, "org.opencontainers.image.ref.name": tag});
    let index = bytes(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [described],
    }));
    let found = digest(&manifest);
    let plain = |name: &str, content| File { name: name.to_owned(), content, mode: 0o644 };
    let layout = bytes(&json!({"imageLayoutVersion": "1.0.0"}));
    let mut files = vec![plain("oci-layout", layout), plain("index.json", index)];
    let place = |blob: &[u8]| format!("blobs/{}", digest(blob).replace(':', "/"));
    let mut blobs = [config, layer, manifest].map(|blob| plain(&place(&blob), blob));
    blobs.sort_by(|one, other| one.name.cmp(&other.name));
    files.extend(blobs);
    (files, found)
}

fn descriptor(kind: &str, content: &[u8]) -> Value {
    json!({
        "mediaType": format!("application/vnd.oci.image.{kind}"),
        "digest": digest(content),
        "size": content.len(),
    })
}

/// The same bytes for the same value.
fn bytes(value: &Value) -> Vec<u8> {
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    sorted.to_string().into_bytes()
}

/// As OCI names content.
fn digest(content: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(content).iter().fold("sha256:".to_owned(), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{path}: {error}"))
}

fn write(path: &str, content: &[u8]) -> Result<(), String> {
    std::fs::write(path, content).map_err(|error| format!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn packed() -> (Vec<File>, String) {
        let files = vec![File { name: "castoff".to_owned(), content: vec![1, 2, 3], mode: 0o755 }];
        archive(&Image {
            name: "castoff:1",
            architecture: "amd64",
            user: USER,
            files,
            created: "2030-01-01T00:00:00Z".to_owned(),
            labels: json!({"a": "b"}),
        })
    }

    fn find<'a>(files: &'a [File], name: &str) -> &'a [u8] {
        &files.iter().find(|file| file.name == name).unwrap().content
    }

    #[test]
    fn an_index_leads_to_the_program_by_digests() {
        let (files, found) = packed();
        let at = |digest: &Value| format!("blobs/{}", digest.as_str().unwrap().replace(':', "/"));
        let index: Value = serde_json::from_slice(find(&files, "index.json")).unwrap();
        assert_eq!(index["manifests"][0]["digest"], found.as_str());
        assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], "docker.io/library/castoff:1");
        let manifest: Value = serde_json::from_slice(find(&files, &at(&index["manifests"][0]["digest"]))).unwrap();
        let layer = find(&files, &at(&manifest["layers"][0]["digest"]));
        assert_eq!(&layer[512..515], [1, 2, 3]);
        let config: Value = serde_json::from_slice(find(&files, &at(&manifest["config"]["digest"]))).unwrap();
        assert_eq!(config["config"]["Entrypoint"][0], "/castoff");
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        for file in files.iter().filter(|file| file.name.starts_with("blobs/")) {
            assert_eq!(format!("blobs/{}", digest(&file.content).replace(':', "/")), file.name);
        }
    }

    #[test]
    fn the_same_content_gives_the_same_archive() {
        assert_eq!(tar::pack(&packed().0), tar::pack(&packed().0));
    }
}
