//! Jobs on a disk that loses power, fails, lies, and flips bits.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod simulated;
mod toy;
mod crashes;
mod controls;
mod faults;
mod flips;
mod refusals;
