//! Who has answered, and as whom the server saw us.

use std::net::{IpAddr, SocketAddr};

use socket2::Socket;

/// Whether an answer comes from one of those that are meant; an error says who has answered instead.
pub(crate) fn identified(id: &str, expect: &[String]) -> Result<(), String> {
    if expect.is_empty() || expect.iter().any(|expected| expected == id) {
        Ok(())
    } else {
        Err(format!("answered by {id}, not {}", expect.join(" or ")))
    }
}

/// The client's address as the server saw it (`10.0.0.1:4711`), where it is not the socket's own.
pub(crate) fn source_seen(client: &str, socket: &Socket) -> Option<IpAddr> {
    let seen = client.parse::<SocketAddr>().ok()?.ip().to_canonical();
    let own = socket.local_addr().ok()?.as_socket()?.ip().to_canonical();
    (seen != own).then_some(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_the_expected_will_do() {
        let expect = ["x/a".to_owned(), "y/b".to_owned()];
        assert_eq!(identified("y/b", &expect), Ok(()));
        assert_eq!(identified("z/c", &[]), Ok(()));
        assert_eq!(identified("z/c", &expect), Err("answered by z/c, not x/a or y/b".into()));
    }
}
