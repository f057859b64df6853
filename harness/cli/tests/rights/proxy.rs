//! An authorising proxy in front of the sandbox's API server: who it lets through may do what a role says, and
//! everybody else hears what a real API server would say. It parses no more than the head of each request.

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};

use crate::{
    head::Head,
    role::{Deed, Role},
};

/// As whom everybody is known.
pub(crate) const USER: &str = "system:serviceaccount:ci:bot";

/// What it answers to.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub role: Role,
    /// Whether it says so when it is asked, or claims to allow everything.
    pub honest: bool,
}

/// A proxy that lives as long as the test.
pub(crate) struct Proxy {
    pub address: SocketAddr,
    used: Arc<Mutex<BTreeSet<(String, String, String)>>>,
}

impl Proxy {
    pub(crate) fn start(upstream: SocketAddr, rules: Rules) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let used = Arc::new(Mutex::new(BTreeSet::new()));
        let (rules, noted) = (Arc::new(rules), Arc::clone(&used));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (rules, noted) = (Arc::clone(&rules), Arc::clone(&noted));
                // A connection that breaks is the client's affair.
                thread::spawn(move || drop(serve(client, upstream, &rules, &noted)));
            }
        });
        Self { address, used }
    }

    /// Every (group, resource, verb) that was asked for and allowed.
    pub(crate) fn used(&self) -> BTreeSet<(String, String, String)> {
        self.used.lock().unwrap().clone()
    }
}

fn serve(
    mut client: TcpStream,
    upstream: SocketAddr,
    rules: &Rules,
    used: &Mutex<BTreeSet<(String, String, String)>>,
) -> io::Result<()> {
    let Some(head) = Head::read(&mut client)? else { return Ok(()) };
    match head.path.rsplit('/').next().unwrap_or_default() {
        "selfsubjectaccessreviews" => {
            let body: Value = serde_json::from_slice(&head.body(&mut client)?)?;
            let asked = &body["spec"]["resourceAttributes"];
            let allowed = !rules.honest || rules.role.allows(&reviewed(asked));
            let mut answer = body.clone();
            answer["status"] = json!({"allowed": allowed});
            return respond(&mut client, "201 Created", &answer);
        }
        "selfsubjectreviews" => {
            let mut answer: Value = serde_json::from_slice(&head.body(&mut client)?)?;
            answer["status"] = json!({"userInfo": {"username": USER}});
            return respond(&mut client, "201 Created", &answer);
        }
        _ => {}
    }
    for deed in head.deeds() {
        if !rules.role.allows(&deed) {
            head.body(&mut client)?;
            return respond(&mut client, "403 Forbidden", &forbidden(&head, &deed));
        }
        used.lock().unwrap().insert((deed.group, deed.resource, deed.verb));
    }
    let mut server = TcpStream::connect(upstream)?;
    server.set_nodelay(true)?;
    client.set_nodelay(true)?;
    server.write_all(&head.forwarded())?;
    let (from, to) = (client.try_clone()?, server.try_clone()?);
    let asking = thread::spawn(move || pass(from, to));
    pass(server, client);
    asking.join().expect("it does not panic");
    Ok(())
}

/// Copies until either side ends, then ends both.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    for stream in [&from, &to] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn reviewed(asked: &Value) -> Deed {
    let text = |key: &str| asked[key].as_str().unwrap_or_default().to_owned();
    let (resource, sub) = (text("resource"), text("subresource"));
    Deed {
        group: text("group"),
        resource: if sub.is_empty() { resource } else { format!("{resource}/{sub}") },
        name: asked["name"].as_str().map(str::to_owned),
        verb: text("verb"),
    }
}

fn forbidden(head: &Head, deed: &Deed) -> Value {
    let plural = deed.resource.split('/').next().unwrap_or_default();
    let name = deed.name.as_ref().map(|name| format!(" \"{name}\"")).unwrap_or_default();
    let segments: Vec<&str> = head.path.split('/').collect();
    let place = match segments.iter().position(|segment| *segment == "namespaces") {
        Some(at) if segments.len() > at + 2 => format!("in the namespace \"{}\"", segments[at + 1]),
        _ => "at the cluster scope".to_owned(),
    };
    let message = format!(
        "{plural}{name} is forbidden: User \"{USER}\" cannot {} resource \"{}\" in API group \"{}\" {place}",
        deed.verb, deed.resource, deed.group
    );
    status(403, "Forbidden", &message)
}

/// A failure as the API server puts it.
pub(crate) fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": code,
    })
}

/// Answers, and ends the connection.
pub(crate) fn respond(client: &mut (impl Read + Write), code: &str, body: &Value) -> io::Result<()> {
    let body = body.to_string();
    write!(
        client,
        "HTTP/1.1 {code}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    client.flush()
}
