//! Diagnostics as text for people.

use miette::{GraphicalReportHandler, GraphicalTheme};

use crate::diagnostic::Diagnostic;

/// Draws diagnostics with their snippets, one after another. `width` is the terminal's, in columns.
pub fn render(diagnostics: &[Diagnostic], color: bool, width: usize) -> String {
    let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(width.max(40))
        .with_links(false)
        .with_context_lines(1)
        .without_syntax_highlighting();
    let mut out = String::new();
    for diagnostic in diagnostics {
        // Drawing fails only when the snippet does not hold the place; the finding must not be lost then.
        if handler.render_report(&mut out, diagnostic).is_err() {
            let Diagnostic { code, message, file, line, column, .. } = diagnostic;
            out.push_str(&format!("{code}: {message}\n  at {file}:{line}:{column}\n"));
        }
        out.push('\n');
    }
    out
}
