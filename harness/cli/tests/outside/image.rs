//! `verdikt image`: the archive, the names, and a registry that refuses.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
};

use serde_json::Value;

use crate::binary::{Said, file, run, said, verdikt};

#[test]
fn save_writes_the_same_archive_every_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("probe.tar");
    let to_file = run(&["image", "save", "-o", path.to_str().unwrap()]);
    assert_eq!(to_file.code, 0, "{}", to_file.stderr);
    assert!(to_file.stdout.is_empty() && to_file.stderr.contains("linux/"), "{}", to_file.stderr);
    let archive = std::fs::read(&path).unwrap();
    assert!(archive.len() < 4 << 20);
    let to_stdout = verdikt(&["-q", "image", "save"]).output().unwrap();
    assert!(to_stdout.stdout == archive, "standard output and file differ");
    assert!(to_stdout.stderr.is_empty());

    // What `list` says is what `save` has written.
    let names = run(&["image", "list"]);
    let name = names.stdout.trim();
    assert_eq!((names.code, names.stdout.lines().count()), (0, 1));
    let listed: Value = serde_json::from_str(&run(&["image", "list", "-o", "json"]).stdout).unwrap();
    let digest = listed["images"][0]["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    assert_eq!(listed["images"][0]["reference"], name);
    for word in [name, digest] {
        assert!(archive.windows(word.len()).any(|bytes| bytes == word.as_bytes()), "no {word}");
    }
}

#[test]
fn an_archive_has_the_name_that_it_is_given() {
    let name = "registry.example.org/net/probe:7";
    let archive = verdikt(&["image", "save", "-t", name, "-o", "-"]).output().unwrap();
    assert!(archive.status.success());
    assert!(archive.stdout.windows(name.len()).any(|bytes| bytes == name.as_bytes()));
}

#[track_caller]
fn refused(said: &Said, code: i32, words: &[&str]) {
    assert_eq!(said.code, code, "{}", said.stderr);
    for word in words {
        assert!(said.stderr.contains(word), "no `{word}` in:\n{}", said.stderr);
    }
}

#[test]
fn mistakes_in_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let script = file(folder.path(), "agent.sh", "#!/bin/sh\n");
    let agent = |path: &Path| format!("amd64={}", path.display());
    refused(
        &run(&["image", "save", "--agent", &agent(&script)]),
        2,
        &["agent.sh", "no ELF executable", "crt-static"],
    );
    // An unoptimised verdikt would be too large; a shell is linked dynamically, too.
    let dynamic = agent(&Path::new("/bin/sh").canonicalize().unwrap());
    if cfg!(target_arch = "x86_64") {
        refused(&run(&["image", "save", "--agent", &dynamic]), 2, &["dynamically"]);
    }
    let large = folder.path().join("large");
    std::fs::File::create(&large).unwrap().set_len(65 << 20).unwrap();
    refused(&run(&["image", "save", "--agent", &agent(&large)]), 2, &["larger than 64 MiB"]);
    refused(&run(&["image", "list", "--agent", "amd64=/nonexistent/a"]), 2, &["/nonexistent/a"]);
    refused(&run(&["image", "save", "--agent", "riscv=x"]), 2, &["amd64 and arm64"]);
    refused(&run(&["image", "save", "-t", "r.example.org/UPPER"]), 2, &["UPPER"]);
    refused(&run(&["image", "save", "-o", "/nonexistent/probe.tar"]), 2, &["/nonexistent/probe.tar"]);
    let digest = format!("r.example.org/a@sha256:{}", "0".repeat(64));
    refused(&run(&["image", "push", &digest]), 2, &["a name with a tag"]);
    refused(&run(&["image", "push", "r.example.org/a", "--username", "u"]), 2, &["--password-stdin"]);
}

#[test]
fn an_architecture_whose_agent_is_not_at_hand() {
    // The test's build folder has no `verdikt-probe-<arch>` either.
    let foreign = if cfg!(target_arch = "aarch64") { "amd64" } else { "arm64" };
    let words = ["--profile probe", "--target", &format!("--agent {foreign}=PATH")];
    refused(&run(&["image", "save", "--arch", foreign]), 3, &words);
}

/// A registry that asks for a password and takes none. Gives its address and the credentials it has seen.
fn unforgiving() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
                if let Some(value) = line.to_lowercase().strip_prefix("authorization: ") {
                    let value = line[line.len() - value.len()..].to_owned();
                    shared.lock().unwrap().push(value);
                }
            }
            let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"no \u001b[31mway"}]}"#;
            let head =
                "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nConnection: close\r\n";
            let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    (address, seen)
}

#[test]
fn credentials_come_from_the_command_line_or_from_a_login() {
    let (address, seen) = unforgiving();
    let reference = format!("{address}/probe:1");
    let nobody = run(&["image", "push", &reference, "--plain-http"]);
    refused(&nobody, 3, &[&address, "401", "UNAUTHORIZED", &format!("docker login {address}")]);
    assert!(!nobody.stderr.contains('\u{1b}'), "{:?}", nobody.stderr);
    assert!(seen.lock().unwrap().is_empty());

    let mut child = verdikt(&["image", "push", &reference, "--username", "me", "--password-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"hunter2\n").unwrap();
    let given = said(child.wait_with_output().unwrap());
    refused(&given, 3, &["`me`"]);
    assert!(!given.stderr.contains("hunter2"), "{}", given.stderr);
    assert_eq!(seen.lock().unwrap().drain(..).collect::<Vec<_>>(), ["Basic bWU6aHVudGVyMg=="], "me:hunter2");

    let folder = tempfile::tempdir().unwrap();
    let with_login = |config: &str| {
        file(folder.path(), "config.json", config);
        said(
            verdikt(&["image", "push", &reference, "--plain-http"])
                .env("DOCKER_CONFIG", folder.path())
                .output()
                .unwrap(),
        )
    };
    // `docker login` writes user and password as base64 of `user:password`.
    let auths = format!(r#"{{"auths": {{"{address}": {{"auth": "eW91OnBhc3M="}}}}}}"#);
    refused(&with_login(&auths), 3, &["`you`"]);
    assert_eq!(seen.lock().unwrap().drain(..).collect::<Vec<_>>(), ["Basic eW91OnBhc3M="]);
    refused(&with_login("{"), 3, &["config.json", "--password-stdin"]);
    let helper = format!(r#"{{"credHelpers": {{"{address}": "nosuch"}}}}"#);
    refused(&with_login(&helper), 3, &["helper"]);
}

#[test]
fn a_registry_that_is_not_there() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    refused(&run(&["image", "push", &format!("{port}/probe:1")]), 3, &[&port.to_string(), "refused"]);
}
