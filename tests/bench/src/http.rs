//! As much of HTTP/1.1 as the stand-ins need, so that the function is measured and not they.

use std::io::{self, BufRead, Write};

/// A request whose body has a length.
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
}

/// The next request of a connection, or none when the client has closed it.
pub(crate) fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Request { path, body }))
}

/// An answer in one write.
pub(crate) fn write(
    writer: &mut impl Write,
    status: &str,
    headers: &str,
    body: &str,
) -> io::Result<()> {
    let text =
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len());
    writer.write_all(text.as_bytes())?;
    writer.flush()
}
