//! All factors of a rotation, applied to a row where it lies, and Sylvester's fast transform.

use std::array;

use super::Hadamard;
use super::dense::{self, Direction};
use super::vector::Vector;
#[cfg(target_arch = "x86_64")]
use crate::features::Level;
use crate::features::{Cpu, Features, Kernel, pick};

/// Values that all passes are done on before the next ones: half a first-level cache.
const BLOCK: usize = 4096;

/// row ← H·row / √block or Hᵀ·row / √block for each block.
pub(super) fn apply(cpu: Cpu, row: &mut [f32], rotation: &Hadamard, direction: Direction) {
    // SAFETY: `pick` gives a kernel whose features the CPU has.
    unsafe { (pick(KERNELS, cpu).run)(row, rotation, direction) }
}

/// What a kernel does to a row.
type Apply = unsafe fn(&mut [f32], &Hadamard, Direction);

/// Every kernel, best first; the last is the definition.
pub(crate) const KERNELS: &[Kernel<Apply>] = &[
    #[cfg(target_arch = "x86_64")]
    Kernel { name: "avx512", needs: Level::Avx512.needs(), run: avx512 },
    #[cfg(target_arch = "x86_64")]
    Kernel { name: "avx2", needs: Level::Avx2.needs(), run: avx2 },
    Kernel { name: "scalar", needs: Features::NONE, run: scalar },
];

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(row: &mut [f32], rotation: &Hadamard, direction: Direction) {
    // SAFETY: this function enables the instructions of the type.
    unsafe { body::<std::arch::x86_64::__m512>(row, rotation, direction) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(row: &mut [f32], rotation: &Hadamard, direction: Direction) {
    // SAFETY: this function enables the instructions of the type.
    unsafe { body::<std::arch::x86_64::__m256>(row, rotation, direction) }
}

fn scalar(row: &mut [f32], rotation: &Hadamard, direction: Direction) {
    // SAFETY: a single value needs no instructions of its own.
    unsafe { body::<f32>(row, rotation, direction) }
}

/// The factors from the innermost out, then the norm.
///
/// # Safety
/// The CPU has the instructions of `V`.
#[inline(always)]
unsafe fn body<V: Vector>(row: &mut [f32], rotation: &Hadamard, direction: Direction) {
    // Values that meet lie `inner` apart.
    let mut inner = rotation.power_of_two;
    // SAFETY: the caller's promise.
    unsafe {
        sylvester::<V>(row, inner);
        for matrix in rotation.dense.iter().rev() {
            dense::multiply::<V>(row, matrix, inner, direction);
            inner *= matrix.order();
        }
    }
    row.iter_mut().for_each(|v| *v *= rotation.norm);
}

/// Multiplies each `size` consecutive values, a power of two, by Sylvester's matrix in natural order: passes over
/// neighbours first, then over values 2, 4, … apart.
///
/// # Safety
/// The CPU has the instructions of `V`.
#[inline(always)]
unsafe fn sylvester<V: Vector>(row: &mut [f32], size: usize) {
    for block in row.chunks_mut(BLOCK) {
        let mut chunks = block.chunks_exact_mut(V::WIDTH);
        for chunk in &mut chunks {
            // SAFETY: a chunk is as long as a vector, and the caller's promise.
            unsafe { V::load(chunk.as_ptr()).within(size).store(chunk.as_mut_ptr()) };
        }
        let tail = chunks.into_remainder();
        if !tail.is_empty() {
            let mut padded = [0.0; 16];
            padded[..tail.len()].copy_from_slice(tail);
            // SAFETY: this is as many values as the widest vector has, and the caller's promise.
            unsafe { V::load(padded.as_ptr()).within(size).store(padded.as_mut_ptr()) };
            tail.copy_from_slice(&padded[..tail.len()]);
        }
        // SAFETY: the caller's promise.
        unsafe { passes::<V>(block, V::WIDTH, size.min(BLOCK)) };
    }
    // SAFETY: the caller's promise.
    unsafe { passes::<V>(row, BLOCK, size) };
}

/// Passes over values `from`, 2·`from`, … `to`/2 apart.
///
/// # Safety
/// The CPU has the instructions of `V`.
#[inline(always)]
unsafe fn passes<V: Vector>(row: &mut [f32], from: usize, to: usize) {
    let mut apart = from;
    while apart < to {
        // SAFETY: the caller's promise.
        unsafe {
            match to / apart {
                2 => pass::<V, 2>(row, apart),
                4 => pass::<V, 4>(row, apart),
                _ => pass::<V, 8>(row, apart),
            }
        }
        apart *= 8.min(to / apart);
    }
}

/// log₂ R passes over values `apart`, 2·`apart`, … from each other, while they are in registers.
///
/// # Safety
/// The CPU has the instructions of `V`.
#[inline(always)]
unsafe fn pass<V: Vector, const R: usize>(row: &mut [f32], apart: usize) {
    for block in row.chunks_exact_mut(R * apart) {
        let first = block.as_mut_ptr();
        // SAFETY: the block holds R times `apart` values.
        let lines: [*mut f32; R] = array::from_fn(|i| unsafe { first.add(i * apart) });
        for at in (0..apart).step_by(V::WIDTH) {
            // SAFETY: `apart` is a multiple of the width, so each line has a whole vector there; and the caller's promise.
            unsafe {
                let mut v: [V; R] = array::from_fn(|i| V::load(lines[i].add(at)));
                let mut h = 1;
                while h < R {
                    v = array::from_fn(|i| if i & h == 0 { v[i].add(v[i ^ h]) } else { v[i ^ h].sub(v[i]) });
                    h *= 2;
                }
                for (line, v) in lines.iter().zip(v) {
                    v.store(line.add(at));
                }
            }
        }
    }
}
