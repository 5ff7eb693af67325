//! The function's process behind a Runtime API on loopback.

use std::io::BufReader;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::http;
use crate::process::{cpu_at_rest, peak_memory};

/// Nothing that is measured here takes longer, unless it hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// What a phase took: it is billed until the function asks for the next event.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

/// A running function that waits for an event.
pub(crate) struct Function {
    process: Child,
    events: Sender<Value>,
    calls: Receiver<Call>,
    cpu: Duration,
}

/// What the function told the Runtime API, or was told.
enum Call {
    AsksForEvent(Instant),
    WasGivenEvent(Instant),
    Answers(Value),
    Fails(String),
}

struct RuntimeApi {
    events: Mutex<Receiver<Value>>,
    calls: Sender<Call>,
}

impl Function {
    /// Starts it with these variables, and waits until it asks for its first event.
    pub(crate) fn start(binary: &Path, variables: &[(&str, String)]) -> Result<(Function, Cost)> {
        let listener = TcpListener::bind("127.0.0.1:0").context("a free port")?;
        let address = listener.local_addr().context("the port of the Runtime API")?;
        let (events, given) = channel();
        let (heard, calls) = channel();
        let api = Arc::new(RuntimeApi { events: Mutex::new(given), calls: heard });
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let api = Arc::clone(&api);
                thread::spawn(move || api.serve(stream));
            }
        });
        let mut command = Command::new(binary);
        command
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "failover-sync")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let began = Instant::now();
        let process = command.spawn().with_context(|| format!("start {}", binary.display()))?;
        let mut function = Function { process, events, calls, cpu: Duration::ZERO };
        let ready = function.asks_for_event()?;
        let cost = function.cost_since(began, ready)?;
        Ok((function, cost))
    }

    /// Sends it an event, and waits until it has answered and asks for the next one.
    pub(crate) fn invoke(&mut self, event: &Value) -> Result<(Value, Cost)> {
        self.events.send(event.clone()).context("the Runtime API is gone")?;
        let Call::WasGivenEvent(began) = self.next_call()? else {
            bail!("the function took no event")
        };
        let answer = match self.next_call()? {
            Call::Answers(answer) => answer,
            Call::Fails(error) => bail!("the function failed: {error}"),
            _ => bail!("the function did not answer"),
        };
        let ready = self.asks_for_event()?;
        Ok((answer, self.cost_since(began, ready)?))
    }

    /// The largest resident set so far, in bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        peak_memory(self.process.id())
    }

    fn cost_since(&mut self, began: Instant, ready: Instant) -> Result<Cost> {
        let cpu = cpu_at_rest(self.process.id())?;
        let before = std::mem::replace(&mut self.cpu, cpu);
        Ok(Cost { wall: ready - began, cpu: cpu.saturating_sub(before) })
    }

    fn asks_for_event(&self) -> Result<Instant> {
        match self.next_call()? {
            Call::AsksForEvent(at) => Ok(at),
            Call::Fails(error) => bail!("the function cannot start: {error}"),
            _ => bail!("the function answered without having been asked"),
        }
    }

    fn next_call(&self) -> Result<Call> {
        self.calls.recv_timeout(LIMIT).context("the function ended or hangs")
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // If it has ended already there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl RuntimeApi {
    fn serve(&self, stream: TcpStream) -> Result<()> {
        stream.set_nodelay(true).context("no delay")?;
        let mut reader = BufReader::new(stream);
        while let Some(request) = http::read(&mut reader).context("a request to the Runtime API")? {
            self.answer(&request, reader.get_mut())?;
        }
        Ok(())
    }

    fn answer(&self, request: &http::Request, stream: &mut TcpStream) -> Result<()> {
        let text = || String::from_utf8_lossy(&request.body).into_owned();
        let call = match request.path.rsplit('/').next() {
            Some("next") => return self.hand_out(stream),
            Some("response") => Call::Answers(
                serde_json::from_slice(&request.body)
                    .context("the function's answer is no JSON")?,
            ),
            Some("error") => Call::Fails(text()),
            _ => Call::Fails(format!("it called {}", request.path)),
        };
        self.calls.send(call).context("nobody listens")?;
        http::write(stream, "202 Accepted", "", "").context("accept an answer")
    }

    fn hand_out(&self, stream: &mut TcpStream) -> Result<()> {
        self.calls.send(Call::AsksForEvent(Instant::now())).context("nobody listens")?;
        let event = self
            .events
            .lock()
            .ok()
            .and_then(|events| events.recv().ok())
            .context("no more events")?;
        let deadline = (SystemTime::now() + LIMIT)
            .duration_since(SystemTime::UNIX_EPOCH)
            .context("the clock")?;
        let headers = format!(
            "lambda-runtime-aws-request-id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
             lambda-runtime-deadline-ms: {}\r\n\
             lambda-runtime-invoked-function-arn: \
             arn:aws:lambda:eu-west-1:123456789012:function:failover-sync\r\n",
            deadline.as_millis()
        );
        self.calls.send(Call::WasGivenEvent(Instant::now())).context("nobody listens")?;
        http::write(stream, "200 OK", &headers, &event.to_string()).context("hand out an event")
    }
}
