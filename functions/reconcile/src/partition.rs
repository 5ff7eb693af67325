//! The partitions of AWS: which ARNs and names of databases there are.

/// Every partition with the suffix of its names, from the endpoint list that AWS ships with its
/// SDKs (botocore, `partitions.json`; `tests/template/partitions.rs` compares them).
pub const PARTITIONS: [(&str, &str); 8] = [
    ("aws", "amazonaws.com"),
    ("aws-cn", "amazonaws.com.cn"),
    ("aws-eusc", "amazonaws.eu"),
    ("aws-iso", "c2s.ic.gov"),
    ("aws-iso-b", "sc2s.sgov.gov"),
    ("aws-iso-e", "cloud.adc-e.uk"),
    ("aws-iso-f", "csp.hci.ic.gov"),
    ("aws-us-gov", "amazonaws.com"),
];

/// Whether RDS gave the name, in lower case: it ends in `REGION.rds.SUFFIX`, in China and GovCloud
/// in `rds.REGION.SUFFIX`, for FIPS with `rds-fips` (AWS JDBC driver, `RdsUtils.java`).
pub fn is_of_rds(name: &str) -> bool {
    let before = |suffix: &str| name.strip_suffix(suffix)?.strip_suffix('.');
    let is_service = |label: &str| matches!(label, "rds" | "rds-fips");
    PARTITIONS.iter().filter_map(|(_, suffix)| before(suffix)).any(|before| {
        let mut labels = before.rsplit('.');
        (labels.next().is_some_and(is_service) || labels.next().is_some_and(is_service))
            && labels.next().is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_rds_ends_in_its_region_and_the_suffix_of_a_partition_in_either_order() {
        for (_, suffix) in PARTITIONS {
            for form in [
                "orders.c1.xy-north-1.rds",
                "orders.c1.rds.xy-north-1",
                "orders.cluster-c1.rds-fips.xy-north-1",
            ] {
                assert!(is_of_rds(&format!("{form}.{suffix}")), "{form}.{suffix}");
            }
            for form in
                ["rds", "rds.eu-west-1", "orders.c1.eu-west-1.docdb", "rds.c1.eu-west-1.redis"]
            {
                assert!(!is_of_rds(&format!("{form}.{suffix}")), "{form}.{suffix}");
            }
        }
        for name in [
            "orders.c1.eu-west-1.rds.example.com",
            "orders.c1.eu-west-1.rdsamazonaws.com",
            "rds.amazonaws.com.example",
        ] {
            assert!(!is_of_rds(name), "{name}");
        }
    }
}
