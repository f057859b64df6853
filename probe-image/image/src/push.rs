//! The way to a registry, by the OCI distribution protocol.

use std::{net::IpAddr, time::Duration};

use oci_client::{
    Client, RegistryOperation,
    client::{ClientConfig, ClientProtocol},
    errors::OciDistributionError,
};

use crate::{Credentials, Image, PushError, Reference, image::Blob, refusal::is_unreachable};

/// How to speak to a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// HTTPS. With a registry on this machine, as Docker does: HTTPS with any certificate, else plain HTTP.
    #[default]
    Auto,
    /// HTTPS with whatever certificate the registry shows.
    Insecure,
    /// Plain HTTP.
    Plain,
}

/// A registry, and who we are to it.
#[derive(Debug, Clone)]
pub struct Registry {
    /// How to speak to it.
    pub transport: Transport,
    /// Who we are.
    pub credentials: Credentials,
}

impl Registry {
    /// Pushes the image under this name: every blob, every manifest, and last what the name refers to, so that the
    /// name never leads to something that is not complete.
    ///
    /// # Errors
    ///
    /// When the registry cannot be reached or refuses.
    pub async fn push(&self, image: &Image, name: &Reference) -> Result<(), PushError> {
        let refused = |error| PushError::new(name, &self.credentials, error);
        let client = self.connect(name).await.map_err(refused)?;
        for variant in &image.variants {
            for blob in [&variant.layer, &variant.config] {
                client.push_blob(name, blob.bytes.clone(), blob.digest()).await.map_err(refused)?;
            }
            if image.index.is_some() {
                let manifest = &variant.manifest;
                push_manifest(&client, name, manifest.digest(), manifest).await.map_err(refused)?;
            }
        }
        push_manifest(&client, name, name.tag().unwrap_or("latest"), image.root()).await.map_err(refused)
    }

    /// A client that the registry has let in.
    async fn connect(&self, name: &Reference) -> Result<Client, OciDistributionError> {
        // Another part of the process may have installed the provider; then it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // On a machine without any CA certificate the library panics while it makes a client that needs none; one
        // that needs them is an error.
        Client::try_from(ClientConfig::default())?;
        let local = is_local(name.registry());
        // Where nobody can vouch for the other end anyhow, no certificate is asked for, not even from the token
        // server that it names.
        let verify = self.transport == Transport::Auto && !local;
        if self.transport != Transport::Plain {
            match self.let_in(name, ClientProtocol::Https, verify).await {
                Err(error) if self.transport == Transport::Auto && local && is_unreachable(&error) => {}
                end => return end,
            }
        }
        self.let_in(name, ClientProtocol::Http, verify).await
    }

    async fn let_in(
        &self,
        name: &Reference,
        protocol: ClientProtocol,
        verify: bool,
    ) -> Result<Client, OciDistributionError> {
        let client = Client::try_from(ClientConfig {
            protocol,
            accept_invalid_certificates: !verify,
            // One request a blob: they are small, and not every registry takes chunks.
            use_monolithic_push: true,
            connect_timeout: Some(Duration::from_secs(10)),
            read_timeout: Some(Duration::from_secs(60)),
            user_agent: concat!("verdikt/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        })?;
        client.auth(name, &self.credentials.to_auth(), RegistryOperation::Push).await?;
        Ok(client)
    }
}

async fn push_manifest(
    client: &Client,
    name: &Reference,
    tag_or_digest: &str,
    manifest: &Blob,
) -> Result<(), OciDistributionError> {
    let media_type = manifest.descriptor.media_type().to_string();
    // A digest in the place of a tag makes the same URL; the library panics over a reference with a digest when the
    // registry's answer has no location.
    let target = Reference::with_tag(
        name.registry().to_owned(),
        name.repository().to_owned(),
        tag_or_digest.to_owned(),
    );
    let media_type = media_type.parse().expect("media types are header values");
    client.push_manifest_raw(&target, manifest.bytes.clone(), media_type).await.map(drop)
}

/// Whether a registry (`host` or `host:port`) is on this machine.
fn is_local(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => host,
        _ => registry,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn registries_on_this_machine() {
        for local in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.1.2.3", "[::1]:5000"] {
            assert!(is_local(local), "{local}");
        }
        for far in ["ghcr.io", "registry:5000", "10.0.0.1:5000", "localhost.example.org"] {
            assert!(!is_local(far), "{far}");
        }
    }
}
