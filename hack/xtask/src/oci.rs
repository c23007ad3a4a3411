//! Packs static programs as OCI images, with the list of what they are made of.

mod elf;
pub mod image;
pub mod layout;
pub mod sbom;
pub mod tar;

use serde_json::{Value, json};

use crate::options::Options;
use crate::{Failure, Outcome};
use image::Image;
use layout::{Layout, bytes};
use tar::File;

const USER: u32 = 65532;
const USER_OF_PAUSE: u32 = 65535;
const TITLE: &str = "Castoff";
pub const DESCRIPTION: &str =
    "Holds back the delete of an important Kubernetes pod until its backend is ready for it to leave";

/// What an image of Castoff is made from, and how much it may weigh.
pub struct Program<'a> {
    pub binary: Vec<u8>,
    /// The list of what the program is made of.
    pub bill: Value,
    pub version: &'a str,
    pub revision: &'a str,
    pub created: String,
    pub most: usize,
}

impl Program<'_> {
    /// The image: the program, and the list of what it is made of.
    pub fn image(self) -> Result<Image, String> {
        let listed = bytes(&self.bill);
        let architecture = elf::architecture(&self.binary)?;
        let files = vec![
            File { name: "castoff".to_owned(), content: self.binary, mode: 0o755 },
            File::plain("sbom.spdx.json", listed),
        ];
        let labels = labels(self.version, self.revision);
        Ok(Image { architecture, user: USER, files, created: self.created, labels, most: self.most })
    }
}

/// What an image says of itself.
pub fn labels(version: &str, revision: &str) -> Value {
    json!({
        "org.opencontainers.image.title": TITLE,
        "org.opencontainers.image.description": DESCRIPTION,
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.revision": revision,
        "org.opencontainers.image.licenses": "Apache-2.0",
    })
}

/// `oci image --name NAME:TAG --output FILE ...`: Castoff's program, as hack/image asks for it.
pub fn image(options: &[&str]) -> Outcome {
    let options = Options(options);
    let (name, output, version) = (options.get("name")?, options.get("output")?, options.get("version")?);
    if !name.contains(':') {
        return Err(Failure::Usage);
    }
    let created = options.created()?;
    let bill = sbom::of(&metadata(options.get("metadata")?)?, version, &created)?;
    let crates = bill["packages"].as_array().map_or(0, Vec::len);
    let binary = read(options.get("binary")?)?;
    let revision = options.get("revision")?;
    let program = Program { binary, bill, version, revision, created, most: options.most()? };
    let image = program.image().map_err(|error| format!("hack/image: {error}"))?;
    let tenths = image.files.iter().map(|file| file.content.len()).sum::<usize>() / 100_000;
    let mut layout = Layout::default();
    let described = image.put(&mut layout).map_err(|error| format!("hack/image: {error}"))?;
    println!("{name}  {}  {}.{} MB", described["digest"].as_str().unwrap_or_default(), tenths / 10, tenths % 10);
    println!("{output}: {crates} crates in its SBOM");
    write(output, &tar::pack(&layout.files(name, described))?)?;
    Ok(true)
}

/// `oci pause PROGRAM NAME:TAG ARCHIVE`: the program that holds a pod's namespaces.
pub fn pause(program: &str, name: &str, output: &str) -> Outcome {
    let binary = read(program)?;
    let architecture = elf::architecture(&binary)?;
    let files = vec![File { name: "pause".to_owned(), content: binary, mode: 0o755 }];
    let created = "1970-01-01T00:00:00Z".to_owned();
    let mut layout = Layout::default();
    let described = Image { architecture, user: USER_OF_PAUSE, files, created, labels: json!({}), most: usize::MAX }
        .put(&mut layout)?;
    write(output, &tar::pack(&layout.files(name, described))?)?;
    Ok(true)
}

/// What `cargo metadata` has said.
pub fn metadata(path: &str) -> Result<Value, String> {
    serde_json::from_slice(&read(path)?).map_err(|error| format!("{path}: {error}"))
}

pub fn read(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{path}: {error}"))
}

pub fn write(path: &str, content: &[u8]) -> Result<(), String> {
    std::fs::write(path, content).map_err(|error| format!("{path}: {error}"))
}
