//! Every kernel of the kernel table on its shapes: `cargo bench -p mquant-kernels -- OPERATION`.
//!
//! One thread for each core. The definition gets few rows, and no shape of a whole vocabulary.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mquant_kernels::{Cpu, CpuBackend, Features, Shape, Threads, operations};

/// Rows the definition gets.
const FEW_ROWS: usize = 8;
/// Operations of a run that the definition is not asked for.
const TOO_MANY: f64 = 3e8;

fn kernels(criterion: &mut Criterion) {
    let threads = Threads::new(0).expect("the system gives threads");
    for operation in operations() {
        let mut group = criterion.benchmark_group(operation.name);
        group.sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
        for kernel in &operation.kernels {
            let Some(cpu) = Cpu::detect().limited_to(kernel.needs) else { continue };
            let backend = CpuBackend::new(cpu);
            for shape in &operation.shapes {
                let slow = kernel.needs == Features::NONE;
                let shape = Shape { rows: if slow { shape.rows.min(FEW_ROWS) } else { shape.rows }, ..*shape };
                let mut case = operation.case(shape);
                if slow && case.ops > TOO_MANY {
                    continue;
                }
                group.throughput(Throughput::Elements(case.ops as u64));
                group.bench_function(BenchmarkId::new(kernel.name, shape), |bencher| {
                    bencher.iter(|| threads.run(|| case.run(&backend)));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
