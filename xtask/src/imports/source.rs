//! What manifests and source files import.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

use super::ImportsError;
use super::graph::Graph;

fn read(path: &Path) -> Result<String, ImportsError> {
    fs::read_to_string(path).map_err(|source| ImportsError::Io { path: path.to_owned(), source })
}

fn parse(path: &Path) -> Result<syn::File, ImportsError> {
    syn::parse_file(&read(path)?).map_err(|source| ImportsError::Rust { path: path.to_owned(), source })
}

/// The workspace's own crates that a manifest depends on, development aside.
pub(super) fn dependencies(manifest: &Path) -> Result<Vec<String>, ImportsError> {
    let table: toml::Table = toml::from_str(&read(manifest)?)
        .map_err(|source| ImportsError::Manifest { path: manifest.to_owned(), source: Box::new(source) })?;
    let dependencies = table.get("dependencies").and_then(toml::Value::as_table);
    Ok(dependencies.into_iter().flat_map(|d| d.keys()).filter(|name| name.starts_with("mquant")).cloned().collect())
}

/// The graph of the top-level modules of a crate, in the order of its `lib.rs` or `main.rs`.
pub(super) fn modules(src: &Path) -> Result<Graph, ImportsError> {
    let lib = src.join("lib.rs");
    let root = parse(&if lib.is_file() { lib } else { src.join("main.rs") })?;
    let names: Vec<String> = root
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Mod(module) if !is_test(&module.attrs) => Some(module.ident.to_string()),
            _ => None,
        })
        .collect();
    // What the root re-exports, as the module it comes from.
    let mut roots: HashMap<String, String> = names.iter().map(|name| (name.clone(), name.clone())).collect();
    for item in &root.items {
        if let Item::Use(item) = item {
            each_path(&item.tree, &mut Vec::new(), &mut |path| {
                let path = path
                    .strip_prefix(&["crate".to_owned()])
                    .or(path.strip_prefix(&["self".to_owned()]))
                    .unwrap_or(path);
                if let [module, .., name] = path
                    && names.contains(module)
                {
                    roots.insert(name.clone(), module.clone());
                }
            });
        }
    }
    let mut graph = Graph::new(names.clone());
    for name in &names {
        let mut imported = BTreeSet::new();
        let file = src.join(format!("{name}.rs"));
        if file.is_file() {
            add_imports(&file, 0, &mut imported)?;
        }
        let folder = src.join(name);
        if folder.is_dir() {
            add_folder(&folder, 0, &mut imported)?;
        }
        for import in &imported {
            if let Some(module) = roots.get(import) {
                graph.add(name, module);
            }
        }
    }
    Ok(graph)
}

/// Adds what the files of a module's folder import from the crate's root. `depth` is the module's: 0 at the top.
fn add_folder(folder: &Path, depth: usize, imported: &mut BTreeSet<String>) -> Result<(), ImportsError> {
    let io_error = |source| ImportsError::Io { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(io_error)? {
        let path = entry.map_err(io_error)?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if stem == "tests" {
            continue;
        }
        if path.is_dir() {
            add_folder(&path, depth + 1, imported)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            add_imports(&path, if stem == "mod" { depth } else { depth + 1 }, imported)?;
        }
    }
    Ok(())
}

/// Adds the first names below the crate's root of all paths of a file whose module is at `depth`.
fn add_imports(path: &Path, depth: usize, imported: &mut BTreeSet<String>) -> Result<(), ImportsError> {
    Paths { depth, imported }.visit_file(&parse(path)?);
    Ok(())
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|argument| argument == "test")
    })
}

/// Every path of a `use` tree.
fn each_path(tree: &UseTree, prefix: &mut Vec<String>, found: &mut impl FnMut(&[String])) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            each_path(&path.tree, prefix, found);
            prefix.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|item| each_path(item, prefix, found)),
        UseTree::Name(name) => with(prefix, name.ident.to_string(), found),
        UseTree::Rename(rename) => with(prefix, rename.ident.to_string(), found),
        UseTree::Glob(_) => with(prefix, "*".to_owned(), found),
    }
}

fn with(prefix: &mut Vec<String>, last: String, found: &mut impl FnMut(&[String])) {
    prefix.push(last);
    found(prefix);
    prefix.pop();
}

/// Collects paths from the crate's root, in `use` items and in place.
struct Paths<'a> {
    depth: usize,
    imported: &'a mut BTreeSet<String>,
}

impl Paths<'_> {
    /// Keeps the first name below the root of a path that starts at `crate` or climbs to it by `super`.
    fn keep(&mut self, path: &[String]) {
        let climbed = path.iter().take_while(|part| *part == "super").count();
        let below_root = match path.first().map(String::as_str) {
            Some("crate") => path.get(1),
            Some("super") if climbed == self.depth + 1 => path.get(climbed),
            _ => None,
        };
        self.imported.extend(below_root.cloned());
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test(&module.attrs) {
            self.depth += 1;
            visit::visit_item_mod(self, module);
            self.depth -= 1;
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test(&item.attrs) {
            each_path(&item.tree, &mut Vec::new(), &mut |path| self.keep(path));
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.keep(&parts);
        visit::visit_path(self, path);
    }
}
