//! Progress on stderr: a spinner or bar for anything that takes over two seconds, on a terminal; nothing elsewhere.

use std::io::{IsTerminal, stderr};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long nothing is shown.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time between two pictures of a spinner.
const TICK: Duration = Duration::from_millis(120);

/// Something in progress; what is shown goes away when it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Dropped first, so that nothing is shown after the end.
    _ended: Option<Sender<()>>,
}

impl Progress {
    /// Work of unknown length.
    pub(crate) fn spinner(doing: &'static str) -> Self {
        Self::start(ProgressBar::new_spinner(), "{spinner} {msg} {elapsed}", doing)
    }

    /// `total` steps, with their rate and the time left.
    pub(crate) fn bar(doing: &'static str, total: u64) -> Self {
        Self::start(ProgressBar::new(total), "{msg} {wide_bar} {pos}/{len} {per_sec}, {eta} left", doing)
    }

    /// `n` steps are done.
    pub(crate) fn set(&self, n: u64) {
        self.bar.set_position(n);
    }

    /// `n` steps of now so many are done.
    pub(crate) fn set_of(&self, n: u64, of: u64) {
        self.bar.set_length(of);
        self.bar.set_position(n);
    }

    /// Work in units of no interest to people, with what is being done now.
    pub(crate) fn share(doing: &'static str, total: u64) -> Self {
        Self::start(ProgressBar::new(total), "{msg} {wide_bar} {percent} %, {eta} left", doing)
    }

    /// What is being done now.
    pub(crate) fn say(&self, doing: String) {
        self.bar.set_message(doing);
    }

    fn start(bar: ProgressBar, template: &str, doing: &'static str) -> Self {
        bar.set_draw_target(ProgressDrawTarget::hidden());
        if !stderr().is_terminal() {
            return Self { bar, _ended: None };
        }
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(doing);
        let (ended, end) = mpsc::channel::<()>();
        let shown = bar.clone();
        std::thread::spawn(move || {
            if end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(TICK);
                // Blocks until the sender is dropped.
                let _ = end.recv();
                shown.finish_and_clear();
            }
        });
        Self { bar, _ended: Some(ended) }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
