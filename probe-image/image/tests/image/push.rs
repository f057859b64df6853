//! Pushing, to registries that let us in and to others.

use verdikt_image::{Credentials, Image, PushError, Reference, Registry, Transport};

use crate::{
    one,
    registry::{Door, Stub, digest_of},
    two,
};

fn user(password: &str) -> Credentials {
    Credentials::User { name: "user".into(), password: password.into() }
}

async fn push(
    image: &Image,
    registry: &str,
    transport: Transport,
    credentials: Credentials,
) -> Result<(), PushError> {
    let name: Reference = format!("{registry}/mirror/probe:1").parse().unwrap();
    Registry { transport, credentials }.push(image, &name).await
}

#[tokio::test]
async fn whoever_is_let_in_pushes_all_of_it() {
    for (door, credentials) in
        [(Door::Open, Credentials::Anonymous), (Door::Basic, user("secret")), (Door::Bearer, user("secret"))]
    {
        let stub = Stub::start(door).await;
        // `Auto`: the stub is on this machine and speaks no TLS.
        push(&one(), &stub.address, Transport::Auto, credentials).await.unwrap();
        let contents = stub.contents.lock().unwrap();
        assert_eq!(contents.blobs.len(), 2, "{door:?}: a layer and a configuration");
        let (media_type, manifest) = &contents.manifests["mirror/probe@1"];
        assert_eq!(media_type, "application/vnd.oci.image.manifest.v1+json");
        assert_eq!(digest_of(manifest), one().digest());
    }
}

#[tokio::test]
async fn an_index_comes_after_its_manifests() {
    let stub = Stub::start(Door::Open).await;
    let image = two();
    push(&image, &stub.address, Transport::Plain, Credentials::Anonymous).await.unwrap();
    let contents = stub.contents.lock().unwrap();
    assert_eq!(contents.blobs.len(), 4);
    assert_eq!(contents.manifests.len(), 3);
    let (media_type, index) = &contents.manifests["mirror/probe@1"];
    assert_eq!(media_type, "application/vnd.oci.image.index.v1+json");
    assert_eq!(digest_of(index), image.digest());
    assert!(contents.log.last().unwrap().ends_with("/manifests/1"), "{:?}", contents.log);
}

#[tokio::test]
async fn wrong_and_missing_credentials() {
    for door in [Door::Basic, Door::Bearer] {
        let stub = Stub::start(door).await;
        let error = push(&one(), &stub.address, Transport::Auto, Credentials::Anonymous).await.unwrap_err();
        assert!(error.help.contains(&format!("docker login {}", stub.address)), "{error}");
        let error = push(&one(), &stub.address, Transport::Auto, user("hunter2")).await.unwrap_err();
        assert!(error.help.contains("`user`"), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(stub.contents.lock().unwrap().blobs.is_empty());
    }
}

#[tokio::test]
async fn a_registry_that_refuses_is_quoted() {
    for (code, help) in [(403, "docker login"), (404, "project"), (503, "later"), (405, "OCI images")] {
        let stub = Stub::start(Door::Refuses(code)).await;
        let error = push(&one(), &stub.address, Transport::Auto, Credentials::Anonymous).await.unwrap_err();
        assert_eq!(error.registry, stub.address);
        assert!(error.said.contains(&code.to_string()) && error.said.contains("DENIED"), "{error}");
        assert!(error.help.contains(help), "{error}");
    }
}

#[tokio::test]
async fn nobody_is_there_or_speaks_otherwise() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = push(&one(), &port.to_string(), Transport::Auto, Credentials::Anonymous).await.unwrap_err();
    assert!(error.said.contains("refused"), "{error}");
    // TLS to a registry that has none, as a remote one would be spoken to.
    let stub = Stub::start(Door::Open).await;
    let error = push(&one(), &stub.address, Transport::Insecure, Credentials::Anonymous).await.unwrap_err();
    assert!(error.help.contains("--plain-http"), "{error}");
}
