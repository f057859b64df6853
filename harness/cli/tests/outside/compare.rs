//! Comparisons of records, and of dataplanes that are run for it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::binary::{file, run};

/// A record of an older version, measured on a real cluster.
fn sample(name: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports/samples").join(name);
    path.to_str().unwrap().to_owned()
}

#[test]
fn live_dataplanes_are_run_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let other = "sandbox:reference+ignores-end-port+cuts-established";
    let args =
        ["compare", "sandbox:reference", other, "--keep-records", kept.to_str().unwrap(), "-o", "json"];
    let chosen =
        ["--", "-q", "ports/end-port-tcp", "lifecycle/held-connections-and-a-new-denial", "--settle", "1s"];
    let told = run(&[&args[..], &chosen[..]].concat());
    assert_eq!(told.code, 1, "{}", told.stderr);
    let json: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(json["schema"], "verdikt.dev/compare/v1");
    let patterns = json["comparisons"][0]["patterns"].as_array().unwrap();
    let topics: Vec<&str> = patterns.iter().map(|p| p["topic"].as_str().unwrap_or_default()).collect();
    assert_eq!(topics, ["end-port", "established"], "{}", told.stdout);
    assert_eq!((&patterns[0]["change"], &patterns[1]["change"]), (&"new".into(), &"changed".into()));

    // The same from the records that were kept, in the other order: what was new is fixed.
    let mut records: Vec<String> =
        kept.read_dir().unwrap().map(|entry| entry.unwrap().path().to_str().unwrap().to_owned()).collect();
    records.sort();
    assert_eq!(records.len(), 2, "{records:?}");
    let back = run(&["compare", &records[1], &records[0]]);
    assert_eq!(back.code, 0, "{}{}", back.stdout, back.stderr);
    assert!(back.stdout.contains("ranges of ports (endPort) (fixed)"), "{}", back.stdout);
    assert_eq!(run(&["compare", &records[1], &records[0], "--fail-on", "any"]).code, 1);
    assert_eq!(run(&["compare", &records[0], &records[1], "--fail-on", "none"]).code, 0);
    assert_eq!(run(&["compare", &records[0], &records[0], "--fail-on", "any"]).code, 0);
}

#[test]
fn records_of_real_dataplanes_are_compared_with_one_reference() {
    let told = run(&["compare", &sample("calico.json"), &sample("cilium.json"), &sample("none.json")]);
    assert_eq!(told.code, 1, "{}", told.stderr);
    for part in ["reference  calico", "other      cilium", "whether policies are enforced (new)"] {
        assert!(told.stdout.contains(part), "{part}: {}", told.stdout);
    }
    let markdown = run(&[
        "compare",
        &sample("calico.json"),
        &sample("cilium.json"),
        "-o",
        "markdown",
        "--fail-on",
        "none",
    ]);
    assert_eq!(markdown.code, 0, "{}", markdown.stderr);
    assert!(markdown.stdout.starts_with("## cilium against calico"), "{}", markdown.stdout);
}

#[test]
fn what_cannot_be_compared_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let good = sample("calico.json");
    let none = run(&["compare", &good, &path("nosuch.json")]);
    assert_eq!(none.code, 2);
    assert!(none.stderr.contains("cannot read the record"), "{}", none.stderr);
    file(folder.path(), "bad.json", "{}");
    assert_eq!(run(&["compare", &path("bad.json"), &good]).code, 2);
    let profile = run(&["compare", "sandbox:referense", &good]);
    assert_eq!(profile.code, 2);
    assert!(profile.stderr.contains("did you mean `reference`?"), "{}", profile.stderr);
    let context = run(&["compare", "context:nosuch", &good, "--", "--kubeconfig", &path("kubeconfig")]);
    assert_eq!(context.code, 3, "{}", context.stderr);
    assert!(
        context.stderr.contains("the run of context:nosuch did not come to an end"),
        "{}",
        context.stderr
    );

    // Options for what is run now, and nothing is.
    let records = run(&["compare", &good, &good, "--", "basics/"]);
    assert_eq!(
        (records.code, records.stderr.contains("all sides are records")),
        (2, true),
        "{}",
        records.stderr
    );
    let kept = run(&["compare", &good, &good, "--keep-records", &path("kept")]);
    assert_eq!((kept.code, kept.stderr.contains("--keep-records")), (2, true), "{}", kept.stderr);

    // A run that was cut short.
    let mut cut: Value = serde_json::from_str(&std::fs::read_to_string(&good).unwrap()).unwrap();
    cut["run"]["planned"] = cut["scenarios"].as_array().unwrap().len().into();
    cut["scenarios"].as_array_mut().unwrap().truncate(9);
    file(folder.path(), "cut.json", &cut.to_string());
    let told = run(&["compare", &good, &path("cut.json")]);
    assert_eq!(told.code, 5, "{}{}", told.stdout, told.stderr);
    assert!(told.stdout.contains("the run was cut short"), "{}", told.stdout);

    // Nothing that both have.
    let mut record: Value = serde_json::from_str(&std::fs::read_to_string(&good).unwrap()).unwrap();
    record["scenarios"] = Value::Array(Vec::new());
    file(folder.path(), "empty.json", &record.to_string());
    let empty = run(&["compare", &good, &path("empty.json")]);
    assert_eq!(empty.code, 4, "{}", empty.stderr);
    assert!(empty.stderr.contains("nothing was compared"), "{}", empty.stderr);
}

#[test]
fn an_interrupt_leaves_no_records_behind() {
    let folder = tempfile::tempdir().unwrap();
    let ours = || {
        let names = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("verdikt-compare-")).count()
    };
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let wait = |done: &dyn Fn() -> bool| {
        while !done() {
            assert!(std::time::Instant::now() < until, "it takes too long");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    let mut compare = std::process::Command::new(env!("CARGO_BIN_EXE_verdikt"))
        .args(["compare", "sandbox:reference", "sandbox:flannel", "--", "-q", "basics/"])
        .env("TMPDIR", folder.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait(&|| ours() == 1);
    let pid = nix::unistd::Pid::from_raw(compare.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(compare.wait().unwrap().code(), Some(130));
    assert_eq!(ours(), 0);
    // What was run for it ends, too, and takes its own folder with it.
    wait(&|| folder.path().read_dir().unwrap().next().is_none());
}
