use super::*;
use crate::cpu::CpuBackend;
use crate::features::Level;
use crate::threads::Threads;

#[test]
fn every_list_is_best_first_and_ends_with_the_definition() {
    for operation in operations() {
        let kernels = &operation.kernels;
        let last = kernels.last().map(|kernel| (kernel.name, kernel.needs));
        assert_eq!(last, Some(("scalar", Features::NONE)), "{}", operation.name);
        assert!(!operation.shapes.is_empty() && !operation.equation.is_empty(), "{}", operation.name);
        for (i, kernel) in kernels.iter().enumerate() {
            assert_eq!(kernel.name, kernel.needs.name(), "{}", operation.name);
            // A kernel behind one that needs less would never run.
            assert!(kernels[..i].iter().all(|better| !kernel.needs.contains(better.needs)), "{}", operation.name);
        }
    }
    let mut names: Vec<&str> = operations().iter().map(|operation| operation.name).collect();
    let listed = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), listed, "a name twice");
}

#[test]
fn the_pick_is_the_best_that_the_cap_allows() {
    let products = &operations()[0];
    for cpu in Cpu::levels() {
        let expected = match cpu.level() {
            Level::Avx512Vnni => "avx512vnni",
            Level::AvxVnni => "avxvnni",
            Level::Avx512 | Level::Avx2 => "avx2",
            Level::Scalar | Level::Native => "scalar",
        };
        assert_eq!(products.pick(cpu).name, expected);
    }
}

#[test]
fn every_case_runs_at_every_level_and_counts_its_work() {
    let threads = Threads::new(2).expect("threads");
    for operation in operations() {
        for shape in &operation.shapes {
            let each = match shape.each {
                Extent::Weight { inputs, .. } => Extent::Weight { inputs: inputs / 128, outputs: 70 },
                Extent::Row { features } => Extent::Row { features: features / 10 },
                Extent::Keys { heads, sees, .. } => Extent::Keys { keys: 9, heads, sees },
            };
            let each = if operation.name == "rope" { Extent::Row { features: 256 } } else { each };
            let shape = Shape { rows: shape.rows.min(5), each };
            for cpu in Cpu::levels() {
                let backend = CpuBackend::new(cpu);
                let mut case = operation.case(shape);
                threads.run(|| (0..2).for_each(|_| case.run(&backend)));
                assert!(case.ops > 0.0 && case.bytes > 0.0);
            }
        }
    }
    let shape = Shape { rows: 20, each: Extent::Weight { inputs: 6, outputs: 7 } };
    assert_eq!(operations()[0].case(shape).ops, 2.0 * 20.0 * 6.0 * 7.0);
    // Rows at 2, 3 and 4 see 3, 4 and 5 keys; a product with a key and one with its value for each feature of 2 heads of 4.
    let heads = HeadShape { heads: 2, kv_heads: 1, head_dim: 4 };
    let causal = Shape { rows: 3, each: Extent::Keys { keys: 5, heads, sees: Sees::Before } };
    let attention = operations().iter().find(|o| o.name == "attention_prefill").expect("attention is listed");
    assert_eq!(attention.case(causal).ops, 4.0 * 12.0 * 8.0);
}

#[test]
fn a_slow_kernel_is_given_fewer_rows() {
    let threads = Threads::new(1).expect("threads");
    let products = &operations()[0];
    let shape = Shape { rows: 100_000, each: Extent::Weight { inputs: 512, outputs: 512 } };
    let scalar = Operation { kernels: infos(&PER_LEVEL[2..]), ..products.clone() };
    let timings = time_kernels(&scalar, shape, &threads);
    assert_eq!(timings.len(), 1);
    assert!(timings[0].shape.rows < shape.rows && timings[0].seconds < 5.0, "{timings:?}");
    let rate = timings[0].ops_per_s * timings[0].seconds;
    assert!((rate / (2.0 * 512.0 * 512.0 * timings[0].shape.rows as f64) - 1.0).abs() < 1e-9);
}
