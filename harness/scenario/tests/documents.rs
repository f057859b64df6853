//! The examples in the documents are good scenarios.

use verdikt_model::CheckScope;
use verdikt_scenario::{Source, Topologies, parse, render};

#[test]
fn examples_have_no_findings() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (page, least) in [
        ("README.md", 1),
        ("docs/known-deviations.md", 1),
        ("docs/scenario-format.md", 2),
        ("docs/writing-scenarios.md", 3),
    ] {
        let text = std::fs::read_to_string(root.join(page)).unwrap();
        let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        let mut seen = 0;
        for block in blocks.filter(|block| block.starts_with("apiVersion: verdikt.dev/")) {
            let source = Source { name: page.into(), text: block.into() };
            let (_, diagnostics) = parse(&source, &Topologies::builtin());
            assert!(diagnostics.is_empty(), "{}\n{block}", render(&diagnostics, false, 100));
            seen += 1;
        }
        assert!(seen >= least, "{page} has {seen} examples");
    }
}

/// The page says of checks what lint holds scenarios to.
#[test]
fn the_page_has_the_scopes_of_checks() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/scenario-format.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once("<!-- from CheckScope of harness/model -->\n").unwrap();
    let (table, _) = rest.split_once("<!-- end -->").unwrap();
    let mut expected = String::from("| check | over | paths | against `dns` |\n|---|---|---|---|\n");
    for scope in CheckScope::ALL {
        let list = |words: Vec<String>| words.join(", ");
        let why = |why: &str| if why.is_empty() { String::new() } else { format!(": {why}") };
        let way = if scope.way.is_empty() { String::new() } else { format!(", {}", scope.way) };
        expected.push_str(&format!(
            "| `{}`{way} | {}{} | {}{} | {}{} |\n",
            scope.check,
            list(scope.protocols.iter().map(ToString::to_string).collect()),
            why(scope.why_protocols),
            list(scope.paths.iter().map(|path| format!("`{path}`")).collect()),
            why(scope.why_paths),
            if scope.dns { "yes" } else { "no" },
            why(scope.why_no_dns),
        ));
    }
    assert_eq!(table, expected, "copy the right side into docs/scenario-format.md");
}
