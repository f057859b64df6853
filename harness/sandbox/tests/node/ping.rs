//! Echo requests by unprivileged ping sockets, in every kind of network.
//!
//! The command of these pods is this test's own: [`stand_in`] takes it before the probe does.

use std::{
    io::Read as _,
    net::{IpAddr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime::Runtime;

use crate::{Test, lab::Lab, wire::Place};

pub(crate) const TESTS: &[Test] = &[("ping::every_network_may_send_echo_requests", everywhere)];

/// The word after `verdikt-probe`.
const VERB: &str = "test-ping";

/// Sends one echo request and waits for its answer, when this process was started for that.
pub(crate) fn stand_in() -> Option<ExitCode> {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() != Some(VERB) {
        return None;
    }
    let address: IpAddr = args.next()?.parse().ok()?;
    Some(match ping(address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{address}: {error}");
            ExitCode::FAILURE
        }
    })
}

fn ping(address: IpAddr) -> std::io::Result<()> {
    let (protocol, request, reply) =
        if address.is_ipv6() { (Protocol::ICMPV6, 128, 129) } else { (Protocol::ICMPV4, 8, 0) };
    let address = SocketAddr::new(address, 0);
    let mut socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(protocol))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    socket.connect(&address.into())?;
    // Type, code, checksum, identifier (the kernel fills both in), sequence, data.
    socket.send(&[request, 0, 0, 0, 0, 0, 0, 1, b'v'])?;
    let mut answer = [0; 64];
    let length = socket.read(&mut answer)?;
    if length == 9 && answer[0] == reply && answer[8] == b'v' {
        Ok(())
    } else {
        Err(std::io::Error::other(format!("answered by {:?}", &answer[..length])))
    }
}

fn everywhere(runtime: &Runtime) {
    runtime.block_on(async {
        let mut lab = Lab::new().await;
        let all = [
            lab.add("x", "a", 0).await,
            lab.add("x", "b", 1).await,
            lab.add_host("one", Place::Node(0)).await,
            lab.add_host("two", Place::Node(1)).await,
            lab.add_host("external", Place::External).await,
        ];
        lab.sync().await;
        for from in &all {
            for to in &all {
                for ip in &to.ips {
                    let said = lab.exec(from, &["verdikt-probe", VERB, &ip.to_string()]).await;
                    assert_eq!(said.code, Ok(0), "{} -> {}: {said:?}", from.uid, to.uid);
                }
            }
        }
        let said = lab.exec(&all[0], &["verdikt-probe", VERB, "10.244.0.200"]).await;
        assert_eq!(said.code, Ok(1), "nobody is there: {said:?}");
        lab.stop().await;
    });
}
