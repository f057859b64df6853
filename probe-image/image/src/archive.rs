//! The archive: an OCI image layout with Docker's own manifest beside it, in one tar.

use std::collections::BTreeMap;

use oci_spec::image::{ANNOTATION_REF_NAME, ImageIndexBuilder, MediaType, OciLayoutBuilder, SCHEMA_VERSION};
use serde_json::json;
use tar::EntryType;

use crate::{
    Image, Reference,
    image::{Blob, json},
    layer::append,
};

/// What containerd calls an image by when it imports an archive; `ref.name` alone would be a mere tag to it.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

impl Image {
    /// The image as `docker load`, `ctr images import`, `kind load image-archive`, `podman load` and skopeo
    /// (`oci-archive:`, `docker-archive:`) read it. They will know it by `name`, whose digest, if any, is ignored.
    pub fn archive(&self, name: &Reference) -> Vec<u8> {
        let name = tagged(name);
        let blobs: BTreeMap<&str, &[u8]> = self
            .variants
            .iter()
            .flat_map(|variant| [&variant.config, &variant.layer, &variant.manifest])
            .chain(&self.index)
            .map(|blob| (hex(blob), blob.bytes.as_slice()))
            .collect();

        let mut tar = tar::Builder::new(Vec::new());
        let mut file = |path: &str, bytes: &[u8]| append(&mut tar, EntryType::Regular, 0o644, path, bytes);
        file("oci-layout", &layout());
        file("index.json", &self.entry(&name));
        file("manifest.json", &self.docker_manifest(&name));
        append(&mut tar, EntryType::Directory, 0o755, "blobs/", &[]);
        append(&mut tar, EntryType::Directory, 0o755, "blobs/sha256/", &[]);
        for (hex, bytes) in blobs {
            append(&mut tar, EntryType::Regular, 0o644, &path(hex), bytes);
        }
        tar.into_inner().expect("a vector takes everything")
    }

    /// `index.json`: the image with its name.
    fn entry(&self, name: &Reference) -> Vec<u8> {
        let mut descriptor = self.root().descriptor.clone();
        let whole = name.whole();
        let annotations = [
            (CONTAINERD_NAME.to_owned(), whole),
            (ANNOTATION_REF_NAME.to_owned(), name.tag().unwrap_or("latest").to_owned()),
        ];
        descriptor.set_annotations(Some(annotations.into()));
        let index = ImageIndexBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageIndex)
            .manifests([descriptor])
            .build()
            .expect("every required field is set");
        json(&index)
    }

    /// `manifest.json`, for Docker without the containerd image store: it knows one architecture a name, so this is
    /// the first. Where there is an OCI layout, newer readers take that instead.
    fn docker_manifest(&self, name: &Reference) -> Vec<u8> {
        let first = &self.variants[0];
        json(&json!([{
            "Config": path(hex(&first.config)),
            "RepoTags": [name.whole()],
            "Layers": [path(hex(&first.layer))],
        }]))
    }
}

/// `oci-layout`
fn layout() -> Vec<u8> {
    json(&OciLayoutBuilder::default().image_layout_version("1.0.0").build().expect("it has no other field"))
}

fn tagged(name: &Reference) -> Reference {
    let tag = name.tag().unwrap_or("latest");
    Reference::with_tag(name.registry().to_owned(), name.repository().to_owned(), tag.to_owned())
}

fn hex(blob: &Blob) -> &str {
    blob.descriptor.as_digest_sha256().expect("blobs are addressed by SHA-256")
}

fn path(hex: &str) -> String {
    format!("blobs/sha256/{hex}")
}
