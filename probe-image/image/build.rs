//! Builds the static agent, so that `verdikt image save` works after a plain `cargo install` or `cargo run`.
//!
//! What is embedded lies in `$OUT_DIR/verdikt-probe`; an empty file means none. A build of verdikt never fails for
//! the agent's sake: only the verb `image` needs it, and that one says what to do.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Names an agent to embed instead of building one; empty: embed none.
const OVERRIDE: &str = "VERDIKT_PROBE_AGENT";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    println!("cargo::rerun-if-env-changed={OVERRIDE}");
    let agent = match env::var_os(OVERRIDE) {
        Some(path) if path.is_empty() => Vec::new(),
        // Clippy runs nothing; cargo gives it a build folder of its own, so nobody else gets this.
        _ if env::var_os("RUSTC_WORKSPACE_WRAPPER").is_some_and(is_clippy) => Vec::new(),
        Some(path) => {
            println!("cargo::rerun-if-changed={}", Path::new(&path).display());
            fs::read(&path).unwrap_or_else(|e| panic!("{OVERRIDE}={}: {e}", Path::new(&path).display()))
        }
        None => build(&out).unwrap_or_else(|why| {
            println!("cargo::warning=no agent embedded, `verdikt image` will need --agent: {why}");
            Vec::new()
        }),
    };
    fs::write(out.join("verdikt-probe"), agent).expect("OUT_DIR can be written");
}

fn is_clippy(wrapper: std::ffi::OsString) -> bool {
    Path::new(&wrapper).file_stem().is_some_and(|name| name == "clippy-driver")
}

/// Builds the agent with a cargo of its own and gives its bytes, or why there are none.
///
/// Its target folder lies in `OUT_DIR`: the outer cargo holds the lock of its own.
fn build(out: &Path) -> Result<Vec<u8>, String> {
    let crate_folder =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let workspace = crate_folder.join("../..");
    let manifest = workspace.join("probe-image/agent/Cargo.toml");
    // `build.rs` is watched only when named, once anything else is.
    println!("cargo::rerun-if-changed=build.rs");
    for source in ["Cargo.lock", "Cargo.toml", "probe-image/agent/Cargo.toml", "probe-image/agent/src"] {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    println!("cargo::rerun-if-changed={}", workspace.join("probe-image/protocol").display());
    if !manifest.exists() {
        return Err(format!("{} is missing; set {OVERRIDE} to a built agent", manifest.display()));
    }

    let target = env::var("TARGET").expect("cargo sets TARGET");
    let folder = out.join("agent");
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets CARGO"));
    cargo
        .args(["build", "--quiet", "--locked", "--package", "verdikt-probe", "--profile", "probe"])
        .args(["--target", &target, "--manifest-path"])
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&folder)
        // A build folder from the user's configuration would be that of the outer cargo.
        .env("CARGO_BUILD_BUILD_DIR", &folder)
        // Incremental compilation and LTO exclude each other.
        .env("CARGO_INCREMENTAL", "0")
        .env("RUSTFLAGS", "-C target-feature=+crt-static -C relocation-model=static");
    // The outer build's flags and wrappers (coverage, clippy) are not the agent's.
    for name in ["CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"] {
        cargo.env_remove(name);
    }
    let output = cargo.output().map_err(|e| format!("cannot start cargo: {e}"))?;
    if !output.status.success() {
        let log = out.join("agent.log");
        fs::write(&log, &output.stderr).map_err(|e| format!("{}: {e}", log.display()))?;
        return Err(format!(
            "it could not be built (a static link needs the C library's archive: libc6-dev on Debian, \
             glibc-static on Fedora); {} has the compiler's words",
            log.display()
        ));
    }
    let agent = folder.join(&target).join("probe/verdikt-probe");
    fs::read(&agent).map_err(|e| format!("{}: {e}", agent.display()))
}
