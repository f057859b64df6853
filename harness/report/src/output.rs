//! A stream whose reader may leave.

use std::io::{self, ErrorKind, Write};

use crate::json_text::json_line;

/// Standard output or the like. When the reader closes the pipe (`verdikt run | head`), what follows goes nowhere.
pub(crate) struct Output {
    out: Option<Box<dyn Write + Send>>,
}

impl Output {
    pub(crate) fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out: Some(out) }
    }

    /// Writes all of `text` and flushes, so that lines of two streams do not mix.
    pub(crate) fn print(&mut self, text: &[u8]) -> io::Result<()> {
        let Some(out) = &mut self.out else { return Ok(()) };
        match out.write_all(text).and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.out = None;
                Ok(())
            }
            other => other,
        }
    }

    /// One JSON value on a line of its own.
    pub(crate) fn print_json(&mut self, value: &impl serde::Serialize) -> io::Result<()> {
        let mut line = json_line(value)?;
        line.push('\n');
        self.print(line.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken(ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_no_error_and_a_full_disk_is_one() {
        let mut out = Output::new(Box::new(Broken(ErrorKind::BrokenPipe)));
        assert!(out.print(b"x").is_ok());
        assert!(out.print(b"x").is_ok());
        let mut out = Output::new(Box::new(Broken(ErrorKind::StorageFull)));
        assert!(out.print(b"x").is_err());
    }
}
