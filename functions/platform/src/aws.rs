//! The configuration that all SDK clients share.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};

/// Connecting in the Region takes milliseconds; without a way out, fail long before the deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// One call with all its tries.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);

const MAX_ATTEMPTS: u32 = 4;

/// The SDK's configuration from the environment, with timeouts far below the function's. The
/// behaviour version is pinned: its defaults (retries on, for one) are part of what was tested.
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
