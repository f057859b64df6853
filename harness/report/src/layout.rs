//! How a record is laid out as text: one scenario a line, so that it can be written piece by piece and read with
//! line tools; JSON all the same.

use std::io::{self, Write};

use serde::Serialize;
use verdikt_model::{DeviationRecord, Environment, Record, RunInfo, SCHEMA, ScenarioRecord, Summary};

use crate::json_text::json_line;

/// What stands between two scenarios.
pub(crate) const BETWEEN: &[u8] = b",\n";
/// What stands behind the last.
pub(crate) const TAIL: &[u8] = b"\n]}\n";

/// Everything before the first scenario.
pub(crate) fn head(
    run: &RunInfo,
    environment: &Environment,
    summary: &Summary,
    deviations: &[DeviationRecord],
) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    field(&mut head, b"{\"schema\":", &SCHEMA)?;
    field(&mut head, b"\"run\":", run)?;
    field(&mut head, b"\"environment\":", environment)?;
    field(&mut head, b"\"summary\":", summary)?;
    field(&mut head, b"\"deviations\":", &deviations)?;
    head.extend_from_slice(b"\"scenarios\":[\n");
    Ok(head)
}

fn field(head: &mut Vec<u8>, key: &[u8], value: &impl Serialize) -> io::Result<()> {
    head.extend_from_slice(key);
    head.extend_from_slice(json_line(value)?.as_bytes());
    head.extend_from_slice(BETWEEN);
    Ok(())
}

/// One scenario.
pub(crate) fn scenario(record: &ScenarioRecord) -> io::Result<Vec<u8>> {
    Ok(json_line(record)?.into_bytes())
}

/// Writes a whole record.
///
/// # Errors
/// When `out` fails.
pub fn write_record(record: &Record, out: &mut impl Write) -> io::Result<()> {
    out.write_all(&head(&record.run, &record.environment, &record.summary, &record.deviations)?)?;
    for (index, of) in record.scenarios.iter().enumerate() {
        if index > 0 {
            out.write_all(BETWEEN)?;
        }
        out.write_all(&scenario(of)?)?;
    }
    out.write_all(TAIL)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn the_layout_is_the_record_and_nothing_else() {
        let mut record = sample::record();
        for scenarios in [5, 1, 0] {
            record.scenarios.truncate(scenarios);
            let mut text = Vec::new();
            write_record(&record, &mut text).unwrap();
            assert_eq!(text.iter().filter(|b| **b == b'\n').count(), 6 + scenarios.max(1) + 1);
            let read: Record = serde_json::from_slice(&text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), serde_json::to_string(&record).unwrap());
            // The order of the fields, too.
            let squeezed = String::from_utf8(text).unwrap().replace('\n', "");
            assert_eq!(squeezed, serde_json::to_string(&record).unwrap());
        }
    }
}
