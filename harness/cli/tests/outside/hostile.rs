//! A scenario file that somebody else has written, run with every report: nothing in it is obeyed.

use std::path::Path;

use crate::binary::{Said, file, run, scenario};

/// Names of scenarios and labels are checked; these texts may be anything.
const STEP: &str =
    r#""<script>alert(1)</script>\e[2J\e[31m\0\u202E | `y` ]]>\r\n::error::forged\n# heading\n=1+1""#;
const SUMMARY: &str = r#""<img src=x onerror=alert(1)> | `x` @octocat #1 ]]>\n\e]8;;http://evil.example\a""#;
const METADATA: &str = r#"metadata:
  labels: {feature: hostile}"#;
const NOTE: &str =
    r#"metadata: {name: deny, namespace: x, annotations: {note: "<script>alert(2)</script>\e[31m"}}"#;

fn hostile(folder: &Path) -> String {
    let text = scenario("name: deny\n", &format!("name: {STEP}\n"))
        .replacen("metadata:", METADATA, 1)
        .replacen("summary: Nobody reaches x/a", &format!("summary: {SUMMARY}\n  references: [{SUMMARY}]"), 1)
        .replacen("metadata: {name: deny, namespace: x}", NOTE, 1);
    assert!(text.contains(STEP) && text.contains(SUMMARY) && text.contains(NOTE), "{text}");
    file(folder, "hostile.yaml", &text).to_str().unwrap().to_owned()
}

/// Nothing that acts on a terminal, or hides.
#[track_caller]
fn inert(text: &str) {
    let harmful = text.chars().find(|c| (c.is_control() && !"\r\n".contains(*c)) || *c == '\u{202e}');
    assert_eq!(harmful, None, "{}", text.escape_default());
}

fn report(record: &str, format: &str) -> String {
    let Said { code, stdout, stderr } = run(&["report", record, "--format", format]);
    assert_eq!(code, 0, "{format}: {stderr}");
    inert(&stdout);
    if format != "json" {
        assert!(format == "csv" || !stdout.contains('\r'), "{format}");
    }
    // Deterministic, and what was written is what is read.
    assert!(stdout == run(&["report", record, "--format", format]).stdout, "{format}");
    stdout
}

#[test]
fn a_hostile_scenario_is_shown_and_not_obeyed() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = hostile(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (record, junit, markdown) = (path("run.json"), path("junit.xml"), path("page.md"));
    // flannel enforces nothing: the scenario fails, and everything about it is told.
    let mut args = vec!["run", "-f", &scenario, "--sandbox", "flannel", "--settle", "500ms", "-o", "wide"];
    args.extend(["--record", &record, "--export-junit", &junit, "--export-markdown", &markdown]);
    let said = run(&args);
    assert_eq!(said.code, 1, "{}{}", said.stdout, said.stderr);
    inert(&said.stdout);
    inert(&said.stderr);
    assert!(said.stdout.contains(r"step <script>alert(1)</script>\u{1b}[2J"), "{}", said.stdout);

    for args in [
        &["lint", &scenario][..],
        &["lint", &scenario, "-o", "json"],
        &["list", "-f", &scenario],
        &["list", "-f", &scenario, "-o", "json"],
        &["expect", "-f", &scenario],
        &["expect", "-f", &scenario, "-o", "json"],
        &["explain", "-f", &scenario, "--cell", "x/b -> x/a:80/tcp"],
        &["explain", "-f", &scenario, "--cell", "x/b -> x/a:80/tcp", "-o", "json"],
        &["merge", &record, "-o", "json"],
        &["merge", &record, "-o", "jsonl"],
        &["merge", &record, "-o", "libtest"],
        &["compare", &record, &record],
        &["compare", &record, &record, "-o", "json"],
    ] {
        let said = run(args);
        inert(&said.stdout);
        inert(&said.stderr);
        assert!(!said.stdout.lines().any(|line| line.starts_with("::error")), "{args:?}: {}", said.stdout);
    }

    // What the run exported is what the record gives.
    let xml = report(&record, "junit");
    assert!(xml == std::fs::read_to_string(&junit).unwrap());
    assert!(!xml.contains("<script") && !xml.contains("<img") && !xml.contains("]]>"), "{xml}");
    assert!(xml.contains("&lt;script&gt;alert(1)"), "{xml}");
    let page = report(&record, "markdown");
    assert!(page == std::fs::read_to_string(&markdown).unwrap());
    assert!(!page.lines().any(|line| line.trim_start().starts_with("# heading")), "{page}");
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;") && !page.contains("<img"), "{page}");

    for line in report(&record, "annotations").lines() {
        let kind = ["::error title=", "::warning title=", "::notice title="];
        assert!(kind.iter().any(|kind| line.starts_with(kind)), "{line}");
    }
    let table = report(&record, "csv");
    assert!(!table.contains(",=") && !table.contains("\n="), "{table}");
    let yaml: serde_json::Value = serde_yaml::from_str(&report(&record, "conformance")).unwrap();
    assert_eq!(yaml["kind"], "ConformanceReport");
    let project = yaml["implementation"]["project"].as_str().unwrap();
    assert_eq!(project, "flannel (emulated from documentation by verdikt's sandbox)");
    // The file's scenario is none of the catalogue's.
    assert_eq!(yaml["profiles"][0]["core"]["statistics"]["Passed"], 0);
    assert_eq!(yaml["profiles"][0]["core"]["result"], "partial");
    assert!(report(&record, "json") == std::fs::read_to_string(&record).unwrap());
}
