//! What a server's error means, by its code, and what to do about it.

use strum::IntoStaticStr;

/// What a known error of a server means, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    /// What it means.
    pub kind: HintKind,
    /// What to do, to be put behind the server's own text.
    pub remedy: &'static str,
}

/// What an error of a server means; as a text, its stable name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
pub enum HintKind {
    /// It blocks the address that the session came from (MySQL: error 1129).
    FunctionBlocked,
    /// No account admits that address.
    HostNotAllowed,
    /// It refuses the user or what proves who it is.
    LoginRefused,
    /// The user may not do this.
    PrivilegeMissing,
    /// It has no room for another session.
    ServerFull,
    /// It starts or stops.
    ServerNotReady,
    /// Anything else.
    ServerRefused,
}

/// What MySQL's or MariaDB's number means, which unlike the text is the same in both.
pub fn mysql_hint(code: u16) -> Option<Hint> {
    let (kind, remedy) = match code {
        1045 | 1698 => (
            HintKind::LoginRefused,
            "with an IAM login, create the user IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS', \
             enable IAM authentication on the database, and allow the function's role \
             rds-db:connect for that user of the database's current resource id; with a secret, \
             correct the user name or password in it",
        ),
        1129 => (
            HintKind::FunctionBlocked,
            "it blocks this function's own address: empty its host cache once from another address \
             (TRUNCATE TABLE performance_schema.host_cache or FLUSH HOSTS), or restart the \
             instance, and find out what in the function's subnets ends handshakes early",
        ),
        1130 => (
            HintKind::HostNotAllowed,
            "no account admits the function's address; create the user for the host '%' or the \
             function's subnets",
        ),
        1040 | 1203 | 1226 => (HintKind::ServerFull, TOO_MANY),
        1053 => (HintKind::ServerNotReady, WAIT),
        _ => return None,
    };
    Some(Hint { kind, remedy })
}

/// What PostgreSQL's SQLSTATE means (manual, appendix "PostgreSQL Error Codes").
pub fn postgres_hint(code: &str) -> Option<Hint> {
    let (kind, remedy) = match code {
        "28P01" | "28000" => (
            HintKind::LoginRefused,
            "with an IAM login, GRANT rds_iam to the user, enable IAM authentication on the \
             database, and allow the function's role rds-db:connect for that user of the \
             database's current resource id; with a secret, correct the user name or password in \
             it; on a server of one's own, let pg_hba.conf admit the user from the function's \
             subnets over TLS",
        ),
        "42501" => (
            HintKind::PrivilegeMissing,
            "GRANT CONNECT ON DATABASE postgres to the function's user",
        ),
        "3D000" => (
            HintKind::ServerRefused,
            "the function connects to the database \"postgres\": create it, it may be empty",
        ),
        "53300" | "53400" => (HintKind::ServerFull, TOO_MANY),
        "57P01" | "57P02" | "57P03" => (HintKind::ServerNotReady, WAIT),
        _ => return None,
    };
    Some(Hint { kind, remedy })
}

const WAIT: &str = "it is starting or stopping; the next run asks again";

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
            assert!(
                <&str>::from(hint.kind) == kind && hint.remedy.contains(remedy),
                "{code}: {hint:?}"
            );
        }
        for (code, kind, remedy) in [
            ("28P01", "LoginRefused", "GRANT rds_iam"),
            ("28000", "LoginRefused", "pg_hba.conf"),
            ("42501", "PrivilegeMissing", "GRANT CONNECT"),
            ("3D000", "ServerRefused", "\"postgres\""),
            ("53300", "ServerFull", "max_connections"),
        ] {
            let hint = postgres_hint(code).expect("known");
            assert!(
                <&str>::from(hint.kind) == kind && hint.remedy.contains(remedy),
                "{code}: {hint:?}"
            );
        }
        for hint in [mysql_hint(1053), postgres_hint("57P03")] {
            assert_eq!(hint.map(|hint| hint.kind.into()), Some("ServerNotReady"));
        }
        assert_eq!((mysql_hint(3118), postgres_hint("0A000")), (None, None));
    }
}
