//! Reports from a record, with no cluster.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::binary::{file, run, verdikt};

/// A record of an older version, measured on a real cluster.
fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports/samples").join(name)
}

/// Every format of `--format`, as the help names them.
fn formats() -> Vec<String> {
    let help = run(&["report", "--help"]).stdout;
    let formats: Vec<String> = help
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- ")?.split_once(':'))
        .map(|(word, _)| word.to_owned())
        .filter(|word| !["auto", "always", "never"].contains(&word.as_str()))
        .collect();
    assert!(formats.contains(&"junit".to_owned()) && formats.contains(&"json".to_owned()), "{help}");
    formats
}

#[test]
fn the_same_record_makes_the_same_report() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["calico.json", "none.json"] {
        let record = sample(name);
        let record = record.to_str().unwrap();
        for format in formats() {
            let first = run(&["report", record, "--format", &format]);
            assert_eq!(first.code, 0, "{format}: {}", first.stderr);
            assert!(!first.stdout.is_empty(), "{format}");
            let path = folder.path().join("report");
            let second = run(&["report", record, "--format", &format, "-o", path.to_str().unwrap()]);
            assert_eq!((second.code, second.stdout.as_str()), (0, ""), "{format}: {}", second.stderr);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), first.stdout, "{format}");
            let copy = folder.path().join("of-another-name.json");
            std::fs::copy(record, &copy).unwrap();
            let third = run(&["report", copy.to_str().unwrap(), "--format", &format]);
            assert!(third.stdout == first.stdout, "{format}: another report of a copy");
        }
    }
}

#[test]
fn the_json_report_is_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.json");
    let path = path.to_str().unwrap();
    let ran = run(&["run", "basics/default-deny-ingress", "--record", path]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let said = run(&["report", path, "--format", "json"]);
    assert!(said.stdout == std::fs::read_to_string(path).unwrap(), "the report is not the record");
}

#[test]
fn bad_records_are_told_with_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(sample("calico.json")).unwrap();
    let other = text.replacen("verdikt.dev/record/v1", "verdikt.dev/record/v9", 1);
    let cases = [
        (folder.path().join("nowhere.json"), "No such file"),
        (folder.path().to_owned(), "directory"),
        (file(folder.path(), "empty.json", ""), "is no record of verdikt"),
        (file(folder.path(), "text.json", "not JSON\n"), "is no record of verdikt"),
        (file(folder.path(), "list.json", "[]"), "is no record of verdikt"),
        (file(folder.path(), "other.json", &other), "verdikt.dev/record/v9"),
        (file(folder.path(), "cut.json", &text[..text.len() / 2]), "is no record of verdikt"),
    ];
    for (path, words) in cases {
        let said = run(&["report", path.to_str().unwrap(), "--format", "junit"]);
        assert_eq!(said.code, 2, "{}: {}", path.display(), said.stderr);
        assert!(said.stderr.contains(words), "{}: {}", path.display(), said.stderr);
        assert_eq!(said.stdout, "");
    }
    let record = sample("calico.json");
    let record = record.to_str().unwrap();
    let nowhere = folder.path().join("no/such/folder");
    let said = run(&["report", record, "--format", "junit", "-o", nowhere.to_str().unwrap()]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(said.stderr.contains("cannot write"), "{}", said.stderr);
    let several = run(&["report", record, record, "--format", "junit"]);
    assert_eq!(several.code, 2, "{}", several.stderr);
    assert!(several.stderr.contains("verdikt merge"), "{}", several.stderr);
    assert_eq!(run(&["report", record]).code, 2);
    assert_eq!(run(&["report", "--format", "json"]).code, 2);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let record = sample("none.json");
    for format in formats() {
        let mut child = verdikt(&["report", record.to_str().unwrap(), "--format", &format])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut told = String::new();
        child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!((child.wait().unwrap().code(), told.as_str()), (Some(0), ""), "{format}");
    }
}
