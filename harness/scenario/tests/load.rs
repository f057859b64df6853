//! Files and directories.

use std::{fs, path::PathBuf, time::Instant};

use verdikt_scenario::{LoadError, load};

fn scenario(name: &str, topology: &str) -> String {
    format!(
        "apiVersion: verdikt.dev/v1alpha1\nkind: Scenario\nmetadata: {{name: {name}}}\nspec:\n  summary: s\n  \
         topology: {topology}\n  steps: [{{}}]\n"
    )
}

#[test]
fn directories_are_read_in_order_and_share_topologies_and_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir_all(path("b/deep")).unwrap();
    fs::create_dir_all(path(".git")).unwrap();
    fs::write(path("b/deep/one.yml"), scenario("a/one", "mine")).unwrap();
    fs::write(path("a.yaml"), scenario("a/two", "two-by-two")).unwrap();
    fs::write(path("z.yaml"), scenario("a/one", "mine")).unwrap();
    fs::write(path("notes.txt"), "not yaml: [").unwrap();
    fs::write(path(".git/x.yaml"), "not yaml: [").unwrap();
    fs::write(
        path("topology.yaml"),
        "apiVersion: verdikt.dev/v1alpha1\nkind: Topology\nmetadata: {name: mine}\nspec: {namespaces: {x: {pods: {a: }}}}\n",
    )
    .unwrap();
    let loaded = load(&[dir.path().into(), path("a.yaml")]).unwrap();
    let names: Vec<&str> = loaded.scenarios.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["a/two", "a/one"], "{:?}", loaded.diagnostics);
    assert!(loaded.scenarios[1].source.ends_with("b/deep/one.yml"));
    let [duplicate] = loaded.diagnostics.as_slice() else { panic!("{:?}", loaded.diagnostics) };
    assert_eq!((duplicate.code, duplicate.line, duplicate.column), ("scenario/duplicate-name", 3, 18));
    assert!(duplicate.file.ends_with("z.yaml"));
    assert!(duplicate.help.as_ref().is_some_and(|help| help.contains("one.yml:3:18")), "{duplicate:?}");
}

#[test]
fn what_cannot_be_read_is_an_error_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("empty")).unwrap();
    fs::write(path("latin.yaml"), b"a: \xe4\n").unwrap();
    fs::File::create(path("large.yaml")).unwrap().set_len(50 * 1024 * 1024).unwrap();
    let error = |path: PathBuf| load(&[path]).unwrap_err();
    let start = Instant::now();
    assert!(matches!(error(path("large.yaml")), LoadError::TooLarge { .. }));
    assert!(start.elapsed().as_millis() < 500, "a large file is refused without reading it");
    for (name, part) in
        [("nothing.yaml", "no such file"), ("empty", "no file named"), ("latin.yaml", "no UTF-8")]
    {
        let text = error(path(name)).to_string();
        assert!(text.contains(part) && text.contains(name), "{text}");
    }
}

#[test]
fn an_empty_file_is_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("empty.yaml");
    fs::write(&file, "").unwrap();
    let loaded = load(&[file]).unwrap();
    assert!(loaded.scenarios.is_empty());
    assert_eq!(loaded.diagnostics.iter().map(|d| d.code).collect::<Vec<_>>(), ["scenario/empty"]);
}

#[test]
fn a_file_of_a_folder_that_cannot_be_read_keeps_the_others_from_nothing() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("good.yaml"), scenario("a/one", "two-by-two")).unwrap();
    fs::write(dir.path().join("latin.yaml"), b"a: \xe4\n").unwrap();
    fs::File::create(dir.path().join("large.yaml")).unwrap().set_len(50 * 1024 * 1024).unwrap();
    let loaded = load(&[dir.path().into()]).unwrap();
    assert_eq!(loaded.scenarios.len(), 1);
    let told: Vec<String> = loaded.unreadable.iter().map(ToString::to_string).collect();
    assert!(told[0].contains("large.yaml") && told[1].contains("latin.yaml"), "{told:?}");
}
