//! DNS messages: questions, and what the answers say.

use std::net::IpAddr;

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};

use crate::system::Random;

/// A question that has been encoded.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    id: u16,
    /// A or AAAA.
    pub(crate) kind: RecordType,
    /// The message, without a length prefix.
    pub(crate) message: Vec<u8>,
}

/// An answer, decoded as far as anybody asks.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// A or AAAA.
    pub(crate) kind: RecordType,
    /// What the server said.
    pub(crate) code: ResponseCode,
    /// Whether it was cut off.
    pub(crate) truncated: bool,
    /// Addresses of the asked kind, in the server's order.
    pub(crate) addresses: Vec<IpAddr>,
}

/// The questions for both families.
pub(crate) fn both(name: &str, random: &mut Random) -> Result<Vec<Question>, String> {
    [RecordType::A, RecordType::AAAA].into_iter().map(|kind| Question::new(name, kind, random)).collect()
}

/// The question for the addresses of one family, 4 or 6.
pub(crate) fn of_family(name: &str, family: u8, random: &mut Random) -> Result<Vec<Question>, String> {
    let kind = match family {
        4 => RecordType::A,
        6 => RecordType::AAAA,
        other => return Err(format!("there is no IP family {other}")),
    };
    Ok(vec![Question::new(name, kind, random)?])
}

impl Question {
    fn new(name: &str, kind: RecordType, random: &mut Random) -> Result<Self, String> {
        let wrong = |why: String| format!("`{name}` is no domain name: {why}");
        if name.is_empty() {
            return Err(wrong("it is empty".into()));
        }
        let mut parsed = Name::from_ascii(name).map_err(|e| wrong(e.to_string()))?;
        // No search list: names are asked for as they are.
        parsed.set_fqdn(true);
        let id = random.next() as u16;
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(parsed, kind));
        Ok(Self { id, kind, message: message.to_vec().map_err(|e| wrong(e.to_string()))? })
    }

    /// Reads a message as the answer to this question; `None` when it is not.
    pub(crate) fn answer(&self, message: &[u8]) -> Option<Answer> {
        // The header alone decides whether it answers: a reply with an error code may carry nothing else.
        let header: &[u8; 12] = message.first_chunk()?;
        let (id, response) = (u16::from_be_bytes([header[0], header[1]]), header[2] & 0x80 != 0);
        if id != self.id || !response {
            return None;
        }
        let (code, truncated) = (ResponseCode::from_low(header[3] & 0x0f), header[2] & 0x02 != 0);
        let empty = Answer { kind: self.kind, code, truncated, addresses: Vec::new() };
        let Ok(decoded) = Message::from_vec(message) else {
            // A reply that was cut off amid a record still says so in its header.
            return (truncated || code != ResponseCode::NoError).then_some(empty);
        };
        if decoded.queries.iter().any(|query| query.query_type() != self.kind) {
            return None;
        }
        let addresses = decoded.answers.iter().filter_map(|record| match record.data {
            RData::A(a) if self.kind == RecordType::A => Some(IpAddr::V4(a.0)),
            RData::AAAA(a) if self.kind == RecordType::AAAA => Some(IpAddr::V6(a.0)),
            _ => None,
        });
        Some(Answer { addresses: addresses.collect(), ..empty })
    }
}

/// A message as it is sent over a stream.
pub(crate) fn prefixed(message: &[u8]) -> Vec<u8> {
    let length = message.len() as u16;
    [&length.to_be_bytes(), message].concat()
}

/// Takes the first whole message off a stream's bytes.
pub(crate) fn take_prefixed(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = usize::from(u16::from_be_bytes(*bytes.first_chunk()?));
    let message = bytes.get(2..2 + length)?.to_vec();
    bytes.drain(..2 + length);
    Some(message)
}
