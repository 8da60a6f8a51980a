//! Several threads share one backend and one pool: nothing waits for itself, and every result is that of one thread alone.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use mquant_kernels::{Backend, Bits, Bytes, Cpu, CpuBackend, Dtype, IntWeight, Matrix, PackedWeight, Rows, Threads};

const CALLERS: usize = 8;
const ROUNDS: usize = 60;
/// Far more than the work takes: a deadlock fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(120);

fn values(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// Calls `product` from several threads at once, each with rows of its own.
fn share(product: impl Fn(&dyn Backend, &Rows) -> Rows + Send + Sync + 'static) {
    let threads = Arc::new(Threads::new(2).unwrap());
    let backend: Arc<dyn Backend> = Arc::new(CpuBackend::new(Cpu::detect()));
    let product = Arc::new(product);
    let (done, finished) = channel();
    for caller in 0..CALLERS {
        let (threads, backend, product, done) = (threads.clone(), backend.clone(), product.clone(), done.clone());
        std::thread::spawn(move || {
            let x = Rows::from_vec(values(40 * 192, caller), 192);
            let alone = product(&CpuBackend::new(Cpu::detect()), &x);
            let equal = (0..ROUNDS).all(|_| threads.run(|| product(&*backend, &x)) == alone);
            let _ = done.send(equal);
        });
    }
    drop(done);
    for _ in 0..CALLERS {
        match finished.recv_timeout(PATIENCE) {
            Ok(equal) => assert!(equal, "a caller got other results than alone"),
            Err(RecvTimeoutError::Timeout) => panic!("the callers wait for each other"),
            Err(RecvTimeoutError::Disconnected) => panic!("a caller panicked"),
        }
    }
}

fn bytes(bytes: Vec<u8>) -> Bytes {
    Bytes::new(Arc::new(bytes))
}

#[test]
fn float_products() {
    let upper_half = |v: &f32| ((v.to_bits() >> 16) as u16).to_le_bytes();
    let stored = values(512 * 192, 3).iter().flat_map(upper_half).collect();
    let weight = Matrix::from_bytes(bytes(stored), Dtype::Bf16, 512, 192);
    share(move |backend, x| backend.linear(x, &weight, None));
}

#[test]
fn weight_only_products() {
    let codes = (0..512 * 192).map(|i| (i * 31 % 15) as u8).collect();
    let weight = IntWeight {
        bits: Bits::Eight,
        rows: 512,
        cols: 192,
        codes: bytes(codes),
        scales: values(512, 5).into_iter().map(|v| v.abs() + 0.01).collect(),
        group: None,
    };
    let weight = PackedWeight::pack(&weight).unwrap();
    share(move |backend, x| backend.linear_weight_only(x, &weight, None));
}
