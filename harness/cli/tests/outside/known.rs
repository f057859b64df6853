//! Known deviations: a dataplane with a defect, a file that knows it, and what becomes of both.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::binary::{Said, file, run, scenario};

/// A file of known deviations of the sandbox, with more lines for its one deviation.
fn known(scenario: &str, more: &str) -> String {
    format!(
        "apiVersion: verdikt.dev/v1alpha1\nkind: KnownDeviations\nmetadata: {{name: mine}}\nspec:\n  dataplane: {{name: \
         reference}}\n  deviations:\n    - scenario: {scenario}\n      reason: exceptions are left out\n      link: \
         https://example.org/issues/7\n{more}"
    )
}

struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs the scenario of the template on a profile, with a file of known deviations.
    fn run(&self, profile: &str, known: &str, more: &[&str]) -> (Said, Value) {
        let scenario = file(self.path(), "scenario.yaml", &scenario("", ""));
        self.on(profile, &["-f", scenario.to_str().unwrap()], known, more)
    }

    fn on(&self, profile: &str, what: &[&str], known: &str, more: &[&str]) -> (Said, Value) {
        let known: PathBuf = file(self.path(), "known.yaml", known);
        let record = self.path().join("record.json");
        let _ = std::fs::remove_file(&record);
        let [known, path] = [&known, &record].map(|path| path.to_str().unwrap());
        let common = ["run", "--sandbox", profile, "--known-deviations", known, "--record", path];
        let said = run(&[&common, what, more].concat());
        let record =
            std::fs::read(&record).map_or(Value::Null, |text| serde_json::from_slice(&text).unwrap());
        (said, record)
    }
}

fn states(record: &Value) -> Vec<&str> {
    record["deviations"].as_array().unwrap().iter().map(|of| of["state"].as_str().unwrap()).collect()
}

#[test]
fn a_known_defect_is_a_deviation_and_not_waited_for() {
    let desk = Desk::new();
    let name = "ipblock/excepts-cover-the-whole-block";
    let junit = desk.path().join("junit.xml");
    // The first scenario shows how long policies take there, so that nothing has to be waited for longer.
    let more = ["--settle", "24s", "--lanes", "1", "--export-junit", junit.to_str().unwrap()];
    let what = ["--exact", "basics/default-deny-ingress", name];
    let started = std::time::Instant::now();
    let (said, record) =
        desk.on("reference+ignores-except", &what, &known(name, "      observed: allowed\n"), &more);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    assert!(started.elapsed().as_secs() < 22, "it has waited for what is known");
    assert!(said.stdout.contains("PASS") && said.stdout.contains("known deviations"), "{}", said.stdout);
    let scenario = &record["scenarios"][1];
    assert_eq!((scenario["name"].as_str(), scenario["outcome"].as_str()), (Some(name), Some("passed")));
    let cells: Vec<&Value> = scenario["steps"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|step| step["cells"].as_array().unwrap())
        .collect();
    let deviating: Vec<&&Value> = cells.iter().filter(|cell| cell["outcome"] == "deviation").collect();
    assert!(!deviating.is_empty());
    for cell in &deviating {
        assert_eq!((cell["expected"].as_str(), cell["observed"].as_str()), (Some("deny"), Some("allowed")));
        assert_eq!(cell["reason"], "exceptions are left out (https://example.org/issues/7)");
    }
    assert_eq!(record["summary"]["cells"]["deviation"], deviating.len());
    assert_eq!(record["summary"]["cells"]["fail"], 0);
    assert_eq!(
        (states(&record), &record["deviations"][0]["cells"]),
        (vec!["happened"], &deviating.len().into())
    );
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(junit.contains("failures=\"0\"") && junit.contains("https://example.org/issues/7"), "{junit}");

    // What is known with another verdict is not known.
    let other = known(name, "      observed: rejected\n");
    let (said, record) = desk.on("reference+ignores-except", &what, &other, &["--settle", "1s"]);
    assert_eq!((said.code, states(&record)), (1, vec!["not-reached"]), "{}", said.stdout);
}

#[test]
fn what_does_not_happen_any_more_is_fixed_and_an_error_when_it_must() {
    let desk = Desk::new();
    let known = known("test/one", "      cells: [\"x/b -> x/a\"]\n");
    let (said, record) = desk.run("reference", &known, &[]);
    assert_eq!((said.code, states(&record)), (0, vec!["fixed"]), "{}", said.stdout);
    assert!(said.stdout.contains("FIXED mine: test/one"), "{}", said.stdout);
    let (said, _) = desk.run("reference", &known, &["--strict-deviations"]);
    assert_eq!(said.code, 1, "{}", said.stdout);
    // It still happens elsewhere, which is what strictness asks for.
    let (said, record) = desk.run("reference+forgets-ingress", &known, &["--strict-deviations"]);
    assert_eq!((said.code, states(&record)), (0, vec!["happened"]), "{}", said.stdout);
    // One cell says nothing of the others.
    let (said, record) =
        desk.run("reference", &known, &["--strict-deviations", "--cell", "x/b -> x/a:80/tcp"]);
    assert_eq!((said.code, states(&record)), (0, vec!["not-reached"]), "{}", said.stdout);
}

#[test]
fn past_its_last_day_it_fails_and_says_so() {
    let desk = Desk::new();
    let expired = known("test/*", "      expires: 2020-02-29\n");
    let (said, record) = desk.run("reference+forgets-ingress", &expired, &["--settle", "1s"]);
    assert_eq!((said.code, states(&record)), (1, vec!["expired"]), "{}", said.stdout);
    assert!(said.stdout.contains("EXPIRED mine: test/*"), "{}", said.stdout);
    assert!(
        said.stdout.contains("the known deviation expired on 2020-02-29: exceptions are left out"),
        "{}",
        said.stdout
    );
}

#[test]
fn files_of_others_are_told_and_bad_ones_stop_the_run() {
    let desk = Desk::new();
    let other = known("test/one", "").replace("{name: reference}", "{name: cilium}");
    let (said, record) = desk.run("reference", &other, &[]);
    assert_eq!((said.code, states(&record)), (0, vec![]), "{}", said.stderr);
    assert!(said.stderr.contains("is ignored: it is of cilium, and here reference"), "{}", said.stderr);
    let versions =
        known("test/one", "").replace("{name: reference}", "{name: reference, versions: \">=99\"}");
    let (said, _) = desk.run("reference", &versions, &[]);
    assert!(said.stderr.contains("it is of versions >=99, and here is"), "{}", said.stderr);

    let (said, record) = desk.run("reference", &known("test/one", "      expires: soon\n"), &[]);
    assert_eq!((said.code, record), (2, Value::Null));
    assert!(
        said.stderr.contains("known.yaml:10:16") && said.stderr.contains("`soon` is no date"),
        "{}",
        said.stderr
    );
    let (said, _) = desk.run("reference", &scenario("", ""), &[]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("holds no known deviations"), "{}", said.stderr);
}

#[test]
fn they_are_linted_and_listed() {
    let desk = Desk::new();
    let path = file(desk.path(), "known.yaml", &known("test/one", ""));
    let said = run(&["lint", path.to_str().unwrap(), "-o", "json"]);
    let lint: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((said.code, &lint["knownDeviations"], &lint["scenarios"]), (0, &1.into(), &0.into()));
    let listed = run(&["list", "--known", "-f", path.to_str().unwrap()]);
    assert!(
        listed.code == 0 && listed.stdout.contains("test/one: exceptions are left out"),
        "{}",
        listed.stdout
    );
    let listed: Value = serde_json::from_str(&run(&["list", "--known", "-o", "json"]).stdout).unwrap();
    let planes: Vec<&str> =
        listed.as_array().unwrap().iter().map(|file| file["dataplane"].as_str().unwrap()).collect();
    assert_eq!(planes, ["calico", "cilium", "kube-network-policies", "kube-router", "kube-router"]);
}

#[test]
fn the_built_in_ones_are_taken_into_account_only_where_they_are_asked_for() {
    let desk = Desk::new();
    let scenario = file(desk.path(), "scenario.yaml", &scenario("", ""));
    let run = |more: &[&str]| run(&[&["run", "-o", "json", "-f", scenario.to_str().unwrap()], more].concat());
    let asked = run(&["--known-deviations", "builtin"]);
    assert_eq!(asked.code, 0, "{}", asked.stderr);
    assert!(asked.stderr.contains("no built-in file of known deviations fits reference"), "{}", asked.stderr);
    assert!(!run(&[]).stderr.contains("known deviations"));
}
