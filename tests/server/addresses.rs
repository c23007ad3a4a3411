//! Where a server listens.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::harness::{exchange, get, post_head, shake_hands, start_with};

fn any_port(address: &str) -> SocketAddr {
    format!("{address}:0").parse().unwrap()
}

#[tokio::test]
async fn both_ports_are_there_where_all_addresses_are_ipv6() {
    let server =
        start_with(|config| (config.listen, config.admin_listen) = (any_port("[::1]"), any_port("[::1]"))).await;
    assert!(server.address.is_ipv6() && server.admin.is_ipv6());
    assert_eq!(server.admin("/livez").await.status, 200);
    assert_eq!(server.admin("/readyz").await.status, 200);
    let stream = TcpStream::connect(server.address).await.unwrap();
    let mut stream = shake_hands(server.trusting().with_no_client_auth(), stream).await.unwrap();
    assert_eq!(exchange(&mut stream, &post_head("", 2), b"{}").await.status, 200);
}

#[tokio::test]
async fn the_unspecified_address_is_every_address_of_both_families() {
    let server = start_with(|config| config.admin_listen = any_port("[::]")).await;
    for address in ["127.0.0.1", "[::1]"] {
        let address = format!("{address}:{}", server.admin.port()).parse().unwrap();
        assert_eq!(get(address, "/readyz").await.status, 200, "{address}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let server = start_with(|_| {}).await;
    let certificates = castoff::trust::Certificates::none_yet();
    let config = castoff::server::Config { listen: server.address, ..castoff::server::Config::new(certificates) };
    let Err(error) = castoff::server::Server::bind(config).await else { panic!("the port is taken") };
    assert!(error.to_string().contains(&server.address.to_string()), "{error}");
}
