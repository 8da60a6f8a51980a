//! AVX-512 VNNI.

use super::{Kernel, scalar};
use crate::features::Level;

pub(super) const KERNEL: Kernel = Kernel { level: Level::Avx512Vnni, name: "avx512vnni", ..scalar::KERNEL };
