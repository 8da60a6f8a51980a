//! What becomes of the process when a mapped file can no longer be read.
//!
//! A page of a mapped file is read when it is first touched. Where the file has been truncated since, or its disk or network
//! fails, there is no page and no call that could return an error: the system sends SIGBUS, which ends the process silently.

use std::io;

use rustix::stdio::stderr;
use signal_hook::consts::SIGBUS;
use signal_hook::low_level::{exit, register};

use crate::error::Class;

const MESSAGE: &[u8] = b"error: a model file was truncated or its disk failed while it was being read\n";

/// From now on such a fault ends the process with one line on stderr and the exit code of [`Class::Io`]. For programs: a
/// library must not decide how its host handles signals. The fault cannot be survived.
///
/// # Errors
/// The operating system refuses the handler.
pub fn explain_bus_errors() -> io::Result<()> {
    let code = i32::from(Class::Io.exit_code());
    let end = move || {
        // Nothing can be done about a stderr that is closed.
        let _ = rustix::io::write(stderr(), MESSAGE);
        exit(code);
    };
    #[expect(unsafe_code, reason = "a signal handler is the only place that learns of the fault")]
    // SAFETY: the action interrupts any code whatever, so it does only what is safe then: it reads constants and makes the
    // system calls `write` and `_exit`. It takes no lock, allocates nothing and cannot panic.
    unsafe { register(SIGBUS, end) }.map(drop)
}
