//! No input makes the reader panic, hang or print control characters.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use verdikt_scenario::{Source, Topologies, catalogue, parse, render, to_yaml};

fn read(text: &str) -> String {
    let source = Source { name: "in\u{1b}put.yaml".into(), text: text.into() };
    let (scenarios, diagnostics) = parse(&source, &Topologies::builtin());
    for scenario in &scenarios {
        assert!(!to_yaml(scenario).is_empty());
    }
    assert!(diagnostics.len() <= 51, "findings are bounded");
    for diagnostic in &diagnostics {
        assert!(diagnostic.line >= 1 && diagnostic.column >= 1 && diagnostic.span.end <= text.len());
    }
    let rendered = render(&diagnostics, false, 80);
    assert!(!rendered.contains(|c: char| c.is_control() && c != '\n'), "{rendered:?}");
    rendered
}

fn seeds() -> Vec<String> {
    catalogue().scenarios.iter().take(40).map(to_yaml).collect()
}

/// Words that are likely to break something where they are put.
const WORDS: [&str; 34] = [
    "",
    "null",
    "~",
    "yes",
    "010",
    "70000",
    "-1",
    "1e999",
    ".nan",
    "[]",
    "{}",
    "*a",
    "&a ",
    "!!binary x",
    "<<: ",
    "\"",
    "'",
    "\t",
    "\n",
    "---\n",
    "\u{0}",
    "\u{1b}[31m",
    "\u{202e}",
    "ä",
    "${",
    "${pod.x/a.ip}",
    "* -> *",
    "x/a",
    "0.0.0.0/0",
    "::/0",
    "external/65535",
    "node/65535",
    "same-as x/a",
    "kube-system",
];

#[derive(Debug, Clone)]
enum Edit {
    /// Puts a word somewhere.
    Insert(usize, usize),
    /// Takes some bytes out.
    Remove(usize, usize),
    /// Replaces what stands between two separators.
    Replace(usize, usize),
    /// Repeats a line somewhere else.
    Copy(usize, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let (at, word) = (any::<usize>(), 0..WORDS.len());
    prop_oneof![
        (at, word.clone()).prop_map(|(at, word)| Edit::Insert(at, word)),
        (at, 1_usize..12).prop_map(|(at, count)| Edit::Remove(at, count)),
        (at, word).prop_map(|(at, word)| Edit::Replace(at, word)),
        (at, any::<usize>()).prop_map(|(from, to)| Edit::Copy(from, to)),
    ]
}

fn mutate(text: &str, edits: &[Edit]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for edit in edits {
        let length = chars.len().max(1);
        match *edit {
            Edit::Insert(at, word) => {
                let at = (at % length).min(chars.len());
                chars.splice(at..at, WORDS[word].chars());
            }
            Edit::Remove(at, count) => {
                let at = (at % length).min(chars.len());
                chars.drain(at..(at + count).min(chars.len()));
            }
            Edit::Replace(at, word) => {
                let at = (at % length).min(chars.len());
                let stop = |c: &char| " \n,{}[]:".contains(*c);
                let start = chars[..at].iter().rposition(stop).map_or(0, |i| i + 1);
                let end = chars[at..].iter().position(stop).map_or(chars.len(), |i| at + i);
                chars.splice(start..end, WORDS[word].chars());
            }
            Edit::Copy(from, to) => {
                let text: String = chars.iter().collect();
                let lines: Vec<&str> = text.lines().collect();
                if !lines.is_empty() {
                    let mut copy = lines.clone();
                    copy.insert(to % lines.len(), lines[from % lines.len()]);
                    chars = copy.join("\n").chars().collect();
                }
            }
        }
    }
    chars.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text(text in "\\PC{0,200}|[ a-z:{}\\[\\]\\-&*!'\"\n#,|>%@`0-9.]{0,200}") {
        read(&text);
    }

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn mutated_scenarios(seed in any::<prop::sample::Index>(), edits in prop::collection::vec(edit(), 1..6)) {
        thread_local!(static SEEDS: Vec<String> = seeds());
        SEEDS.with(|seeds| {
            let text: &String = seed.get(seeds);
            read(&mutate(text, &edits))
        });
    }
}

/// Input made to be slow or large: each must be answered in seconds, even unoptimised.
#[test]
fn hostile_input_is_answered_soon() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..30 {
        let references = vec![format!("*a{}", i - 1); 10].join(", ");
        bomb.push_str(&format!("a{i}: &a{i} [{references}]\n"));
    }
    let merges: String =
        (0..2000).map(|i| format!("a{i}: &a{i}\n  <<: *a{}\n  k{i}: v\n", i.max(1) - 1)).collect();
    let unknown: String = (0..100_000).map(|i| format!("field{i}: 1\n")).collect();
    let head = "apiVersion: verdikt.dev/v1alpha1\nkind: Scenario\n";
    let tail = "  steps: [{}]\n";
    let spec = format!("{head}metadata: {{name: a/b}}\nspec:\n  summary: s\n  topology:\n    namespaces:\n");
    let pods = |count: usize, pod: &str| -> String {
        let pods: String = (0..count).map(|i| format!("          p{i}: {{{pod}}}\n")).collect();
        format!("{spec}      x:\n        pods:\n{pods}{tail}")
    };
    let ports: String = (1..40_000).map(|i| format!("{{port: {i}}}, ")).collect();
    let many_steps = "    - {expect: {allow: [\"* -> *\"]}}\n".repeat(50_000);
    for (name, text, code) in [
        ("many pods", pods(3_500, ""), "scenario/too-large-to-check"),
        ("too many pods", pods(20_000, ""), "scenario/too-many-endpoints"),
        ("many wrong placements", pods(3_500, "node: same-as x/q"), "scenario/unknown-pod"),
        (
            "many service ports",
            format!(
                "{spec}      x:\n        pods: {{a: }}\n        services: {{s: {{ports: [{ports}]}}}}\n{tail}"
            ),
            "scenario/too-many-endpoints",
        ),
        (
            "many steps",
            format!(
                "{spec}      x: {{pods: {{a: , b: , c: , d: , e: , f: , g: , h: }}}}\n  steps:\n{many_steps}"
            ),
            "scenario/too-large-to-check",
        ),
        ("alias bomb", bomb, "scenario/too-complex"),
        ("merge chain", merges, "scenario/"),
        ("deep flow", "[".repeat(100_000), "scenario/"),
        ("deep block", (0..5000).map(|i| format!("{}- \n", " ".repeat(i))).collect(), "scenario/"),
        ("8 MiB and a byte", "#".repeat(8 * 1024 * 1024 + 1), "scenario/too-large"),
        ("one long line", format!("{head}metadata: {{name: {}}}\n", "x".repeat(4_000_000)), "scenario/"),
        ("one long comment", format!("{}\n", "#".repeat(8_000_000)), "scenario/empty"),
        ("many unknown fields", format!("{head}{unknown}"), "scenario/too-many-findings"),
        ("many documents", "---\na: b\n".repeat(5000), "scenario/"),
    ] {
        let start = Instant::now();
        let rendered = read(&text);
        let took = start.elapsed();
        assert!(rendered.contains(code), "{name}: {}", &rendered[..rendered.len().min(2000)]);
        assert!(took < Duration::from_secs(20), "{name} took {took:?}");
        assert!(rendered.len() < 200_000, "{name}: the answer has {} bytes", rendered.len());
        println!("{name}: {took:?}");
    }
}
