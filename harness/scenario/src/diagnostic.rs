//! What is wrong with a file: message, place, snippet and what to do about it.

use std::{fmt, ops::Range};

use miette::{LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use crate::{clean, source::Lines, span::Span};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The scenario cannot be run.
    Error,
    /// The scenario can be run; its author probably meant something else.
    Warning,
}

/// One finding in a scenario file. Render it with [`crate::render()`] or with any of miette's report handlers.
///
/// Control characters of the input are escaped in every text of it, so it is safe to print.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Stable identifier: `scenario/unknown-field`.
    pub code: &'static str,
    /// What is wrong, one sentence.
    pub message: String,
    /// The file as the user named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Bytes of the file that are meant.
    pub span: Range<usize>,
    /// What to do about it.
    pub help: Option<String>,
    /// Other places that belong to it, each with what is there.
    pub related: Vec<Related>,
    snippet: Snippet,
}

/// Another place that belongs to a [`Diagnostic`].
#[derive(Debug, Clone)]
pub struct Related {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Bytes of the file that are meant.
    pub span: Range<usize>,
    /// What is there.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}

impl miette::Diagnostic for Diagnostic {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.code))
    }
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as _)
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.snippet)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let here = LabeledSpan::new_primary_with_span(
            (!self.related.is_empty()).then(|| "here".to_owned()),
            self.snippet.clip(&self.span),
        );
        let related = self.related.iter().filter(|other| self.snippet.holds(&other.span)).map(|other| {
            LabeledSpan::new_with_span(Some(other.message.clone()), self.snippet.clip(&other.span))
        });
        Some(Box::new(std::iter::once(here).chain(related)))
    }
}

/// A finding before its lines are counted.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    severity: Severity,
    code: &'static str,
    span: Span,
    message: String,
    help: Option<String>,
    related: Vec<(Span, String)>,
}

impl Finding {
    pub(crate) fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { severity: Severity::Error, code, span, message, help: None, related: Vec::new() }
    }

    pub(crate) fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// Adds a line of advice.
    pub(crate) fn more_help(mut self, help: &str) -> Self {
        self.help = Some(self.help.map_or_else(|| help.to_owned(), |have| format!("{have}\n{help}")));
        self
    }

    /// Adds another place and what is there.
    pub(crate) fn also(mut self, span: Span, message: impl Into<String>) -> Self {
        self.related.push((span, message.into()));
        self
    }

    pub(crate) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    pub(crate) fn is(&self, code: &str) -> bool {
        self.code == code
    }

    /// Its code, without what stands before the `/`.
    pub(crate) fn word(&self) -> &str {
        self.code.rsplit('/').next().unwrap_or_default()
    }

    pub(crate) fn start(&self) -> usize {
        self.span.start
    }

    /// Counts lines and cuts out the snippet.
    pub(crate) fn place(self, file: &str, text: &str, lines: &Lines) -> Diagnostic {
        let (line, column) = lines.place(text, self.span.start);
        let related: Vec<Related> = self
            .related
            .into_iter()
            .map(|(span, message)| {
                let (line, column) = lines.place(text, span.start);
                Related { line, column, span: span.range(), message: clean::message(&message) }
            })
            .collect();
        // A place far away would make the snippet long; it is named in the help instead.
        let far: Vec<String> = related
            .iter()
            .filter(|other| other.line.abs_diff(line) > SNIPPET_REACH)
            .map(|other| format!("{} at line {}, column {}", other.message, other.line, other.column))
            .collect();
        let mut help: Vec<String> = self.help.iter().map(|help| clean::message(help)).collect();
        help.extend(far);
        let near = related.iter().filter(|other| other.line.abs_diff(line) <= SNIPPET_REACH);
        let lines_of = near.map(|other| other.line).chain([line]);
        let (first, last) = lines_of.fold((line, line), |(a, b), n| (a.min(n), b.max(n)));
        let snippet = Snippet::cut(file, text, lines, first, last, self.span.start);
        Diagnostic {
            severity: self.severity,
            code: self.code,
            message: clean::message(&self.message),
            file: clean::line(file),
            line,
            column,
            span: self.span.range(),
            help: (!help.is_empty()).then(|| help.join("\n")),
            related,
            snippet,
        }
    }
}

/// Related places further away than so many lines are not drawn into the snippet.
const SNIPPET_REACH: usize = 40;
/// A longer line is cropped around the place, in bytes.
const LONG_LINE: usize = 400;

/// The lines of a file around a finding.
#[derive(Debug, Clone)]
struct Snippet {
    name: String,
    text: String,
    /// Bytes of the file before the text.
    base: usize,
    /// Lines of the file before the text.
    line: usize,
    /// Characters of the first line that are cropped.
    column: usize,
}

impl Snippet {
    fn cut(file: &str, text: &str, lines: &Lines, first: usize, last: usize, at: usize) -> Self {
        let first = first.saturating_sub(1).max(1);
        let (mut start, mut end) = (lines.start(first), lines.start(last + 2).min(text.len()));
        let (mut line, mut column) = (first - 1, 0);
        let here = lines.place(text, at).0;
        if lines.start(here + 1).saturating_sub(lines.start(here)) > LONG_LINE || end - start > 40 * LONG_LINE
        {
            let floor = |mut n: usize| {
                while !text.is_char_boundary(n) {
                    n -= 1;
                }
                n
            };
            start = floor(at.saturating_sub(LONG_LINE / 4)).max(lines.start(here));
            end = floor((at + LONG_LINE / 4).min(text.len())).min(lines.start(here + 1).max(at)).max(start);
            line = here - 1;
            column = text[lines.start(here)..start].chars().count();
        }
        Self {
            name: clean::line(file),
            text: clean::same_length(&text[start..end]),
            base: start,
            line,
            column,
        }
    }

    fn holds(&self, span: &Range<usize>) -> bool {
        span.start >= self.base && span.start < self.base + self.text.len()
    }

    /// The part of a span that the snippet shows, first line only.
    fn clip(&self, span: &Range<usize>) -> SourceSpan {
        let start = span.start.clamp(self.base, self.base + self.text.len());
        let end = span.end.clamp(start, self.base + self.text.len());
        let shown = self.text.get(start - self.base..end - self.base).unwrap_or_default();
        let length = shown.find('\n').unwrap_or(shown.len());
        (start, length).into()
    }
}

impl SourceCode for Snippet {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let local = (span.offset().saturating_sub(self.base), span.len()).into();
        let inner = self.text.as_str().read_span(&local, before, after)?;
        let shown = inner.span();
        let cropped = if inner.line() == 0 { self.column } else { 0 };
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            inner.data(),
            (shown.offset() + self.base, shown.len()).into(),
            inner.line() + self.line,
            inner.column() + cropped,
            inner.line_count(),
        )))
    }
}
