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
