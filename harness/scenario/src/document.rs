//! One file: its documents, what kind each is, and what is wrong with it.
//!
//! Topologies are read first, so that scenarios anywhere can name them; scenarios follow.

use verdikt_model::{KnownDeviations, Scenario};

use crate::{
    clean,
    convert::{self, Name},
    crd::Definitions,
    crosscheck,
    decode::{Findings, FromNode},
    diagnostic::{Diagnostic, Finding},
    foreign::{self, Foreign},
    raw::{RawKnownDeviations, RawScenario, RawTopologyDocument},
    source::{Lines, Source},
    span::{At, Span},
    suggest,
    topologies::Topologies,
    vacuous,
    yaml::{self, Node, Value},
};

/// The version of the format that this crate reads.
pub(crate) const API_VERSION: &str = "verdikt.dev/v1alpha1";
/// A larger file is refused before it is parsed, in bytes.
pub const LARGEST_FILE: usize = 8 * 1024 * 1024;
/// Findings reported of one file; the rest is counted.
const MOST_FINDINGS: usize = 50;

/// Reads a file: its scenarios, and everything that is wrong with it, the comparison with the oracle included.
///
/// A scenario with an error is not among the scenarios; one with warnings only is. `topologies` are those that can
/// be named besides the file's own. Never panics, whatever the text.
pub fn parse(source: &Source, topologies: &Topologies) -> (Vec<Scenario>, Vec<Diagnostic>) {
    let mut file = File::open(source);
    let mut topologies = topologies.clone();
    for (name, _, topology) in file.topologies() {
        topologies.insert(name, topology);
    }
    let scenarios = file.scenarios(&topologies, None).into_iter().map(|(scenario, _)| scenario).collect();
    // Known deviations are no scenarios, but what is wrong with them is told.
    file.known();
    (scenarios, file.diagnostics())
}

/// A file on its way from text to scenarios.
pub(crate) struct File<'s> {
    source: &'s Source,
    documents: Vec<Document>,
    findings: Vec<Finding>,
    /// Findings that were only counted.
    dropped: usize,
}

struct Document {
    node: Node,
    kind: DocumentKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum DocumentKind {
    Scenario,
    Topology,
    KnownDeviations,
    /// Reported already.
    Bad,
}

impl<'s> File<'s> {
    /// Parses the text and tells its documents apart.
    pub(crate) fn open(source: &'s Source) -> Self {
        let mut file = Self { source, documents: Vec::new(), findings: Vec::new(), dropped: 0 };
        if source.text.len() > LARGEST_FILE {
            file.findings.push(
                Finding::error(
                    "scenario/too-large",
                    Span::default(),
                    format!("the file has {} bytes; at most {LARGEST_FILE} are read", source.text.len()),
                )
                .help("split it: one scenario a file is best"),
            );
            return file;
        }
        match yaml::parse(&source.text) {
            Err(error) => file.findings.push(syntax(&error, &source.text)),
            Ok(nodes) if nodes.is_empty() => file
                .findings
                .push(Finding::error("scenario/empty", Span::default(), "the file holds no document").help(
                    format!("a scenario starts with `apiVersion: {API_VERSION}` and `kind: Scenario`"),
                )),
            Ok(nodes) => {
                for node in nodes {
                    let mut findings = Findings::default();
                    let kind = document_kind(&node, &mut findings);
                    file.take(findings);
                    file.documents.push(Document { node, kind });
                }
            }
        }
        file
    }

    /// The file's shared topologies, with the places of their names.
    pub(crate) fn topologies(&mut self) -> Vec<(String, Span, verdikt_model::Topology)> {
        let mut out: Vec<(String, Span, verdikt_model::Topology)> = Vec::new();
        let mut all = Vec::new();
        for document in self.documents.iter().filter(|d| d.kind == DocumentKind::Topology) {
            let mut findings = Findings::default();
            if let Some(raw) = RawTopologyDocument::from_node(&document.node, &mut findings) {
                let name = &raw.metadata.name;
                Name::Topology.check(name, &mut findings);
                convert::check_labels(&raw.metadata.labels, &mut findings);
                let topology = convert::topology(&raw.spec, 0, name.span, &mut findings);
                if let Some((_, first, _)) = out.iter().find(|(have, ..)| *have == name.value) {
                    findings.push(duplicate("topology", &name.value, name.span).also(*first, "first"));
                }
                if findings.errors() == 0 {
                    out.push((name.value.clone(), name.span, topology));
                }
            }
            all.push(findings);
        }
        all.into_iter().for_each(|findings| self.take(findings));
        out
    }

    /// The file's scenarios without errors, with the places of their names.
    pub(crate) fn scenarios(
        &mut self,
        topologies: &Topologies,
        definitions: Option<&Definitions>,
    ) -> Vec<(Scenario, Span)> {
        let mut out: Vec<(Scenario, Span)> = Vec::new();
        let mut all = Vec::new();
        for document in self.documents.iter().filter(|d| d.kind == DocumentKind::Scenario) {
            let mut findings = Findings::default();
            let raw =
                RawScenario::from_node(&document.node, &mut findings).filter(|_| findings.errors() == 0);
            let converted = raw.as_ref().and_then(|raw| {
                convert::scenario(raw, &self.source.name, topologies, definitions, &mut findings)
            });
            if let (Some(raw), Some(converted)) = (raw, converted) {
                if let Some((_, first)) = out.iter().find(|(have, _)| have.name == converted.scenario.name) {
                    findings.push(
                        duplicate("scenario", &converted.scenario.name, converted.name).also(*first, "first"),
                    );
                }
                crosscheck::check(&converted, &mut findings);
                // An expectation that is not borne out may be so because a policy finds nobody.
                vacuous::check(&converted.scenario, &raw.spec.steps, &mut findings);
                meant(&raw.spec.meant, &mut findings);
                if findings.errors() == 0 {
                    out.push((converted.scenario, converted.name));
                }
            }
            all.push(findings);
        }
        all.into_iter().for_each(|findings| self.take(findings));
        out
    }

    /// The file's known deviations without errors, with the places of their names.
    pub(crate) fn known(&mut self) -> Vec<(KnownDeviations, Span)> {
        let (mut out, mut all) = (Vec::new(), Vec::new());
        for document in self.documents.iter().filter(|d| d.kind == DocumentKind::KnownDeviations) {
            let mut findings = Findings::default();
            let raw = RawKnownDeviations::from_node(&document.node, &mut findings)
                .filter(|_| findings.errors() == 0);
            let known = raw.and_then(|raw| {
                let known = convert::known(&raw, &self.source.name, &mut findings)?;
                Some((known, raw.metadata.name.span))
            });
            out.extend(known);
            all.push(findings);
        }
        all.into_iter().for_each(|findings| self.take(findings));
        out
    }

    fn take(&mut self, findings: Findings) {
        let (list, dropped) = findings.into_parts();
        self.findings.extend(list);
        self.dropped += dropped;
    }

    /// Adds a finding about this file.
    pub(crate) fn push(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// All findings, in the order of the file.
    pub(crate) fn diagnostics(mut self) -> Vec<Diagnostic> {
        self.findings.sort_by_key(Finding::start);
        if self.findings.len() > MOST_FINDINGS {
            // Errors come first when there are too many to show them all: only warnings are left out of a file that has
            // no more errors than are shown, and that makes nothing an error.
            self.findings.sort_by_key(|finding| !finding.is_error());
            let hidden = self.findings.split_off(MOST_FINDINGS);
            let is_error = hidden.first().is_some_and(Finding::is_error);
            let more = hidden.len() + self.dropped;
            self.findings.sort_by_key(Finding::start);
            let last =
                self.findings.last().map_or(Span::default(), |f| Span { start: f.start(), end: f.start() });
            let (what, message) =
                ("scenario/too-many-findings", format!("{more} more findings are not shown"));
            let last = match is_error {
                true => Finding::error(what, last, message),
                false => Finding::warning(what, last, message),
            };
            self.findings.push(last.help("mend the ones above first"));
        }
        let lines = Lines::new(&self.source.text);
        self.findings.into_iter().map(|f| f.place(&self.source.name, &self.source.text, &lines)).collect()
    }
}

/// Leaves out the warnings that the scenario says are meant.
fn meant(words: &[At<String>], findings: &mut Findings) {
    for word in words {
        let silenced = findings.silence(&word.value);
        if !silenced && vacuous::MEANT.contains(&word.value.as_str()) {
            findings.push(
                Finding::warning(
                    "scenario/meant-in-vain",
                    word.span,
                    format!("`{}` is meant, and nothing here is", word.value),
                )
                .help("remove it: it would hide a mistake"),
            );
        }
    }
}

/// A name that is taken.
pub(crate) fn duplicate(what: &str, name: &str, span: Span) -> Finding {
    let name = clean::word(name);
    Finding::error(duplicate_code(what), span, format!("the {what} name `{name}` is taken"))
        .help("names must be unique in a run; rename one of the two")
}

fn duplicate_code(what: &str) -> &'static str {
    if what == "topology" { "scenario/duplicate-topology" } else { "scenario/duplicate-name" }
}

fn syntax(error: &yaml::SyntaxError, text: &str) -> Finding {
    let span = error.span.unwrap_or_default();
    if error.limit {
        return Finding::error(
            "scenario/too-complex",
            span,
            // Our own words, and long: nothing of the file is in them.
            format!("the YAML is too large or expands too far: {}", error.message),
        )
        .help("write out what anchors and aliases repeat, or split the file");
    }
    if let Some((Foreign { what, help }, start)) = foreign::of_text(text) {
        let span = Span { start, end: start };
        return Finding::error("scenario/syntax", span, format!("this is {what}")).help(help);
    }
    let finding =
        Finding::error("scenario/syntax", span, format!("this is not YAML: {}", clean::word(&error.message)));
    finding.help(if is_indented_by_tab(text, span) {
        "the line is indented with a tab; YAML wants spaces"
    } else {
        "look for an unclosed quote or bracket, a missing space after `:`, or a line that is indented otherwise than its \
         neighbours"
    })
}

/// Whether the line of a place, or the one before it, begins with a tab.
fn is_indented_by_tab(text: &str, span: Span) -> bool {
    let lines = Lines::new(text);
    let line = lines.place(text, span.start).0;
    [line, line.saturating_sub(1)].into_iter().filter(|line| *line > 0).any(|line| {
        let line = text.get(lines.start(line)..lines.start(line + 1)).unwrap_or_default();
        line[..line.len() - line.trim_start().len()].contains('\t')
    })
}

fn document_kind(node: &Node, findings: &mut Findings) -> DocumentKind {
    let bad = DocumentKind::Bad;
    let start = || format!("a scenario starts with `apiVersion: {API_VERSION}` and `kind: Scenario`");
    if !matches!(node.value, Value::Map(_)) {
        let known = node.text().and_then(foreign::of_plain_text);
        let Foreign { what, help } = known.unwrap_or_else(|| {
            let what = if matches!(node.value, Value::Seq(_)) { "a list" } else { "a single value" };
            Foreign { what: what.to_owned(), help: start() }
        });
        let message = format!("this document is {what}; expected a Scenario, a Topology or KnownDeviations");
        findings.push(Finding::error("scenario/no-scenario", node.span, message).help(help));
        return bad;
    }
    let text = |name: &str| node.get(name).and_then(|n| n.text().map(|text| (text, n.span)));
    let Some((kind, kind_span)) = text("kind") else {
        let Foreign { what, help } = foreign::of_no_kind(node);
        findings
            .push(Finding::error("scenario/no-scenario", node.span, format!("this is {what}")).help(help));
        return bad;
    };
    let api = text("apiVersion");
    let ours = api.is_none_or(|(api, _)| api.starts_with("verdikt.dev/"));
    let read = match kind {
        "Scenario" if ours => DocumentKind::Scenario,
        "Topology" if ours => DocumentKind::Topology,
        "KnownDeviations" if ours => DocumentKind::KnownDeviations,
        _ => {
            findings.push(other_kind(node, kind, kind_span, ours));
            return bad;
        }
    };
    match api {
        Some((API_VERSION, _)) => read,
        Some((other, span)) => {
            findings.push(
                Finding::error(
                    "scenario/unknown-version",
                    span,
                    format!("`{}` is no known version", clean::word(other)),
                )
                .help(format!("write `apiVersion: {API_VERSION}`")),
            );
            bad
        }
        None => {
            findings.push(
                Finding::error(
                    "scenario/missing-field",
                    kind_span,
                    "the document needs the field `apiVersion`",
                )
                .help(format!("write `apiVersion: {API_VERSION}`")),
            );
            bad
        }
    }
}

fn other_kind(node: &Node, kind: &str, span: Span, ours: bool) -> Finding {
    let near = suggest::nearest(kind, ["Scenario", "Topology", "KnownDeviations"]).filter(|_| ours);
    let Foreign { what, help } = match near {
        Some(near) => {
            Foreign { what: format!("a `{}`", clean::word(kind)), help: format!("did you mean `{near}`?") }
        }
        None => foreign::of_kind(node, kind),
    };
    let message = format!("this document is {what}; expected a Scenario, a Topology or KnownDeviations");
    Finding::error("scenario/foreign-document", span, message).help(help)
}
