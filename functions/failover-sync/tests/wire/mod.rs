//! Answers of the AWS Query APIs.

use aws_sdk_elasticloadbalancingv2::config::http::HttpResponse;

/// An HTTP answer with a body, and the request id in the header that AWS sends.
pub(crate) fn response(status: u16, body: &str) -> HttpResponse {
    let mut response = HttpResponse::new(status.try_into().expect("a status"), body.into());
    response.headers_mut().insert("x-amzn-requestid", "c534f810-0000-4000-8000-0123456789ab");
    response
}

/// The body of an error with a code and a message.
pub(crate) fn error(code: &str, message: &str) -> String {
    include_str!("../xml/error.xml").replace("CODE", code).replace("MESSAGE", message)
}
