//! Once warm, preparing, quantising and multiplying rows takes no memory from the system; after the last backend all of it
//! is given back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mquant_kernels::{
    Activation, Backend, Bits, Bytes, Cpu, CpuBackend, Epilogue, Hadamard, IntWeight, NormOf, NormStep, Output,
    PackedWeight, Product, RowPrologue, RowScales, Rows, SiteInput, Threads,
};

/// Small things, such as a task for a thread, may be allocated.
const SMALL: usize = 4 << 10;

/// Larger allocations since the program began.
static LARGE: AtomicUsize = AtomicUsize::new(0);
/// Bytes of large allocations that were not freed yet.
static HELD: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: the system's allocator, with a count beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > SMALL {
            LARGE.fetch_add(1, Ordering::Relaxed);
            HELD.fetch_add(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if layout.size() > SMALL {
            HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const INPUTS: usize = 1280;
const HIDDEN: usize = 1536;

struct Model {
    backend: CpuBackend,
    up: PackedWeight,
    down: PackedWeight,
    gain: Vec<f32>,
    rotation: Hadamard,
}

fn weight(rows: usize, cols: usize) -> PackedWeight {
    let codes: Vec<u8> = (0..rows * cols).map(|i| ((i % 255) as i32 - 127) as u8).collect();
    let codes = Bytes::new(Arc::new(codes));
    let weight = IntWeight { bits: Bits::Eight, rows, cols, group: None, codes, scales: vec![1e-3; rows] };
    PackedWeight::pack(&weight).expect("sums of this few inputs fit")
}

impl Model {
    fn new() -> Self {
        let rotation = Hadamard::new(HIDDEN).expect("1536 = 12 · 128");
        let (up, down) = (weight(HIDDEN, INPUTS), weight(INPUTS, HIDDEN));
        Self { backend: CpuBackend::new(Cpu::detect()), up, down, gain: vec![1.0; INPUTS], rotation }
    }

    /// A gated block as a model runs it, with rows in f32 on the way so that `row_prologue` is seen too.
    fn step(&self, x: &mut Rows) {
        let norm = NormOf { kind: NormStep::Rms, gain: &self.gain, eps: 1e-6, repeat: 1 };
        let normed =
            self.backend.row_prologue(SiteInput::Rows(x), RowPrologue { norm: Some(norm), ..RowPrologue::default() });
        let codes = self.backend.quantize(SiteInput::Rows(&normed), RowPrologue::default(), RowScales::PerToken, None);
        let mut gate = Rows::for_overwrite(x.rows(), HIDDEN);
        let mut up = Rows::zeros(x.rows(), HIDDEN);
        let product = |output| Product {
            weight: &self.up,
            bias: None,
            outliers: None,
            branches: &[],
            epilogue: Epilogue::Nothing,
            output,
        };
        self.backend.multiply(&codes, &mut [product(Output::Write(&mut gate)), product(Output::Add(&mut up))]);
        let source = SiteInput::Gated(Activation::Silu, &gate, &up);
        let steps = RowPrologue { norm: None, rotation: Some(&self.rotation), ..RowPrologue::default() };
        let codes = self.backend.quantize(source, steps, RowScales::PerToken, None);
        self.backend.multiply(
            &codes,
            &mut [Product {
                weight: &self.down,
                bias: None,
                outliers: None,
                branches: &[],
                epilogue: Epilogue::Nothing,
                output: Output::Add(x),
            }],
        );
    }
}

/// Takes steps until as many as `quiet` in a row allocated nothing large.
fn warm_up(quiet: usize, mut step: impl FnMut()) {
    let mut since = 0;
    for _ in 0..100 * quiet {
        let before = LARGE.load(Ordering::Relaxed);
        step();
        since = if LARGE.load(Ordering::Relaxed) == before { since + 1 } else { 0 };
        if since == quiet {
            return;
        }
    }
    panic!("allocates in every step");
}

// One test, since the counts are those of the whole program.
#[test]
fn steps_of_the_same_shape_allocate_nothing_and_the_last_backend_gives_all_back() {
    let held = HELD.load(Ordering::Relaxed);
    let model = Model::new();
    for threads in [1, 3] {
        let threads = Threads::new(threads).expect("the system gives threads");
        for rows in [1, 5, 32] {
            let mut x = Rows::from_vec((0..rows * INPUTS).map(|i| (i % 97) as f32 * 0.02 - 1.0).collect(), INPUTS);
            // Which thread takes part in a step is chance, so each keeps its scratch only after some steps.
            threads.run(|| warm_up(3, || model.step(&mut x)));
            if threads.count() == 1 {
                let before = LARGE.load(Ordering::Relaxed);
                threads.run(|| (0..8).for_each(|_| model.step(&mut x)));
                assert_eq!(LARGE.load(Ordering::Relaxed) - before, 0, "large allocations in 8 steps of {rows} rows");
            }
        }
    }
    let before = LARGE.load(Ordering::Relaxed);
    drop(std::hint::black_box(vec![1u8; SMALL + 1]));
    assert_eq!(LARGE.load(Ordering::Relaxed) - before, 1, "large allocations are counted");

    let another = CpuBackend::new(Cpu::detect());
    drop(model);
    assert!(HELD.load(Ordering::Relaxed) > held, "nothing is kept while there is a backend");
    drop(another);
    // Threads that were told to end give back what is theirs when they do.
    let patience = Instant::now() + Duration::from_secs(20);
    while HELD.load(Ordering::Relaxed) > held && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(HELD.load(Ordering::Relaxed), held, "bytes after the last backend, and before the first");
}
