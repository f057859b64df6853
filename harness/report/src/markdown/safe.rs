//! Foreign text in Markdown, in places where it is text and nothing else.

use std::borrow::Cow;

use crate::escape::escape;

/// Longest run of backticks that is shown as such. Parsers have limits to what may enclose them.
const BACKTICKS: usize = 8;

/// One line of foreign text.
pub(super) fn line(text: &str) -> Cow<'_, str> {
    escape(text)
}

/// A code span, for a paragraph or a list. The text is one line.
pub(super) fn code(text: &str) -> String {
    if text.trim().is_empty() {
        return "*(empty)*".to_owned();
    }
    let text = tamed(text);
    let fence = "`".repeat(longest_run(&text) + 1);
    // A space at either end is taken away again by the reader where both are there.
    match text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) {
        true => format!("{fence} {text} {fence}"),
        false => format!("{fence}{text}{fence}"),
    }
}

/// A code span for a cell of a table, where `|` has to be escaped even in code. Parsers disagree about a backslash before
/// it, which is shown by its number.
pub(crate) fn cell(text: &str) -> String {
    code(&text.replace("\\|", "\\u{5c}|")).replace('|', "\\|")
}

/// A fenced block of several lines.
pub(super) fn block(text: &str) -> String {
    let text = tamed(text);
    let fence = "`".repeat(longest_run(&text).max(2) + 1);
    let end = if text.ends_with('\n') { "" } else { "\n" };
    format!("{fence}text\n{text}{end}{fence}\n")
}

/// Text for the inside of an HTML element.
pub(crate) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn tamed(text: &str) -> Cow<'_, str> {
    match longest_run(text) > BACKTICKS {
        true => Cow::Owned(text.replace('`', "\\u{60}")),
        false => Cow::Borrowed(text),
    }
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or_default()
}
