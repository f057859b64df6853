//! Who is not let in at all: an expired token, a certificate of another CA, a context that is not there.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::{
    binary::run,
    head::Head,
    lab::{CONTEXT, kubeconfig, through},
    proxy::{respond, status},
};

// Valid from 2000 to 2100, for 127.0.0.1, and worth nothing outside of this test.
const SERVER: &[u8] = include_bytes!("tls/server.pem");
const KEY: &[u8] = include_bytes!("tls/server.key");
const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rights/tls");

/// A server that knows nobody, behind TLS or not.
fn stranger(tls: bool) -> SocketAddr {
    let provider = rustls::crypto::ring::default_provider();
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(SERVER).unwrap()],
            PrivateKeyDer::from_pem_slice(KEY).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            thread::spawn(move || {
                if tls {
                    let session = ServerConnection::new(config).unwrap();
                    refuse(StreamOwned::new(session, client));
                } else {
                    refuse::<TcpStream>(client);
                }
            });
        }
    });
    address
}

fn refuse<S: Read + Write>(mut stream: S) {
    // A client that does not trust us sends nothing more.
    if let Ok(Some(_)) = Head::read(&mut stream) {
        let _ = respond(&mut stream, "401 Unauthorized", &status(401, "Unauthorized", "Unauthorized"));
    }
}

#[track_caller]
fn exits_3(cluster: &str, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let config = kubeconfig(folder.path(), "config", cluster, "expired");
    for verb in [&["run", "default-deny-ingress"][..], &["doctor"], &["clean"]] {
        let said = through(&config, verb);
        assert_eq!(said.code, 3, "{verb:?}: {}{}", said.stdout, said.stderr);
        let text = format!("{}{}", said.stdout, said.stderr);
        for word in words {
            assert!(text.contains(word), "{verb:?}: no `{word}` in:\n{text}");
        }
    }
}

#[test]
fn an_expired_token() {
    let server = format!("http://{}", stranger(false));
    exits_3(&format!("server: '{server}'"), &[&server, "refuses the credentials", "renew the token"]);
}

#[test]
fn a_wrong_ca() {
    let server = format!("https://{}", stranger(true));
    let of = |ca: &str| format!("server: '{server}', certificate-authority: '{TLS}/{ca}'");
    exits_3(&of("other-ca.pem"), &["TLS", &server, "UnknownIssuer", "certificate-authority-data"]);
    // With the right one it gets as far as the token.
    exits_3(&of("server.pem"), &["refuses the credentials"]);
}

#[test]
fn a_context_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let config = kubeconfig(folder.path(), "config", "server: 'http://127.0.0.1:1'", "t");
    for verb in ["run", "doctor", "clean"] {
        let said = run(&[verb, "--context", "near", "--kubeconfig", config.to_str().unwrap()]);
        assert_eq!(said.code, 3, "{verb}: {}{}", said.stdout, said.stderr);
        let text = format!("{}{}", said.stdout, said.stderr);
        for word in ["near", CONTEXT, "--context"] {
            assert!(text.contains(word), "{verb}: no `{word}` in:\n{text}");
        }
    }
}
