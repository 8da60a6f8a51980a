//! Names in their order, and which imports which.

use std::collections::BTreeSet;
use std::fmt;

/// A directed graph over names whose order is the allowed direction: later ones import earlier ones.
#[derive(Debug)]
pub(super) struct Graph {
    names: Vec<String>,
    /// For each name, places of what it imports.
    imports: Vec<BTreeSet<usize>>,
}

impl Graph {
    pub(super) fn new(names: Vec<String>) -> Self {
        Self { imports: vec![BTreeSet::new(); names.len()], names }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    /// Adds an import; false if either name is unknown.
    pub(super) fn add(&mut self, from: &str, to: &str) -> bool {
        let (Some(from), Some(to)) = (self.place(from), self.place(to)) else { return false };
        if from != to {
            self.imports[from].insert(to);
        }
        true
    }

    /// Imports of what comes later. Where there are none there is no cycle either.
    pub(super) fn backward(&self) -> impl Iterator<Item = (&str, &str)> {
        self.imports.iter().enumerate().flat_map(move |(from, imports)| {
            imports
                .iter()
                .filter(move |&&to| to > from)
                .map(move |&to| (self.names[from].as_str(), self.names[to].as_str()))
        })
    }

    /// Whether nothing imports anything.
    pub(super) fn is_trivial(&self) -> bool {
        self.imports.iter().all(BTreeSet::is_empty)
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.names.iter().map(String::len).max().unwrap_or(0);
        for (name, imports) in self.names.iter().zip(&self.imports) {
            let imports: Vec<&str> = imports.iter().map(|&to| self.names[to].as_str()).collect();
            writeln!(
                f,
                "  {name:width$}  <- {}",
                if imports.is_empty() { "-".to_owned() } else { imports.join(", ") }
            )?;
        }
        Ok(())
    }
}
