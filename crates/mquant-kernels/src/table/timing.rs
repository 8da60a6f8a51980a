//! How long each kernel of an operation takes on a shape.

use std::time::Instant;

use super::{Case, KernelInfo, Operation, Shape};
use crate::cpu::CpuBackend;
use crate::features::Cpu;
use crate::threads::Threads;

/// Rounds in which every kernel runs.
const ROUNDS: usize = 7;
/// Rows that tell how slow a kernel is, and how often they are run for that.
const FEW_ROWS: usize = 8;
const TRIALS: usize = 3;
/// Seconds that one run may take; a slower kernel is given half the rows, or half of those, and so on.
const LONGEST: f64 = 0.25;
/// Runs shorter than this are repeated within a round.
const SHORTEST: f64 = 5e-3;

/// What a kernel took: medians over the rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// Which kernel.
    pub kernel: KernelInfo,
    /// What it computed; fewer rows than asked for where it is slow.
    pub shape: Shape,
    /// Seconds of one run.
    pub seconds: f64,
    /// Multiplications and additions each second.
    pub ops_per_s: f64,
    /// Bytes read and written each second, if each were once.
    pub bytes_per_s: f64,
}

struct Contender {
    kernel: KernelInfo,
    backend: CpuBackend,
    shape: Shape,
    case: Case,
    runs: usize,
    seconds: Vec<f64>,
}

impl Contender {
    fn new(operation: &Operation, kernel: KernelInfo, cpu: Cpu, shape: Shape, threads: &Threads) -> Self {
        let backend = CpuBackend::new(cpu);
        let try_out = |rows| {
            let mut case = operation.case(Shape { rows, ..shape });
            let trials = (0..TRIALS).map(|_| once(threads, &mut case, &backend, 1));
            (trials.fold(f64::INFINITY, f64::min), case)
        };
        let few = shape.rows.min(FEW_ROWS);
        let (seconds, case) = try_out(few);
        let a_row = seconds / few as f64;
        let halves = std::iter::successors(Some(shape.rows), |rows| Some(rows / 2));
        let rows = halves.take_while(|rows| *rows > few).find(|rows| *rows as f64 * a_row <= LONGEST).unwrap_or(few);
        let (seconds, case) = if rows == few { (seconds, case) } else { try_out(rows) };
        let runs = (SHORTEST / seconds).ceil().clamp(1.0, 1e4) as usize;
        Self { kernel, backend, shape: Shape { rows, ..shape }, case, runs, seconds: Vec::new() }
    }

    fn timing(mut self) -> Timing {
        self.seconds.sort_by(f64::total_cmp);
        let seconds = self.seconds[self.seconds.len() / 2];
        let (ops_per_s, bytes_per_s) = (self.case.ops / seconds, self.case.bytes / seconds);
        Timing { kernel: self.kernel, shape: self.shape, seconds, ops_per_s, bytes_per_s }
    }
}

/// Seconds of one of `runs` runs.
fn once(threads: &Threads, case: &mut Case, backend: &CpuBackend, runs: usize) -> f64 {
    let started = Instant::now();
    threads.run(|| (0..runs).for_each(|_| case.run(backend)));
    // A clock may not have moved.
    started.elapsed().as_secs_f64().max(1e-9) / runs as f64
}

/// Times every kernel of an operation that this CPU can run, in turns, so that a machine that grows slower does so for all.
/// Best first, as in the table.
pub fn time_kernels(operation: &Operation, shape: Shape, threads: &Threads) -> Vec<Timing> {
    let runnable =
        operation.kernels.iter().filter_map(|kernel| Some((*kernel, Cpu::detect().limited_to(kernel.needs)?)));
    let mut contenders: Vec<Contender> =
        runnable.map(|(kernel, cpu)| Contender::new(operation, kernel, cpu, shape, threads)).collect();
    for _ in 0..ROUNDS {
        for contender in &mut contenders {
            contender.seconds.push(once(threads, &mut contender.case, &contender.backend, contender.runs));
        }
    }
    contenders.into_iter().map(Contender::timing).collect()
}
