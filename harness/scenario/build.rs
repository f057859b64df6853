//! Lists the files of the catalogue and those of known deviations, so that they are compiled into the binary.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    let var = |name: &str| {
        env::var_os(name).map(PathBuf::from).expect("cargo sets the variables of a build script")
    };
    println!("cargo::rerun-if-changed=build.rs");
    for (folder, constant, out) in
        [("scenarios", "FILES", "catalogue.rs"), ("reports/known", "KNOWN", "known.rs")]
    {
        let root = var("CARGO_MANIFEST_DIR").join("../..").join(folder);
        fs::write(var("OUT_DIR").join(out), list(&root, constant)?)?;
    }
    Ok(())
}

/// A constant with the names and texts of all files below a folder.
fn list(root: &Path, constant: &str) -> io::Result<String> {
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    if root.is_dir() {
        walk(root, "", &mut files)?;
    }
    files.sort();
    let mut code = format!("pub(crate) const {constant}: &[(&str, &str)] = &[\n");
    for (name, path) in files {
        println!("cargo::rerun-if-changed={}", path.display());
        let path = path.canonicalize()?;
        code.push_str(&format!("    ({name:?}, include_str!({:?})),\n", path.display().to_string()));
    }
    code.push_str("];\n");
    Ok(code)
}

/// Collects the YAML files below a directory, each with its path relative to the catalogue.
fn walk(dir: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", dir.display());
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{name}/"), files)?;
        } else if name.ends_with(".yaml") || name.ends_with(".yml") {
            files.push((name, entry.path()));
        }
    }
    Ok(())
}
