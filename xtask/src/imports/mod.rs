//! The import graph of crates and of the modules in each, held against pipeline order.
//!
//! A crate may depend only on crates before it in [`CRATES`]. A top-level module may import only modules that its `lib.rs`
//! declares before it, so there is no cycle. Test code is not looked at.

mod graph;
mod source;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use graph::Graph;

/// The crates in pipeline order.
pub(crate) const CRATES: [&str; 8] = [
    "mquant-kernels",
    "mquant-model",
    "mquant-data",
    "mquant-learn",
    "mquant-quantize",
    "mquant-evaluate",
    "mquant",
    "mquant-cli",
];

/// Why the imports cannot be read.
#[derive(Debug, Error)]
pub(crate) enum ImportsError {
    /// A file or folder.
    #[error("read {}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A manifest.
    #[error("parse {}", path.display())]
    Manifest {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        source: Box<toml::de::Error>,
    },
    /// A source file.
    #[error("parse {}", path.display())]
    Rust {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        source: syn::Error,
    },
    /// A crate that pipeline order does not know.
    #[error("crate {name} has no place in pipeline order (xtask/src/imports/mod.rs)")]
    Unknown {
        /// Its name.
        name: String,
    },
}

/// All graphs of the workspace.
pub(crate) struct Imports {
    crates: Graph,
    modules: Vec<(String, Graph)>,
}

impl Imports {
    /// Reads the manifests and sources under `crates/` of a workspace.
    pub(crate) fn read(workspace: &Path) -> Result<Self, ImportsError> {
        let mut crates = Graph::new(CRATES.map(str::to_owned).to_vec());
        let mut modules = Vec::new();
        for name in CRATES {
            let folder = workspace.join("crates").join(name);
            for dependency in source::dependencies(&folder.join("Cargo.toml"))? {
                if !crates.add(name, &dependency) {
                    return Err(ImportsError::Unknown { name: dependency });
                }
            }
            modules.push((name.to_owned(), source::modules(&folder.join("src"))?));
        }
        Ok(Self { crates, modules })
    }

    /// Imports against pipeline order, one line each.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = self
            .crates
            .backward()
            .map(|(from, to)| format!("crate {from} depends on {to}, which comes after it"))
            .collect();
        for (name, graph) in &self.modules {
            faults.extend(
                graph.backward().map(|(from, to)| format!("{name}: {from} imports {to}, which is declared after it")),
            );
        }
        faults
    }
}

impl fmt::Display for Imports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "crates\n{}", self.crates)?;
        for (name, graph) in self.modules.iter().filter(|(_, graph)| !graph.is_trivial()) {
            write!(f, "\n{name}\n{graph}")?;
        }
        Ok(())
    }
}
