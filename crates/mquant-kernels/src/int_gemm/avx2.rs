//! AVX2.

use super::{Kernel, scalar};
use crate::features::Level;

pub(super) const KERNEL: Kernel = Kernel { level: Level::Avx2, name: "avx2", ..scalar::KERNEL };
