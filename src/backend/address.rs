//! Addresses that no endpoint may lead to, whatever is allowed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where clouds answer with credentials of the machine, beyond the link-local 169.254.169.254.
///
/// Alibaba Cloud (100.100.100.200), Azure's `WireServer` (168.63.129.16), Oracle Cloud (192.0.0.192), AWS (`fd00:ec2::254`),
/// Google Cloud (`fd20:ce::254`), Scaleway (`fd00:42::42`): each from the provider's page on its metadata service.
const METADATA: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
];

/// Names that lead to such an address in the network of a cloud.
const METADATA_NAMES: [&str; 3] = ["metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"];

/// Whether `host` (lower case, without trailing dot) is the name of a cloud's metadata service.
pub fn is_metadata_name(host: &str) -> bool {
    METADATA_NAMES.contains(&host)
}

/// What kind of forbidden address `address` is, as `a link-local address`; `None` where nothing forbids it.
///
/// IPv6 addresses that carry an IPv4 address are judged by both: a translator on the way would unwrap them. `loopback`
/// says whether loopback is fine here.
pub fn forbidden(address: IpAddr, loopback: bool) -> Option<&'static str> {
    if METADATA.contains(&address.to_canonical()) {
        return Some("a cloud's metadata service");
    }
    match address {
        IpAddr::V4(address) => forbidden_v4(address, loopback),
        IpAddr::V6(address) => forbidden_v6(address, loopback)
            .or_else(|| embedded(address).and_then(|inner| forbidden(inner.into(), loopback))),
    }
}

fn forbidden_v4(address: Ipv4Addr, loopback: bool) -> Option<&'static str> {
    if address.octets()[0] == 0 {
        Some("an unspecified address")
    } else if address.is_loopback() {
        (!loopback).then_some("a loopback address")
    } else if address.octets() == [169, 254, 169, 254] {
        Some("a cloud's metadata service")
    } else if address.is_link_local() {
        Some("a link-local address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address.is_broadcast() {
        Some("the broadcast address")
    } else {
        None
    }
}

fn forbidden_v6(address: Ipv6Addr, loopback: bool) -> Option<&'static str> {
    if address.is_unspecified() {
        Some("an unspecified address")
    } else if address.is_loopback() {
        (!loopback).then_some("a loopback address")
    } else if address.is_unicast_link_local() {
        Some("a link-local address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else {
        None
    }
}

/// The IPv4 address inside of an IPv6 address: mapped (`::ffff:0:0/96`) and compatible (`::/96`, RFC 4291 2.5.5),
/// translated (`::ffff:0:0:0/96`, RFC 2765 2.1), NAT64 (`64:ff9b::/96`, RFC 6052 2.1) and 6to4 (`2002::/16`, RFC 3056 2).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [first, second, third, .., high, low] = address.segments();
    let [_, _, _, fourth, fifth, sixth, _, _] = address.segments();
    let joined = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match [first, second, third, fourth, fifth, sixth] {
        // `::` and `::1` are addresses of their own, judged before.
        [0, 0, 0, 0, 0, 0] => (high != 0 || low > 1).then(|| joined(high, low)),
        [0, 0, 0, 0, 0, 0xffff] | [0, 0, 0, 0, 0xffff, 0] | [0x64, 0xff9b, 0, 0, 0, 0] => Some(joined(high, low)),
        [0x2002, ..] => Some(joined(second, third)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn kind(address: &str, loopback: bool) -> Option<&'static str> {
        forbidden(address.parse().unwrap(), loopback)
    }

    #[test]
    fn forbids_what_leads_to_the_machine_or_its_cloud_in_every_spelling() {
        let rows = [
            ("169.254.1.1", "a link-local address"),
            ("169.254.169.254", "a cloud's metadata service"),
            ("100.100.100.200", "a cloud's metadata service"),
            ("::ffff:100.100.100.200", "a cloud's metadata service"),
            ("fd00:ec2::254", "a cloud's metadata service"),
            ("fe80::1", "a link-local address"),
            ("febf::1", "a link-local address"),
            ("0.0.0.0", "an unspecified address"),
            ("0.1.2.3", "an unspecified address"),
            ("::", "an unspecified address"),
            ("224.0.0.1", "a multicast address"),
            ("ff02::1", "a multicast address"),
            ("255.255.255.255", "the broadcast address"),
            ("127.0.0.1", "a loopback address"),
            ("127.255.0.9", "a loopback address"),
            ("::1", "a loopback address"),
            ("::ffff:127.0.0.1", "a loopback address"),
            ("::127.0.0.1", "a loopback address"),
            ("::ffff:0:127.0.0.1", "a loopback address"),
            ("::ffff:169.254.169.254", "a cloud's metadata service"),
            ("64:ff9b::169.254.169.254", "a cloud's metadata service"),
            ("64:ff9b::169.254.7.7", "a link-local address"),
            ("2002:a9fe:a9fe::1", "a cloud's metadata service"),
            ("2002:7f00:1::", "a loopback address"),
        ];
        for (address, expected) in rows {
            assert_eq!(kind(address, false), Some(expected), "{address}");
        }
    }

    #[test]
    fn leaves_ordinary_addresses_alone() {
        for address in ["10.1.2.3", "192.168.0.1", "8.8.8.8", "100.64.0.1", "240.0.0.1", "fd12::7", "2001:db8::1"] {
            assert_eq!(kind(address, false), None, "{address}");
        }
        for address in ["::ffff:10.1.2.3", "64:ff9b::8.8.8.8", "2002:a01:203::1"] {
            assert_eq!(kind(address, false), None, "{address}");
        }
    }

    #[test]
    fn allows_loopback_only_where_told() {
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(kind(address, true), None, "{address}");
        }
        assert_eq!(kind("169.254.169.254", true), Some("a cloud's metadata service"));
    }
}
