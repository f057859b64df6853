//! The examples in the documents are good scenarios.

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
