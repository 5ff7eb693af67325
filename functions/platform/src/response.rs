//! Responses of AWS's Query APIs, ELBv2 and RDS: complete ones only. The SDK returns the beginning
//! of a description that ends in the middle: a group looks smaller, or empty, and an empty group is
//! written to at once. The answer to a registration it does not read: a proxy's error page with the
//! status 200 passes for a success.

use std::str::{Utf8Error, from_utf8};

use aws_sdk_rds::config::http::HttpResponse;
use aws_sdk_rds::config::interceptors::{
    AfterDeserializationInterceptorContextRef, InterceptorContext,
};
use aws_sdk_rds::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_rds::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_rds::error::BoxError;
use thiserror::Error;
use xmlparser::{ElementEnd, Token, Tokenizer};

/// Turns an answer that is not one whole XML document with its request id into an error, which the
/// SDK tries again. Given to each call and not to the client, it holds for a test's client too.
#[derive(Debug)]
pub struct CompleteResponse;

impl Intercept for CompleteResponse {
    fn name(&self) -> &'static str {
        "CompleteResponse"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        match context.output_or_error() {
            Ok(_) => Ok(check(context.response())?),
            // It stays the error that it is.
            Err(_) => Ok(()),
        }
    }
}

impl ClassifyRetry for CompleteResponse {
    fn name(&self) -> &'static str {
        "CompleteResponse"
    }

    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let is_incomplete =
            |response: &HttpResponse| response.status().is_success() && check(response).is_err();
        if context.response().is_some_and(is_incomplete) {
            RetryAction::transient_error()
        } else {
            RetryAction::NoActionIndicated
        }
    }
}

#[derive(Debug, PartialEq, Error)]
enum IncompleteResponse {
    #[error("the answer is no text")]
    NoText(#[from] Utf8Error),
    #[error("the answer is no whole XML document")]
    NoXml(#[from] xmlparser::Error),
    #[error("the answer ends within its element {0}")]
    Open(String),
    #[error("the answer's element {0} ends where another has begun")]
    Crossed(String),
    #[error("the answer has no ResponseMetadata with a RequestId")]
    NoRequestId,
}

fn check(response: &HttpResponse) -> Result<(), IncompleteResponse> {
    // The SDK has read the whole body by now: none of these answers is a stream.
    check_document(from_utf8(response.body().bytes().unwrap_or_default())?)
}

/// The tokenizer knows that only comments follow the root, but not which element is open.
fn check_document(document: &str) -> Result<(), IncompleteResponse> {
    let mut open = Vec::new();
    let mut has_request_id = false;
    for token in Tokenizer::from(document) {
        match token? {
            Token::ElementStart { prefix, local, .. } => {
                open.push((prefix.as_str(), local.as_str()))
            }
            Token::ElementEnd { end: ElementEnd::Empty, .. } => drop(open.pop()),
            Token::ElementEnd { end: ElementEnd::Close(prefix, local), .. } => {
                let begun = open.pop();
                if begun != Some((prefix.as_str(), local.as_str())) {
                    return Err(IncompleteResponse::Crossed(local.as_str().to_owned()));
                }
            }
            Token::Text { text } => {
                has_request_id |=
                    matches!(open[..], [_, (_, "ResponseMetadata"), (_, "RequestId")])
                        && !text.as_str().trim().is_empty();
            }
            _ => {}
        }
    }
    match open.last() {
        Some((_, local)) => Err(IncompleteResponse::Open((*local).to_owned())),
        None if has_request_id => Ok(()),
        None => Err(IncompleteResponse::NoRequestId),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = "<ResponseMetadata><RequestId>c534f810</RequestId></ResponseMetadata>";

    fn problem(document: &str) -> Option<String> {
        check_document(document).err().map(|problem| problem.to_string())
    }

    #[test]
    fn a_whole_document_may_be_written_in_any_way() {
        for document in [
            format!("<AResponse>{METADATA}</AResponse>"),
            format!(
                "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<AResponse \
                 xmlns=\"urn:a\">{METADATA}</AResponse>\n"
            ),
            format!(
                "<AResponse><!-- a > b \
                 --><AResult/><b/><![CDATA[</AResponse>]]>{METADATA}</AResponse><!-- end -->"
            ),
            format!(
                "<a:AResponse xmlns:a=\"urn:a\"><a:AResult \
                 x=\"/>\"></a:AResult>{METADATA}</a:AResponse>"
            ),
        ] {
            assert_eq!(problem(&document), None, "{document}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (document, expected) in [
            (String::new(), "no ResponseMetadata"),
            ("<AResponse/>".to_owned(), "no ResponseMetadata"),
            (
                "<ErrorResponse><RequestId>c534f810</RequestId></ErrorResponse>".to_owned(),
                "no ResponseMetadata",
            ),
            (
                "<AResponse><ResponseMetadata><RequestId> \
                 </RequestId></ResponseMetadata></AResponse>"
                    .to_owned(),
                "no Res",
            ),
            (format!("<AResponse>{METADATA}"), "ends within its element AResponse"),
            (format!("<AResponse><AResult><Targets>{METADATA}"), "ends within its element Targets"),
            (format!("<AResponse><AResult><Targ{METADATA}"), "no whole XML document"),
            (format!("<AResponse>{METADATA}</AResponse"), "no whole XML document"),
            (format!("<AResponse>{METADATA}</AResponse><BResponse>"), "no whole XML document"),
            (
                format!("<AResponse><AResult>{METADATA}</AResponse></AResult>"),
                "AResponse ends where another has begun",
            ),
            ("Bad Gateway".to_owned(), "no whole XML document"),
        ] {
            let found = problem(&document).unwrap_or_default();
            assert!(found.contains(expected), "{document}: {found}");
        }
    }
}
