//! What a server's error means, by its code, and what to do about it.

/// What a known error of a server means, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    /// A stable name.
    pub kind: &'static str,
    /// What to do, to be put behind the server's own text.
    pub remedy: &'static str,
}

impl Hint {
    /// Whether the server only turned this login away, has no room for any, starts or stops.
    pub fn is_no_verdict(&self) -> bool {
        const KINDS: [&str; 5] =
            ["LoginRefused", "HostNotAllowed", "PrivilegeMissing", "ServerFull", NOT_READY];
        KINDS.contains(&self.kind)
    }

    /// Whether the server blocks the address that the session came from.
    pub fn is_block(&self) -> bool {
        self.kind == BLOCKED
    }
}

/// The kind of a server that starts or stops.
const NOT_READY: &str = "ServerNotReady";

const WAIT: &str = "it is starting or stopping; the next run asks again";

/// The kind of error 1129.
const BLOCKED: &str = "FunctionBlocked";

/// What MySQL's or MariaDB's number means, which unlike the text is the same in both.
pub fn mysql_hint(code: u16) -> Option<Hint> {
    let (kind, remedy) = match code {
        1045 | 1698 => (
            "LoginRefused",
            "with an IAM login, create the user IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS', \
             enable IAM authentication on the database, and allow the function's role \
             rds-db:connect for that user of the database's current resource id; with a secret, \
             correct the user name or password in it",
        ),
        1129 => (
            BLOCKED,
            "it blocks this function's own address: empty its host cache once from another address \
             (TRUNCATE TABLE performance_schema.host_cache or FLUSH HOSTS), or restart the \
             instance, and find out what in the function's subnets ends handshakes early",
        ),
        1130 => (
            "HostNotAllowed",
            "no account admits the function's address; create the user for the host '%' or the \
             function's subnets",
        ),
        1040 | 1203 | 1226 => ("ServerFull", TOO_MANY),
        1053 => (NOT_READY, WAIT),
        _ => return None,
    };
    Some(Hint { kind, remedy })
}

/// What PostgreSQL's SQLSTATE means (manual, appendix "PostgreSQL Error Codes").
pub fn postgres_hint(code: &str) -> Option<Hint> {
    let (kind, remedy) = match code {
        "28P01" | "28000" => (
            "LoginRefused",
            "with an IAM login, GRANT rds_iam to the user, enable IAM authentication on the \
             database, and allow the function's role rds-db:connect for that user of the \
             database's current resource id; with a secret, correct the user name or password in \
             it; on a server of one's own, let pg_hba.conf admit the user from the function's \
             subnets over TLS",
        ),
        "42501" => {
            ("PrivilegeMissing", "GRANT CONNECT ON DATABASE postgres to the function's user")
        }
        "3D000" => (
            "ServerRefused",
            "the function connects to the database \"postgres\": create it, it may be empty",
        ),
        "53300" | "53400" => ("ServerFull", TOO_MANY),
        "57P01" | "57P02" | "57P03" => (NOT_READY, WAIT),
        _ => return None,
    };
    Some(Hint { kind, remedy })
}

const TOO_MANY: &str = "free connections, or raise max_connections or the user's limit";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_known_code_says_what_is_missing() {
        for (code, kind, remedy) in [
            (1045, "LoginRefused", "rds-db:connect"),
            (1698, "LoginRefused", "AWSAuthenticationPlugin"),
            (1129, "FunctionBlocked", "it blocks this function's own address"),
            (1130, "HostNotAllowed", "the function's subnets"),
            (1040, "ServerFull", "max_connections"),
        ] {
            let hint = mysql_hint(code).expect("known");
            assert!(hint.kind == kind && hint.remedy.contains(remedy), "{code}: {hint:?}");
        }
        for (code, kind, remedy) in [
            ("28P01", "LoginRefused", "GRANT rds_iam"),
            ("28000", "LoginRefused", "pg_hba.conf"),
            ("42501", "PrivilegeMissing", "GRANT CONNECT"),
            ("3D000", "ServerRefused", "\"postgres\""),
            ("53300", "ServerFull", "max_connections"),
        ] {
            let hint = postgres_hint(code).expect("known");
            assert!(hint.kind == kind && hint.remedy.contains(remedy), "{code}: {hint:?}");
        }
        for hint in [mysql_hint(1053), postgres_hint("57P03")] {
            assert!(hint.is_some_and(|hint| hint.kind == NOT_READY && hint.is_no_verdict()));
        }
        assert_eq!((mysql_hint(3118), postgres_hint("0A000")), (None, None));
    }
}
