//! `connect` and `query`: one probe by hand, and a sentence about it. Reports print these commands.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use verdikt_protocol::{Probe, ProbeVerdict, Target, Transport};

use crate::{
    Failure,
    arguments::{Arguments, duration, unknown, usage},
    engine::{Engine, Job, Outcome},
    resolv, say, system,
    talk::Answer,
};

/// Options that both verbs have.
struct Options {
    transport: Transport,
    deadline: Duration,
    from: Option<IpAddr>,
    json: bool,
}

impl Options {
    const fn new(transport: Transport) -> Self {
        Self { transport, deadline: Duration::from_secs(1), from: None, json: false }
    }

    /// Takes one of the common options. `false` when it is none.
    fn take(&mut self, arg: &str, args: &mut Arguments) -> Result<bool, Failure> {
        match arg {
            "--protocol" => {
                self.transport = match args.value(arg)?.to_ascii_lowercase().as_str() {
                    "tcp" => Transport::Tcp,
                    "udp" => Transport::Udp,
                    "sctp" => Transport::Sctp,
                    "icmp" => Transport::Icmp,
                    other => {
                        return Err(usage(format!("--protocol: `{other}` is none of tcp, udp, sctp, icmp")));
                    }
                }
            }
            "--deadline" => self.deadline = duration(arg, &args.value(arg)?)?,
            "--from" => self.from = Some(args.parsed(arg, "IP address")?),
            "-o" | "--output" => match args.value(arg)?.as_str() {
                "json" => self.json = true,
                "human" => self.json = false,
                other => return Err(usage(format!("{arg}: `{other}` is none of human, json"))),
            },
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Runs `connect`.
pub(crate) fn connect(mut args: Arguments) -> Result<u8, Failure> {
    let (mut options, mut expect, mut family, mut to) =
        (Options::new(Transport::Tcp), Vec::new(), None, None);
    while let Some(arg) = args.next()? {
        match arg.as_str() {
            "--expect" => expect.push(args.value("--expect")?),
            "-4" => family = Some(4),
            "-6" => family = Some(6),
            option if options.take(option, &mut args)? => {}
            option if option.starts_with('-') => return Err(unknown("connect", option)),
            _ if to.is_some() => {
                return Err(usage(format!("connect takes one HOST:PORT; `{arg}` is another one")));
            }
            _ => to = Some(arg),
        }
    }
    let to = to.ok_or_else(|| usage("connect needs HOST:PORT"))?;
    let (to, port) = match options.transport {
        Transport::Icmp => (host(&to, family)?, 0),
        _ => destination(&to, family)?,
    };
    let probe = Probe {
        n: 0,
        to,
        port,
        transport: options.transport,
        from: options.from,
        expect,
        query: None,
        http: None,
    };
    run(probe, &options, |outcome| {
        let Some(greeting) = &outcome.greeting else {
            return format!("echoed in {}", milliseconds(outcome.rtt));
        };
        format!("answered by {} in {} (saw {})", greeting.id, milliseconds(outcome.rtt), greeting.client)
    })
}

/// Runs `query`.
pub(crate) fn query(mut args: Arguments) -> Result<u8, Failure> {
    let (mut options, mut server, mut name) = (Options::new(Transport::Udp), None, None);
    while let Some(arg) = args.next()? {
        match arg.as_str() {
            "--server" => server = Some(args.value("--server")?),
            option if options.take(option, &mut args)? => {}
            option if option.starts_with('-') => return Err(unknown("query", option)),
            _ if name.is_some() => {
                return Err(usage(format!("query takes one NAME; `{arg}` is another one")));
            }
            _ => name = Some(arg),
        }
    }
    let name = name.ok_or_else(|| usage("query needs NAME"))?;
    if !matches!(options.transport, Transport::Udp | Transport::Tcp) {
        return Err(usage("--protocol: DNS is asked over udp or tcp"));
    }
    let server = match server {
        Some(text) => server_address(&text)?,
        None => match resolv::nameservers().map_err(Failure::Fatal)?.first() {
            Some(ip) => SocketAddr::new(*ip, 53),
            None => return Err(Failure::Fatal("resolv.conf names no server; give one with --server".into())),
        },
    };
    let probe = Probe {
        n: 0,
        to: Target::Ip(server.ip()),
        port: server.port(),
        transport: options.transport,
        from: options.from,
        expect: Vec::new(),
        query: Some(name),
        http: None,
    };
    run(probe, &options, |outcome| {
        let answers: Vec<String> = outcome.answers.iter().map(answer).collect();
        format!("answered by {server} in {}: {}", milliseconds(outcome.rtt), answers.join("; "))
    })
}

/// Makes the probe and says what came of it; `allowed` describes an answer.
fn run(probe: Probe, options: &Options, allowed: impl Fn(&Outcome) -> String) -> Result<u8, Failure> {
    let fatal = |e: std::io::Error| Failure::Fatal(e.to_string());
    let mut engine = Engine::new(system::raise_descriptor_limit()).map_err(fatal)?;
    engine.submit(Job { batch: 0, probe, deadline: options.deadline });
    let outcome = loop {
        engine.turn(None).map_err(fatal)?;
        if let Some(done) = engine.finished.pop() {
            break done.outcome;
        }
    };
    let code = match outcome.verdict {
        ProbeVerdict::Allowed => 0,
        ProbeVerdict::Dropped | ProbeVerdict::Rejected => 1,
        ProbeVerdict::Error => 3,
    };
    if options.json {
        let result = serde_json::to_string(&outcome.result(0)).map_err(|e| Failure::Fatal(e.to_string()))?;
        say(&(result + "\n"));
    } else {
        let detail = || outcome.detail.clone().unwrap_or_default();
        let sentence = match outcome.verdict {
            ProbeVerdict::Allowed => format!("allowed: {}", allowed(&outcome)),
            ProbeVerdict::Dropped => {
                format!(
                    "dropped: silence on {} sockets for {} ms",
                    outcome.sockets,
                    options.deadline.as_millis()
                )
            }
            ProbeVerdict::Rejected => format!("rejected: {}", detail()),
            ProbeVerdict::Error => format!("error: {}", detail()),
        };
        say(&(sentence + "\n"));
    }
    Ok(code)
}

fn answer(answer: &Answer) -> String {
    let addresses: Vec<String> = answer.addresses.iter().map(IpAddr::to_string).collect();
    match (answer.code, addresses.is_empty()) {
        (hickory_proto::op::ResponseCode::NoError, true) => format!("{} none", answer.kind),
        (hickory_proto::op::ResponseCode::NoError, false) => {
            format!("{} {}", answer.kind, addresses.join(" "))
        }
        (code, _) => format!("{} {code}", answer.kind),
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

/// `1.2.3.4:80`, `[fd00::1]:80` or `name:80`.
fn destination(text: &str, family: Option<u8>) -> Result<(Target, u16), Failure> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        let own = if address.is_ipv4() { 4 } else { 6 };
        if family.is_some_and(|family| family != own) || address.port() == 0 {
            return Err(usage(format!("`{text}` has port 0, or is not of the family that -4 or -6 ask for")));
        }
        return Ok((Target::Ip(address.ip()), address.port()));
    }
    let wrong = || {
        usage(format!(
            "`{text}` is no HOST:PORT; write 10.0.0.1:80, [fd00::1]:80 or web.x.svc.cluster.local:80"
        ))
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    if host.is_empty() || host.contains([':', '[', ']', '/']) {
        return Err(wrong());
    }
    Ok((Target::Name { name: host.into(), family: family.unwrap_or(4) }, port))
}

/// `1.2.3.4`, `fd00::1`, `[fd00::1]` or `name`: ICMP has no ports.
fn host(text: &str, family: Option<u8>) -> Result<Target, Failure> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        let own = if ip.is_ipv4() { 4 } else { 6 };
        if family.is_some_and(|family| family != own) {
            return Err(usage(format!("`{text}` is not of the family that -4 or -6 ask for")));
        }
        return Ok(Target::Ip(ip));
    }
    if text.is_empty() || text.contains([':', '[', ']', '/']) {
        return Err(usage(format!("`{text}` is no HOST; with --protocol icmp there is no port")));
    }
    Ok(Target::Name { name: text.into(), family: family.unwrap_or(4) })
}

/// `10.96.0.10`, `fd00::a`, `10.96.0.10:5353` or `[fd00::a]:5353`.
fn server_address(text: &str) -> Result<SocketAddr, Failure> {
    let bare = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
    bare.or_else(|_| text.parse())
        .map_err(|_| usage(format!("--server: `{text}` is no address of a name server")))
}
