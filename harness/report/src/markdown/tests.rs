//! The page, read as GitHub reads it.

use comrak::{
    Arena, Options,
    nodes::{AstNode, NodeValue},
    parse_document,
};

use super::*;
use crate::{escape::is_harmful, sample};

/// What GitHub takes.
const LIMIT: usize = 1 << 20;

fn github() -> Options<'static> {
    let mut options = Options::default();
    options.extension.table = true;
    options.extension.strikethrough = true;
    options.extension.autolink = true;
    options.extension.tasklist = true;
    options.extension.footnotes = true;
    options
}

/// Every node of the page.
fn nodes(page: &str, see: impl for<'a> FnMut(&'a AstNode<'a>)) {
    let arena = Arena::new();
    parse_document(&arena, page, &github()).descendants().for_each(see);
}

/// A block of HTML, or a piece of one, of which only the texts come from elsewhere.
fn is_ours(html: &str) -> bool {
    let rest = ["<details>", "</details>", "<summary>", "</summary>", "<code>", "</code>"]
        .iter()
        .fold(html.to_owned(), |html, tag| html.replace(tag, ""));
    !rest.contains(['<', '>', '"', '\''])
}

fn check(page: &str) {
    assert!(page.len() < LIMIT, "{}", page.len());
    assert!(!page.chars().any(|c| c != '\n' && is_harmful(c)));
    nodes(page, |node| match &node.data.borrow().value {
        NodeValue::Link(_)
        | NodeValue::Image(_)
        | NodeValue::FootnoteDefinition(_)
        | NodeValue::FootnoteReference(_)
        | NodeValue::List(_)
        | NodeValue::BlockQuote
        | NodeValue::ThematicBreak
        | NodeValue::Strikethrough
        | NodeValue::HtmlInline(_) => panic!("{:?}", node.data.borrow().value),
        NodeValue::HtmlBlock(html) => assert!(is_ours(&html.literal), "{}", html.literal),
        NodeValue::Heading(_) => {
            let texts: Vec<_> = node.descendants().skip(1).map(|n| n.data.borrow().value.clone()).collect();
            assert!(matches!(&texts[..], [NodeValue::Text(_)]), "{texts:?}");
        }
        // Mentions, numbers of issues and the like are made of text; what is foreign is code.
        NodeValue::Text(text) => {
            assert!(!text.contains(['@', '#', '<', '=', '`', '[', '$']), "{text}");
        }
        _ => {}
    });
}

#[test]
fn whole_page() {
    let page = markdown(&sample::record());
    assert_eq!(page, markdown(&sample::record()));
    check(&page);
    insta::assert_snapshot!(page);
}

#[test]
fn a_hostile_record_makes_no_element() {
    check(&markdown(&sample::hostile()));
}

#[test]
fn every_row_has_the_cells_of_its_table() {
    for record in [sample::record(), sample::hostile()] {
        let page = markdown(&record);
        let mut rows = 0;
        nodes(&page, |node| {
            if let NodeValue::Table(table) = &node.data.borrow().value {
                for row in node.children() {
                    rows += 1;
                    assert_eq!(row.children().count(), table.num_columns);
                    // A row that has too many loses them, one that has too few is filled up.
                    assert!(row.children().all(|cell| cell.children().next().is_some()));
                }
            }
        });
        // Of each table there is one line of dashes besides.
        let lines = page.lines().filter(|line| line.starts_with("| ")).count();
        assert_eq!(rows, lines, "every line of a table is a row");
        assert!(rows > 10);
    }
}

#[test]
fn code_is_shown_as_it_is() {
    for text in ["plain", "a`b", "``", "`x`", " x ", "a|b", "<b>", "a\\", "*", "&amp;"] {
        for (page, in_table) in [
            (format!("Before {} after.\n", safe::code(text)), false),
            (format!("| a | b |\n|---|---|\n| {} | last |\n", safe::cell(text)), true),
        ] {
            let (mut shown, mut texts) = (Vec::new(), Vec::new());
            nodes(&page, |node| match &node.data.borrow().value {
                NodeValue::Code(code) => shown.push(code.literal.clone()),
                NodeValue::Text(text) => texts.push(text.to_string()),
                _ => {}
            });
            assert_eq!(shown, [text], "{page}");
            assert_eq!(texts.iter().any(|text| text == "last"), in_table, "{page}");
        }
    }
    assert_eq!(safe::cell("a\\|b"), "`a\\u{5c}\\|b`");
    assert_eq!(safe::code(" "), "*(empty)*");
}

#[test]
fn what_does_not_fit_is_counted() {
    let mut record = sample::record();
    record.scenarios = (0..2_000)
        .map(|n| {
            let mut scenario = sample::failed();
            scenario.name = format!("{}/{n}", "n".repeat(100));
            scenario
        })
        .collect();
    let page = markdown(&record);
    check(&page);
    assert!(page.contains("more, left out: the page may not be longer"), "{}", page.len());
    let shown = page.matches("| **failed** |").count();
    assert!(page.contains(&format!("*And {} more, left out", thousands(2_000 - shown as u64))));
}

#[test]
fn a_flaky_scenario_is_told_with_its_attempts() {
    let mut record = sample::record();
    record.scenarios = vec![sample::flaky()];
    record.summary = verdikt_model::Summary::default();
    record.summary.add(&sample::flaky());
    let page = markdown(&record);
    check(&page);
    assert!(page.starts_with("## verdikt: flaky\n"), "{page}");
    let told = "`1/3: as expected at 1 of 3 attempts, different at 2`";
    assert!(page.contains(&format!("| **flaky** | `selectors/and-versus-or` | core | {told} |")), "{page}");
}

#[test]
fn an_emulation_is_told_and_a_real_cluster_is_not_called_one() {
    let mut record = sample::record();
    assert!(markdown(&record).contains("**Emulated from documentation: no evidence about a product.**"));
    record.environment.dataplane.emulated = false;
    assert!(!markdown(&record).to_lowercase().contains("emulated"));
}
