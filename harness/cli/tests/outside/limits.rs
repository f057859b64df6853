//! A machine that lacks something: the verb ends with exit code 3 and says what, or does without. It never panics and
//! never hangs.

use std::{
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::binary::{Said, file, said, scenario, verdikt};

/// Every verb that starts a sandbox.
const VERBS: [&[&str]; 5] = [
    &["run", "-f", "s.yaml"],
    &["doctor"],
    &["bench", "--pods", "4"],
    &["sandbox", "up"],
    &["compare", "sandbox:reference", "sandbox:flannel", "--", "-f", "s.yaml"],
];

/// A folder that everybody may enter, with a scenario in it.
fn folder() -> tempfile::TempDir {
    let open = PermissionsExt::from_mode(0o777);
    let folder = tempfile::Builder::new().permissions(open).tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
    file(folder.path(), "s.yaml", &scenario("", ""));
    folder
}

/// Runs a verb in a folder after a shell has set limits.
fn limited(folder: &Path, limits: &str, args: &[&str], user: Option<u32>) -> Said {
    let mut command = Command::new("/bin/bash");
    command
        .args(["-c", &format!("{limits}; exec \"$@\""), "bash"])
        .arg(if user.is_some() { folder.join("verdikt") } else { env!("CARGO_BIN_EXE_verdikt").into() })
        .args(args)
        .env_clear()
        .env("TMPDIR", folder)
        .current_dir(folder);
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let begun = Instant::now();
    let said = said(command.output().unwrap());
    assert!(begun.elapsed() < Duration::from_secs(40), "{args:?} took {:?}", begun.elapsed());
    said
}

#[track_caller]
fn is_told(said: &Said, args: &[&str], word: &str) {
    let all = format!("{}\n{}", said.stdout, said.stderr);
    assert_eq!(said.code, 3, "{args:?}: {all}");
    assert!(all.contains(word) && !all.contains("panicked"), "{args:?}: no {word:?} in {all}");
}

#[test]
fn too_few_descriptors() {
    let folder = folder();
    for (number, args) in VERBS.into_iter().enumerate() {
        // The first is too little for anything, the second for a sandbox.
        for limit in [12, 50] {
            if number == 0 || limit == 50 {
                let said = limited(folder.path(), &format!("ulimit -n {limit}"), args, None);
                is_told(&said, args, "ulimit -n");
            }
        }
    }
}

#[test]
fn too_few_threads() {
    let user = nix::unistd::Uid::effective().is_root().then_some(54_321);
    let folder = folder();
    // Where others may start it.
    std::fs::copy(env!("CARGO_BIN_EXE_verdikt"), folder.path().join("verdikt")).unwrap();
    for (number, args) in VERBS.into_iter().enumerate() {
        for limit in [1, 2, 12] {
            if number == 0 || limit == 12 {
                let said = limited(folder.path(), &format!("ulimit -u {limit}"), args, user);
                is_told(&said, args, "ulimit -u");
            }
        }
    }
}

#[test]
fn no_folder_for_temporary_files() {
    let folder = folder();
    let path = folder.path().join("s.yaml");
    for args in [&["run", "-f", path.to_str().unwrap()][..], &["doctor"]] {
        let said = said(verdikt(args).env("TMPDIR", "/nonexistent/folder").output().unwrap());
        is_told(&said, args, "set TMPDIR to a folder");
    }
}

#[test]
fn a_full_folder_for_temporary_files() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("full")).unwrap();
    // The first has no room for what pods need, the second none for logs, which a verdict does not need.
    let (run, up) = (&["run", "-f", "s.yaml"][..], &["sandbox", "up"][..]);
    for (blocks, args, code) in [(1, run, 3), (2, run, 0), (1, up, 3)] {
        let mount = format!("mount -t tmpfs -o nr_blocks={blocks},mode=1777 none full");
        let script = format!("{mount} || exit 77; export TMPDIR=$PWD/full; exec \"$@\"");
        let output = Command::new("unshare")
            .args(["--map-root-user", "--mount", "bash", "-c", &script, "bash"])
            .arg(env!("CARGO_BIN_EXE_verdikt"))
            .args(args)
            .current_dir(folder.path())
            .output();
        let Ok(output) = output else {
            eprintln!("left out: there is no unshare");
            return;
        };
        let said = said(output);
        if said.code == 77 || said.stderr.starts_with("unshare:") {
            eprintln!("left out: {}", said.stderr);
            return;
        }
        match code {
            3 => is_told(&said, args, "set TMPDIR to a folder"),
            _ => assert_eq!(said.code, code, "{}\n{}", said.stdout, said.stderr),
        }
    }
}

#[test]
fn no_certificates() {
    let folder = folder();
    let path = folder.path().join("s.yaml");
    let mut command = verdikt(&["run", "-f", path.to_str().unwrap()]);
    let said = said(
        command.env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent").output().unwrap(),
    );
    assert_eq!(said.code, 0, "the sandbox speaks plain HTTP: {}\n{}", said.stdout, said.stderr);
}
