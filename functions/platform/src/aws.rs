//! The configuration that all SDK clients share.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};

/// Connecting to AWS in the Region takes milliseconds. A function in a subnet without a way out
/// never connects, and should say so long before its deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// One try of one call.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// One call with all its tries.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);

/// The first try and three more.
const MAX_ATTEMPTS: u32 = 4;

/// Reads region, credentials and endpoints from the environment, as the SDK does, with timeouts far
/// below the function's.
///
/// The behaviour version is pinned: its defaults (retries on, for one) are part of what was tested.
pub async fn sdk_config() -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
        .timeout_config(timeouts)
        .load()
        .await
}
