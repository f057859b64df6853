//! Runs in parts, runs that are gone on with, and what the check before them says, through a named context.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::binary::{Said, file, run, said, scenario, verdikt};

/// A sandbox in the background, reached as a real cluster is.
struct Up {
    folder: tempfile::TempDir,
}

impl Up {
    fn start(profile: &str) -> Self {
        let up = Self { folder: tempfile::tempdir().unwrap() };
        let started = said(up.verdikt(&["sandbox", "up", profile]).output().unwrap());
        assert_eq!(started.code, 0, "{}", started.stderr);
        up
    }

    fn verdikt(&self, args: &[&str]) -> std::process::Command {
        let mut command = verdikt(args);
        command.env("XDG_RUNTIME_DIR", self.folder.path()).env("TMPDIR", self.folder.path());
        command
    }

    /// `verdikt run` on it.
    fn run(&self, args: &[&str]) -> Said {
        let kubeconfig = self.folder.path().join("verdikt/kubeconfig");
        let target = ["run", "--context", "verdikt-sandbox", "--kubeconfig", kubeconfig.to_str().unwrap()];
        said(self.verdikt(&[&target, args].concat()).output().unwrap())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.verdikt(&["sandbox", "down"]).output();
    }
}

fn record(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn names(record: &Value) -> Vec<String> {
    let scenarios = record["scenarios"].as_array().unwrap();
    let mut names: Vec<String> =
        scenarios.iter().map(|scenario| scenario["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn parts_are_merged_to_the_whole_and_a_missing_one_is_told() {
    let up = Up::start("reference");
    let path = |name: &str| up.folder.path().join(name);
    let part = |index: u32| {
        let (partition, out) = (format!("{index}/2"), path(&format!("{index}.json")));
        let said = up.run(&["basics/", "--partition", &partition, "--record", out.to_str().unwrap()]);
        assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
        out.to_str().unwrap().to_owned()
    };
    let (one, two) = (part(1), part(2));
    let first = record(Path::new(&one));
    assert_eq!(first["run"]["partition"], "1/2");
    assert_eq!(first["environment"]["enforcement"]["enforced"], "yes");
    let whole = path("whole.json");
    let junit = path("whole.xml");
    let said = run(&[
        "merge",
        &one,
        &two,
        "--record",
        whole.to_str().unwrap(),
        "--export-junit",
        junit.to_str().unwrap(),
    ]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.contains("of 2 runs"), "{}", said.stdout);
    let listed = run(&["list", "basics/", "-o", "name"]);
    let mut expected: Vec<&str> = listed.stdout.lines().collect();
    expected.sort_unstable();
    let whole = record(&whole);
    assert_eq!(names(&whole), expected);
    assert_eq!(whole["run"]["planned"], expected.len());
    assert_eq!(whole["summary"]["scenarios"]["passed"], expected.len());
    assert!(std::fs::read_to_string(junit).unwrap().contains("<testsuite"));

    let half = run(&["merge", &one]);
    assert_eq!(half.code, 5, "{}", half.stderr);
    assert!(half.stderr.contains("no record is of partition 2/2"), "{}", half.stderr);
    let twice = run(&["merge", &one, &two, &two]);
    assert_eq!(twice.code, 2);
    assert!(twice.stderr.contains("nothing is counted twice"), "{}", twice.stderr);
    let strange = file(up.folder.path(), "strange.json", "{}");
    let strange = run(&["merge", strange.to_str().unwrap()]);
    assert_eq!(strange.code, 2);
    assert!(strange.stderr.contains("is no record of verdikt"), "{}", strange.stderr);
}

#[test]
fn a_run_goes_on_where_its_record_ends() {
    let up = Up::start("reference");
    let path = up.folder.path().join("run.json");
    let text = path.to_str().unwrap();
    assert_eq!(up.run(&["basics/", "--record", text]).code, 0);
    let whole = record(&path);
    // As `kill -9` after two scenarios leaves it.
    let mut cut = whole.clone();
    cut["scenarios"].as_array_mut().unwrap().truncate(2);
    std::fs::write(&path, cut.to_string()).unwrap();
    assert_eq!(run(&["merge", text]).code, 5);

    let said = up.run(&["basics/", "--resume", text]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    let resumed = record(&path);
    assert_eq!(names(&resumed), names(&whole));
    assert_eq!(resumed["scenarios"][0], whole["scenarios"][0]);
    assert_eq!(resumed["scenarios"][1], whole["scenarios"][1]);
    assert_eq!(resumed["run"]["others"][0], whole["run"]["id"]);
    assert_ne!(resumed["run"]["id"], whole["run"]["id"]);
    assert_eq!(resumed["summary"], whole["summary"]);

    let elsewhere = said_of_elsewhere(text);
    assert_eq!(elsewhere.code, 2, "{}", elsewhere.stderr);
    assert!(elsewhere.stderr.contains("cannot resume: in the record the target is"), "{}", elsewhere.stderr);
}

#[test]
fn a_scenario_that_has_changed_is_measured_again_and_proofs_are_not_lost() {
    let up = Up::start("reference");
    let one = file(up.folder.path(), "one.yaml", &scenario("", ""));
    let (one, path) = (one.to_str().unwrap(), up.folder.path().join("run.json"));
    let text = path.to_str().unwrap();
    assert_eq!(up.run(&["-f", one, "--record", text]).code, 0);
    let first = record(&path)["scenarios"][0].clone();
    // The same names, but now the policy lets everybody in.
    file(
        up.folder.path(),
        "one.yaml",
        &scenario("ingress: []", "ingress: [{}]").replace("deny: [", "allow: ["),
    );
    let said = up.run(&["-f", one, "--resume", text]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    let second = record(&path)["scenarios"][0].clone();
    assert_ne!(first["digest"], second["digest"]);
    let cell = |record: &Value| {
        let cells = record["steps"][0]["cells"].as_array().unwrap().clone();
        cells.iter().find(|cell| cell["from"] == "x/b" && cell["to"] == "x/a").unwrap()["observed"].clone()
    };
    assert_eq!((cell(&first), cell(&second)), ("dropped".into(), "allowed".into()));

    let other = up.run(&["basics/no-policy-all-open", "--resume", text]);
    assert_eq!(other.code, 2, "{}", other.stderr);
    assert!(other.stderr.contains("would lose them"), "{}", other.stderr);
    assert_eq!(record(&path)["scenarios"][0], second);
}

#[test]
fn what_a_killed_run_leaves_is_cleaned_while_another_goes_on() {
    let up = Up::start("reference");
    let kubeconfig = up.folder.path().join("verdikt/kubeconfig");
    let target = ["--context", "verdikt-sandbox", "--kubeconfig", kubeconfig.to_str().unwrap()];
    let clean = |args: &[&str]| said(up.verdikt(&[&["clean"], &target[..], args].concat()).output().unwrap());
    let killed = up.folder.path().join("killed.json");
    let run = ["run", "basics/", "--record", killed.to_str().unwrap()];
    let mut child = up
        .verdikt(&[&run[..], &target].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let limit = Instant::now() + Duration::from_secs(60);
    while !killed.exists() && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(5));
    }
    // The record's first version is written when lanes begin; in a moment there are namespaces.
    while !clean(&["--dry-run"]).stdout.contains("namespace/") && Instant::now() < limit {}
    child.kill().unwrap();
    child.wait().unwrap();
    let id = record(&killed)["run"]["id"].as_str().unwrap().to_owned();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| up.run(&["basics/", "--lanes", "2"]));
        assert!(
            clean(&["--run", &id, "--dry-run"])
                .stdout
                .contains(&format!("would delete namespace/verdikt-{id}"))
        );
        let cleaned = clean(&["--run", &id]);
        assert_eq!(cleaned.code, 0, "{}", cleaned.stderr);
        assert_eq!(clean(&["--run", &id, "--dry-run"]).stdout, "");
        let other = other.join().unwrap();
        assert_eq!(other.code, 0, "{}{}", other.stdout, other.stderr);
    });
    assert_eq!(clean(&["--dry-run"]).stdout, "");
    let nonsense = clean(&["--run", "x y"]);
    assert_eq!(nonsense.code, 2, "{}", nonsense.stderr);
}

/// The same record on another cluster: an embedded sandbox of its own.
fn said_of_elsewhere(record: &str) -> Said {
    run(&["run", "basics/", "--resume", record])
}

#[test]
fn a_cluster_that_enforces_nothing_is_told_before_anything_else() {
    let up = Up::start("flannel");
    let one = file(up.folder.path(), "one.yaml", &scenario("", ""));
    let out = up.folder.path().join("run.json");
    let started = std::time::Instant::now();
    let said = up.run(&["-f", one.to_str().unwrap(), "--settle", "4s", "--record", out.to_str().unwrap()]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    let warning = "this cluster does not enforce NetworkPolicy: all 4 connections that a deny-all forbids succeeded; \
                   dataplane found: flannel";
    assert!(said.stderr.contains(warning), "{}", said.stderr);
    assert!(said.stdout.contains("policies not enforced"), "{}", said.stdout);
    assert_eq!(record(&out)["environment"]["enforcement"]["enforced"], "no");
    // The check waits as long as --settle says; what follows has nothing to wait for.
    assert!(started.elapsed() >= std::time::Duration::from_secs(6), "{:?}", started.elapsed());
}
