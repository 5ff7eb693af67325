//! Which addresses may be registered at all.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::target::strings;

/// The networks whose addresses may be registered. The default is what a Network Load Balancer
/// takes as IP targets besides its VPC's ranges, RFC 1918 and 100.64.0.0/10, and fc00::/7 (RFC
/// 4193). Other IPv6 ranges of a VPC hold global addresses and must be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedNetworks(Vec<IpNet>);

/// RFC 1918, RFC 6598 and RFC 4193.
const PRIVATE: [IpNet; 5] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16)),
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7)),
];

impl Default for AllowedNetworks {
    fn default() -> Self {
        AllowedNetworks(PRIVATE.to_vec())
    }
}

impl AllowedNetworks {
    /// Reads a comma-separated list of CIDRs.
    ///
    /// # Errors
    /// One sentence for each item that is no CIDR.
    pub fn parse(list: &str) -> Result<AllowedNetworks, Vec<String>> {
        let items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
        let (networks, mistakes): (Vec<_>, Vec<_>) =
            items.map(|item| item.parse::<IpNet>().map_err(|_| item)).partition(Result::is_ok);
        if networks.is_empty() && mistakes.is_empty() {
            Err(vec![format!(
                "{list:?} holds no CIDR such as 10.0.0.0/16, and would refuse every address"
            )])
        } else if mistakes.is_empty() {
            Ok(AllowedNetworks(networks.into_iter().flatten().collect()))
        } else {
            let problem = |item| format!("{item:?} is not a CIDR such as 10.0.0.0/16");
            Err(mistakes.into_iter().filter_map(Result::err).map(problem).collect())
        }
    }

    /// Why the address must not be registered, if so: 0.0.0.0, multicast, link-local and broadcast
    /// addresses are never a database. All others are a matter of the list: a VPC may use public
    /// ranges, and a test runs on loopback.
    pub fn refusal(&self, address: IpAddr) -> Option<AddressRefusal> {
        let class = AddressClass::of(address);
        let is_listed = self.0.iter().any(|network| network.contains(&address));
        let is_refused = !is_listed
            || matches!(
                class,
                AddressClass::Unspecified | AddressClass::Multicast | AddressClass::LinkLocal
            );
        is_refused.then(|| AddressRefusal::Address { address, class, allowed: self.clone() })
    }
}

impl fmt::Display for AllowedNetworks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&strings(&self.0).join(", "))
    }
}

/// Why a set of addresses is not applied. Its text names the address and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressRefusal {
    /// An address that may not be registered.
    Address {
        /// The address that a witness named.
        address: IpAddr,
        /// What sort of address it is.
        class: AddressClass,
        /// The list it was held against.
        allowed: AllowedNetworks,
    },
    /// More than one address for a kind with exactly one writer.
    SeveralWriters(Vec<IpAddr>),
}

impl fmt::Display for AddressRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressRefusal::Address { address, class, allowed } => {
                let remedy = match class {
                    AddressClass::Unspecified
                    | AddressClass::Multicast
                    | AddressClass::LinkLocal
                    | AddressClass::Loopback => {
                        "no database listens there: correct the DNS record".to_owned()
                    }
                    AddressClass::Public => {
                        "a publicly accessible database gives its private address only inside its \
                         VPC: run the function in that VPC (template parameter FunctionSubnetIds) \
                         or switch public accessibility off; if the VPC really uses this range, \
                         add it to ALLOWED_CIDRS (template parameter AllowedCidrs)"
                            .to_owned()
                    }
                    AddressClass::Private => format!(
                        "if it is right, add the network of its VPC to ALLOWED_CIDRS (template \
                         parameter AllowedCidrs), now {allowed}"
                    ),
                };
                write!(f, "{address} is {class} and was not registered: {remedy}")
            }
            AddressRefusal::SeveralWriters(addresses) => {
                write!(
                    f,
                    "{} addresses ({}) for an endpoint that has exactly one writer; nothing was \
                     registered: give the writer endpoint, or set the kind to hostname, readers or \
                     proxy",
                    addresses.len(),
                    strings(addresses).join(", ")
                )
            }
        }
    }
}

/// What sort of address it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
pub enum AddressClass {
    /// 0.0.0.0/8, `::` or 255.255.255.255.
    #[strum(to_string = "an unspecified or broadcast address")]
    Unspecified,
    /// 127.0.0.0/8 or `::1`.
    #[strum(to_string = "a loopback address outside ALLOWED_CIDRS")]
    Loopback,
    /// 169.254.0.0/16 or fe80::/10.
    #[strum(to_string = "a link-local address")]
    LinkLocal,
    /// 224.0.0.0/4 or ff00::/8.
    #[strum(to_string = "a multicast address")]
    Multicast,
    /// RFC 1918, 100.64.0.0/10 or fc00::/7.
    #[strum(to_string = "outside ALLOWED_CIDRS")]
    Private,
    /// Everything else.
    #[strum(to_string = "a public address outside ALLOWED_CIDRS")]
    Public,
}

impl AddressClass {
    fn of(address: IpAddr) -> AddressClass {
        match address {
            IpAddr::V4(v4) if v4.octets()[0] == 0 || v4.is_broadcast() => AddressClass::Unspecified,
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => AddressClass::Unspecified,
            _ if address.is_loopback() => AddressClass::Loopback,
            _ if address.is_multicast() => AddressClass::Multicast,
            IpAddr::V4(v4) if v4.is_link_local() => AddressClass::LinkLocal,
            IpAddr::V6(v6) if v6.is_unicast_link_local() => AddressClass::LinkLocal,
            _ if PRIVATE.iter().any(|network| network.contains(&address)) => AddressClass::Private,
            _ => AddressClass::Public,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(allowed: &AllowedNetworks, address: &str) -> Option<String> {
        allowed.refusal(address.parse().expect(address)).map(|refusal| refusal.to_string())
    }

    #[test]
    fn private_addresses_are_allowed_by_default() {
        let of_ipv4 = [
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.254",
            "192.168.0.1",
            "100.64.0.1",
            "100.127.255.254",
        ];
        let of_ipv6 = ["fd00::1", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"];
        for address in of_ipv4.iter().chain(&of_ipv6) {
            assert_eq!(refusal(&AllowedNetworks::default(), address), None, "{address}");
        }
    }

    #[test]
    fn every_other_address_is_refused_with_its_class_and_a_remedy() {
        for (address, word, remedy) in [
            ("52.1.2.3", "public", "FunctionSubnetIds"),
            ("172.32.0.1", "public", "AllowedCidrs"),
            ("2600:1f18::1", "public", "AllowedCidrs"),
            ("fbff::1", "public", "AllowedCidrs"),
            ("127.0.0.1", "loopback", "DNS record"),
            ("::1", "loopback", "DNS record"),
            ("169.254.169.254", "link-local", "DNS record"),
            ("fe80::1", "link-local", "DNS record"),
            ("224.0.0.1", "multicast", "DNS record"),
            ("ff02::1", "multicast", "DNS record"),
            ("0.0.0.0", "unspecified", "DNS record"),
            ("0.1.2.3", "unspecified", "DNS record"),
            ("255.255.255.255", "broadcast", "DNS record"),
            ("::", "unspecified", "DNS record"),
        ] {
            let text = refusal(&AllowedNetworks::default(), address).expect(address);
            assert!(text.starts_with(address), "{text}");
            assert!(text.contains(word) && text.contains(remedy), "{text}");
        }
    }

    #[test]
    fn a_narrower_list_refuses_what_is_outside_it() {
        let allowed = AllowedNetworks::parse("10.20.0.0/16, 2600:1f18::/32").expect("valid");
        assert_eq!(refusal(&allowed, "10.20.255.1"), None);
        assert_eq!(refusal(&allowed, "2600:1f18::9"), None);
        for address in ["10.21.0.1", "fd00::1"] {
            let text = refusal(&allowed, address).expect("outside");
            assert!(text.starts_with(&format!("{address} is outside ALLOWED_CIDRS")), "{text}");
            assert!(text.contains("10.20.0.0/16, 2600:1f18::/32"), "{text}");
        }
    }

    #[test]
    fn no_list_makes_an_impossible_address_possible() {
        let everything = AllowedNetworks::parse("0.0.0.0/0,::/0").expect("valid");
        assert_eq!(refusal(&everything, "127.0.0.11"), None);
        assert_eq!(refusal(&everything, "52.1.2.3"), None);
        for address in
            ["0.0.0.0", "169.254.1.1", "224.0.0.1", "255.255.255.255", "::", "fe80::1", "ff02::1"]
        {
            assert!(refusal(&everything, address).is_some(), "{address}");
        }
    }

    #[test]
    fn every_item_that_is_no_cidr_is_named() {
        let mistakes =
            AllowedNetworks::parse("10.0.0.0/8, ten, 10.0.0.0/33").expect_err("two mistakes");
        assert!(AllowedNetworks::parse(", ").expect_err("no network")[0].contains("holds no CIDR"));
        assert_eq!(mistakes.len(), 2);
        assert!(mistakes[0].contains("ten") && mistakes[1].contains("10.0.0.0/33"), "{mistakes:?}");
    }
}
