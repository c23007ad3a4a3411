//! Takes ports.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// How many connections may wait to be taken.
const BACKLOG: i32 = 1024;

/// What Linux says where it was built, or started, without IPv6: no such family, no such address.
const NO_IPV6: [i32; 2] = [97, 99];

/// Listens on an address. `[::]` means every address of the machine, of whichever family it has.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    bind_by(listen, address)
}

fn bind_by<T>(listen: impl Fn(SocketAddr) -> io::Result<T>, address: SocketAddr) -> io::Result<T> {
    let every_ipv6 = address.ip() == Ipv6Addr::UNSPECIFIED;
    let taken = match listen(address) {
        Err(error) if every_ipv6 && error.raw_os_error().is_some_and(|code| NO_IPV6.contains(&code)) => {
            let instead = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            tracing::info!(%address, %instead, "there is no IPv6 on this machine: listens on IPv4");
            listen(instead)
        }
        taken => taken,
    };
    taken.map_err(|error| io::Error::new(error.kind(), format!("{address} can't be listened on: {error}")))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Whatever the machine's default is.
        socket.set_only_v6(false)?;
    }
    // Else a process that is started again soon would not get its port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// What is listened on by a machine that has no IPv6, and says so by this code.
    fn bound(address: &str, code: i32) -> Result<SocketAddr, Option<i32>> {
        let listen = |address: SocketAddr| {
            if address.is_ipv6() { Err(io::Error::from_raw_os_error(code)) } else { Ok(address) }
        };
        bind_by(listen, address.parse().unwrap()).map_err(|error| error.to_string().contains("[::").then_some(code))
    }

    #[test]
    fn without_ipv6_every_address_is_every_one_of_ipv4() {
        for code in NO_IPV6 {
            assert_eq!(bound("[::]:8443", code), Ok("0.0.0.0:8443".parse().unwrap()));
        }
        assert_eq!(bound("[::]:8443", 98), Err(Some(98)), "another process has the port");
        assert_eq!(bound("[::1]:8443", 97), Err(Some(97)), "who names one address wants that one");
        assert_eq!(bound("127.0.0.1:8443", 97), Ok("127.0.0.1:8443".parse().unwrap()));
    }
}
