//! How a function logs in to a database.

use crate::config::ErrorCollector;

/// How a function logs in to a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginMethod {
    /// With an IAM token, as this user.
    Iam(String),
    /// With the user name and password in this secret of Secrets Manager: its ARN.
    Secret(String),
}

impl LoginMethod {
    /// Reads two variables with these names, one at most given; nothing for none or a mistake.
    pub fn parse(
        [user_name, secret_name]: [&str; 2],
        user: Option<String>,
        secret: Option<String>,
        mistakes: &mut ErrorCollector,
    ) -> Option<LoginMethod> {
        match (user, secret) {
            (Some(user), None) => {
                mistakes.collect(user_name, check_user(user)).map(LoginMethod::Iam)
            }
            (None, Some(arn)) => {
                mistakes.collect(secret_name, check_secret(arn)).map(LoginMethod::Secret)
            }
            (Some(_), Some(_)) => {
                let problem = "are both set: give the user for IAM, or the secret for a password";
                mistakes.add(format!("{user_name} and {secret_name}"), problem);
                None
            }
            (None, None) => None,
        }
    }
}

/// The SDK signs the user unescaped: a name that needs escaping would be another one.
fn check_user(user: String) -> Result<String, String> {
    let is_plain = user.chars().all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c));
    if is_plain {
        return Ok(user);
    }
    let plain = r#"letters, digits, "-", ".", "_" and "~""#;
    Err(format!("{user:?} cannot log in with IAM: give a user of {plain}"))
}

fn check_secret(arn: String) -> Result<String, String> {
    let is_secret = arn.starts_with("arn:") && arn.contains(":secretsmanager:");
    let problem = || format!("{arn:?} is not the ARN of a secret in Secrets Manager");
    if is_secret { Ok(arn) } else { Err(problem()) }
}
