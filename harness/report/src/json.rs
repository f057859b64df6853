//! The whole record on standard output, at the end.

use std::io::{self, Write};

use verdikt_model::Event;

use crate::{layout::write_record, output::Output, record_builder::RecordBuilder, reporter::Reporter};

/// Collects the events and writes the record when the run is over.
pub struct JsonReporter {
    out: Output,
    builder: RecordBuilder,
}

impl JsonReporter {
    /// Writes to `out`.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out: Output::new(out), builder: RecordBuilder::new() }
    }
}

impl Reporter for JsonReporter {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.builder.event(event)
    }

    fn finish(&mut self) -> io::Result<()> {
        let Some(record) = std::mem::take(&mut self.builder).build() else { return Ok(()) };
        let mut text = Vec::new();
        write_record(&record, &mut text)?;
        self.out.print(&text)
    }
}

#[cfg(test)]
mod tests {
    use verdikt_model::Record;

    use super::*;
    use crate::sample::{self, Sink};

    #[test]
    fn what_is_written_is_the_record() {
        let sink = Sink::default();
        let mut reporter = JsonReporter::new(Box::new(sink.clone()));
        for event in sample::events() {
            reporter.event(&event).unwrap();
            assert_eq!(sink.text(), "");
        }
        reporter.finish().unwrap();
        let read: Record = serde_json::from_str(&sink.text()).unwrap();
        let [read, made] = [&read, &sample::record()].map(|r| serde_json::to_string(r).unwrap());
        assert_eq!(read, made);
    }
}
