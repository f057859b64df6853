//! One HTTP/1.1 request and the head of its answer.

use verdikt_protocol::HttpRequest;

/// Most bytes of an answer's head.
const LONGEST_HEAD: usize = 16 << 10;

/// Most headers of an answer.
const MOST_HEADERS: usize = 100;

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpAnswer {
    /// Its status.
    pub(crate) status: u16,
    /// The identity of the verdikt server that gave it, if it was one.
    pub(crate) id: Option<String>,
    /// The client as that server saw it.
    pub(crate) client: Option<String>,
}

/// A request on its way.
pub(crate) struct Exchange {
    /// The request, as it is sent.
    pub(super) request: Vec<u8>,
    /// Whether it has been sent.
    pub(super) asked: bool,
    buffer: Vec<u8>,
}

impl Exchange {
    /// A request that is still to be sent; or what is wrong with it.
    pub(super) fn new(request: &HttpRequest) -> Result<Self, String> {
        let HttpRequest { method, path, host } = request;
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        if !method.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') || !plain(method) {
            return Err(format!("`{method}` is no HTTP method"));
        }
        if !plain(path) || !plain(host) {
            return Err(format!("path `{path}` and host `{host}` must be visible ASCII without spaces"));
        }
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: verdikt-probe\r\naccept: */*\r\n\
             connection: close\r\n\r\n"
        );
        Ok(Self { request: request.into_bytes(), asked: false, buffer: Vec::new() })
    }

    /// Takes bytes of the answer. `None` as long as its head is not whole; an error when it is no HTTP.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Option<Result<HttpAnswer, String>> {
        self.buffer.extend_from_slice(bytes);
        loop {
            let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
            let mut response = httparse::Response::new(&mut headers);
            match response.parse(&self.buffer) {
                Ok(httparse::Status::Complete(length)) => {
                    let status = response.code.unwrap_or_default();
                    // 1xx announces another answer; 101 was not asked for.
                    if (100..200).contains(&status) {
                        self.buffer.drain(..length);
                        continue;
                    }
                    let header = |name: &str| {
                        let found = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name))?;
                        Some(String::from_utf8_lossy(found.value).trim().to_owned())
                    };
                    let (id, client) = (header("x-verdikt-id"), header("x-verdikt-client"));
                    return Some(Ok(HttpAnswer { status, id, client }));
                }
                Ok(httparse::Status::Partial) if self.buffer.len() < LONGEST_HEAD => return None,
                Ok(httparse::Status::Partial) => {
                    return Some(Err("the head of the HTTP answer is too long".into()));
                }
                Err(_) => return Some(Err("answered by something that does not speak HTTP".into())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange() -> Exchange {
        let get = HttpRequest { method: "GET".into(), path: "/x".into(), host: "web".into() };
        Exchange::new(&get).unwrap()
    }

    #[test]
    fn an_answer_may_come_in_parts_and_after_others() {
        let answer = "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 404 Not Found\r\nX-Verdikt-Id: x/a\r\n\r\nbody";
        let mut exchange = exchange();
        let mut taken = answer.bytes().filter_map(|byte| exchange.take(&[byte]));
        let expected = HttpAnswer { status: 404, id: Some("x/a".into()), client: None };
        assert_eq!(taken.next(), Some(Ok(expected)));
    }

    #[test]
    fn what_is_no_http_is_said() {
        assert!(exchange().take(b"SSH-2.0-x\r\n").is_some_and(|answer| answer.is_err()));
        let endless = [&b"HTTP/1.1 200 OK\r\nx: "[..], &vec![b'y'; LONGEST_HEAD]].concat();
        assert!(exchange().take(&endless).is_some_and(|answer| answer.is_err()));
    }

    #[test]
    fn a_request_cannot_smuggle_another() {
        let bad =
            [("GET /", "/", "h"), ("GET", "/ HTTP/1.1\r\nx: y", "h"), ("GET", "/", "h\n"), ("", "/", "h")];
        for (method, path, host) in bad {
            let request = HttpRequest { method: method.into(), path: path.into(), host: host.into() };
            assert!(Exchange::new(&request).is_err(), "{request:?}");
        }
    }
}
