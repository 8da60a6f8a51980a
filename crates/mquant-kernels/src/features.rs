//! Which instructions this CPU has, and functions compiled for each level of them.
//!
//! A [`Cpu`] can only be had by finding its features, so holding one proves that kernels up to its level run here.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use thiserror::Error;

/// Instruction levels that kernels are written for. A higher level includes the lower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// What every CPU of the target has; the definition of every kernel.
    Scalar,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
    /// AVX-512 with byte dot products (VNNI).
    Avx512Vnni,
}

impl Level {
    /// Every level, best first.
    pub const ALL: [Level; 4] = [Level::Avx512Vnni, Level::Avx512, Level::Avx2, Level::Scalar];

    /// The name in `MQUANT_CPU`, in lists and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Level::Scalar => "scalar",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
            Level::Avx512Vnni => "avx512vnni",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No level has that name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("\"{found}\" is no instruction level, expected one of scalar, avx2, avx512, avx512vnni")]
pub struct UnknownLevel {
    /// What was asked for.
    pub found: String,
}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(name: &str) -> Result<Self, UnknownLevel> {
        let level = Level::ALL.into_iter().find(|level| level.name() == name);
        level.ok_or_else(|| UnknownLevel { found: name.chars().take(40).collect() })
    }
}

/// The CPU lacks the instructions of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this CPU has no {asked}: its best level is {best}")]
pub struct Unsupported {
    /// The level asked for.
    pub asked: Level,
    /// The best level there is.
    pub best: Level,
}

/// The features of this CPU that kernels may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    level: Level,
    bf16: bool,
}

impl Cpu {
    /// Everything this CPU has.
    pub fn detect() -> Self {
        static CPU: OnceLock<Cpu> = OnceLock::new();
        *CPU.get_or_init(detect_now)
    }

    /// The same CPU with kernels up to `level` only.
    ///
    /// # Errors
    /// If the CPU lacks that level.
    pub fn capped(self, level: Level) -> Result<Self, Unsupported> {
        if level > self.level {
            return Err(Unsupported { asked: level, best: self.level });
        }
        Ok(Self { level, bf16: self.bf16 && level == Level::Avx512Vnni })
    }

    /// The level of this CPU and every lower one, best first.
    pub fn levels() -> impl Iterator<Item = Cpu> {
        Level::ALL.into_iter().filter_map(|level| Self::detect().capped(level).ok())
    }

    /// The best kernels that may be used.
    pub fn level(self) -> Level {
        self.level
    }

    /// Whether products of bf16 pairs (AVX-512 BF16) may be used; only ever at the highest level.
    pub fn bf16(self) -> bool {
        self.bf16
    }
}

#[cfg(target_arch = "x86_64")]
fn detect_now() -> Cpu {
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let avx512 = avx2
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    let vnni = avx512 && is_x86_feature_detected!("avx512vnni");
    let level = match (avx2, avx512, vnni) {
        (_, _, true) => Level::Avx512Vnni,
        (_, true, _) => Level::Avx512,
        (true, _, _) => Level::Avx2,
        _ => Level::Scalar,
    };
    Cpu { level, bf16: vnni && is_x86_feature_detected!("avx512bf16") }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect_now() -> Cpu {
    Cpu { level: Level::Scalar, bf16: false }
}

/// `a·b + c`: fused where the level has the instruction (`FMA`), rounded twice where it would be a slow library call.
#[inline(always)]
pub(crate) fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Compiles one plain-Rust body for scalar, AVX2 and AVX-512 and calls the one that the `cpu` given first allows.
///
/// `= body` gives the same bits at every level. `= fused body` is generic over `FMA`, so that levels may round differently.
macro_rules! per_level {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = fused $body:ident) => {
        $crate::features::per_level! {
            @ $(#[$doc])* $vis fn $name($($arg: $ty),*) $(-> $ret)? = ($body::<true>) ($body::<false>)
        }
    };
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:ident) => {
        $crate::features::per_level! { @ $(#[$doc])* $vis fn $name($($arg: $ty),*) $(-> $ret)? = ($body) ($body) }
    };
    (@ $(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = ($simd:expr) ($scalar:expr)) => {
        $(#[$doc])*
        $vis fn $name(cpu: $crate::features::Cpu, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    $simd($($arg),*)
                }
                #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    $simd($($arg),*)
                }
                use $crate::features::Level;
                match cpu.level() {
                    // SAFETY: a `Cpu` of this level was found to have every feature that `avx512` enables.
                    Level::Avx512 | Level::Avx512Vnni => return unsafe { avx512($($arg),*) },
                    // SAFETY: a `Cpu` of this level was found to have every feature that `avx2` enables.
                    Level::Avx2 => return unsafe { avx2($($arg),*) },
                    Level::Scalar => {}
                }
            }
            let _ = cpu;
            $scalar($($arg),*)
        }
    };
}
pub(crate) use per_level;

/// The CPU capped to `level` for a test of its kernels; None where it lacks the level. `MQUANT_REQUIRE_CPU` names the level
/// that must be there, so that a run that skips its kernels fails instead of looking green.
#[cfg(test)]
pub(crate) fn for_test(level: Level) -> Option<Cpu> {
    let found = Cpu::detect().capped(level).ok();
    let required = std::env::var("MQUANT_REQUIRE_CPU").ok().map(|name| name.parse::<Level>().expect("a level"));
    assert!(found.is_some() || required.is_none_or(|r| level > r), "{level} is required, and this CPU has none");
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_names_and_caps_are_checked() {
        for level in Level::ALL {
            assert_eq!(level.name().parse(), Ok(level));
        }
        assert!("avx9".parse::<Level>().is_err());
        let here = Cpu::detect();
        assert_eq!(Cpu::levels().next(), Some(here));
        let scalar = here.capped(Level::Scalar).expect("every CPU has the definition");
        assert!(!scalar.bf16());
        let refused = Unsupported { asked: Level::Avx2, best: Level::Scalar };
        assert_eq!(scalar.capped(Level::Avx2), Err(refused));
    }
}
