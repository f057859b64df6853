//! As much of HTTP/1.1 as a proxy needs that passes requests on one by one.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// A request, as it came.
pub(super) struct Request {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    head: String,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// Reads one; `None` when the client has gone instead. `buffer` holds what came beyond it.
    pub(super) async fn read(
        stream: &mut (impl AsyncRead + Unpin),
        buffer: &mut Vec<u8>,
    ) -> io::Result<Option<Self>> {
        let end = loop {
            if let Some(end) = head_end(buffer) {
                break end;
            }
            if stream.read_buf(buffer).await? == 0 {
                return Ok(None);
            }
        };
        let head: String = String::from_utf8_lossy(&buffer[..end]).into_owned();
        buffer.drain(..end);
        let length = header(&head, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        while buffer.len() < length {
            if stream.read_buf(buffer).await? == 0 {
                return Ok(None);
            }
        }
        let body = buffer.drain(..length).collect();
        let mut words = head.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        Ok(Some(Self { method, target, head, body }))
    }

    /// Whether it asks for another protocol, as an exec does.
    pub(super) fn upgrades(&self) -> bool {
        header(&self.head, "upgrade").is_some()
    }

    pub(super) fn watches(&self) -> bool {
        self.target.contains("watch=")
    }

    /// Its bytes; unless it upgrades, the answer is to end with its connection.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.clone().into_bytes();
        if !self.upgrades() {
            bytes.truncate(bytes.len() - 2);
            bytes.extend_from_slice(b"connection: close\r\n\r\n");
        }
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// An answer of the proxy's own, after which the connection stays open.
pub(super) fn answer(status: &str, headers: &str, content_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{headers}content-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The API server's answer without the end of the connection that was asked of it.
pub(super) fn kept_open(answer: Vec<u8>) -> Vec<u8> {
    const CLOSE: &[u8] = b"connection: close\r\n";
    let end = head_end(&answer).unwrap_or(0);
    let Some(at) = answer[..end].windows(CLOSE.len()).position(|w| w.eq_ignore_ascii_case(CLOSE)) else {
        return answer;
    };
    [&answer[..at], &answer[at + CLOSE.len()..]].concat()
}

/// Where the head ends, its blank line included.
pub(super) fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
