//! Without JavaScript, and on paper.

use serde_json::json;

use super::{browser::Browser, pages};

#[test]
fn without_javascript_everything_wrong_can_be_read() {
    let Some(mut browser) = Browser::start() else { return };
    let file = pages::page("essentials", pages::with_policies());
    browser.call("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    browser.open(&file, "");
    let document = browser.call("DOM.getDocument", json!({"depth": -1}));
    let text = text(&document["root"]);
    for part in [
        "1 of 4 scenarios differs from what is specified",
        "Emulated from documentation.",
        "selectors/and-versus-or",
        "z/a -> x/a 80/tcp, 81/tcp ipv4, ipv6: expected deny, observed allowed (3 attempts)",
        "policy x/p isolates x/a for ingress; rule 0 allows role=backend, z has no such label",
        "verdikt run --sandbox flannel --exact selectors/and-versus-or --cell 'z/a -> x/a:80/tcp over ipv4'",
        "podSelector: {}",
        "the agent in x/b ended: exit code 137",
        "own node: hairpin traffic is not filtered, see issue 1",
        "kernel has no SCTP (errno 93)",
        "Without JavaScript there are no filters and no matrices.",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    // Filters would do nothing, and are not there.
    assert!(!text.contains("Only differences"));
    browser.look(1280, 1400, "light");
    browser.screenshot("without-javascript");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// The text of a node, without scripts and styles.
fn text(node: &serde_json::Value) -> String {
    if matches!(node["localName"].as_str(), Some("script" | "style")) {
        return String::new();
    }
    let own = if node["nodeType"] == 3 { node["nodeValue"].as_str().unwrap_or_default() } else { "" };
    let children = node["children"].as_array().into_iter().flatten().map(text);
    own.to_owned() + &children.collect::<String>()
}

#[test]
fn paper_has_pages_and_what_is_wrong() {
    let Some(mut browser) = Browser::start() else { return };
    let file = pages::page("paper", pages::with_policies());
    browser.open(&file, "");
    let paper = std::fs::read(browser.print("paper")).unwrap();
    assert!(paper.starts_with(b"%PDF-"));
    let pages = String::from_utf8_lossy(&paper).matches("/Type /Page\n").count();
    assert!((2..40).contains(&pages), "{pages} pages");
    browser.look(800, 1130, "light");
    browser.call("Emulation.setEmulatedMedia", json!({"media": "print"}));
    browser.screenshot("paper");
    // Before paper is made, the matrices of what is wrong are drawn.
    assert_eq!(browser.eval("document.querySelectorAll('.differs table[role=grid]').length > 0"), true);
}
