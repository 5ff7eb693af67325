//! The configuration that all SDK clients share.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_types::sdk_config::{SharedCredentialsProvider, SharedTimeSource};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use base::config::given;
use tracing::warn;

/// Connecting in the Region takes milliseconds; without a way out, fail long before the deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// One call with all its tries.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);

const MAX_ATTEMPTS: u32 = 4;

/// Reads an environment variable.
pub type Variable = fn(&str) -> Option<String>;

/// What Lambda's variables give: the Region, the endpoints (`AWS_ENDPOINT_URL` and those of one
/// service, `AWS_USE_FIPS_ENDPOINT`, `AWS_USE_DUALSTACK_ENDPOINT`) and, read by the SDK itself, the
/// role's credentials, which are the same as long as the process lives. The SDK's own chain looks
/// for profiles, metadata and further roles too, which are not there, and is a quarter of a
/// megabyte of each zip.
pub fn sdk_config(variable: Variable) -> SdkConfig {
    let credentials = EnvironmentVariableCredentialsProvider::new();
    let mut builder = SdkConfig::builder()
        .behavior_version(behavior_version())
        .retry_config(retries())
        .timeout_config(timeouts())
        // The clients have a clock of their own; what signs an IAM token has none.
        .time_source(SharedTimeSource::default())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .region(given(variable("AWS_REGION")).map(Region::new))
        .service_config(EndpointUrls(variable));
    builder.set_use_fips(flag("AWS_USE_FIPS_ENDPOINT", variable));
    builder.set_use_dual_stack(flag("AWS_USE_DUALSTACK_ENDPOINT", variable));
    builder.build()
}

/// Pinned: its defaults are part of what was tested.
pub fn behavior_version() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// How often a call is tried.
pub fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS)
}

/// Far below the function's own time.
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}

fn flag(name: &str, variable: Variable) -> Option<bool> {
    let value = given(variable(name))?;
    let flag = value.to_ascii_lowercase().parse().ok();
    if flag.is_none() {
        warn!(variable = name, "the variable is left out: give true or false");
    }
    flag
}

/// `AWS_ENDPOINT_URL_SECRETS_MANAGER` and the like, else `AWS_ENDPOINT_URL`.
#[derive(Debug)]
struct EndpointUrls(Variable);

impl LoadServiceConfig for EndpointUrls {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace(' ', "_");
        let value = |name: &str| given((self.0)(name));
        value(&format!("{}_{service}", key.env())).or_else(|| value(key.env()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint_of(service: &str, variable: Variable) -> Option<String> {
        let key = ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL");
        let key = key.profile("endpoint_url").build().expect("a whole key");
        sdk_config(variable).service_config()?.load_config(key)
    }

    #[test]
    fn the_region_and_the_sort_of_endpoints_are_those_of_the_variables() {
        let given = sdk_config(|name| {
            let value = match name {
                "AWS_REGION" => "us-gov-west-1",
                "AWS_USE_FIPS_ENDPOINT" => "TRUE",
                "AWS_USE_DUALSTACK_ENDPOINT" => "false",
                _ => return None,
            };
            Some(value.to_owned())
        });
        assert_eq!(given.region(), Some(&Region::new("us-gov-west-1")));
        assert_eq!((given.use_fips(), given.use_dual_stack()), (Some(true), Some(false)));
        for variable in [|_: &str| None, |_: &str| Some(" ".to_owned()), |_: &str| Some("1".into())]
        {
            let other = sdk_config(variable);
            assert_eq!((other.use_fips(), other.use_dual_stack()), (None, None));
        }
        assert_eq!(sdk_config(|_| Some(" ".to_owned())).region(), None);
    }

    #[test]
    fn an_endpoint_of_one_service_goes_before_that_of_all() {
        let both: Variable = |name| match name {
            "AWS_ENDPOINT_URL" => Some("http://all".to_owned()),
            "AWS_ENDPOINT_URL_SECRETS_MANAGER" => Some("http://secrets".to_owned()),
            _ => None,
        };
        assert_eq!(endpoint_of("Secrets Manager", both).as_deref(), Some("http://secrets"));
        assert_eq!(endpoint_of("RDS", both).as_deref(), Some("http://all"));
        assert_eq!(endpoint_of("RDS", |_| None), None);
    }
}
