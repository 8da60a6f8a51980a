//! The recipes that come with the program.

/// A recipe that comes with the program.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// Its text, with comments.
    pub toml: &'static str,
}

macro_rules! presets {
    ($($name:literal),+ $(,)?) => {
        /// Every preset; the first is the simplest, later ones do more.
        pub const PRESETS: &[Preset] =
            &[$(Preset { name: $name, toml: include_str!(concat!("presets/", $name, ".toml")) }),+];
    };
}

presets![
    "rtn-static",
    "smoothquant-static",
    "quarot-static",
    "w4a8-dynamic",
    "w4a16-g128",
    "mquant-w8a8",
    "mquant-w8a8-w4a8",
    "mquant-w4a8",
    "masquant-w8a8",
    "masquant-w4a8",
    "masquant-w4a6",
    "masquant-w4a16",
    "masquant-static",
    "mas-mquant",
];
