//! SIGINT and SIGTERM (and SIGBUS, which is only explained). A process ends at once, unless it has asked to finish its sentence first; a second signal always
//! ends it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::{CliError, Done, Failure};

/// What the handlers share with the program.
#[derive(Debug)]
struct Flags {
    /// Whether the next signal ends the process.
    at_once: Arc<AtomicBool>,
    /// Exit code of the first signal that did not; 0 before.
    exit_code: Arc<AtomicUsize>,
}

static FLAGS: OnceLock<Flags> = OnceLock::new();

/// Installs the handlers.
pub(crate) fn install() -> Result<(), Failure> {
    let flags = Flags { at_once: Arc::new(AtomicBool::new(true)), exit_code: Arc::new(AtomicUsize::new(0)) };
    let register = || -> io::Result<()> {
        for signal in [SIGINT, SIGTERM] {
            let exit_code = 128 + signal;
            // Handlers run in the order they are registered: the check must come before the flag is set.
            flag::register_conditional_shutdown(signal, exit_code, flags.at_once.clone())?;
            flag::register_usize(signal, flags.exit_code.clone(), exit_code as usize)?;
            flag::register(signal, flags.at_once.clone())?;
        }
        mquant::checkpoint::explain_bus_errors()
    };
    register().map_err(|source| Failure::new("start", CliError::System { what: "signal handlers", source }))?;
    // Only a second call could find it set.
    let _ = FLAGS.set(flags);
    Ok(())
}

/// From here until it is dropped, the first signal is noted for [`interrupted`] instead of ending the process.
#[derive(Debug)]
pub(crate) struct Hold(());

impl Hold {
    pub(crate) fn new() -> Self {
        if interrupted() == Done::Complete
            && let Some(flags) = FLAGS.get()
        {
            flags.at_once.store(false, Ordering::SeqCst);
        }
        Self(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(flags) = FLAGS.get() {
            flags.at_once.store(true, Ordering::SeqCst);
        }
    }
}

/// Whether a signal has been noted.
pub(crate) fn interrupted() -> Done {
    let noted = FLAGS.get().map_or(0, |flags| flags.exit_code.load(Ordering::SeqCst));
    match u8::try_from(noted) {
        Ok(0) | Err(_) => Done::Complete,
        Ok(exit_code) => Done::Interrupted { exit_code },
    }
}
