//! What can go wrong with AWS, in words for the person who reads it at night. A `Display` never
//! repeats its source; [`chain`] joins them.

use std::error::Error;
use std::fmt;

use aws_sdk_rds::config::http::HttpResponse;
use aws_sdk_rds::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_rds::operation::RequestId;

/// A call to AWS that failed: which action on what, and what AWS said.
#[derive(Debug)]
pub struct AwsError {
    /// The IAM name of the action, such as `elasticloadbalancing:RegisterTargets`.
    pub action: &'static str,
    /// The ARN or identifier it was called for.
    pub resource: String,
    /// The error code, where AWS answered with one.
    pub code: Option<String>,
    /// The request id, where AWS answered.
    pub request_id: Option<String>,
    source: Box<dyn Error + Send + Sync>,
    has_response: bool,
    /// A network without a way to AWS drops packets; it refuses nothing.
    connect_timed_out: bool,
}

impl AwsError {
    /// From an SDK error of any service.
    pub fn new<E>(action: &'static str, resource: impl Into<String>, error: SdkError<E>) -> AwsError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        SdkError<E>: RequestId,
    {
        let of_response =
            |response: &HttpResponse| response.headers().get("x-amzn-requestid").map(str::to_owned);
        let request_id = error
            .request_id()
            .map(str::to_owned)
            .or_else(|| error.raw_response().and_then(of_response));
        let code = error.code().map(str::to_owned);
        let has_response = error.raw_response().is_some();
        // The connector's only timeout is of connecting; those of tries and calls are other errors.
        let connect_timed_out =
            matches!(&error, SdkError::DispatchFailure(failure) if failure.is_timeout());
        let source: Box<dyn Error + Send + Sync> = match error {
            SdkError::ServiceError(service) => match service.err().message() {
                Some(message) => message.into(),
                None => Box::new(service.into_err()),
            },
            other => Box::new(other),
        };
        AwsError {
            action,
            resource: resource.into(),
            code,
            request_id,
            source,
            has_response,
            connect_timed_out,
        }
    }

    /// From an answer that lacks what was asked for.
    pub fn incomplete(
        action: &'static str,
        resource: impl Into<String>,
        missing: impl Into<String>,
    ) -> AwsError {
        let source = missing.into().into();
        let (code, request_id) = (None, None);
        AwsError {
            action,
            resource: resource.into(),
            code,
            request_id,
            source,
            has_response: true,
            connect_timed_out: false,
        }
    }

    fn service(&self) -> &'static str {
        match self.action.split_once(':') {
            Some(("elasticloadbalancing", _)) => "Elastic Load Balancing",
            Some(("rds", _)) => "RDS",
            Some(("secretsmanager", _)) => "Secrets Manager",
            Some((service, _)) => service,
            None => "AWS",
        }
    }

    /// A stable name for what went wrong.
    pub fn kind(&self) -> &'static str {
        match self.code.as_deref() {
            Some("TargetGroupNotFound" | "TargetGroupNotFoundException") => "TargetGroupNotFound",
            Some(code) if code.starts_with("AccessDenied") || code == "UnauthorizedOperation" => {
                "AccessDenied"
            }
            Some("Throttling" | "ThrottlingException" | "RequestLimitExceeded") => "Throttled",
            Some(_) => "AwsRefused",
            None if self.has_response => "AwsAnswerUnreadable",
            None => "AwsUnreachable",
        }
    }
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {} failed", self.action, self.resource)?;
        if let Some(code) = &self.code {
            write!(f, " with {code}")?;
        }
        if let Some(request_id) = &self.request_id {
            write!(f, " (request id {request_id})")?;
        }
        match self.kind() {
            // What a secret is encrypted with is refused in the name of the secret.
            "AccessDenied" if self.source.to_string().contains("KMS") => f.write_str(
                "; allow kms:Decrypt on the key that encrypts it in the function's role, and in \
                 the key's policy",
            ),
            "AccessDenied" => {
                write!(f, "; allow {} on this resource in the function's role", self.action)
            }
            "TargetGroupNotFound" => {
                f.write_str("; correct \"targetGroupArn\" or deploy the stack again")
            }
            "AwsUnreachable" if self.connect_timed_out => write!(
                f,
                "; the function's subnets have no way to {}'s endpoint: deploy \
                 infra/api-endpoints.yaml, or a NAT gateway, or take the function out of the VPC",
                self.service()
            ),
            _ => Ok(()),
        }
    }
}

impl Error for AwsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// The error and its sources in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
