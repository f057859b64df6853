//! How verdikt speaks to its user: colours, width, remarks.

use std::io::IsTerminal;

use crate::{
    args::{Color, Global},
    terminal,
};

/// How to speak to the user.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ui {
    pub(crate) color_stdout: bool,
    pub(crate) color_stderr: bool,
    pub(crate) quiet: bool,
    /// Columns of the terminal; 100 where there is none.
    pub(crate) width: usize,
}

impl Ui {
    /// As the command line and the terminal have it.
    pub(crate) fn new(global: &Global) -> Self {
        let choice = match global.color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
        let colored = |choice| !matches!(choice, anstream::ColorChoice::Never);
        let (_, columns) = console::Term::stderr().size();
        Self {
            color_stdout: colored(anstream::AutoStream::choice(&std::io::stdout())),
            color_stderr: colored(anstream::AutoStream::choice(&std::io::stderr())),
            quiet: global.quiet,
            width: if std::io::stderr().is_terminal() { usize::from(columns).max(40) } else { 100 },
        }
    }

    /// A remark on standard error, unless the user wants quiet.
    pub(crate) fn remark(&self, text: &str) {
        if !self.quiet {
            terminal::say(text);
        }
    }
}
