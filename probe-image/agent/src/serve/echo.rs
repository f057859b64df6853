//! Lines that come back.

use super::output::Output;

/// Longest line that is echoed.
const LONGEST_LINE: usize = 4096;

/// The lines of a connection.
#[derive(Default)]
pub(super) struct Echo {
    /// Start of a line whose end has not come yet.
    line: Vec<u8>,
}

impl Echo {
    /// Sends back the lines that are whole. `false` when a line is too long.
    pub(super) fn take(&mut self, bytes: &[u8], output: &mut Output) -> bool {
        if let Some(end) = bytes.iter().rposition(|b| *b == b'\n') {
            output.add(&self.line);
            output.add(&bytes[..=end]);
            self.line.clear();
            self.line.extend_from_slice(&bytes[end + 1..]);
        } else {
            self.line.extend_from_slice(bytes);
        }
        self.line.len() <= LONGEST_LINE
    }
}
