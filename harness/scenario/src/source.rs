//! A source text and its lines.

/// A text and its name.
#[derive(Debug, Clone)]
pub struct Source {
    /// The path as the user gave it, `-` for standard input, or `catalogue:PATH`.
    pub name: String,
    /// Its contents.
    pub text: String,
}

/// Where the lines of a text start.
pub(crate) struct Lines {
    starts: Vec<usize>,
    length: usize,
}

impl Lines {
    pub(crate) fn new(text: &str) -> Self {
        let starts = std::iter::once(0)
            .chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1))
            .collect();
        Self { starts, length: text.len() }
    }

    /// Byte at which a line starts, counted from 1; the end of the text beyond the last line.
    pub(crate) fn start(&self, line: usize) -> usize {
        self.starts.get(line.saturating_sub(1)).copied().unwrap_or(self.length)
    }

    /// Line and column (in characters), both from 1.
    pub(crate) fn place(&self, text: &str, byte: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= byte).max(1);
        let before = text.get(self.start(line)..byte.min(text.len())).unwrap_or_default();
        (line, before.chars().count() + 1)
    }
}
