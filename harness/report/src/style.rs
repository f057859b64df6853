//! Colours. Never the only sign of anything.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

pub(crate) const PASS: Style = AnsiColor::Green.on_default().bold();
pub(crate) const FAIL: Style = AnsiColor::Red.on_default().bold();
pub(crate) const ERROR: Style = AnsiColor::Magenta.on_default().bold();
pub(crate) const SKIP: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const HEAD: Style = Style::new().bold();
pub(crate) const NAME: Style = AnsiColor::Cyan.on_default();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const WRONG: Style = AnsiColor::Red.on_default().invert();
pub(crate) const UNSURE: Style = AnsiColor::Yellow.on_default().invert();

/// Whether colours are used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    pub(crate) color: bool,
}

impl Paint {
    /// `text` in `style`, or plain.
    pub(crate) fn paint(self, style: Style, text: impl Display) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_string() }
    }
}
