//! A template evaluated in a process of its own, which the kernel bounds.
//!
//! The child limits itself before it reads anything: address space, core files, file sizes, and a watch on its processor
//! time. The request is JSON on its stdin; the answer on its stdout is one byte, [`RENDERED`] or [`FAILED`], and then the
//! prompt or a fault as JSON. A child that dies without an answer has passed its budget.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::engine::{self, Fault, Request};
use super::{BASE_OUTPUT_BYTES, MAX_SOURCE_BYTES, MAX_TEXT_BYTES, OUTPUT_PER_INPUT, TemplateError};
use super::{WORKER_MEMORY_BYTES, WORKER_MILLISECONDS};

const RENDERED: u8 = b'+';
const FAILED: u8 = b'-';
/// Exit code of a child that used up its processor time.
const OUT_OF_TIME: i32 = 3;
/// The parent's own clock, for a child that waits instead of computing; long, since a busy machine may start it late.
const PATIENCE: Duration = Duration::from_secs(10);
/// JSON may write a byte of text as six.
const MAX_REQUEST_BYTES: u64 = 6 * (MAX_TEXT_BYTES + MAX_SOURCE_BYTES) as u64 + (8 << 20);
const MAX_ANSWER_BYTES: u64 =
    (BASE_OUTPUT_BYTES + OUTPUT_PER_INPUT * (MAX_SOURCE_BYTES + MAX_TEXT_BYTES)) as u64 + (1 << 20);

/// Renders in a child process. The outer error is the machinery's, the inner one the template's.
pub(super) fn render(
    program: &Path,
    arguments: &[String],
    request: &Request,
) -> Result<Result<String, Fault>, TemplateError> {
    let request = serde_json::to_vec(request).map_err(|e| broken(format!("cannot be asked: {e}")))?;
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|source| TemplateError::Worker { problem: "cannot be started".into(), source: Some(source) })?;
    let answer = converse(&mut child, request);
    // Ends a child that still runs; one that has ended is only collected.
    let _ = child.kill();
    let status = child
        .wait()
        .map_err(|source| TemplateError::Worker { problem: "cannot be waited for".into(), source: Some(source) })?;
    let Some(answer) = answer else {
        return Ok(Err(Fault::budget(format!("{} seconds of waiting", PATIENCE.as_secs()))));
    };
    match answer.split_first() {
        Some((&RENDERED, prompt)) if status.success() => match String::from_utf8(prompt.to_vec()) {
            Ok(prompt) => Ok(Ok(prompt)),
            Err(_) => Err(broken("answered with something else than text")),
        },
        Some((&FAILED, fault)) if status.success() => {
            serde_json::from_slice(fault).map(Err).map_err(|e| broken(format!("answered with no fault: {e}")))
        }
        _ if status.code() == Some(OUT_OF_TIME) => {
            Ok(Err(Fault::budget(format!("{WORKER_MILLISECONDS} ms of processor time"))))
        }
        _ if status.code().is_none() => {
            Ok(Err(Fault::budget(format!("{} MiB of memory, or its stack", WORKER_MEMORY_BYTES >> 20))))
        }
        _ => Err(broken(format!("ended with {status} and no answer"))),
    }
}

/// Sends the request and collects the answer; nothing when the child outlasts [`PATIENCE`].
fn converse(child: &mut Child, request: Vec<u8>) -> Option<Vec<u8>> {
    let stdin = child.stdin.take();
    let stdout = child.stdout.take();
    let (sender, receiver) = mpsc::channel();
    let writer = thread::Builder::new().spawn(move || {
        // A child that has died closes the pipe; its exit status says why.
        if let Some(mut stdin) = stdin {
            let _ = stdin.write_all(&request);
        }
    });
    let reader = thread::Builder::new().spawn(move || {
        let mut answer = Vec::new();
        if let Some(stdout) = stdout {
            let _ = stdout.take(MAX_ANSWER_BYTES).read_to_end(&mut answer);
        }
        let _ = sender.send(answer);
    });
    if writer.is_err() || reader.is_err() {
        return None;
    }
    receiver.recv_timeout(PATIENCE).ok()
}

fn broken(problem: impl Into<String>) -> TemplateError {
    TemplateError::Worker { problem: problem.into(), source: None }
}

/// The child's whole life: a program calls this first when its arguments say so, and exits with the result. Reads stdin,
/// writes stdout; opens nothing.
pub fn run_worker() -> ExitCode {
    match answer() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn answer() -> io::Result<()> {
    limit_self()?;
    let mut request = Vec::new();
    io::stdin().lock().take(MAX_REQUEST_BYTES).read_to_end(&mut request)?;
    let request: Request = serde_json::from_slice(&request)?;
    let mut stdout = io::stdout().lock();
    match engine::render(&request) {
        Ok(prompt) => {
            stdout.write_all(&[RENDERED])?;
            stdout.write_all(prompt.as_bytes())?;
        }
        Err(fault) => {
            stdout.write_all(&[FAILED])?;
            stdout.write_all(&serde_json::to_vec(&fault)?)?;
        }
    }
    stdout.flush()
}

#[cfg(target_os = "linux")]
fn limit_self() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    use rustix::time::{ClockId, clock_gettime};

    let allowed = Duration::from_millis(WORKER_MILLISECONDS);
    thread::Builder::new().stack_size(64 << 10).spawn(move || {
        loop {
            let used = clock_gettime(ClockId::ProcessCPUTime);
            let used = Duration::try_from(used).unwrap_or(Duration::MAX);
            let Some(left) = allowed.checked_sub(used).filter(|left| !left.is_zero()) else {
                std::process::exit(OUT_OF_TIME);
            };
            thread::sleep(left);
        }
    })?;
    let at_most = |limit| Rlimit { current: Some(limit), maximum: Some(limit) };
    setrlimit(Resource::Core, at_most(0))?;
    setrlimit(Resource::Fsize, at_most(0))?;
    setrlimit(Resource::As, at_most(WORKER_MEMORY_BYTES))?;
    Ok(())
}

/// Elsewhere the address space cannot be bounded this way; the parent's clock and the engine's own bounds remain.
#[cfg(not(target_os = "linux"))]
fn limit_self() -> io::Result<()> {
    let _ = WORKER_MILLISECONDS;
    thread::Builder::new().spawn(move || {
        thread::sleep(Duration::from_millis(WORKER_MILLISECONDS) * 4);
        std::process::exit(OUT_OF_TIME);
    })?;
    Ok(())
}
