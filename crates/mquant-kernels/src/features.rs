//! Which instructions this CPU has, and how an operation picks one of its kernels by them.
//!
//! Enters: nothing. Leaves: a [`Cpu`], which can only be had by detecting its [`Features`], so that holding one proves that
//! kernels which need no other features run here. Every operation has a list of [`Kernel`]s, best first, and [`pick`] takes
//! the first that the CPU can run. A new instruction set is a line in the list below and a kernel that needs it.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use thiserror::Error;

/// A set of instruction-set extensions that kernels are written for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Features(u32);

impl Features {
    /// What every CPU of the target has.
    pub const NONE: Features = Features(0);
    /// All that are known here.
    const ALL: Features = Features(u32::MAX);

    /// These and those of `other`.
    pub const fn with(self, other: Features) -> Features {
        Features(self.0 | other.0)
    }

    /// Those that both have.
    const fn both(self, other: Features) -> Features {
        Features(self.0 & other.0)
    }

    /// Whether all of `other` are among these.
    pub const fn contains(self, other: Features) -> bool {
        self.0 & other.0 == other.0
    }

    /// The name of each, in the order of the list.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        LIST.iter().filter(move |listed| self.contains(listed.feature)).map(|listed| listed.name)
    }

    /// The name of the last in the list, for a set that a kernel needs; `scalar` for none.
    pub fn name(self) -> &'static str {
        self.names().last().unwrap_or("scalar")
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// A line of the list of features.
struct Listed {
    feature: Features,
    name: &'static str,
    /// What the CPU must report, as `is_x86_feature_detected!` names it.
    #[cfg(test)]
    reported: &'static [&'static str],
}

/// Whether the CPU reports a flag.
macro_rules! reports {
    ("x86_64" $flag:tt) => {
        std::arch::is_x86_feature_detected!($flag)
    };
    ("aarch64" $flag:tt) => {
        std::arch::is_aarch64_feature_detected!($flag)
    };
}

/// The list of features: for each a constant, its bit, its name, its architecture and the flags that it consists of.
macro_rules! features {
    ($($(#[$doc:meta])* $constant:ident = $bit:literal, $name:literal, $arch:tt: [$($flag:tt)+];)*) => {
        impl Features {
            $($(#[$doc])* pub const $constant: Features = Features(1 << $bit);)*
        }

        const LIST: &[Listed] = &[$(Listed {
            feature: Features::$constant,
            name: $name,
            #[cfg(test)]
            reported: &[$($flag),+],
        }),*];

        fn detect_features() -> Features {
            let mut found = Features::NONE;
            $(
                #[cfg(target_arch = $arch)]
                if $(reports!($arch $flag))&&+ {
                    found = found.with(Features::$constant);
                }
            )*
            found
        }
    };
}

features! {
    /// AVX2 with FMA and conversions of half precision.
    AVX2 = 0, "avx2", "x86_64": ["avx2" "fma" "f16c"];
    /// Byte dot products of 256 bits, VEX-encoded: CPUs without AVX-512 have them too.
    AVX_VNNI = 1, "avxvnni", "x86_64": ["avxvnni"];
    /// AVX-512 F, BW, DQ and VL.
    AVX512 = 2, "avx512", "x86_64": ["avx512f" "avx512bw" "avx512dq" "avx512vl"];
    /// Byte dot products of AVX-512.
    AVX512_VNNI = 3, "avx512vnni", "x86_64": ["avx512vnni"];
    /// Products of bf16 pairs of AVX-512.
    AVX512_BF16 = 4, "avx512bf16", "x86_64": ["avx512bf16"];
}

/// Sets of features with a name: what `--cpu` and `MQUANT_CPU` can cap kernels to, and how reports call what may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// No features: the definition of every kernel.
    Scalar,
    /// AVX2 and FMA.
    Avx2,
    /// AVX2 with byte dot products.
    AvxVnni,
    /// AVX-512 F, BW, DQ and VL, and AVX2.
    Avx512,
    /// AVX-512 with byte dot products, and with products of bf16 pairs where the CPU has them.
    Avx512Vnni,
    /// All that the CPU has.
    Native,
}

impl Level {
    /// Every level of its own, best first.
    pub const ALL: [Level; 5] = [Level::Avx512Vnni, Level::Avx512, Level::AvxVnni, Level::Avx2, Level::Scalar];

    /// The name in `MQUANT_CPU`, in lists and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Level::Scalar => "scalar",
            Level::Avx2 => "avx2",
            Level::AvxVnni => "avxvnni",
            Level::Avx512 => "avx512",
            Level::Avx512Vnni => "avx512vnni",
            Level::Native => "native",
        }
    }

    /// Features that a CPU must have.
    pub const fn needs(self) -> Features {
        match self {
            Level::Scalar | Level::Native => Features::NONE,
            Level::Avx2 => Features::AVX2,
            Level::AvxVnni => Features::AVX2.with(Features::AVX_VNNI),
            Level::Avx512 => Features::AVX2.with(Features::AVX512),
            Level::Avx512Vnni => Level::Avx512.needs().with(Features::AVX512_VNNI),
        }
    }

    /// Features that may be used.
    const fn allows(self) -> Features {
        match self {
            Level::Native => Features::ALL,
            Level::Avx512Vnni => self.needs().with(Features::AVX512_BF16).with(Features::AVX_VNNI),
            Level::Scalar | Level::Avx2 | Level::AvxVnni | Level::Avx512 => self.needs(),
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
#[error("\"{found}\" is no instruction level, expected one of scalar, avx2, avxvnni, avx512, avx512vnni, native")]
pub struct UnknownLevel {
    /// What was asked for.
    pub found: String,
}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(name: &str) -> Result<Self, UnknownLevel> {
        let level = Level::ALL.into_iter().chain([Level::Native]).find(|level| level.name() == name);
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
    features: Features,
}

impl Cpu {
    /// The definitions alone, which every CPU can run.
    pub const SCALAR: Cpu = Cpu { features: Features::NONE };

    /// Everything this CPU has. In the tests of this crate, what `MQUANT_CPU` allows of it.
    pub fn detect() -> Self {
        static CPU: OnceLock<Cpu> = OnceLock::new();
        *CPU.get_or_init(|| {
            let cpu = Cpu { features: detect_features() };
            #[cfg(test)]
            let cpu = cpu.capped(tests::cap()).expect("MQUANT_CPU names a level that the CPU has");
            cpu
        })
    }

    /// The same CPU with the kernels of `level` only.
    ///
    /// # Errors
    /// If the CPU lacks features of that level.
    pub fn capped(self, level: Level) -> Result<Self, Unsupported> {
        let cpu = self.limited_to(level.needs()).map(|_| Self { features: self.features.both(level.allows()) });
        cpu.ok_or(Unsupported { asked: level, best: self.level() })
    }

    /// The same CPU with no other features than `features`, if it has them all.
    pub fn limited_to(self, features: Features) -> Option<Self> {
        self.has(features).then_some(Self { features })
    }

    /// What this CPU has, and what each level leaves of it, best first, each once.
    pub fn levels() -> impl Iterator<Item = Cpu> {
        let here = Self::detect();
        let capped = Level::ALL.into_iter().filter_map(move |level| here.capped(level).ok());
        std::iter::once(here).chain(capped.filter(move |cpu| *cpu != here))
    }

    /// The name of the features that may be used: the best level that needs no others.
    pub fn level(self) -> Level {
        Level::ALL.into_iter().find(|level| self.has(level.needs())).unwrap_or(Level::Scalar)
    }

    /// The features that may be used.
    pub fn features(self) -> Features {
        self.features
    }

    /// Whether all of `features` may be used.
    #[inline]
    pub fn has(self, features: Features) -> bool {
        self.features.contains(features)
    }
}

/// A kernel in the list of an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel<F> {
    /// Its name in lists and reports.
    pub(crate) name: &'static str,
    /// Features that the CPU must have.
    pub(crate) needs: Features,
    /// What runs: a function, and what is to be known about it.
    pub(crate) run: F,
}

/// The first kernel of a list, sorted best first, that the CPU can run. The last needs nothing.
#[inline]
pub(crate) fn pick<F>(kernels: &'static [Kernel<F>], cpu: Cpu) -> &'static Kernel<F> {
    let best =
        kernels.iter().find(|kernel| cpu.has(kernel.needs)).expect("the list ends with a kernel that needs nothing");
    #[cfg(test)]
    tests::PICKED.with_borrow_mut(|picked| picked.push(best.needs));
    best
}

/// `a·b + c`: fused where the level has the instruction (`FMA`), rounded twice where it would be a slow library call.
#[inline(always)]
pub(crate) fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Names and needs of what [`per_level!`] compiles a body for, best first.
pub(crate) const PER_LEVEL: &[Kernel<()>] = &[
    Kernel { name: "avx512", needs: Level::Avx512.needs(), run: () },
    Kernel { name: "avx2", needs: Level::Avx2.needs(), run: () },
    Kernel { name: "scalar", needs: Features::NONE, run: () },
];

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
                let needs = $crate::features::pick($crate::features::PER_LEVEL, cpu).needs;
                if needs == Level::Avx512.needs() {
                    // SAFETY: the `Cpu` was found to have every feature that `avx512` enables.
                    return unsafe { avx512($($arg),*) };
                }
                if needs == Level::Avx2.needs() {
                    // SAFETY: the `Cpu` was found to have every feature that `avx2` enables.
                    return unsafe { avx2($($arg),*) };
                }
            }
            let _ = cpu;
            $scalar($($arg),*)
        }
    };
}
pub(crate) use per_level;

/// The CPU limited to what a kernel needs, for a test of it; None where it lacks a feature. `MQUANT_REQUIRE_CPU` names the
/// level whose kernels must be tested, so that a run which skips them fails instead of looking green; `native` stands for
/// all that the operating system reports and `MQUANT_CPU` allows.
#[cfg(test)]
pub(crate) fn for_test(needs: Features) -> Option<Cpu> {
    let found = Cpu::detect().limited_to(needs);
    assert!(found.is_some() || !tests::required().contains(needs), "{needs:?} is required, and this CPU has it not");
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        /// What the kernels need that this thread picked.
        pub(super) static PICKED: std::cell::RefCell<Vec<Features>> = const { std::cell::RefCell::new(Vec::new()) };
    }

    /// What `MQUANT_CPU` allows; everything where it is unset or empty.
    pub(super) fn cap() -> Level {
        let name = std::env::var("MQUANT_CPU").unwrap_or_default();
        if name.is_empty() { Level::Native } else { name.parse().expect("a level in MQUANT_CPU") }
    }

    /// What `MQUANT_REQUIRE_CPU` says that must be there.
    pub(super) fn required() -> Features {
        let name = std::env::var("MQUANT_REQUIRE_CPU").unwrap_or_default();
        let level = if name.is_empty() { Level::Scalar } else { name.parse().expect("a level in MQUANT_REQUIRE_CPU") };
        let features = if level == Level::Native { reported() } else { level.needs() };
        features.both(cap().allows())
    }

    /// What the operating system says that the CPU has: another source than [`Cpu::detect`] has.
    fn reported() -> Features {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
        let flags: Vec<String> = line.split_whitespace().map(|flag| flag.replace('_', "")).collect();
        let there = LIST.iter().filter(|listed| listed.reported.iter().all(|flag| flags.iter().any(|f| f == flag)));
        there.fold(Features::NONE, |all, listed| all.with(listed.feature))
    }

    #[test]
    fn what_the_system_reports_is_detected() {
        let here = Cpu::detect().features();
        assert!(here.contains(reported().both(cap().allows())), "{here:?} of {:?}", reported());
    }

    #[test]
    fn levels_have_names_and_caps_are_checked() {
        for level in Level::ALL.into_iter().chain([Level::Native]) {
            assert_eq!(level.name().parse(), Ok(level));
        }
        assert!("avx9".parse::<Level>().is_err());
        let here = Cpu::detect();
        assert_eq!(Cpu::levels().next(), Some(here));
        assert_eq!(here.capped(Level::Native), Ok(here));
        let scalar = here.capped(Level::Scalar).expect("every CPU has the definition");
        assert_eq!(scalar.features(), Features::NONE);
        let refused = Unsupported { asked: Level::Avx2, best: Level::Scalar };
        assert_eq!(scalar.capped(Level::Avx2), Err(refused));
    }

    /// Paths that a caller takes without a backend: codes of keys and values, the clip search, rotations of weights.
    #[test]
    fn a_cap_holds_on_every_path_and_changes_no_bit() {
        let values: Vec<f32> = (0..320).map(|i| ((i * 7919) % 1013) as f32 / 500.0 - 1.0).collect();
        let rotation = crate::Hadamard::new(320).expect("a rotation");
        let run = |cpu: Cpu| {
            PICKED.take();
            let picks = |what: &str| {
                let picked = PICKED.take();
                assert!(
                    !picked.is_empty() && picked.iter().all(|needs| cpu.has(*needs)),
                    "{what}: {picked:?}, {cpu:?}"
                );
                let (best, at) = (picked.contains(&Level::Avx2.needs()), cpu.level());
                assert!(best || at != Level::Avx2, "{what}: {picked:?}, {cpu:?}");
            };
            let mut codes = crate::KvCodes::new(320, 80);
            codes.store(cpu, 0, &values, &values);
            picks("codes of keys and values");
            let clipped = crate::clipped_scale(cpu, &values, -8.0, 7.0);
            picks("clip search");
            let mut wide: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
            rotation.rotate_row_f64(cpu, &mut wide);
            picks("rotation in f64");
            rotation.inverse_row_f64(cpu, &mut wide);
            picks("inverse rotation in f64");
            let mut row = values.clone();
            rotation.rotate_row(cpu, &mut row);
            picks("rotation");
            rotation.inverse_row(cpu, &mut row);
            picks("inverse rotation");
            (codes.read(0), clipped, wide, row)
        };
        let defined = run(Cpu::SCALAR);
        Cpu::levels().for_each(|cpu| assert_eq!(run(cpu), defined, "{cpu:?}"));
    }

    #[test]
    fn levels_are_sets_and_not_a_ladder() {
        let cpu = |features| Cpu { features };
        let hybrid = cpu(Level::AvxVnni.needs());
        assert_eq!(hybrid.level(), Level::AvxVnni);
        assert!(hybrid.capped(Level::Avx512).is_err());
        assert_eq!(hybrid.capped(Level::Avx2), Ok(cpu(Features::AVX2)));
        let wide = cpu(Level::Avx512.needs());
        assert!(wide.capped(Level::AvxVnni).is_err());
        // A cap at dot products of AVX-512 leaves the products of bf16 pairs that come with them, one at AVX-512 does not.
        let all = cpu(Level::Avx512Vnni.allows());
        assert!(all.capped(Level::Avx512Vnni).is_ok_and(|cpu| cpu.has(Features::AVX512_BF16)));
        assert!(all.capped(Level::Avx512).is_ok_and(|cpu| !cpu.has(Features::AVX512_BF16)));
        assert_eq!(all.features().names().collect::<Vec<_>>().join(" "), "avx2 avxvnni avx512 avx512vnni avx512bf16");
        assert_eq!((all.features().name(), Features::NONE.name()), ("avx512bf16", "scalar"));
    }
}
