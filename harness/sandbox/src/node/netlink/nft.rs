//! Whole tables of nf_tables, added and removed.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use netlink_bindings::{
    builtin::Nlmsghdr,
    nftables::{
        Chained, Nfgenmsg, PushSetelemAttrs, PushSetelemListAttrs, PushSetelemListElemAttrs, SetFlags,
        TableFlags, VerdictCode,
    },
    traits::Pusher,
};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, getsockopt, recv, send, setsockopt, socket,
    sockopt,
};

use super::{Expr, Hook, Verdict};
use crate::node::errors::{doing, with_code};

const NFPROTO_INET: u8 = 1;
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFT_DATA_VERDICT: u32 = 0xffff_ff00;
/// Any type that user space likes; only listings show it.
const SOME_TYPE: u32 = 1;
const NLM_F_ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;
const HEADER: usize = 16;
/// Elements in one message: an attribute's length is 16 bits wide.
const ELEMENTS: usize = 400;
/// What the kernel keeps of a socket's buffer for itself, with room to spare.
const SLACK: usize = 4096;

/// One element of a set or map: key, and data for a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element<D = ()> {
    pub(crate) key: Vec<u8>,
    pub(crate) data: D,
}

/// The contents of a table, in the order in which they are made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    steps: Vec<Step>,
}

/// One thing in a table. Lengths of keys and data are in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Chain { name: String, hook: Option<Hook> },
    Rule { chain: String, expressions: Expr },
    Keys { name: String, key: u32, elements: Vec<Element> },
    Map { name: String, key: u32, data: u32, elements: Vec<Element<Vec<u8>>> },
    Verdicts { name: String, key: u32, elements: Vec<Element<Verdict>> },
}

impl Batch {
    /// An empty table.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a chain that is jumped to.
    pub(crate) fn chain(&mut self, name: &str) {
        self.steps.push(Step::Chain { name: name.into(), hook: None });
    }

    /// Adds a chain that packets come through; what no rule decides passes.
    pub(crate) fn base_chain(&mut self, name: &str, hook: Hook) {
        self.steps.push(Step::Chain { name: name.into(), hook: Some(hook) });
    }

    /// Appends a rule to a chain.
    pub(crate) fn rule(&mut self, chain: &str, expressions: Expr) {
        self.steps.push(Step::Rule { chain: chain.into(), expressions });
    }

    /// Adds a set.
    pub(crate) fn keys(&mut self, name: &str, key: u32, elements: Vec<Element>) {
        self.steps.push(Step::Keys { name: name.into(), key, elements });
    }

    /// Adds a map from keys to data.
    pub(crate) fn map(&mut self, name: &str, key: u32, data: u32, elements: Vec<Element<Vec<u8>>>) {
        self.steps.push(Step::Map { name: name.into(), key, data, elements });
    }

    /// Adds a map from keys to verdicts. Chains it names must have been added.
    pub(crate) fn verdicts(&mut self, name: &str, key: u32, elements: Vec<Element<Verdict>>) {
        self.steps.push(Step::Verdicts { name: name.into(), key, elements });
    }

    /// As netlink messages for a table of this name.
    fn encode(&self, table: &str) -> Vec<u8> {
        let mut encoder = Encoder { table, messages: Chained::new(0), sets: 0 };
        for step in &self.steps {
            match step {
                Step::Chain { name, hook } => encoder.chain(name, *hook),
                Step::Rule { chain, expressions } => encoder.rule(chain, expressions),
                Step::Keys { name, key, elements } => {
                    encoder.set(name, *key, None);
                    encoder.elements(name, elements, |(), list| list);
                }
                Step::Map { name, key, data, elements } => {
                    encoder.set(name, *key, Some((SOME_TYPE, *data)));
                    encoder.elements(name, elements, |value, element| {
                        element.nested_data().push_value(value).end_nested()
                    });
                }
                Step::Verdicts { name, key, elements } => {
                    encoder.set(name, *key, Some((NFT_DATA_VERDICT, 0)));
                    encoder.elements(name, elements, |verdict, element| {
                        let (code, chain) = verdict.parts();
                        let mut inner = element.nested_data().nested_verdict().push_code(code);
                        if let Some(chain) = chain {
                            inner = inner.push_chain_bytes(chain.as_bytes());
                        }
                        inner.end_nested().end_nested()
                    });
                }
            }
        }
        encoder.messages.finalize().buf().clone()
    }
}

struct Encoder<'a> {
    table: &'a str,
    messages: Chained<'static>,
    sets: u32,
}

/// Attributes of an element, inside of a message.
type ElementAttributes<'a> =
    PushSetelemAttrs<PushSetelemListElemAttrs<PushSetelemListAttrs<&'a mut Vec<u8>>>>;

impl Encoder<'_> {
    fn chain(&mut self, name: &str, hook: Option<Hook>) {
        let mut request = self.messages.request().set_create().op_newchain_do(&head());
        let attributes =
            request.encode().push_table_bytes(self.table.as_bytes()).push_name_bytes(name.as_bytes());
        if let Some(hook) = hook {
            attributes
                .nested_hook()
                .push_num(hook.number)
                .push_priority(hook.priority)
                .end_nested()
                .push_policy(VerdictCode::Accept as u32)
                .push_type_bytes(hook.kind.as_bytes());
        }
    }

    fn rule(&mut self, chain: &str, expressions: &Expr) {
        self.messages
            .request()
            .set_create()
            .set_append()
            .op_newrule_do(&head())
            .encode()
            .push_table_bytes(self.table.as_bytes())
            .push_chain_bytes(chain.as_bytes())
            .nested_expressions()
            .as_vec_mut()
            .extend_from_slice(&expressions.0);
    }

    /// A set, or with type and length of data a map.
    fn set(&mut self, name: &str, key: u32, data: Option<(u32, u32)>) {
        self.sets += 1;
        let mut request = self.messages.request().set_create().op_newset_do(&head());
        let attributes = request
            .encode()
            .push_table_bytes(self.table.as_bytes())
            .push_name_bytes(name.as_bytes())
            .push_flags(if data.is_some() { SetFlags::Map as u32 } else { 0 })
            .push_key_type(SOME_TYPE)
            .push_key_len(key)
            .push_id(self.sets);
        if let Some((kind, length)) = data {
            let attributes = attributes.push_data_type(kind);
            if length > 0 {
                attributes.push_data_len(length);
            }
        }
    }

    fn elements<D>(
        &mut self,
        name: &str,
        elements: &[Element<D>],
        data: impl for<'a> Fn(&D, ElementAttributes<'a>) -> ElementAttributes<'a>,
    ) {
        for part in elements.chunks(ELEMENTS) {
            let mut request = self.messages.request().set_create().op_newsetelem_do(&head());
            let mut list = request
                .encode()
                .push_table_bytes(self.table.as_bytes())
                .push_set_bytes(name.as_bytes())
                .push_set_id(self.sets)
                .nested_elements();
            for element in part {
                let one = list.nested_elem().nested_key().push_value(&element.key).end_nested();
                list = data(&element.data, one).end_nested();
            }
        }
    }
}

/// A socket to nf_tables in one network namespace.
pub(crate) struct Nft {
    socket: OwnedFd,
    /// Most bytes that one batch may have.
    limit: usize,
}

impl Nft {
    /// Opens a socket in the calling thread's network namespace.
    pub(crate) fn open() -> io::Result<Self> {
        let open = || -> nix::Result<(OwnedFd, usize)> {
            let socket = socket(
                AddressFamily::Netlink,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC,
                SockProtocol::NetlinkNetFilter,
            )?;
            // A batch must fit into the send buffer. Forcing it is for real root only.
            let wish = 16 << 20;
            if setsockopt(&socket, sockopt::SndBufForce, &wish).is_err() {
                setsockopt(&socket, sockopt::SndBuf, &wish)?;
            }
            let got = getsockopt(&socket, sockopt::SndBuf)?;
            Ok((socket, got.saturating_sub(SLACK)))
        };
        let (socket, limit) = open().map_err(|error| doing("open a socket to nf_tables", error.into()))?;
        Ok(Self { socket, limit })
    }

    /// Puts a table in force beside those that are there. All of it or nothing is there afterwards.
    ///
    /// A packet that is on its way meanwhile may miss it: the hooks it comes through were listed before, or the moment
    /// of change came after it had passed an empty hook.
    ///
    /// A table that is too large for one batch is laid down asleep, part by part, and then woken.
    pub(crate) fn add(&mut self, name: &str, new: &Batch) -> io::Result<()> {
        let body = new.encode(name);
        if body.len() + SLACK <= self.limit {
            return self.commit(&[&create(name, false), &body]);
        }
        let laid = self.lay(name, &body).and_then(|()| self.commit(&[&wake(name)]));
        if laid.is_err() {
            // What was laid down is only litter.
            let _ = self.remove(name);
        }
        laid
    }

    /// Removes a table.
    pub(crate) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.commit(&[&remove(name)])
    }

    fn lay(&mut self, name: &str, body: &[u8]) -> io::Result<()> {
        self.commit(&[&create(name, true)])?;
        let mut from = 0;
        let mut to = 0;
        for length in lengths(body) {
            if to + length - from + SLACK > self.limit {
                self.commit(&[&body[from..to]])?;
                from = to;
            }
            to += length;
        }
        self.commit(&[&body[from..to]])
    }

    /// Sends messages as one transaction.
    fn commit(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let mut edge = Nfgenmsg::new();
        edge.set_res_id(NFNL_SUBSYS_NFTABLES);
        let mut frame = Chained::new(0);
        frame.request().op_batch_begin_do(&edge).encode();
        let mut buffer = frame.finalize().buf().clone();
        for part in parts {
            buffer.extend_from_slice(part);
        }
        let mut frame = Chained::new(0);
        frame.request().op_batch_end_do(&edge).encode();
        let end = buffer.len();
        buffer.extend_from_slice(frame.finalize().buf());

        // Only the last message asks for an answer: thousands of answers would not fit into the receive buffer.
        // Errors are reported in any case.
        let mut at = 0;
        let mut types = vec![];
        let lengths: Vec<usize> = lengths(&buffer).collect();
        for length in lengths {
            let last = at + length == end;
            types.push(u16::from_ne_bytes([buffer[at + 4], buffer[at + 5]]));
            let flags = u16::from_ne_bytes([buffer[at + 6], buffer[at + 7]]) & !NLM_F_ACK;
            buffer[at + 6..at + 8].copy_from_slice(&(flags | if last { NLM_F_ACK } else { 0 }).to_ne_bytes());
            buffer[at + 8..at + 12].copy_from_slice(&(types.len() as u32).to_ne_bytes());
            at += length;
        }
        let what = || format!("load {} bytes of rules into nf_tables", buffer.len());
        send(self.socket.as_raw_fd(), &buffer, MsgFlags::empty())
            .map_err(|error| doing(what(), error.into()))?;
        self.answer(&types)
    }

    /// Reads the kernel's answers; it has given them all when `send` returns.
    fn answer(&mut self, types: &[u16]) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        let mut acknowledged = false;
        let mut refused = None;
        loop {
            let got = match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(got) => got,
                Err(nix::errno::Errno::EAGAIN) => break,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => {
                    return Err(refused.unwrap_or_else(|| doing("read nf_tables' answer", error.into())));
                }
            };
            let mut at = 0;
            for length in lengths(&buffer[..got]).collect::<Vec<_>>() {
                let message = &buffer[at..at + length];
                at += length;
                if message.len() < HEADER + 4 || u16::from_ne_bytes([message[4], message[5]]) != NLMSG_ERROR {
                    continue;
                }
                let sequence =
                    u32::from_ne_bytes([message[8], message[9], message[10], message[11]]) as usize;
                let code = -i32::from_ne_bytes([message[16], message[17], message[18], message[19]]);
                if code == 0 {
                    acknowledged = true;
                } else if refused.is_none() {
                    let kind = types.get(sequence.wrapping_sub(1)).map_or("answer", |kind| describe(*kind));
                    let why = io::Error::from_raw_os_error(code);
                    refused = Some(with_code(
                        code,
                        format!("nf_tables refused message {sequence} of {} ({kind}): {why}", types.len()),
                    ));
                }
            }
        }
        match refused {
            Some(error) => Err(error),
            None if acknowledged => Ok(()),
            None => Err(io::Error::other("nf_tables gave no answer")),
        }
    }
}

fn head() -> Nfgenmsg {
    Nfgenmsg { nfgen_family: NFPROTO_INET, ..Default::default() }
}

/// Fails when there is a table of this name.
fn create(table: &str, asleep: bool) -> Vec<u8> {
    let mut messages = Chained::new(0);
    messages
        .request()
        .set_create()
        .set_excl()
        .op_newtable_do(&head())
        .encode()
        .push_name_bytes(table.as_bytes())
        .push_flags(if asleep { TableFlags::Dormant as u32 } else { 0 });
    messages.finalize().buf().clone()
}

fn wake(table: &str) -> Vec<u8> {
    let mut messages = Chained::new(0);
    messages
        .request()
        .set_create()
        .op_newtable_do(&head())
        .encode()
        .push_name_bytes(table.as_bytes())
        .push_flags(0);
    messages.finalize().buf().clone()
}

fn remove(table: &str) -> Vec<u8> {
    let mut messages = Chained::new(0);
    messages.request().op_deltable_do(&head()).encode().push_name_bytes(table.as_bytes());
    messages.finalize().buf().clone()
}

/// Lengths of the messages in a buffer, with padding.
fn lengths(buffer: &[u8]) -> impl Iterator<Item = usize> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let head = buffer.get(at..at + Nlmsghdr::len())?;
        let length = (u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize).next_multiple_of(4);
        if length < HEADER || at + length > buffer.len() {
            return None;
        }
        at += length;
        Some(length)
    })
}

fn describe(kind: u16) -> &'static str {
    match kind & 0xff {
        0 => "table",
        2 => "table removal",
        3 => "chain",
        6 => "rule",
        9 => "set",
        12 => "set elements",
        16 | 17 => "batch",
        _ => "message",
    }
}
