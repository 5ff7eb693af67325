//! Whether rounds keep the health checks of an idle load balancer from getting it blocked. A check
//! is a broken handshake to the server, a login that succeeds sets the count of its address to 0.

use std::net::IpAddr;

use lab::host_cache::{abort_handshake, is_blocked};
use lab::mariadb::{Options, Server, Tls};
use lab::nlb::ADDRESSES;
use lab::poll::{Look, until};
use reconcile::path::PathState::{Refused, Writer};

use crate::mariadb::{COUNT_DEADLINE, Stage};
use crate::{USER, not_yet};

/// What MySQL and MariaDB, and RDS with them, are delivered with.
const LIMIT: u32 = 100;

/// In the three minutes from one round to the next, of one check every ten seconds.
const CHECKS: u32 = 18;

/// So many rounds are an hour.
const ROUNDS: u32 = 20;

async fn stage() -> Stage {
    let options =
        Options { max_connect_errors: LIMIT, performance_schema: true, ..Options::default() };
    Stage::with(&options).await
}

impl Stage {
    async fn check(&self, zone: IpAddr, checks: u32) {
        for number in 0..checks {
            let refused = abort_handshake(zone, self.server.addr()).await.unwrap();
            assert_eq!(refused, None, "check {number} from {zone}");
        }
    }

    /// Waits until these are the errors: a server counts a check once it has seen its end.
    async fn counts(&self, expected: &[String]) {
        until("the count of the checks", COUNT_DEADLINE, async || {
            let errors = errors(&self.server).await;
            Ok(if errors == expected { Look::Ready(()) } else { not_yet(format!("{errors:?}")) })
        })
        .await
        .unwrap();
    }
}

/// The errors in a row of each zone's address, and how often it was turned away.
async fn errors(server: &Server) -> Vec<String> {
    let asked = "SELECT IP, SUM_CONNECT_ERRORS, COUNT_HOST_BLOCKED_ERRORS \
                 FROM performance_schema.host_cache WHERE IP LIKE '127.0.0.2_' ORDER BY IP";
    server.sql(asked).await.unwrap().lines().map(str::to_owned).collect()
}

fn each(errors: u32) -> [String; 3] {
    ADDRESSES.map(|zone| row(zone, errors, 0))
}

fn row(zone: IpAddr, errors: u32, turned_away: u32) -> String {
    format!("{zone}\t{errors}\t{turned_away}")
}

#[tokio::test]
async fn a_round_every_three_minutes_keeps_an_idle_load_balancer_from_being_blocked() {
    let stage = stage().await;
    for _ in 0..ROUNDS {
        for zone in ADDRESSES {
            stage.check(zone, CHECKS).await;
        }
        stage.counts(&each(CHECKS)).await;
        stage.function.ask().await.says([Writer; 3], Some(true));
        stage.counts(&each(0)).await;
    }
}

/// So a check every ten seconds leaves a round a quarter of an hour.
#[tokio::test]
async fn a_round_after_as_many_checks_as_the_limit_comes_too_late() {
    let stage = stage().await;
    let [blocked, nearly, idle] = ADDRESSES;
    stage.check(blocked, LIMIT).await;
    stage.check(nearly, LIMIT - 1).await;
    stage.counts(&[row(blocked, LIMIT, 0), row(nearly, LIMIT - 1, 0)]).await;
    stage.function.ask().await.says([Refused, Writer, Writer], Some(false));
    assert!(is_blocked(blocked, stage.server.addr()).await.unwrap(), "no round lifts a block");
    for zone in [nearly, idle] {
        stage.check(zone, LIMIT - 1).await;
    }
    let [nearly, idle] = [nearly, idle].map(|zone| row(zone, LIMIT - 1, 0));
    stage.counts(&[row(blocked, LIMIT, 2), nearly, idle]).await;
    stage.function.ask().await.says([Refused, Writer, Writer], Some(false));
}

/// So a wrong password protects nobody, and harms nobody either.
#[tokio::test]
async fn a_refused_login_leaves_the_count_as_it_was() {
    let stage = stage().await;
    let foreign = format!("CREATE USER {USER}@'{}' IDENTIFIED BY 'another'", ADDRESSES[0]);
    stage.server.sql(&foreign).await.unwrap();
    for zone in ADDRESSES {
        stage.check(zone, CHECKS).await;
    }
    stage.counts(&each(CHECKS)).await;
    stage.function.ask().await.says([Refused, Writer, Writer], None);
    let [_, second, third] = each(0);
    stage.counts(&[row(ADDRESSES[0], CHECKS, 0), second, third]).await;
}

/// Which is why the function does not ask again where it was refused.
#[tokio::test]
async fn a_certificate_that_the_function_refuses_is_one_more_broken_handshake() {
    let mut stage = stage().await;
    let flawed = Options { tls: Tls::OtherName, performance_schema: true, ..Options::default() };
    let flawed = stage.another(0, &flawed).await;
    stage.function.ask().await.says([Refused, Writer, Writer], None);
    assert_eq!(errors(&flawed).await, [row(ADDRESSES[0], 1, 0)]);
}
