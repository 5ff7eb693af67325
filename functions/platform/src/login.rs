//! What to log in with, anew for every session: an IAM token signed here, or a fetched secret.

use aws_config::{Region, SdkConfig};
use aws_sdk_rds::auth_token::{AuthTokenGenerator, Config as TokenConfig};
use aws_sdk_secretsmanager::Client;
use base::login::LoginMethod;
use serde::Deserialize;
use thiserror::Error;
use url::Url;

use crate::error::AwsError;
use base::database::HostPort;

/// The IAM action of a login with a secret.
pub const GET_SECRET: &str = "secretsmanager:GetSecretValue";

/// Makes credentials.
pub struct CredentialProvider {
    login: LoginMethod,
    region: Region,
    role: SdkConfig,
    secrets: Client,
}

/// A user and a password.
#[derive(Clone, Deserialize)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// The password, or the token that stands for one.
    pub password: String,
    /// Whether the server gets the password itself, over TLS, as RDS needs it to check a token.
    #[serde(skip)]
    pub is_token: bool,
}

impl CredentialProvider {
    /// For a database in this Region, with the role that the SDK finds.
    pub fn new(login: LoginMethod, region: String, aws: &SdkConfig) -> CredentialProvider {
        CredentialProvider {
            login,
            region: Region::new(region),
            role: aws.clone(),
            secrets: Client::new(aws),
        }
    }

    /// How the function logs in.
    pub fn login(&self) -> &LoginMethod {
        &self.login
    }

    /// Credentials for a server.
    ///
    /// # Errors
    /// When the function's role has no credentials, or the secret cannot be read or understood.
    pub async fn credentials(&self, endpoint: &HostPort) -> Result<Credentials, LoginError> {
        match &self.login {
            LoginMethod::Iam(user) => self.token(user, endpoint).await,
            LoginMethod::Secret(arn) => self.secret(arn).await,
        }
    }

    async fn token(&self, user: &str, endpoint: &HostPort) -> Result<Credentials, LoginError> {
        // The SDK panics at a host that no URL can have.
        Url::parse(&format!("https://{}:{}/", endpoint.host, endpoint.port))
            .map_err(|error| LoginError::Token(error.into()))?;
        let config = TokenConfig::builder()
            .hostname(&endpoint.host)
            .port(u64::from(endpoint.port))
            .username(user)
            // Else the SDK signs for us-east-1, which other Regions refuse like a wrong password.
            .region(self.region.clone())
            .build()
            .map_err(LoginError::Token)?;
        let token = AuthTokenGenerator::new(config)
            .auth_token(&self.role)
            .await
            .map_err(LoginError::Token)?;
        Ok(Credentials { username: user.to_owned(), password: token.to_string(), is_token: true })
    }

    async fn secret(&self, arn: &str) -> Result<Credentials, LoginError> {
        let answer = self.secrets.get_secret_value().secret_id(arn).send().await;
        let answer =
            answer.map_err(|error| LoginError::Fetch(AwsError::new(GET_SECRET, arn, error)))?;
        parse_secret(answer.secret_string())
            .map_err(|problem| LoginError::Content { arn: arn.to_owned(), problem })
    }
}

/// Why there is nothing to log in with.
#[derive(Debug, Error)]
pub enum LoginError {
    /// The token could not be signed.
    #[error("the IAM token could not be signed: check that the function has a role")]
    Token(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The secret could not be fetched.
    #[error(
        "the secret could not be fetched: in a VPC without a way out, the function needs an \
         endpoint for Secrets Manager"
    )]
    Fetch(#[source] AwsError),
    /// The secret is not what the function expects. Its text stays out of the message.
    #[error("the secret {arn} {problem}: store JSON with the texts \"username\" and \"password\"")]
    Content {
        /// The secret's ARN.
        arn: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl LoginError {
    /// A stable name.
    pub fn kind(&self) -> &'static str {
        match self {
            LoginError::Token(_) => "TokenNotSigned",
            LoginError::Fetch(source) => source.kind(),
            LoginError::Content { .. } => "SecretUnreadable",
        }
    }
}

fn parse_secret(text: Option<&str>) -> Result<Credentials, String> {
    let text = text.ok_or("is binary")?;
    // The parser's message may quote a value of the secret; its category does not.
    serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            "lacks one of its texts, or has another type in its place".to_owned()
        }
        _ => format!("is not JSON (line {}, column {})", error.line(), error.column()),
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_rds::config::{Credentials as AwsCredentials, SharedCredentialsProvider};
    use aws_sdk_secretsmanager::error::ErrorMetadata;
    use aws_sdk_secretsmanager::operation::get_secret_value::{
        GetSecretValueError, GetSecretValueOutput,
    };
    use aws_smithy_mocks::{RuleMode, mock, mock_client};
    use proptest::prelude::*;

    use super::*;
    use crate::aws::sdk_config;
    use crate::error::chain;

    const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:flusher-AbCdEf";

    fn endpoint() -> HostPort {
        HostPort { host: "orders-a.c1.eu-west-1.rds.amazonaws.com".into(), port: 3307 }
    }

    /// A login from the function's own configuration, in another Region than the database's.
    async fn with_iam(
        role: Option<AwsCredentials>,
        endpoint: HostPort,
    ) -> Result<Credentials, String> {
        let mut aws = sdk_config(|_| None).into_builder().region(Region::new("us-east-1"));
        aws.set_credentials_provider(role.map(SharedCredentialsProvider::new));
        let role = aws.build();
        let secrets = Client::new(&role);
        let provider = CredentialProvider {
            login: LoginMethod::Iam("flusher".into()),
            region: Region::new("eu-west-1"),
            role,
            secrets,
        };
        provider.credentials(&endpoint).await.map_err(|error| chain(&error))
    }

    fn role() -> Option<AwsCredentials> {
        Some(AwsCredentials::new("AKID", "secret", None, None, "test"))
    }

    async fn with_secret(text: Option<&str>) -> Result<Credentials, String> {
        let answer =
            GetSecretValueOutput::builder().set_secret_string(text.map(str::to_owned)).build();
        let rule = mock!(Client::get_secret_value)
            .match_requests(|request| request.secret_id() == Some(SECRET))
            .then_output(move || answer.clone());
        with(mock_client!(aws_sdk_secretsmanager, RuleMode::MatchAny, &[&rule])).await
    }

    async fn with(secrets: Client) -> Result<Credentials, String> {
        let (login, role) = (LoginMethod::Secret(SECRET.into()), SdkConfig::builder().build());
        let provider =
            CredentialProvider { login, region: Region::new("eu-west-1"), role, secrets };
        provider.credentials(&endpoint()).await.map_err(|error| chain(&error))
    }

    #[tokio::test]
    async fn a_token_is_for_this_host_port_and_user_in_the_configured_region() {
        let Ok(credentials) = with_iam(role(), endpoint()).await else { panic!("no token") };
        let start = "orders-a.c1.eu-west-1.rds.amazonaws.com:3307/?Action=connect&DBUser=flusher&";
        assert!(credentials.password.starts_with(start), "{}", credentials.password);
        assert!(
            credentials.password.contains("eu-west-1%2Frds-db%2Faws4_request"),
            "{}",
            credentials.password
        );
        assert!(credentials.is_token && credentials.username == "flusher");
    }

    #[tokio::test]
    async fn a_host_that_no_url_can_have_is_an_error() {
        for host in ["10.0.0.256", "xn--.example", "a b", ""] {
            let endpoint = HostPort { host: host.into(), port: 3307 };
            let message = with_iam(role(), endpoint).await.err().expect(host);
            assert!(message.contains("could not be signed"), "{host}: {message}");
        }
    }

    #[tokio::test]
    async fn without_a_role_there_is_no_token() {
        let message = with_iam(None, endpoint()).await.err().expect("an error");
        assert!(
            message.contains("could not be signed: check that the function has a role"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn a_secret_is_a_user_and_a_password() {
        let text = r#"{"username": "flusher", "password": "hunter2", "engine": "mysql"}"#;
        let Ok(credentials) = with_secret(Some(text)).await else { panic!("no credentials") };
        assert_eq!((&credentials.username[..], &credentials.password[..]), ("flusher", "hunter2"));
        assert!(!credentials.is_token);
    }

    #[tokio::test]
    async fn what_may_not_be_decrypted_is_told_from_what_may_not_be_read() {
        for (message, needed) in [
            ("Access to KMS is not allowed", "allow kms:Decrypt on the key"),
            (
                "User is not authorized to perform: secretsmanager:GetSecretValue",
                "allow secretsmanager:GetSecretValue",
            ),
        ] {
            let denied = move || {
                let code = ErrorMetadata::builder().code("AccessDeniedException").message(message);
                GetSecretValueError::generic(code.build())
            };
            let rule = mock!(Client::get_secret_value).then_error(denied);
            let secrets = mock_client!(aws_sdk_secretsmanager, RuleMode::MatchAny, &[&rule]);
            let error = with(secrets).await.err().expect("an error");
            assert!(error.contains(needed) && error.contains(message), "{error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_secret_holds_its_error_quotes_nothing_of_it(
            (before, after) in ("[\\[\\]{}\",:a-z0-9 \\\\]{0,12}", any::<String>()),
            key in prop::sample::select(vec!["username", "password", "engine"]),
            cut in 0..60_usize,
        ) {
            let whole = format!(r#"{before}{{"username": "hunter2", "{key}": hunter2}}{after}"#);
            let part: String = whole.chars().take(cut).collect();
            for text in [whole, part] {
                if let Err(problem) = parse_secret(Some(&text)) {
                    prop_assert!(!problem.contains("hunter2") && problem.len() < 80, "{problem}");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_secret_is_never_quoted_in_an_error() {
        for (text, expected) in [
            (Some(r#"{"username": "flusher", "password": 42}"#), "lacks one of its texts"),
            (Some(r#"{"username": "hunter2"}"#), "lacks one of its texts"),
            (Some("hunter2"), "is not JSON (line 1"),
            (None, "is binary"),
        ] {
            let message = with_secret(text).await.err().expect("an error");
            assert!(message.contains(expected) && message.contains(SECRET), "{message}");
            assert!(!message.contains("hunter2") && !message.contains("42"), "{message}");
        }
    }
}
