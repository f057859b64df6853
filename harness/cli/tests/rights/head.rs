//! The head of an HTTP request, and what it asks for in the words of Kubernetes' authorisation.

use std::io::{self, Read};

use crate::role::Deed;

/// A request up to its body.
pub(crate) struct Head {
    pub method: String,
    /// Path without its query.
    pub path: String,
    query: String,
    /// Lines of the header.
    lines: Vec<String>,
    /// What was read of the body.
    pub rest: Vec<u8>,
}

impl Head {
    /// Reads one; `None` when nothing more comes.
    pub(crate) fn read(stream: &mut impl Read) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk)? {
                0 => return Ok(None),
                n => bytes.extend_from_slice(&chunk[..n]),
            }
        };
        let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = text.split("\r\n").map(str::to_owned);
        let first = lines.next().unwrap_or_default();
        let mut words = first.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        Ok(Some(Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            lines: lines.collect(),
            rest: bytes[end + 4..].to_vec(),
        }))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| {
            let (have, value) = line.split_once(':')?;
            have.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// The whole body, which is as long as the header says.
    pub(crate) fn body(&self, stream: &mut impl Read) -> io::Result<Vec<u8>> {
        let length: usize = self.header("content-length").and_then(|n| n.parse().ok()).unwrap_or_default();
        let mut body = self.rest.clone();
        let have = body.len().min(length);
        body.resize(length, 0);
        stream.read_exact(&mut body[have..])?;
        Ok(body)
    }

    /// For the server behind: one request a connection, unless it becomes a websocket.
    pub(crate) fn forwarded(&self) -> Vec<u8> {
        let question = if self.query.is_empty() { "" } else { "?" };
        let mut text = format!("{} {}{question}{} HTTP/1.1\r\n", self.method, self.path, self.query);
        let upgrade = self.header("upgrade").is_some();
        for line in &self.lines {
            let connection = line.to_ascii_lowercase().starts_with("connection:");
            if upgrade || !connection {
                text.push_str(line);
                text.push_str("\r\n");
            }
        }
        if !upgrade {
            text.push_str("Connection: close\r\n");
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.rest);
        bytes
    }

    /// What must be allowed for it; nothing for what every authenticated user may do.
    pub(crate) fn deeds(&self) -> Vec<Deed> {
        let segments: Vec<&str> = self.path.trim_matches('/').split('/').collect();
        let (group, rest) = match segments[..] {
            ["api", _, ref rest @ ..] if !rest.is_empty() => ("", rest.to_vec()),
            ["apis", group, _, ref rest @ ..] if !rest.is_empty() => (group, rest.to_vec()),
            // Discovery and the version.
            _ => return Vec::new(),
        };
        if ["authentication.k8s.io", "authorization.k8s.io"].contains(&group) {
            return Vec::new();
        }
        let (resource, name, sub) = match rest[..] {
            ["namespaces", _, resource, ref tail @ ..] => (resource, tail.first(), tail.get(1)),
            [resource, ref tail @ ..] => (resource, tail.first(), tail.get(1)),
            [] => return Vec::new(),
        };
        let watch = self.query.split('&').any(|pair| pair == "watch=true" || pair == "watch=1");
        let verb = match (self.method.as_str(), name) {
            ("GET", Some(_)) => "get",
            ("GET", None) if watch => "watch",
            ("GET", None) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", Some(_)) => "delete",
            ("DELETE", None) => "deletecollection",
            (other, _) => panic!("a request with {other}"),
        };
        let deed = |verb: &str| Deed {
            group: group.to_owned(),
            resource: sub.map_or_else(|| resource.to_owned(), |sub| format!("{resource}/{sub}")),
            name: name.map(|name| (*name).to_owned()),
            verb: verb.to_owned(),
        };
        // Since Kubernetes 1.35 a websocket to exec must be allowed as create, too.
        let exec = sub == Some(&"exec") && verb == "get";
        if exec { vec![deed("get"), deed("create")] } else { vec![deed(verb)] }
    }
}
