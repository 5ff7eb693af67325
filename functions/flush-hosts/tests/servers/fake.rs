//! Things that accept a TCP connection and are no server that the function could use.

use lab::rds::{Instance, RdsApi};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::stage::INSTANCE;

/// What it does with a connection.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// Sends this at once, and closes.
    Says(Vec<u8>),
    /// Waits to be spoken to, as PostgreSQL does, and then sends this.
    Answers(Vec<u8>),
    /// Closes it.
    Closes,
    /// Says nothing, ever.
    Silent,
}

/// One of them. It goes when dropped.
pub(crate) struct Fake {
    pub(crate) port: u16,
    task: AbortHandle,
}

impl Fake {
    pub(crate) async fn start(manner: Manner) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                match &manner {
                    // Whether the client stays to hear it is its own affair.
                    Manner::Says(bytes) => drop(stream.write_all(bytes).await),
                    Manner::Answers(bytes) => {
                        let bytes = bytes.clone();
                        tokio::spawn(async move {
                            let mut asked = [0; 1024];
                            if matches!(stream.read(&mut asked).await, Ok(1..)) {
                                drop(stream.write_all(&bytes).await);
                            }
                        });
                    }
                    Manner::Closes => drop(stream),
                    Manner::Silent => held.push(stream),
                }
            }
        });
        Fake { port, task: task.abort_handle() }
    }

    /// An RDS API that takes it for the instance.
    pub(crate) async fn described(&self) -> RdsApi {
        let rds = RdsApi::start(vec![self.instance(INSTANCE)]).await.unwrap();
        rds.set_secret("flusher", "a-password");
        rds
    }

    pub(crate) fn instance(&self, id: &str) -> Instance {
        Instance::available(id, "mariadb", "localhost", self.port)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An error packet of the MySQL protocol, as it comes instead of the greeting: without an SQLSTATE.
pub(crate) fn error_packet(code: u16, text: &str) -> Vec<u8> {
    let mut body = vec![0xff];
    body.extend(code.to_le_bytes());
    body.extend(text.as_bytes());
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    [&length[..3], &[0], &body].concat()
}
