//! The image: for each architecture a configuration, a layer and a manifest; an index above several.

use std::str::FromStr;

use oci_spec::{
    OciSpecError,
    image::{
        Arch, ConfigBuilder, Descriptor, HistoryBuilder, ImageConfigurationBuilder, ImageIndexBuilder,
        ImageManifestBuilder, MediaType, Os, PlatformBuilder, RootFsBuilder, SCHEMA_VERSION, Sha256Digest,
    },
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{Agent, Architecture, BINARY, layer::layer};

/// The user that the agent runs as unless the pod says otherwise: nobody's, and not root.
const USER: &str = "65532:65532";

/// Where a command such as `verdikt-probe` is looked for.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// When every image was created; the real time would make two images of one agent differ.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// Bytes with what refers to them.
#[derive(Clone)]
pub(crate) struct Blob {
    pub(crate) descriptor: Descriptor,
    pub(crate) bytes: Vec<u8>,
}

impl Blob {
    fn new(media_type: MediaType, bytes: Vec<u8>) -> Self {
        let hex: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let digest = Sha256Digest::from_str(&hex).expect("64 hexadecimal digits");
        Self { descriptor: Descriptor::new(media_type, bytes.len() as u64, digest), bytes }
    }

    fn of_json(media_type: MediaType, document: &impl Serialize) -> Self {
        Self::new(media_type, json(document))
    }

    /// `sha256:…`
    pub(crate) fn digest(&self) -> &str {
        self.descriptor.digest().as_ref()
    }
}

/// JSON with its keys in order: those of maps come in a random one otherwise.
pub(crate) fn json(document: &impl Serialize) -> Vec<u8> {
    let mut value = serde_json::to_value(document).expect("image documents are JSON");
    value.sort_all_objects();
    value.to_string().into_bytes()
}

/// What one architecture has for itself.
#[derive(Clone)]
pub(crate) struct Variant {
    pub(crate) architecture: Architecture,
    pub(crate) config: Blob,
    pub(crate) layer: Blob,
    pub(crate) manifest: Blob,
}

impl Variant {
    fn new(agent: &Agent, version: &str) -> Result<Self, OciSpecError> {
        let layer = Blob::new(MediaType::ImageLayer, layer(agent.binary()));
        let architecture = match agent.architecture() {
            Architecture::Amd64 => Arch::Amd64,
            Architecture::Arm64 => Arch::ARM64,
        };
        let labels = [
            ("org.opencontainers.image.title", BINARY),
            ("org.opencontainers.image.description", "The probe of verdikt"),
            ("org.opencontainers.image.licenses", env!("CARGO_PKG_LICENSE")),
            ("org.opencontainers.image.version", version),
        ];
        let config = ImageConfigurationBuilder::default()
            .created(CREATED)
            .architecture(architecture.clone())
            .os(Os::Linux)
            .config(
                ConfigBuilder::default()
                    .user(USER)
                    .env([PATH.to_owned()])
                    .entrypoint([BINARY.to_owned()])
                    .labels(labels.map(|(key, value)| (key.to_owned(), value.to_owned())))
                    .build()?,
            )
            .rootfs(
                RootFsBuilder::default()
                    .typ("layers")
                    // The layer is not compressed: its digest is also that of its contents.
                    .diff_ids([layer.digest().to_owned()])
                    .build()?,
            )
            .history([HistoryBuilder::default().created(CREATED).created_by("verdikt image").build()?])
            .build()?;
        let config = Blob::of_json(MediaType::ImageConfig, &config);
        let manifest = ImageManifestBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageManifest)
            .config(config.descriptor.clone())
            .layers([layer.descriptor.clone()])
            .build()?;
        let mut manifest = Blob::of_json(MediaType::ImageManifest, &manifest);
        let platform = PlatformBuilder::default().architecture(architecture).os(Os::Linux).build()?;
        manifest.descriptor.set_platform(Some(platform));
        Ok(Self { architecture: agent.architecture(), config, layer, manifest })
    }
}

/// A probe image for one or more architectures.
#[derive(Clone)]
pub struct Image {
    pub(crate) variants: Vec<Variant>,
    /// Over the manifests; absent when there is only one.
    pub(crate) index: Option<Blob>,
}

impl Image {
    /// The image of these agents, at least one and each for another architecture, with a version in its labels.
    ///
    /// # Panics
    ///
    /// When there is no agent.
    pub fn new(agents: &[Agent], version: &str) -> Self {
        assert!(!agents.is_empty(), "an image has at least one agent");
        Self::build(agents, version).expect("every field that the specification requires is set")
    }

    fn build(agents: &[Agent], version: &str) -> Result<Self, OciSpecError> {
        let variants: Vec<Variant> =
            agents.iter().map(|agent| Variant::new(agent, version)).collect::<Result<_, _>>()?;
        let index = match variants.as_slice() {
            [_] => None,
            several => {
                let manifests: Vec<Descriptor> =
                    several.iter().map(|variant| variant.manifest.descriptor.clone()).collect();
                let index = ImageIndexBuilder::default()
                    .schema_version(SCHEMA_VERSION)
                    .media_type(MediaType::ImageIndex)
                    .manifests(manifests)
                    .build()?;
                Some(Blob::of_json(MediaType::ImageIndex, &index))
            }
        };
        Ok(Self { variants, index })
    }

    /// What a reference to the image leads to: the index, or the only manifest.
    pub(crate) fn root(&self) -> &Blob {
        self.index.as_ref().unwrap_or(&self.variants[0].manifest)
    }

    /// The digest that a registry shows for the image: `sha256:…`.
    pub fn digest(&self) -> &str {
        self.root().digest()
    }

    /// What it runs on.
    pub fn architectures(&self) -> Vec<Architecture> {
        self.variants.iter().map(|variant| variant.architecture).collect()
    }
}
