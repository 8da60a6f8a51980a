//! The AVX-VNNI kernel where the CPU that runs the tests may lack it: all but its dot product runs on AVX2, and the dot
//! product is looked up in the machine code.

use std::arch::x86_64::*;
use std::process::Command;

use super::super::avx_vnni::{self, Dot};
use super::*;
use crate::features::{Kernel, Level};

/// The AVX-VNNI kernel with a dot product made of AVX2.
pub(super) const EMULATED: Kernel<TileKernel> =
    Kernel { name: "avxvnni on avx2", needs: Level::Avx2.needs(), run: TileKernel { rows: 6, run: tile } };

struct Emulated;

impl Dot for Emulated {
    #[inline(always)]
    unsafe fn dot(sums: __m256i, w: __m256i, a: __m256i) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe {
            // Bytes 0 and 2, then 1 and 3 of each sum, widened to 16 bits: no pair of products leaves 32.
            let byte = _mm256_set1_epi16(255);
            let even = _mm256_madd_epi16(_mm256_and_si256(w, byte), _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(a)));
            let odd = _mm256_madd_epi16(_mm256_srli_epi16::<8>(w), _mm256_srai_epi16::<8>(a));
            _mm256_add_epi32(sums, _mm256_add_epi32(even, odd))
        }
    }
}

/// # Safety
/// As for the kernel, with AVX2 alone.
#[target_feature(enable = "avx2")]
unsafe fn tile(tile: Tile<'_>, sums: &mut Sums) {
    // SAFETY: the caller's promise.
    unsafe { avx_vnni::body::<Emulated>(tile, sums) }
}

/// Dot products are VEX-encoded and of 256 bits, so that CPUs without AVX-512 can run them.
#[test]
fn dot_products_are_vex_encoded() {
    let here = std::env::current_exe().expect("the binary of this test");
    let Ok(listing) = Command::new("objdump").args(["-d", "--no-show-raw-insn"]).arg(here).output() else {
        assert!(std::env::var_os("MQUANT_REQUIRE_CPU").is_none(), "objdump is needed");
        eprintln!("skipped: no objdump");
        return;
    };
    let listing = String::from_utf8_lossy(&listing.stdout);
    let (mut inside, mut found) = (false, 0);
    for line in listing.lines() {
        if line.ends_with(">:") {
            inside = line.contains("int_gemm") && line.contains("avx_vnni") && !line.contains("tests");
        }
        if !inside {
            continue;
        }
        assert!(!line.contains("zmm") && !line.contains("{%k"), "{line}");
        if line.contains("vpdpbusd") {
            assert!(line.contains("ymm") && line.contains("{vex}"), "{line}");
            found += 1;
        }
    }
    // 2 · rows · vectors for 4 bits and rows · vectors for 8 bits, for each number of rows.
    assert!(found >= 2 * (4 + 4 + 3 + 4 + 5 + 6) + (8 + 8 + 12 + 8 + 10 + 12), "{found} dot products");
}
