//! HTTP/1.1, as little of it as is correct: every request is answered with who has answered it.

use std::net::SocketAddr;

use super::output::Output;

/// Most bytes of a request's head.
const LONGEST_HEAD: usize = 8 << 10;

/// Most headers of a request.
const MOST_HEADERS: usize = 64;

/// The requests of a connection.
pub(super) struct Http {
    client: String,
    /// A head that is not whole yet.
    head: Vec<u8>,
    /// Bytes of a request's body that are still to be skipped.
    body: u64,
}

/// What was made of the bytes that have come.
#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    /// The head is not whole.
    Partial,
    /// A request and the length of its head.
    Request(Request, usize),
    /// This status says what is wrong, and the connection ends with it.
    Bad(&'static str),
}

#[derive(Debug, PartialEq, Eq)]
struct Request {
    method: String,
    path: String,
    body: u64,
    keep: bool,
}

impl Http {
    /// A connection of this client.
    pub(super) fn new(client: SocketAddr) -> Self {
        let client = SocketAddr::new(client.ip().to_canonical(), client.port()).to_string();
        Self { client, head: Vec::new(), body: 0 }
    }

    /// Answers the requests that are whole. `false` when the connection ends with the last answer.
    pub(super) fn take(&mut self, mut bytes: &[u8], identity: &str, output: &mut Output) -> bool {
        loop {
            let skipped = self.body.min(bytes.len() as u64);
            self.body -= skipped;
            bytes = &bytes[skipped as usize..];
            self.head.extend_from_slice(bytes);
            match parse(&self.head) {
                Parsed::Partial => return true,
                Parsed::Bad(status) => {
                    output.add(&self.answer(identity, status, status, false, false));
                    return false;
                }
                Parsed::Request(request, length) => {
                    let text = format!("{identity}: {} {}", request.method, request.path);
                    let bare = request.method == "HEAD";
                    output.add(&self.answer(identity, "200 OK", &text, request.keep, bare));
                    if !request.keep {
                        return false;
                    }
                    let rest = self.head.split_off(length);
                    self.head.clear();
                    self.body = request.body;
                    let skipped = self.body.min(rest.len() as u64);
                    self.body -= skipped;
                    self.head.extend_from_slice(&rest[skipped as usize..]);
                    bytes = &[];
                }
            }
        }
    }

    fn answer(&self, identity: &str, status: &str, text: &str, keep: bool, bare: bool) -> Vec<u8> {
        let id: String = identity.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let (client, length) = (&self.client, text.len() + 1);
        let connection = if keep { "keep-alive" } else { "close" };
        let head = format!(
            "HTTP/1.1 {status}\r\nserver: verdikt-probe\r\nx-verdikt-id: {id}\r\nx-verdikt-client: {client}\r\n\
             content-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\nconnection: {connection}\r\n\r\n"
        );
        if bare { head.into_bytes() } else { format!("{head}{text}\n").into_bytes() }
    }
}

fn parse(bytes: &[u8]) -> Parsed {
    const BAD: Parsed = Parsed::Bad("400 Bad Request");
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= LONGEST_HEAD => length,
        Ok(httparse::Status::Partial) if bytes.len() <= LONGEST_HEAD => return Parsed::Partial,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return Parsed::Bad("431 Request Header Fields Too Large");
        }
        Err(_) => return BAD,
    };
    let (Some(method), Some(path), Some(version)) = (request.method, request.path, request.version) else {
        return BAD;
    };
    let mut keep = version == 1;
    let (mut body, mut hosts) = (None, 0);
    for header in request.headers.iter() {
        let Ok(value) = std::str::from_utf8(header.value) else { continue };
        match header.name.to_ascii_lowercase().as_str() {
            "host" => hosts += 1,
            "connection" => {
                for option in value.split(',').map(str::trim) {
                    if option.eq_ignore_ascii_case("close") {
                        keep = false;
                    } else if option.eq_ignore_ascii_case("keep-alive") && version == 0 {
                        keep = true;
                    }
                }
            }
            "content-length" => {
                let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
                match value.parse::<u64>() {
                    Ok(length) if digits && body.is_none_or(|known| known == length) => body = Some(length),
                    _ => return BAD,
                }
            }
            // Its end would have to be found first.
            "transfer-encoding" => return Parsed::Bad("501 Not Implemented"),
            // The body may or may not follow once the answer has been seen.
            "expect" => keep = false,
            _ => {}
        }
    }
    if hosts > 1 || hosts == 0 && version == 1 {
        return BAD;
    }
    let (method, path) = (method.to_owned(), path.to_owned());
    Parsed::Request(Request { method, path, body: body.unwrap_or(0), keep }, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, bool) {
        match parse(text.as_bytes()) {
            Parsed::Partial => ("partial".into(), true),
            Parsed::Bad(status) => (status.into(), false),
            Parsed::Request(request, length) => {
                assert_eq!(length, text.find("\r\n\r\n").map_or(0, |at| at + 4));
                (format!("{} {} {}", request.method, request.path, request.body), request.keep)
            }
        }
    }

    #[test]
    fn requests_are_understood() {
        let cases = [
            ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", ("GET / 0", true)),
            ("GET /a?b HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n", ("GET /a?b 0", false)),
            ("PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello", ("PUT / 5", true)),
            ("GET / HTTP/1.0\r\n\r\n", ("GET / 0", false)),
            ("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", ("GET / 0", true)),
            (
                "POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n",
                ("POST / 9", false),
            ),
            ("GET / HTTP/1.1\r\nhost: x\r\n", ("partial", true)),
        ];
        for (text, (expected, keep)) in cases {
            assert_eq!(parsed(text), (expected.to_owned(), keep), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(MOST_HEADERS));
        let long = format!("GET / HTTP/1.1\r\nhost: x\r\na: {}", "b".repeat(LONGEST_HEAD));
        let whole = format!("{long}\r\n\r\n");
        let cases = [
            ("hello\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n", "400"),
            ("GET / HTTP/2.0\r\nhost: x\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nhost: x\r\ncontent-length: +1\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n", "501"),
            (many.as_str(), "431"),
            (&long, "431"),
            (&whole, "431"),
        ];
        for (text, status) in cases {
            assert!(parsed(text).0.starts_with(status), "{} for {text:.60}", parsed(text).0);
        }
    }
}
