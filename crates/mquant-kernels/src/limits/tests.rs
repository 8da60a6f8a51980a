use super::*;
use crate::features::{Features, Level};

#[test]
fn all_threads_run_once_and_start_together() {
    let threads = Threads::new(3).expect("threads");
    let seen = std::sync::Mutex::new(Vec::new());
    let took = together(&threads, |thread| {
        std::thread::sleep(Duration::from_millis(100));
        seen.lock().expect("nobody panicked").push(thread);
    });
    let mut seen = seen.into_inner().expect("nobody panicked");
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2]);
    // One after another they would take three times as long.
    assert!((100..290).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn the_work_of_a_loop_grows_with_its_iterations() {
    for cpu in Cpu::levels() {
        for peak in [INT8, BF16, F32].into_iter().filter_map(|kernels| pick(kernels, cpu).run) {
            // Shorter than the system lets a thread run, the shortest of many: others may want the CPU too.
            let time = |iterations: u64| {
                let runs = (0..200).map(|_| {
                    let started = Instant::now();
                    (peak.run)(cpu, iterations);
                    started.elapsed().as_secs_f64()
                });
                runs.fold(f64::INFINITY, f64::min)
            };
            let ratio = time(16_000) / time(2_000);
            assert!(ratio > 4.0, "{}: eight times the iterations take {ratio} times", cpu.level());
        }
    }
}

#[test]
fn limits_rise_with_the_level() {
    let threads = Threads::new(1).expect("threads");
    let limits = measure_limits(&threads, Cpu::detect());
    let scalar = Cpu::detect().capped(Level::Scalar).expect("every CPU has it");
    let plain = operations_per_s(&threads, scalar, pick(INT8, scalar).run.expect("a loop"));
    assert_eq!(limits.threads, 1);
    assert!(limits.int8_ops_per_s >= 0.9 * plain && plain > 1e8, "{limits:?} and scalar {plain}");
    assert!(limits.f32_ops_per_s > 1e8 && limits.read_bytes_per_s > 1e8, "{limits:?}");
    assert_eq!(limits.bf16_ops_per_s.is_some(), Cpu::detect().has(Features::AVX512_BF16));
}
