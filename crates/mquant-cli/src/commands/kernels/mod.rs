//! `mquant kernels`: which kernels there are, which of them run here, and how fast they are.

mod cpu_info;

use clap::Args;
use mquant::kernels::{Cpu, KernelInfo, Level, Operation, Threads, Timing, operations, time_kernels};
use serde::Serialize;

use crate::failure::{Done, Failure};
use crate::globals::Globals;
use crate::output::{Output, talk};
use crate::progress::Progress;
use crate::session;

/// Arguments of `mquant kernels`.
#[derive(Args, Debug)]
#[command(after_help = "\
Kernels are listed best first; the one marked <- runs, the best that this CPU has and that --cpu or
MQUANT_CPU allows. With --time every kernel that this CPU has is timed on shapes of Qwen2-VL-2B:
medians of several rounds. Slow kernels get fewer rows. GOPS counts multiplications and additions,
GB/s operands and results once each.

Examples:
  mquant kernels
  mquant kernels --cpu avx2 --json
  mquant kernels --time --threads 2 int4_gemm")]
pub(crate) struct KernelsArgs {
    /// Only these operations [default: all]
    #[arg(value_name = "OPERATION", value_parser = operation)]
    operations: Vec<&'static Operation>,
    /// Measure every kernel on real shapes
    #[arg(long)]
    time: bool,
}

fn operation(name: &str) -> Result<&'static Operation, String> {
    let names = || operations().iter().map(|operation| operation.name).collect::<Vec<_>>().join(", ");
    operations().iter().find(|operation| operation.name == name).ok_or_else(|| format!("expected one of {}", names()))
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    cpu: Option<String>,
    features: Vec<&'static str>,
    cap: Option<&'static str>,
    level: &'static str,
    threads: Option<usize>,
    operations: Vec<OperationReport>,
}

#[derive(Debug, Serialize)]
struct OperationReport {
    name: &'static str,
    equation: &'static str,
    pick: &'static str,
    kernels: Vec<KernelReport>,
    times: Option<Vec<ShapeReport>>,
}

#[derive(Debug, Serialize)]
struct KernelReport {
    name: &'static str,
    needs: &'static str,
    /// All that the CPU must have.
    features: Vec<&'static str>,
    present: bool,
}

#[derive(Debug, Serialize)]
struct ShapeReport {
    shape: String,
    fastest: &'static str,
    kernels: Vec<TimeReport>,
}

#[derive(Debug, Serialize)]
struct TimeReport {
    name: &'static str,
    /// What it was given: fewer rows where it is slow.
    shape: String,
    run_s: f64,
    ops_per_s: f64,
    bytes_per_s: f64,
}

pub(crate) fn run(args: &KernelsArgs, globals: &Globals, output: &Output) -> Result<Done, Failure> {
    let (cpu, cap) = (globals.cpu()?, globals.cap()?);
    let all: Vec<&Operation> = operations().iter().collect();
    let chosen = if args.operations.is_empty() { &all } else { &args.operations };
    let threads = if args.time { Some(session::threads(globals)?) } else { None };
    let shapes = chosen.iter().map(|operation| operation.shapes.len() as u64).sum();
    let progress = threads.is_some().then(|| Progress::bar("timing kernels", shapes));
    let mut done = 0;
    let mut reports = Vec::new();
    for operation in chosen {
        let pick = operation.pick(cpu);
        let times = threads.as_ref().map(|threads| {
            let timed = operation.shapes.iter().map(|shape| {
                let timings = time_kernels(operation, *shape, threads);
                done += 1;
                progress.iter().for_each(|progress| progress.set(done));
                ShapeReport::new(shape.to_string(), &timings, cpu)
            });
            timed.collect::<Vec<_>>()
        });
        let kernels = operation.kernels.iter().map(|kernel| KernelReport::new(*kernel)).collect();
        let Operation { name, equation, .. } = **operation;
        reports.push(OperationReport { name, equation, pick: pick.name, kernels, times });
    }
    drop(progress);
    let report = Report {
        cpu: cpu_info::model_name(),
        features: features(),
        cap: cap.map(Level::name),
        level: cpu.level().name(),
        threads: threads.as_ref().map(Threads::count),
        operations: reports,
    };
    report.warn_of_slow_picks();
    if output.is_json() {
        output.object("kernels/1", &report)?
    } else {
        report.print(output)?
    }
    Ok(Done::Complete)
}

/// What this CPU has of what kernels are written for, whatever the cap.
fn features() -> Vec<&'static str> {
    Cpu::detect().features().names().collect()
}

impl KernelReport {
    fn new(kernel: KernelInfo) -> Self {
        let present = Cpu::detect().has(kernel.needs);
        let features = kernel.needs.names().collect();
        Self { name: kernel.name, needs: kernel.needs.name(), features, present }
    }
}

impl ShapeReport {
    /// `fastest` is the fastest of what `cpu` allows.
    fn new(shape: String, timings: &[Timing], cpu: Cpu) -> Self {
        let allowed = timings.iter().filter(|timing| cpu.has(timing.kernel.needs));
        let fastest = allowed.max_by(|a, b| a.ops_per_s.total_cmp(&b.ops_per_s));
        let fastest = fastest.map_or(Level::Scalar.name(), |timing| timing.kernel.name);
        let kernels = timings.iter().map(|t| TimeReport {
            name: t.kernel.name,
            shape: t.shape.to_string(),
            run_s: t.seconds,
            ops_per_s: t.ops_per_s,
            bytes_per_s: t.bytes_per_s,
        });
        Self { shape, fastest, kernels: kernels.collect() }
    }

    fn ops_per_s(&self, kernel: &str) -> Option<f64> {
        self.kernels.iter().find(|timed| timed.name == kernel).map(|timed| timed.ops_per_s)
    }

    /// By how many percent another kernel is faster than `pick`; None if it is the pick, or hardly.
    fn faster_percent(&self, pick: &str) -> Option<f64> {
        let percent = (self.ops_per_s(self.fastest)? / self.ops_per_s(pick)? - 1.0) * 100.0;
        (percent > NOTEWORTHY_PERCENT).then_some(percent)
    }
}

/// A pick that is slower than another kernel by more than this is worth a warning.
const NOTEWORTHY_PERCENT: f64 = 10.0;

impl Report {
    fn warn_of_slow_picks(&self) {
        for operation in &self.operations {
            for shape in operation.times.iter().flatten() {
                if let Some(percent) = shape.faster_percent(operation.pick) {
                    let (name, pick, fastest) = (operation.name, operation.pick, shape.fastest);
                    let at = &shape.shape;
                    talk(&format!("warning: {name} at {at}: {fastest} is {percent:.0} % faster than the pick, {pick}"));
                }
            }
        }
    }

    fn heading(&self) -> String {
        let cpu = self.cpu.as_deref().unwrap_or("this CPU");
        let features =
            if self.features.is_empty() { "nothing beyond scalar".to_owned() } else { self.features.join(" ") };
        let cap = self.cap.map_or_else(|| "no cap".to_owned(), |cap| format!("capped to {cap}"));
        let threads = self.threads.map_or_else(String::new, |n| format!("; {n} threads"));
        format!("{cpu}: {features}; {cap}{threads}\n\n")
    }

    fn print(&self, output: &Output) -> Result<(), Failure> {
        output.text(&self.heading())?;
        let mark = |name: &str, pick: &str| if name == pick { "<-" } else { "" }.to_owned();
        let mut rows = Vec::new();
        if self.threads.is_none() {
            for OperationReport { name, pick, kernels, .. } in &self.operations {
                for (i, kernel) in kernels.iter().enumerate() {
                    let first = if i == 0 { (*name).to_owned() } else { String::new() };
                    let present = if kernel.present { "present" } else { "absent" };
                    rows.push(vec![
                        first,
                        kernel.name.to_owned(),
                        kernel.needs.to_owned(),
                        present.to_owned(),
                        mark(kernel.name, pick),
                    ]);
                }
            }
            return output.table_left(&["operation", "kernel", "needs", "here", ""], rows);
        }
        for OperationReport { name, pick, times, .. } in &self.operations {
            for (i, timed) in times.iter().flatten().flat_map(|shape| &shape.kernels).enumerate() {
                rows.push(vec![
                    if i == 0 { (*name).to_owned() } else { String::new() },
                    timed.shape.clone(),
                    timed.name.to_owned(),
                    format!("{:.3}", timed.run_s * 1e3),
                    format!("{:.1}", timed.ops_per_s / 1e9),
                    format!("{:.1}", timed.bytes_per_s / 1e9),
                    mark(timed.name, pick),
                ]);
            }
        }
        output.table(&["operation", "shape", "kernel", "ms", "GOPS", "GB/s", ""], rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(rates: &[(&'static str, f64)]) -> ShapeReport {
        let timed = |(name, ops_per_s): &(&'static str, f64)| TimeReport {
            name,
            shape: String::new(),
            run_s: 1.0,
            ops_per_s: *ops_per_s,
            bytes_per_s: 1.0,
        };
        ShapeReport { shape: String::new(), fastest: "avx2", kernels: rates.iter().map(timed).collect() }
    }

    #[test]
    fn only_a_pick_that_is_clearly_slower_is_warned_of() {
        assert_eq!(shape(&[("avx512", 100.0), ("avx2", 109.0)]).faster_percent("avx512"), None);
        let percent = shape(&[("avx512", 100.0), ("avx2", 125.0)]).faster_percent("avx512");
        assert!(percent.is_some_and(|percent| (percent - 25.0).abs() < 1e-9));
        assert_eq!(shape(&[("avx2", 1.0)]).faster_percent("avx2"), None);
    }
}
