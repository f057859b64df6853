//! Diagnostics as text for people.

use miette::{GraphicalReportHandler, GraphicalTheme};

use crate::diagnostic::Diagnostic;

/// Draws diagnostics with their snippets, one after another. `width` is the terminal's, in columns.
pub fn render(diagnostics: &[Diagnostic], color: bool, width: usize) -> String {
    let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(width.max(40))
        .with_links(false)
        .with_wrap_lines(false)
        .with_context_lines(1)
        .without_syntax_highlighting();
    let mut out = String::new();
    for diagnostic in diagnostics {
        let mut wrapped = diagnostic.clone();
        wrapped.message = fill(&diagnostic.message, width);
        wrapped.help = diagnostic.help.as_ref().map(|help| fill(help, width));
        // Drawing fails only when the snippet does not hold the place; the finding must not be lost then.
        if handler.render_report(&mut out, &wrapped).is_err() {
            let Diagnostic { code, message, file, line, column, .. } = diagnostic;
            out.push_str(&format!("{code}: {message}\n  at {file}:{line}:{column}\n"));
        }
        out.push('\n');
    }
    out
}

/// Columns that the handler puts before a message or a help text.
const INDENT: usize = 8;

/// Breaks lines at spaces only, so that patterns and paths can be copied; the handler also breaks at `/` and `-`.
fn fill(text: &str, width: usize) -> String {
    let width = width.max(40) - INDENT;
    let lines = text.split('\n').map(|line| {
        let words = line.trim_start();
        let mut out = line[..line.len() - words.len()].to_owned();
        let mut column = out.chars().count();
        for (i, word) in words.split(' ').enumerate() {
            let length = word.chars().count();
            if i > 0 && column + 1 + length > width {
                out.push('\n');
                column = 0;
            } else if i > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += length;
        }
        out
    });
    lines.collect::<Vec<_>>().join("\n")
}
