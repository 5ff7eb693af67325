//! `make check-peering`.

use super::*;

/// Its exit status, what it prints and what it complains about.
fn check_peering(arguments: &[&str]) -> (i32, String, String) {
    let program = root().join("infra/check_peering.py");
    let output =
        Command::new("python3").arg(program).args(arguments).output().expect("python3 runs");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_check_knows_who_is_peered_and_what_is_routed_already() {
    // Who, and what is routed; the exit status; what it says, if it is not free.
    let vpc = "--vpc 10.50.0.0/21 --peer";
    let taken = "AWS permits the connection, but this VPC routes that range elsewhere";
    let mirrored = "AWS permits the connection, but the peer routes this VPC's range elsewhere";
    let refused = "AWS refuses a peering connection if any two ranges of the VPCs overlap";
    let cases = [
        ("172.20.0.0/20 --routed 172.19.0.0/20 --peer-routed 10.60.0.0/16", 0, &[][..]),
        ("172.20.0.0/20 --routed 0.0.0.0/0 --peer-routed 0.0.0.0/0", 0, &[]),
        // Two peers that overlap each other do not overlap this VPC.
        (
            "172.19.0.0/20 --routed 172.19.0.0/20",
            3,
            &["172.19.0.0/20 and 172.19.0.0/20 are the same range.", taken],
        ),
        (
            "172.19.4.0/24 --routed 172.19.0.0/20",
            3,
            &["172.19.4.0/24 lies in 172.19.0.0/20.", taken],
        ),
        (
            "172.16.0.0/12 --routed 172.19.0.0/20",
            3,
            &["172.19.0.0/20 lies in 172.16.0.0/12.", taken],
        ),
        (
            "172.20.0.0/20 --peer-routed 10.50.0.0/16",
            3,
            &["10.50.0.0/21 lies in 10.50.0.0/16.", mirrored],
        ),
        ("172.19.0.0/20 --routed 172.19.0.0/20 --peer-routed 10.0.0.0/8", 3, &[taken, mirrored]),
        ("10.50.4.0/24", 1, &["10.50.4.0/24 lies in 10.50.0.0/21.", refused]),
        (
            "10.50.4.0/24 172.19.0.0/20 --routed 172.19.0.0/20",
            1,
            &[refused, "with downtime of the cluster"],
        ),
        ("2001:db8:0:100::/56", 2, &["IPv4 and IPv6 ranges cannot be compared"]),
    ];
    for (others, expected, said) in cases {
        let arguments = format!("{vpc} {others}");
        let (status, printed, complaint) = check_peering(&arguments.split(' ').collect::<Vec<_>>());
        assert_eq!(status, expected, "{others}: {complaint}");
        assert_eq!(
            printed.starts_with("Free: 10.50.0.0/21 and 172.20.0.0/20 can be peered"),
            expected == 0,
            "{printed}"
        );
        assert!(said.iter().all(|one| complaint.contains(one)), "{others}: {complaint}");
        let routes_matter = [taken, mirrored].iter().any(|one| complaint.contains(one));
        assert_eq!(routes_matter, expected == 3, "{others}: {complaint}");
    }
    let (status, _, complaint) =
        check_peering(&["--vpc", "10.50.0.0/21", "--peer", "172.20.0.0/20"]);
    assert_eq!(status, 0);
    for who in ["this VPC", "the peer"] {
        assert!(
            complaint
                .contains(&format!("what {who} routes already was not given, and not compared")),
            "{complaint}"
        );
    }
}

#[test]
fn the_check_reads_what_route_tables_hold() {
    let routes = json!([
        {"DestinationCidrBlock": "10.50.0.0/21", "GatewayId": "local"},
        {"DestinationCidrBlock": "172.19.0.0/20", "VpcPeeringConnectionId": "pcx-d3c1e8ba"},
        {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-acd20cca"},
        {"DestinationIpv6CidrBlock": "::/0", "EgressOnlyInternetGatewayId": "eigw-1"},
        {"DestinationPrefixListId": "pl-1", "GatewayId": "vpce-1"},
        {"DestinationPrefixListId": "pl-2", "TransitGatewayId": "tgw-1"},
    ]);
    let tables = json!({"RouteTables": [{"RouteTableId": "rtb-7122e509", "Routes": routes}]});
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("routes.json");
    let path = file.to_str().unwrap();
    std::fs::write(&file, tables.to_string()).unwrap();
    let check =
        |peer, option| check_peering(&["--vpc", "10.50.0.0/21", "--peer", peer, option, path]);
    let (status, _, complaint) = check("172.19.4.0/24", "--routes");
    assert_eq!(status, 3);
    assert!(
        complaint.contains(
            "172.19.4.0/24 lies in 172.19.0.0/20. rtb-7122e509 routes it to pcx-d3c1e8ba."
        ),
        "{complaint}"
    );
    assert!(
        complaint.contains("warning: not compared: pl-2 to tgw-1") && !complaint.contains("pl-1"),
        "{complaint}"
    );
    assert_eq!(check("172.20.0.0/20", "--routes").0, 0);
    assert_eq!(
        check("172.19.0.0/20", "--peer-routes").0,
        0,
        "what the peer routes is held against this VPC"
    );

    for wrong in [
        "no JSON",
        "[]",
        "{}",
        concat!(
            r#"{"RouteTables": [{"Routes": ["#,
            r#"{"DestinationCidrBlock": "10.0.0.1/8", "GatewayId": "igw-1"}]}]}"#
        ),
    ] {
        std::fs::write(&file, wrong).unwrap();
        let (status, printed, complaint) = check("172.20.0.0/20", "--routes");
        assert_eq!((status, &*printed), (2, ""), "{wrong}: {complaint}");
        assert!(complaint.starts_with("error: "), "{complaint}");
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(check("172.20.0.0/20", "--routes").0, 2);
}

#[test]
fn the_old_form_compares_all_pairs_and_says_so() {
    let accepted: [&[&str]; 4] = [
        &["10.50.0.0/21", "172.20.0.0/20"],
        &["10.0.0.0/24", "10.0.1.0/24"],
        &["10.0.0.0/16", "10.1.0.0/16", "100.64.0.0/24", "192.168.0.0/28"],
        &["2001:db8:0:100::/56", "2001:db8:0:200::/56"],
    ];
    for ranges in accepted {
        let (status, printed, complaint) = check_peering(ranges);
        assert_eq!((status, &*complaint), (0, ""), "{ranges:?}");
        assert!(
            printed.starts_with(&format!("No two of them overlap: {}\n", ranges.join(", "))),
            "{printed}"
        );
        assert!(printed.contains("All pairs were compared"), "{printed}");
    }
    let refused: [(&[&str], &[&str]); 5] = [
        (
            &["172.19.0.0/20", "172.19.0.0/20"],
            &["172.19.0.0/20 and 172.19.0.0/20 are the same range."],
        ),
        (&["10.0.0.0/16", "10.0.128.0/20"], &["10.0.128.0/20 lies in 10.0.0.0/16."]),
        (&["10.0.128.0/20", "10.0.0.0/16"], &["10.0.128.0/20 lies in 10.0.0.0/16."]),
        (
            &["10.0.0.0/16", "172.20.0.0/20", "172.20.8.0/24"],
            &["172.20.8.0/24 lies in 172.20.0.0/20."],
        ),
        (
            &["10.0.0.0/16", "10.0.0.0/24", "10.0.0.0/28"],
            &[
                "10.0.0.0/24 lies in 10.0.0.0/16.",
                "10.0.0.0/28 lies in 10.0.0.0/16.",
                "10.0.0.0/28 lies in 10.0.0.0/24.",
            ],
        ),
    ];
    for (ranges, overlaps) in refused {
        let (status, printed, complaint) = check_peering(ranges);
        assert_eq!((status, &*printed), (1, ""), "{ranges:?}");
        let named: Vec<_> =
            complaint.lines().take_while(|line| !line.starts_with("AWS refuses")).collect();
        assert_eq!(named, overlaps, "{ranges:?}");
        assert!(
            complaint.contains("infra/peering-overlap.yaml with AllowedPrincipals"),
            "{complaint}"
        );
        assert!(
            complaint.contains("Two that overlap can\nboth be peered with a third"),
            "{complaint}"
        );
    }
}

#[test]
fn the_check_says_what_is_wrong_with_a_range() {
    let unusable: [(&[&str], &str); 11] = [
        (&[], "the ranges of both VPCs are needed"),
        (&["--vpc", "10.50.0.0/21"], "the ranges of both VPCs are needed"),
        (&["--vpc", "10.50.0.0/21", "--peer", "10.0.0.0/33"], "'10.0.0.0/33' is no address range"),
        (&["10.0.0.0/16"], "two or more ranges are needed"),
        (
            &["10.0.0.0/16", "vpc-00000001"],
            "'vpc-00000001' is no address range; write it like 10.50.0.0/21",
        ),
        (&["10.0.0.0/16,10.1.0.0/16", "10.2.0.0/16"], "separate ranges by spaces"),
        (&["10.0.0.0", "10.1.0.0/16"], "'10.0.0.0' is no address range"),
        (&["10.0.0.0/33", "10.1.0.0/16"], "'10.0.0.0/33' is no address range"),
        (&["10.0.0.0/255.255.0.0", "10.1.0.0/16"], "'10.0.0.0/255.255.0.0' is no address range"),
        (
            &["10.0.4.1/16", "10.1.0.0/16"],
            "10.0.4.1/16 is an address in a range; the range is 10.0.0.0/16",
        ),
        (&["10.0.0.0/16", "2001:db8::/56"], "IPv4 and IPv6 ranges cannot be compared"),
    ];
    for (ranges, mistake) in unusable {
        let (status, printed, complaint) = check_peering(ranges);
        assert_eq!((status, &*printed), (2, ""), "{ranges:?}");
        assert!(
            complaint.starts_with("error: ") && complaint.contains(mistake),
            "{ranges:?}: {complaint}"
        );
    }
}

#[test]
fn the_check_warns_of_ranges_that_no_vpc_has() {
    for (range, size) in [("10.0.0.0/15", "larger"), ("10.0.0.0/29", "smaller")] {
        let (status, _, complaint) = check_peering(&[range, "172.20.0.0/20"]);
        assert_eq!(status, 0);
        assert!(
            complaint
                .starts_with(&format!("warning: {range} is {size} than a range of a VPC can be")),
            "{complaint}"
        );
    }
}

#[test]
fn the_check_explains_itself_and_is_a_target_of_make() {
    let (status, help, _) = check_peering(&["--help"]);
    assert_eq!(status, 0);
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for status in
        ["0 = free;", "1 = AWS refuses,", "2 = nothing was compared;", "3 = AWS permits it,"]
    {
        assert!(help.contains(status), "{help}");
    }
    let (vpc, imply) = ("VPC=10.50.0.0/21", "ROUTED=172.19.0.0/20");
    for (arguments, error) in [
        (&["CIDRS=10.50.0.0/21 172.20.0.0/20"][..], None),
        (&["CIDRS=172.19.0.0/20 172.19.0.0/20"], Some("Error 1")),
        (&[vpc, imply, "PEER=172.20.0.0/20"], None),
        (&[vpc, imply, "PEER=172.19.0.0/20"], Some("Error 3")),
        (&[vpc, "PEER=172.20.0.0/20", "PEER_ROUTED=10.60.0.0/16 10.50.0.0/16"], Some("Error 3")),
        (&[vpc], Some("Error 2")),
    ] {
        let make =
            workspace::make().arg("check-peering").args(arguments).output().expect("make runs");
        let said = String::from_utf8_lossy(&make.stderr);
        assert!(
            error.map_or(make.status.success(), |error| said.contains(error)),
            "{arguments:?}: {said}"
        );
    }
    let (status, _, complaint) =
        check_peering(&["10.50.0.0/21", "172.20.0.0/20", "--routed", "172.19.0.0/20"]);
    assert!(
        status == 2 && complaint.contains("ranges without an option stand alone"),
        "{complaint}"
    );
}
