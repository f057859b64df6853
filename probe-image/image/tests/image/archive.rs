//! The archive, read as the programs read it that load images.

use std::{
    collections::BTreeMap,
    io::Read,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use oci_spec::image::{Arch, Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType};
use serde_json::Value;
use sha2::{Digest, Sha256};
use verdikt_image::{Image, Reference};

use crate::{one, two};

const NAME: &str = "registry.example.org/mirror/verdikt-probe:1.2.3";

/// The files of a tar, after a look at what would make two of them differ.
fn files(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(tar).entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents).unwrap();
        assert!(files.insert(path.clone(), contents).is_none(), "{path} twice");
    }
    files
}

/// The archive's files; every blob has the digest that its name says.
fn unpacked(image: &Image) -> BTreeMap<String, Vec<u8>> {
    let archive = image.archive(&NAME.parse().unwrap());
    assert!(archive.len() < 4 << 20, "{} bytes", archive.len());
    let files = files(&archive);
    for (path, bytes) in &files {
        if let Some(hex) = path.strip_prefix("blobs/sha256/").filter(|hex| !hex.is_empty()) {
            let digest: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(digest, hex);
        }
    }
    files
}

fn blob<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Descriptor) -> &'a [u8] {
    let bytes = &files[&format!("blobs/sha256/{}", descriptor.as_digest_sha256().unwrap())];
    assert_eq!(bytes.len() as u64, descriptor.size());
    bytes
}

/// Follows a manifest to the agent in its layer.
fn agent(files: &BTreeMap<String, Vec<u8>>, descriptor: &Descriptor, architecture: &Arch) -> Vec<u8> {
    assert_eq!(descriptor.media_type(), &MediaType::ImageManifest);
    assert_eq!(descriptor.platform().as_ref().unwrap().architecture(), architecture);
    let manifest = ImageManifest::from_reader(blob(files, descriptor)).unwrap();
    assert_eq!(manifest.config().media_type(), &MediaType::ImageConfig);
    let config = ImageConfiguration::from_reader(blob(files, manifest.config())).unwrap();
    assert_eq!(config.architecture(), architecture);
    assert_eq!(config.rootfs().diff_ids(), &[manifest.layers()[0].digest().to_string()]);
    let run = config.config().as_ref().unwrap();
    assert_eq!(run.user().as_deref(), Some("65532:65532"));
    assert_eq!(run.labels().as_ref().unwrap()["org.opencontainers.image.version"], "1.2.3");
    let path = run.env().as_ref().unwrap()[0].strip_prefix("PATH=").unwrap();
    assert!(path.split(':').any(|folder| folder == "/usr/bin"), "{path}");
    assert_eq!(manifest.layers()[0].media_type(), &MediaType::ImageLayer);
    let mut layer = self::files(blob(files, &manifest.layers()[0]));
    assert_eq!(layer.keys().collect::<Vec<_>>(), ["usr/", "usr/bin/", "usr/bin/verdikt-probe"]);
    layer.remove("usr/bin/verdikt-probe").unwrap()
}

#[test]
fn the_same_agents_make_the_same_bytes() {
    let name: Reference = NAME.parse().unwrap();
    assert!(one().archive(&name) == one().archive(&name));
    assert!(two().archive(&name) == two().archive(&name));
    assert_eq!(one().digest(), one().digest());
}

#[test]
fn an_image_of_one_architecture() {
    let image = one();
    let files = unpacked(&image);
    assert_eq!(files["oci-layout"], br#"{"imageLayoutVersion":"1.0.0"}"#);
    let index = ImageIndex::from_reader(files["index.json"].as_slice()).unwrap();
    let [manifest] = index.manifests().as_slice() else { panic!("{index:?}") };
    assert_eq!(manifest.digest().to_string(), image.digest());
    let annotations = manifest.annotations().as_ref().unwrap();
    assert_eq!(annotations["io.containerd.image.name"], NAME);
    assert_eq!(annotations["org.opencontainers.image.ref.name"], "1.2.3");
    let binary = agent(&files, manifest, &Arch::default());

    // Docker's own manifest leads to the same.
    let docker: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    assert_eq!(docker[0]["RepoTags"][0], NAME);
    let oci = ImageManifest::from_reader(blob(&files, manifest)).unwrap();
    let path = |d: &Descriptor| format!("blobs/sha256/{}", d.as_digest_sha256().unwrap());
    assert_eq!(docker[0]["Config"], path(oci.config()));
    assert_eq!(docker[0]["Layers"][0], path(&oci.layers()[0]));

    // The agent in the layer is whole: it runs where there is nothing but itself.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("verdikt-probe");
    std::fs::write(&file, binary).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    let said = Command::new(&file).arg("version").env_clear().stdin(Stdio::null()).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(text.contains(env!("CARGO_PKG_VERSION")), "{text}");
}

#[test]
fn an_image_of_two_architectures_has_an_index() {
    let image = two();
    let files = unpacked(&image);
    let top = ImageIndex::from_reader(files["index.json"].as_slice()).unwrap();
    let [entry] = top.manifests().as_slice() else { panic!("{top:?}") };
    assert_eq!(entry.media_type(), &MediaType::ImageIndex);
    assert_eq!(entry.digest().to_string(), image.digest());
    assert_eq!(entry.annotations().as_ref().unwrap()["io.containerd.image.name"], NAME);
    let index = ImageIndex::from_reader(blob(&files, entry)).unwrap();
    let [amd64, arm64] = index.manifests().as_slice() else { panic!("{index:?}") };
    let machine = |binary: Vec<u8>| u16::from_le_bytes([binary[18], binary[19]]);
    assert_eq!(machine(agent(&files, amd64, &Arch::Amd64)), 62);
    assert_eq!(machine(agent(&files, arm64, &Arch::ARM64)), 183);
    // Both layers are in it, though Docker without containerd sees only the first.
    let docker: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    assert_eq!(docker.as_array().unwrap().len(), 1);
}

#[test]
fn names_are_completed_as_docker_does() {
    let files = files(&one().archive(&"probe".parse().unwrap()));
    let docker: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    assert_eq!(docker[0]["RepoTags"][0], "docker.io/library/probe:latest");
}
