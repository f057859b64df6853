//! The outputs: records, reports, lists, and who may run it.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    process::Stdio,
};

use serde_json::Value;

use crate::binary::{self, file, run, said, scenario, verdikt};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn a_run_is_recorded_as_its_schema_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "s.yaml", &scenario("", ""));
    let (record, junit) = (folder.path().join("r.json"), folder.path().join("j.xml"));
    let said = run(&[
        "run",
        "-f",
        path.to_str().unwrap(),
        "-o",
        "json",
        "--record",
        record.to_str().unwrap(),
        "--export-junit",
        junit.to_str().unwrap(),
    ]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let printed = json(&said.stdout);
    let schema = json(&run(&["schema", "record"]).stdout);
    if let Err(error) = jsonschema::validate(&schema, &printed) {
        panic!("{error}");
    }
    assert_eq!(json(&std::fs::read_to_string(record).unwrap()), printed);
    assert_eq!(printed["schema"], "verdikt.dev/record/v1");
    assert_eq!(printed["environment"]["dataplane"]["emulated"], true);
    assert_eq!(printed["summary"]["scenarios"]["passed"], 1);
    let cells = printed["scenarios"][0]["steps"][0]["cells"].as_array().unwrap();
    let denied: Vec<&Value> = cells.iter().filter(|c| c["from"] == "x/b" && c["to"] == "x/a").collect();
    assert_eq!(denied.len(), 2, "one of each IP family");
    for cell in denied {
        assert_eq!((cell["expected"].as_str(), cell["observed"].as_str()), (Some("deny"), Some("dropped")));
    }
    assert!(std::fs::read_to_string(junit).unwrap().contains("testcase name=\"test/one\""));
}

#[test]
fn a_dataplane_that_enforces_nothing_is_found_out() {
    let said = run(&["run", "--sandbox", "flannel", "--settle", "300ms", "-o", "json"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    let record = json(&said.stdout);
    assert_eq!(record["environment"]["dataplane"]["name"], "flannel");
    let mut failed = 0;
    for scenario in record["scenarios"].as_array().unwrap() {
        let denials = scenario["steps"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|step| step["cells"].as_array().unwrap())
            .filter(|cell| ["deny", "drop", "reject"].contains(&cell["expected"].as_str().unwrap()))
            .filter(|cell| cell["outcome"] != "skipped")
            .count();
        if scenario["outcome"] == "skipped" {
            continue;
        }
        let expected = if denials > 0 { "failed" } else { "passed" };
        assert_eq!(scenario["outcome"], expected, "{}: {denials} denied cells", scenario["name"]);
        failed += usize::from(denials > 0);
    }
    assert!(failed >= 20, "only {failed} scenarios have a denied cell");
}

#[test]
fn coverage_fails_where_a_statement_has_no_scenario() {
    let all = run(&["list", "--coverage", "-o", "json"]);
    assert_eq!(all.code, 0, "{}{}", all.stdout, all.stderr);
    let statements = json(&all.stdout);
    assert_eq!(statements.as_array().unwrap().len(), 43);
    for statement in statements.as_array().unwrap() {
        let scenarios = statement["scenarios"].as_array().unwrap();
        assert!(!scenarios.is_empty() || !statement["untestable"].is_null(), "{statement}");
    }
    let some = run(&["list", "--coverage", "-o", "name", "basics"]);
    assert_eq!(some.code, 1, "{}", some.stderr);
    let missing: Vec<&str> = some.stdout.lines().collect();
    assert!(missing.contains(&"N20") && !missing.contains(&"N7") && !missing.contains(&"N22"), "{missing:?}");
}

#[test]
fn a_wrong_cell_is_a_sentence_with_a_reason_and_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "s.yaml", &scenario("", ""));
    let said = run(&["run", "--sandbox", "flannel", "--settle", "300ms", "-f", path.to_str().unwrap()]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    for word in ["x/b -> x/a", "expected deny", "observed allowed", "isolates x/a", "verdikt run", "--cell"] {
        assert!(said.stdout.contains(word), "no `{word}` in:\n{}", said.stdout);
    }
    // The command that it prints repeats that probe.
    let line = said.stdout.lines().find(|l| l.contains("verdikt run") && l.contains("--cell")).unwrap();
    let command = &line[line.find("verdikt run").unwrap()..];
    let shell = format!("exec {}{}", env!("CARGO_BIN_EXE_verdikt"), command.strip_prefix("verdikt").unwrap());
    let again = std::process::Command::new("/bin/sh").args(["-c", &shell]).output().unwrap();
    let again = binary::said(again);
    assert_eq!(again.code, 1, "{shell}\n{}\n{}", again.stdout, again.stderr);
}

#[test]
fn where_a_policy_of_another_kind_was_applied_nothing_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    let other = "apply:\n        - apiVersion: cilium.io/v2\n          kind: CiliumNetworkPolicy\n          \
                 metadata: {name: o, namespace: x}";
    let text = scenario("apply:", other)
        .replace("test/one", "test/one\n  labels: {level: implementation-defined}")
        .replace("topology:", "requires: {crd: ciliumnetworkpolicies.cilium.io}\n  topology:");
    let path = file(folder.path(), "s.yaml", &text);
    let said = run(&["expect", "-f", path.to_str().unwrap(), "-o", "json"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let cells = json(&said.stdout)["scenarios"][0]["steps"][0]["cells"].clone();
    for cell in cells.as_array().unwrap() {
        assert_eq!(cell["expected"], "either", "{cell}");
        let reason = cell["reason"].as_str().unwrap();
        let written = cell["from"] == "x/b" && cell["to"] == "x/a";
        let word = if written { "not judged; written by hand: deny" } else { "another kind was applied" };
        assert!(reason.starts_with("not judged") && reason.contains(word), "{reason}");
    }
}

#[test]
fn expect_and_explain_need_no_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "s.yaml", &scenario("", ""));
    let path = path.to_str().unwrap();
    let said = run(&["expect", "-f", path, "-o", "json"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let cells = json(&said.stdout)["scenarios"][0]["steps"][0]["cells"].clone();
    let cell =
        cells.as_array().unwrap().iter().find(|c| c["from"] == "x/b" && c["to"] == "x/a").unwrap().clone();
    assert_eq!(cell["expected"], "deny");
    assert!(cell.get("observed").is_none_or(Value::is_null));
    let said = run(&["explain", "-f", path, "--cell", "x/b -> x/a:80/tcp"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.contains("policy x/deny isolates x/a"), "{}", said.stdout);
    assert_eq!(run(&["explain", "-f", path, "--cell", "x/b -> x/q:80/tcp"]).code, 4);
}

#[test]
fn list_schema_completions_and_man() {
    let names = run(&["list", "-o", "name"]);
    assert_eq!(names.code, 0);
    assert!(names.stdout.lines().count() >= 30, "{}", names.stdout);
    let listed = json(&run(&["list", "-o", "json"]).stdout);
    assert_eq!(listed.as_array().unwrap().len(), names.stdout.lines().count());
    let schema = json(&run(&["schema", "scenario"]).stdout);
    jsonschema::meta::validate(&schema).unwrap_or_else(|e| panic!("{e}"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(&["completions", shell]).stdout.contains("verdikt"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(&["man", folder.path().to_str().unwrap()]).code, 0);
    assert!(folder.path().join("verdikt-run.1").exists());
}

#[test]
fn libtest_and_jsonl_are_lines_of_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "s.yaml", &scenario("", ""));
    for format in ["libtest", "jsonl"] {
        let said = run(&["run", "-f", path.to_str().unwrap(), "-o", format]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        assert!(said.stdout.lines().count() >= 3, "{}", said.stdout);
        for line in said.stdout.lines() {
            json(line);
        }
    }
}

#[test]
fn an_ordinary_user_can_run_it() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("this test already runs as an ordinary user; the others show it");
        return;
    }
    // The build folder may not be readable for others.
    let folder = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap();
    let binary = folder.path().join("verdikt");
    std::fs::copy(env!("CARGO_BIN_EXE_verdikt"), &binary).unwrap();
    let path = file(folder.path(), "s.yaml", &scenario("", ""));
    let said = said(
        std::process::Command::new(&binary)
            .args(["run", "-f", path.to_str().unwrap()])
            .env_clear()
            .env("PATH", "/nonexistent")
            .current_dir("/")
            .uid(65534)
            .gid(65534)
            .output()
            .unwrap(),
    );
    assert_eq!(said.code, 0, "{}\n{}", said.stdout, said.stderr);
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let mut child = verdikt(&["list"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    drop(reader);
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(child.wait().unwrap().success(), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}
