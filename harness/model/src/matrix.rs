//! A step's cells, compact: 24 bytes a cell besides the reasons.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeSeq};

use crate::{
    cell::{Cell, EndpointId},
    record::CellRecord,
    topic::Topics,
    verdict::{Expectation, Outcome, SeenAs, Verdict},
};

/// One cell with what was expected and observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Which cell.
    pub cell: Cell,
    /// What should be.
    pub expected: Expectation,
    /// What was; `None` when nothing was measured.
    pub observed: Option<Verdict>,
    /// How the two compare.
    pub outcome: Outcome,
    /// How often the cell was probed.
    pub attempts: u16,
    /// Round-trip time of the last answer in microseconds; 0 when there was none.
    pub rtt_us: u32,
    /// The source address that the server saw, where it was not the client's own.
    pub seen_as: Option<SeenAs>,
    /// What the verdict turns on, where dataplanes are known to differ.
    pub topics: Topics,
}

/// The cells of one step. Serialises as a list of [`CellRecord`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matrix {
    /// Endpoint names; an [`EndpointId`] is an index into it.
    pub names: Arc<Vec<String>>,
    /// The cells.
    pub rows: Vec<Row>,
    /// Reasons, by index into `rows`, for cells that need one.
    pub reasons: BTreeMap<u32, String>,
}

impl Matrix {
    /// An endpoint's name.
    pub fn name(&self, id: EndpointId) -> &str {
        &self.names[usize::from(id.0)]
    }

    /// The same with these cells only.
    #[must_use]
    pub fn only(&self, of: impl Fn(&Row) -> bool) -> Self {
        let mut some = Self { names: Arc::clone(&self.names), ..Self::default() };
        for (row, reason) in self.iter().filter(|(row, _)| of(row)) {
            if let (Some(reason), Ok(index)) = (reason, u32::try_from(some.rows.len())) {
                some.reasons.insert(index, reason.to_owned());
            }
            some.rows.push(*row);
        }
        some
    }

    /// The cells with their reasons.
    pub fn iter(&self) -> impl Iterator<Item = (&Row, Option<&str>)> {
        self.rows.iter().enumerate().map(|(i, row)| {
            (row, u32::try_from(i).ok().and_then(|i| self.reasons.get(&i)).map(String::as_str))
        })
    }
}

impl Serialize for Matrix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.rows.len()))?;
        for (row, reason) in self.iter() {
            seq.serialize_element(&CellRecord {
                from: self.name(row.cell.from).into(),
                to: self.name(row.cell.to).into(),
                via: row.cell.via,
                port: row.cell.port,
                protocol: row.cell.protocol,
                family: row.cell.family,
                expected: row.expected,
                observed: row.observed,
                outcome: row.outcome,
                attempts: row.attempts,
                rtt_us: (row.rtt_us > 0).then_some(row.rtt_us),
                seen_as: row.seen_as,
                topics: row.topics,
                reason: reason.map(Into::into),
            })?;
        }
        seq.end()
    }
}

impl<'de> Deserialize<'de> for Matrix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let cells = Vec::<CellRecord<'de>>::deserialize(deserializer)?;
        let mut ids: HashMap<String, u16> = HashMap::new();
        let mut names = Vec::new();
        let mut id = |name: &str| -> Result<EndpointId, D::Error> {
            if let Some(id) = ids.get(name) {
                return Ok(EndpointId(*id));
            }
            let id = u16::try_from(names.len())
                .map_err(|_| serde::de::Error::custom("a matrix has more than 65,536 endpoints"))?;
            names.push(name.to_owned());
            ids.insert(name.to_owned(), id);
            Ok(EndpointId(id))
        };
        let (mut rows, mut reasons) = (Vec::with_capacity(cells.len()), BTreeMap::new());
        for (index, cell) in cells.into_iter().enumerate() {
            rows.push(Row {
                cell: Cell {
                    from: id(&cell.from)?,
                    to: id(&cell.to)?,
                    via: cell.via,
                    family: cell.family,
                    protocol: cell.protocol,
                    port: cell.port,
                },
                expected: cell.expected,
                observed: cell.observed,
                outcome: cell.outcome,
                attempts: cell.attempts,
                rtt_us: cell.rtt_us.unwrap_or_default(),
                seen_as: cell.seen_as,
                topics: cell.topics,
            });
            if let Some(reason) = cell.reason {
                reasons.insert(index as u32, reason.into_owned());
            }
        }
        Ok(Self { names: Arc::new(names), rows, reasons })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_small() {
        assert!(size_of::<Row>() <= 24, "{}", size_of::<Row>());
    }
}
