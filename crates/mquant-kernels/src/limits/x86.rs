//! Loops of one kind of vector instruction. They are written out, since a compiler would take products of unchanging
//! factors out of the loop, or sums out of their registers.

use std::arch::asm;
use std::arch::x86_64::{_mm256_set1_ps, _mm512_set1_epi8, _mm512_set1_ps};

use super::{Peak, scalar};
use crate::features::{Cpu, Features, Kernel, Level};

const fn peak(name: &'static str, needs: Features, ops: f64, run: fn(Cpu, u64)) -> Kernel<Option<Peak>> {
    Kernel { name, needs, run: Some(Peak { ops, run }) }
}

/// 8-bit products.
pub(super) const INT8: &[Kernel<Option<Peak>>] = &[
    peak("avx512vnni", Level::Avx512Vnni.needs(), 24.0 * 64.0 * 2.0, vnni),
    peak("avxvnni", Level::AvxVnni.needs(), 12.0 * 32.0 * 2.0, vnni_256),
    peak("avx512", Level::Avx512.needs(), 12.0 * 64.0 * 2.0, maddubs_512),
    peak("avx2", Level::Avx2.needs(), 6.0 * 32.0 * 2.0, maddubs_256),
    Kernel { name: "scalar", needs: Features::NONE, run: Some(scalar::INT32) },
];

/// Products of bf16 pairs; none without instructions for them.
pub(super) const BF16: &[Kernel<Option<Peak>>] = &[
    peak("avx512bf16", Level::Avx512.needs().with(Features::AVX512_BF16), 24.0 * 32.0 * 2.0, bf16_pairs),
    Kernel { name: "scalar", needs: Features::NONE, run: None },
];

/// Fused products and sums in f32.
pub(super) const F32: &[Kernel<Option<Peak>>] = &[
    peak("avx512", Level::Avx512.needs(), 24.0 * 16.0 * 2.0, fma_512),
    peak("avx2", Level::Avx2.needs(), 12.0 * 8.0 * 2.0, fma_256),
    Kernel { name: "scalar", needs: Features::NONE, run: Some(scalar::F32) },
];

/// A function that repeats some lines, with two unchanging operands, and gives its registers back.
macro_rules! repeated {
    ($name:ident, $features:literal, $set:expr, $a:tt $b:tt, [$($line:expr,)*], [$($clobbered:tt)*]) => {
        fn $name(_: Cpu, times: u64) {
            #[target_feature(enable = $features)]
            fn body(mut times: u64) {
                let operand = $set;
                // SAFETY: only registers that are named are written, and nothing else.
                unsafe {
                    asm!(
                        "2:",
                        $($line,)*
                        "dec {times}",
                        "jnz 2b",
                        times = inout(reg) times,
                        in($a) operand,
                        in($b) operand,
                        $(out($clobbered) _,)*
                        options(nomem, nostack),
                    );
                }
                let _ = times;
            }
            // SAFETY: the lists give this only to a `Cpu` that was found to have the features.
            unsafe { body(times.max(1)) }
        }
    };
}

/// The same instruction into 24 sums.
macro_rules! into_24_sums {
    ($name:ident, $features:literal, $instruction:literal, $set:expr) => {
        repeated!(
            $name, $features, $set, "zmm30" "zmm31",
            [
                concat!($instruction, " zmm0, zmm30, zmm31"),
                concat!($instruction, " zmm1, zmm30, zmm31"),
                concat!($instruction, " zmm2, zmm30, zmm31"),
                concat!($instruction, " zmm3, zmm30, zmm31"),
                concat!($instruction, " zmm4, zmm30, zmm31"),
                concat!($instruction, " zmm5, zmm30, zmm31"),
                concat!($instruction, " zmm6, zmm30, zmm31"),
                concat!($instruction, " zmm7, zmm30, zmm31"),
                concat!($instruction, " zmm8, zmm30, zmm31"),
                concat!($instruction, " zmm9, zmm30, zmm31"),
                concat!($instruction, " zmm10, zmm30, zmm31"),
                concat!($instruction, " zmm11, zmm30, zmm31"),
                concat!($instruction, " zmm12, zmm30, zmm31"),
                concat!($instruction, " zmm13, zmm30, zmm31"),
                concat!($instruction, " zmm14, zmm30, zmm31"),
                concat!($instruction, " zmm15, zmm30, zmm31"),
                concat!($instruction, " zmm16, zmm30, zmm31"),
                concat!($instruction, " zmm17, zmm30, zmm31"),
                concat!($instruction, " zmm18, zmm30, zmm31"),
                concat!($instruction, " zmm19, zmm30, zmm31"),
                concat!($instruction, " zmm20, zmm30, zmm31"),
                concat!($instruction, " zmm21, zmm30, zmm31"),
                concat!($instruction, " zmm22, zmm30, zmm31"),
                concat!($instruction, " zmm23, zmm30, zmm31"),
            ],
            [
                "zmm0" "zmm1" "zmm2" "zmm3" "zmm4" "zmm5" "zmm6" "zmm7" "zmm8" "zmm9" "zmm10" "zmm11"
                "zmm12" "zmm13" "zmm14" "zmm15" "zmm16" "zmm17" "zmm18" "zmm19" "zmm20" "zmm21" "zmm22" "zmm23"
            ]
        );
    };
}

into_24_sums!(vnni, "avx512f,avx512vnni", "vpdpbusd", _mm512_set1_epi8(1));
into_24_sums!(bf16_pairs, "avx512f,avx512bf16", "vdpbf16ps", _mm512_set1_ps(1.0));
into_24_sums!(fma_512, "avx512f", "vfmadd231ps", _mm512_set1_ps(1.0));

repeated!(
    fma_256, "avx2,fma", _mm256_set1_ps(1.0), "ymm14" "ymm15",
    [
        "vfmadd231ps ymm0, ymm14, ymm15",
        "vfmadd231ps ymm1, ymm14, ymm15",
        "vfmadd231ps ymm2, ymm14, ymm15",
        "vfmadd231ps ymm3, ymm14, ymm15",
        "vfmadd231ps ymm4, ymm14, ymm15",
        "vfmadd231ps ymm5, ymm14, ymm15",
        "vfmadd231ps ymm6, ymm14, ymm15",
        "vfmadd231ps ymm7, ymm14, ymm15",
        "vfmadd231ps ymm8, ymm14, ymm15",
        "vfmadd231ps ymm9, ymm14, ymm15",
        "vfmadd231ps ymm10, ymm14, ymm15",
        "vfmadd231ps ymm11, ymm14, ymm15",
    ],
    ["ymm0" "ymm1" "ymm2" "ymm3" "ymm4" "ymm5" "ymm6" "ymm7" "ymm8" "ymm9" "ymm10" "ymm11"]
);

repeated!(
    vnni_256, "avx2,avxvnni", _mm256_set1_ps(1.0), "ymm14" "ymm15",
    [
        "{{vex}} vpdpbusd ymm0, ymm14, ymm15",
        "{{vex}} vpdpbusd ymm1, ymm14, ymm15",
        "{{vex}} vpdpbusd ymm2, ymm14, ymm15",
        "{{vex}} vpdpbusd ymm3, ymm14, ymm15",
        "{{vex}} vpdpbusd ymm4, ymm14, ymm15",
        "{{vex}} vpdpbusd ymm5, ymm14, ymm15",
        "{{vex}} vpdpbusd ymm6, ymm14, ymm15",
        "{{vex}} vpdpbusd ymm7, ymm14, ymm15",
        "{{vex}} vpdpbusd ymm8, ymm14, ymm15",
        "{{vex}} vpdpbusd ymm9, ymm14, ymm15",
        "{{vex}} vpdpbusd ymm10, ymm14, ymm15",
        "{{vex}} vpdpbusd ymm11, ymm14, ymm15",
    ],
    ["ymm0" "ymm1" "ymm2" "ymm3" "ymm4" "ymm5" "ymm6" "ymm7" "ymm8" "ymm9" "ymm10" "ymm11"]
);

// Without dot products a pair of products is summed by one instruction and added to a sum by another.
repeated!(
    maddubs_256, "avx2", _mm256_set1_ps(1.0), "ymm14" "ymm15",
    [
        "vpmaddubsw ymm6, ymm14, ymm15",
        "vpmaddubsw ymm7, ymm14, ymm15",
        "vpmaddubsw ymm8, ymm14, ymm15",
        "vpmaddubsw ymm9, ymm14, ymm15",
        "vpmaddubsw ymm10, ymm14, ymm15",
        "vpmaddubsw ymm11, ymm14, ymm15",
        "vpaddw ymm0, ymm0, ymm6",
        "vpaddw ymm1, ymm1, ymm7",
        "vpaddw ymm2, ymm2, ymm8",
        "vpaddw ymm3, ymm3, ymm9",
        "vpaddw ymm4, ymm4, ymm10",
        "vpaddw ymm5, ymm5, ymm11",
    ],
    ["ymm0" "ymm1" "ymm2" "ymm3" "ymm4" "ymm5" "ymm6" "ymm7" "ymm8" "ymm9" "ymm10" "ymm11"]
);
repeated!(
    maddubs_512, "avx512f,avx512bw", _mm512_set1_epi8(1), "zmm30" "zmm31",
    [
        "vpmaddubsw zmm12, zmm30, zmm31",
        "vpmaddubsw zmm13, zmm30, zmm31",
        "vpmaddubsw zmm14, zmm30, zmm31",
        "vpmaddubsw zmm15, zmm30, zmm31",
        "vpmaddubsw zmm16, zmm30, zmm31",
        "vpmaddubsw zmm17, zmm30, zmm31",
        "vpmaddubsw zmm18, zmm30, zmm31",
        "vpmaddubsw zmm19, zmm30, zmm31",
        "vpmaddubsw zmm20, zmm30, zmm31",
        "vpmaddubsw zmm21, zmm30, zmm31",
        "vpmaddubsw zmm22, zmm30, zmm31",
        "vpmaddubsw zmm23, zmm30, zmm31",
        "vpaddw zmm0, zmm0, zmm12",
        "vpaddw zmm1, zmm1, zmm13",
        "vpaddw zmm2, zmm2, zmm14",
        "vpaddw zmm3, zmm3, zmm15",
        "vpaddw zmm4, zmm4, zmm16",
        "vpaddw zmm5, zmm5, zmm17",
        "vpaddw zmm6, zmm6, zmm18",
        "vpaddw zmm7, zmm7, zmm19",
        "vpaddw zmm8, zmm8, zmm20",
        "vpaddw zmm9, zmm9, zmm21",
        "vpaddw zmm10, zmm10, zmm22",
        "vpaddw zmm11, zmm11, zmm23",
    ],
    [
        "zmm0" "zmm1" "zmm2" "zmm3" "zmm4" "zmm5" "zmm6" "zmm7" "zmm8" "zmm9" "zmm10" "zmm11"
        "zmm12" "zmm13" "zmm14" "zmm15" "zmm16" "zmm17" "zmm18" "zmm19" "zmm20" "zmm21" "zmm22" "zmm23"
    ]
);
