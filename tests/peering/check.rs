//! `make check-peering`.

use super::*;

/// Its exit status, what it prints and what it complains about.
fn check_peering(arguments: &[&str]) -> (i32, String, String) {
    let program = root().join("infra/check_peering.py");
    let output = Command::new("python3").arg(program).args(arguments).output().expect("python3 runs");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_check_refuses_ranges_that_overlap() {
    let accepted: [&[&str]; 4] = [
        &["10.50.0.0/21", "172.20.0.0/20"],
        &["10.0.0.0/24", "10.0.1.0/24"],
        &["10.0.0.0/16", "10.1.0.0/16", "100.64.0.0/24", "192.168.0.0/28"],
        &["2001:db8:0:100::/56", "2001:db8:0:200::/56"],
    ];
    for ranges in accepted {
        let named = format!("No two of them overlap: {}\n", ranges.join(", "));
        assert_eq!(check_peering(ranges), (0, named, String::new()), "{ranges:?}");
    }
    let refused: [(&[&str], &[&str]); 5] = [
        (&["172.19.0.0/20", "172.19.0.0/20"], &["172.19.0.0/20 and 172.19.0.0/20 are the same range."]),
        (&["10.0.0.0/16", "10.0.128.0/20"], &["10.0.128.0/20 lies in 10.0.0.0/16."]),
        (&["10.0.128.0/20", "10.0.0.0/16"], &["10.0.128.0/20 lies in 10.0.0.0/16."]),
        (&["10.0.0.0/16", "172.20.0.0/20", "172.20.8.0/24"], &["172.20.8.0/24 lies in 172.20.0.0/20."]),
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
        let named: Vec<_> = complaint.lines().take_while(|line| !line.starts_with("AWS refuses")).collect();
        assert_eq!(named, overlaps, "{ranges:?}");
        assert!(complaint.contains("infra/peering-overlap.yaml with AllowedPrincipals"), "{complaint}");
    }
}

#[test]
fn the_check_says_what_is_wrong_with_a_range() {
    let unusable: [(&[&str], &str); 9] = [
        (&[], "two or more ranges are needed"),
        (&["10.0.0.0/16"], "two or more ranges are needed"),
        (&["10.0.0.0/16", "vpc-00000001"], "'vpc-00000001' is no address range; write it like 10.50.0.0/21"),
        (&["10.0.0.0/16,10.1.0.0/16", "10.2.0.0/16"], "separate ranges by spaces"),
        (&["10.0.0.0", "10.1.0.0/16"], "'10.0.0.0' is no address range"),
        (&["10.0.0.0/33", "10.1.0.0/16"], "'10.0.0.0/33' is no address range"),
        (&["10.0.0.0/255.255.0.0", "10.1.0.0/16"], "'10.0.0.0/255.255.0.0' is no address range"),
        (&["10.0.4.1/16", "10.1.0.0/16"], "10.0.4.1/16 is an address in a range; the range is 10.0.0.0/16"),
        (&["10.0.0.0/16", "2001:db8::/56"], "IPv4 and IPv6 ranges cannot be compared"),
    ];
    for (ranges, mistake) in unusable {
        let (status, printed, complaint) = check_peering(ranges);
        assert_eq!((status, &*printed), (2, ""), "{ranges:?}");
        assert!(complaint.starts_with("error: ") && complaint.contains(mistake), "{ranges:?}: {complaint}");
    }
}

#[test]
fn the_check_warns_of_ranges_that_no_vpc_has() {
    for (range, size) in [("10.0.0.0/15", "larger"), ("10.0.0.0/29", "smaller")] {
        let (status, _, complaint) = check_peering(&[range, "172.20.0.0/20"]);
        assert_eq!(status, 0);
        assert!(
            complaint.starts_with(&format!("warning: {range} is {size} than a range of a VPC can be")),
            "{complaint}"
        );
    }
}

#[test]
fn the_check_explains_itself_and_is_a_target_of_make() {
    let (status, help, _) = check_peering(&["--help"]);
    assert_eq!(status, 0);
    assert!(help.contains("Exit status: 0 = none overlap, 1 = some overlap, 2 = nothing was compared."), "{help}");
    for (ranges, expected) in [("10.50.0.0/21 172.20.0.0/20", true), ("172.19.0.0/20 172.19.0.0/20", false)] {
        let cidrs = format!("CIDRS={ranges}");
        let make = workspace::make().args(["check-peering", &cidrs]).output().expect("make runs");
        assert_eq!(make.status.success(), expected, "{}", String::from_utf8_lossy(&make.stderr));
    }
}
