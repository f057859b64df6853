//! Expressions of nf_tables rules, in the words of the dataplane.
//!
//! Data in registers is in network byte order, except marks, connection-tracking states and generated numbers,
//! which the kernel keeps in its own.

use netlink_bindings::{
    nftables::{
        CmpOps, CtKeys, LookupFlags, MetaKeys, NumgenTypes, PayloadBase, PushExprListAttrs, RangeOps,
        RejectInetCode, RejectTypes, VerdictCode,
    },
    traits::Pusher,
    utils::push_header,
};

/// First 32-bit register. There are sixteen.
const REGISTER: u32 = 8;
/// The verdict register.
const VERDICT: u32 = 0;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
/// `NF_CT_STATE_BIT`s.
const ESTABLISHED: u32 = 0b010;
const RELATED: u32 = 0b100;
/// `IPS_DST_NAT` of a connection's status.
const DST_NAT: u32 = 1 << 5;
/// Class selector 1 as DSCP: in the second byte of an IPv4 header, across the first two of an IPv6 header.
const CLASS_V4: [u8; 2] = [0x00, 0x20];
const CLASS_V6: [u8; 2] = [0x02, 0x00];
/// All of the type of service, and all of the traffic class.
const CLASS_MASK_V4: [u8; 2] = [0x00, 0xff];
const CLASS_MASK_V6: [u8; 2] = [0x0f, 0xf0];
/// `NFT_PAYLOAD_CSUM_INET`, and where an IPv4 header has its checksum.
const CHECKSUM_INET: u32 = 1;
const CHECKSUM_OFFSET: u32 = 10;
const NAT_SNAT: u32 = 0;
const NAT_DNAT: u32 = 1;

/// Where a packet goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Verdict {
    Accept,
    Drop,
    Jump(String),
    Goto(String),
    Return,
}

impl Verdict {
    fn code(&self) -> u32 {
        (match self {
            Verdict::Accept => VerdictCode::Accept,
            Verdict::Drop => VerdictCode::Drop,
            Verdict::Jump(_) => VerdictCode::Jump,
            Verdict::Goto(_) => VerdictCode::Goto,
            Verdict::Return => VerdictCode::Return,
        }) as u32
    }

    pub(super) fn parts(&self) -> (u32, Option<&str>) {
        match self {
            Verdict::Jump(chain) | Verdict::Goto(chain) => (self.code(), Some(chain)),
            _ => (self.code(), None),
        }
    }
}

/// The hook and priority of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hook {
    /// `filter`, `nat` or `route`.
    pub(crate) kind: &'static str,
    /// Number of the hook: 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting.
    pub(crate) number: u32,
    pub(crate) priority: i32,
}

/// The expressions of one rule, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expr(pub(super) Vec<u8>);

impl Expr {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn list(&mut self) -> PushExprListAttrs<&mut Vec<u8>> {
        PushExprListAttrs::new(&mut self.0)
    }

    fn compare(mut self, register: u32, op: CmpOps, data: &[u8]) -> Self {
        self.list()
            .nested_elem()
            .nested_data_cmp()
            .push_sreg(REGISTER + register)
            .push_op(op as u32)
            .nested_data()
            .push_value(data);
        self
    }

    fn meta(mut self, register: u32, key: MetaKeys) -> Self {
        self.list().nested_elem().nested_data_meta().push_key(key as u32).push_dreg(REGISTER + register);
        self
    }

    fn payload(mut self, register: u32, base: PayloadBase, offset: u32, length: u32) -> Self {
        self.list()
            .nested_elem()
            .nested_data_payload()
            .push_dreg(REGISTER + register)
            .push_base(base as u32)
            .push_offset(offset)
            .push_len(length);
        self
    }

    /// Only packets of this IP version.
    pub(crate) fn family(self, v6: bool) -> Self {
        let number = if v6 { NFPROTO_IPV6 } else { NFPROTO_IPV4 };
        self.meta(0, MetaKeys::Nfproto).compare(0, CmpOps::Eq, &[number])
    }

    /// Loads the source address; one register for IPv4, four for IPv6.
    pub(crate) fn load_source(self, register: u32, v6: bool) -> Self {
        let (offset, length) = if v6 { (8, 16) } else { (12, 4) };
        self.payload(register, PayloadBase::NetworkHeader, offset, length)
    }

    /// Loads the destination address; one register for IPv4, four for IPv6.
    pub(crate) fn load_target(self, register: u32, v6: bool) -> Self {
        let (offset, length) = if v6 { (24, 16) } else { (16, 4) };
        self.payload(register, PayloadBase::NetworkHeader, offset, length)
    }

    /// Loads the transport protocol's number.
    pub(crate) fn load_protocol(self, register: u32) -> Self {
        self.meta(register, MetaKeys::L4Proto)
    }

    /// Loads the destination port; only meaningful after a check of the protocol.
    pub(crate) fn load_port(self, register: u32) -> Self {
        self.payload(register, PayloadBase::TransportHeader, 2, 2)
    }

    /// Loads the destination address that the connection began with, before any translation here.
    pub(crate) fn load_original_target(self, register: u32, v6: bool) -> Self {
        self.original(register, if v6 { CtKeys::DstIp6 } else { CtKeys::DstIp })
    }

    /// Loads the destination port that the connection began with, before any translation here.
    pub(crate) fn load_original_port(self, register: u32) -> Self {
        self.original(register, CtKeys::ProtoDst)
    }

    /// Loads something of the direction in which the connection began.
    fn original(mut self, register: u32, key: CtKeys) -> Self {
        self.list()
            .nested_elem()
            .nested_data_ct()
            .push_key(key as u32)
            .push_direction(0)
            .push_dreg(REGISTER + register);
        self
    }

    /// Loads the source port; only meaningful after a check of the protocol.
    pub(crate) fn load_source_port(self, register: u32) -> Self {
        self.payload(register, PayloadBase::TransportHeader, 0, 2)
    }

    /// Loads the type of an ICMP message; only meaningful after a check of the protocol.
    pub(crate) fn load_icmp_type(self, register: u32) -> Self {
        self.payload(register, PayloadBase::TransportHeader, 0, 1)
    }

    /// Only when a register holds this.
    pub(crate) fn equal(self, register: u32, data: &[u8]) -> Self {
        self.compare(register, CmpOps::Eq, data)
    }

    /// Only when a register holds something between these, both included.
    pub(crate) fn between(mut self, register: u32, low: &[u8], high: &[u8]) -> Self {
        if low == high {
            return self.equal(register, low);
        }
        self.list()
            .nested_elem()
            .nested_data_range()
            .push_sreg(REGISTER + register)
            .push_op(RangeOps::Eq as u32)
            .nested_from_data()
            .push_value(low)
            .end_nested()
            .nested_to_data()
            .push_value(high);
        self
    }

    /// The attributes are numbered as in the kernel's `enum nft_lookup_attributes`; the bindings' own methods shift
    /// three of them by one.
    fn lookup(mut self, set: &str, register: u32, into: Option<u32>, flags: Option<u32>) -> Self {
        const SOURCE: u16 = 2;
        const TARGET: u16 = 3;
        const FLAGS: u16 = 5;
        let mut attributes = self.list().nested_elem().nested_data_lookup().push_set_bytes(set.as_bytes());
        let numbers = [(SOURCE, Some(REGISTER + register)), (TARGET, into), (FLAGS, flags)];
        for (kind, number) in numbers {
            if let Some(number) = number {
                let buffer = attributes.as_vec_mut();
                push_header(buffer, kind, 4);
                buffer.extend(number.to_be_bytes());
            }
        }
        drop(attributes);
        self
    }

    /// Only when what begins in a register is in a set, or, when `not`, is not.
    pub(crate) fn in_set(self, register: u32, set: &str, not: bool) -> Self {
        self.lookup(set, register, None, not.then_some(LookupFlags::Invert as u32))
    }

    /// The verdict that a map has for what begins in a register; goes on with the next rule when it has none.
    pub(crate) fn verdict_from(self, register: u32, map: &str) -> Self {
        self.lookup(map, register, Some(VERDICT), None)
    }

    /// Loads what a map has for what begins in a register.
    pub(crate) fn load_from(self, register: u32, map: &str, into: u32) -> Self {
        self.lookup(map, register, Some(REGISTER + into), None)
    }

    /// Loads a constant.
    pub(crate) fn load(mut self, register: u32, data: &[u8]) -> Self {
        self.list()
            .nested_elem()
            .nested_data_immediate()
            .push_dreg(REGISTER + register)
            .nested_data()
            .push_value(data);
        self
    }

    /// Loads a random number below `modulus`, in the kernel's byte order.
    pub(crate) fn load_random(mut self, register: u32, modulus: u32) -> Self {
        self.list()
            .nested_elem()
            .nested_data_numgen()
            // The bindings push this one attribute in the machine's byte order.
            .push_dreg((REGISTER + register).to_be())
            .push_modulus(modulus)
            .push_type(NumgenTypes::Random as u32)
            .push_offset(0);
        self
    }

    /// Keeps of a register what a mask has, and turns what `flip` has. All are of one length.
    fn bits(mut self, register: u32, mask: &[u8], flip: &[u8]) -> Self {
        self.list()
            .nested_elem()
            .nested_data_bitwise()
            .push_sreg(REGISTER + register)
            .push_dreg(REGISTER + register)
            .push_len(mask.len() as u32)
            .nested_mask()
            .push_value(mask)
            .end_nested()
            .nested_xor()
            .push_value(flip);
        self
    }

    /// Only packets of connections of which a property has one of these bits.
    fn connection(mut self, key: CtKeys, bits: u32) -> Self {
        self.list().nested_elem().nested_data_ct().push_key(key as u32).push_dreg(REGISTER);
        self.bits(0, &bits.to_ne_bytes(), &[0; 4]).compare(0, CmpOps::Neq, &[0; 4])
    }

    /// Only packets of connections that were allowed before, and what belongs to them.
    pub(crate) fn known(self) -> Self {
        self.connection(CtKeys::State, ESTABLISHED | RELATED)
    }

    /// Only what belongs to connections that were allowed before: errors by ICMP.
    pub(crate) fn related(self) -> Self {
        self.connection(CtKeys::State, RELATED)
    }

    /// Only packets of connections that were answered before: those of the side that began, or the replies.
    pub(crate) fn established(self, replies: bool) -> Self {
        self.connection(CtKeys::State, ESTABLISHED).replies(replies)
    }

    /// Only packets towards the side that began their connection, or only those from it.
    pub(crate) fn replies(mut self, replies: bool) -> Self {
        self.list().nested_elem().nested_data_ct().push_key(CtKeys::Direction as u32).push_dreg(REGISTER);
        self.compare(0, CmpOps::Eq, &[u8::from(replies)])
    }

    /// Only packets that came in over this link.
    pub(crate) fn came_over(self, link: u32) -> Self {
        self.meta(0, MetaKeys::Iif).compare(0, CmpOps::Eq, &link.to_ne_bytes())
    }

    /// Only packets of connections whose destination this node has rewritten.
    pub(crate) fn rewritten(self) -> Self {
        self.connection(CtKeys::Status, DST_NAT)
    }

    /// Sets bits in the mark of the packet's connection.
    pub(crate) fn set_connection_mark(mut self, bits: u32) -> Self {
        self.list().nested_elem().nested_data_ct().push_key(CtKeys::Mark as u32).push_dreg(REGISTER);
        let mut with = self.bits(0, &(!bits).to_ne_bytes(), &bits.to_ne_bytes());
        with.list().nested_elem().nested_data_ct().push_key(CtKeys::Mark as u32).push_sreg(REGISTER);
        with
    }

    /// Only packets of connections whose mark has one of these bits.
    pub(crate) fn connection_marked(self, bits: u32) -> Self {
        self.connection(CtKeys::Mark, bits)
    }

    /// Writes a mark into the packet's header that other nodes see, too. `family` must come before.
    pub(crate) fn set_class(self, v6: bool) -> Self {
        let (mask, class) = if v6 { (CLASS_MASK_V6, CLASS_V6) } else { (CLASS_MASK_V4, CLASS_V4) };
        let mut with =
            self.payload(0, PayloadBase::NetworkHeader, 0, 2).bits(0, &mask.map(|byte| !byte), &class);
        let payload = with
            .list()
            .nested_elem()
            .nested_data_payload()
            .push_sreg(REGISTER)
            .push_base(PayloadBase::NetworkHeader as u32)
            .push_offset(0)
            .push_len(2);
        let payload = if v6 {
            payload
        } else {
            payload.push_csum_type(CHECKSUM_INET).push_csum_offset(CHECKSUM_OFFSET)
        };
        drop(payload);
        with
    }

    /// Only packets with that mark. `family` must come before.
    pub(crate) fn has_class(self, v6: bool) -> Self {
        let (mask, class) = if v6 { (CLASS_MASK_V6, CLASS_V6) } else { (CLASS_MASK_V4, CLASS_V4) };
        self.payload(0, PayloadBase::NetworkHeader, 0, 2).bits(0, &mask, &[0; 2]).equal(0, &class)
    }

    /// Sets the packet's mark.
    pub(crate) fn set_mark(self, mark: u32) -> Self {
        let mut with = self.load(0, &mark.to_ne_bytes());
        with.list().nested_elem().nested_data_meta().push_key(MetaKeys::Mark as u32).push_sreg(REGISTER);
        with
    }

    /// Only packets with this mark.
    pub(crate) fn marked(self, mark: u32) -> Self {
        self.meta(0, MetaKeys::Mark).compare(0, CmpOps::Eq, &mark.to_ne_bytes())
    }

    /// Rewrites the destination to address and port in registers.
    pub(crate) fn dnat(mut self, v6: bool, address: u32, port: u32) -> Self {
        self.list()
            .nested_elem()
            .nested_data_nat()
            .push_type(NAT_DNAT)
            .push_family(u32::from(if v6 { NFPROTO_IPV6 } else { NFPROTO_IPV4 }))
            .push_reg_addr_min(REGISTER + address)
            .push_reg_proto_min(REGISTER + port);
        self
    }

    /// Rewrites the source to the address in a register.
    pub(crate) fn snat(mut self, v6: bool, address: u32) -> Self {
        self.list()
            .nested_elem()
            .nested_data_nat()
            .push_type(NAT_SNAT)
            .push_family(u32::from(if v6 { NFPROTO_IPV6 } else { NFPROTO_IPV4 }))
            .push_reg_addr_min(REGISTER + address);
        self
    }

    /// Refuses with "port unreachable", as kube-proxy does.
    pub(crate) fn reject(mut self) -> Self {
        self.list()
            .nested_elem()
            .nested_data_reject()
            .push_type(RejectTypes::IcmpxUnreach as u32)
            .push_icmp_code(RejectInetCode::IcmpxPortUnreach as u8);
        self
    }

    /// Refuses TCP with a reset.
    pub(crate) fn reset(mut self) -> Self {
        self.list().nested_elem().nested_data_reject().push_type(RejectTypes::TcpRst as u32);
        self
    }

    /// Ends the rule with a verdict.
    pub(crate) fn verdict(mut self, verdict: &Verdict) -> Self {
        let (code, chain) = verdict.parts();
        let mut inner = self
            .list()
            .nested_elem()
            .nested_data_immediate()
            .push_dreg(VERDICT)
            .nested_data()
            .nested_verdict()
            .push_code(code);
        if let Some(chain) = chain {
            inner = inner.push_chain_bytes(chain.as_bytes());
        }
        drop(inner);
        self
    }
}
