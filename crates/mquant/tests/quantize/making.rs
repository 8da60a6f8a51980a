//! Quantising as a test wants it, and what there is afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use mquant::bundle::{Manifest, verify};
use mquant::calibrate::samples::Gathered;
use mquant::disk::RealDisk;
use mquant::input::vision_processor::PixelBounds;
use mquant::pipeline::{Event, Outcome, QuantizeOptions, SiteReport, Summary, quantize};
use mquant::recipe::Recipe;
use mquant::run::{EngineOptions, LoadedModel};
use mquant::{Error, Result};
use tempfile::TempDir;

/// A model, what is done to it, and what it is shown.
#[derive(Clone, Copy)]
pub(crate) struct Making<'a> {
    pub(crate) loaded: &'a LoadedModel,
    pub(crate) recipe: &'a Recipe,
    pub(crate) samples: &'a Gathered,
    pub(crate) threads: usize,
    /// Tokens a sequence may have.
    pub(crate) context: Option<usize>,
}

/// A bundle, and what its job said.
pub(crate) struct Made {
    root: TempDir,
    pub(crate) summary: Summary,
}

impl<'a> Making<'a> {
    pub(crate) fn new(loaded: &'a LoadedModel, recipe: &'a Recipe, samples: &'a Gathered) -> Self {
        Self { loaded, recipe, samples, threads: 2, context: None }
    }

    /// Runs the job on an output while `watch` lets it.
    pub(crate) fn run(&self, output: &Path, watch: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>) -> Result<Outcome> {
        let options = QuantizeOptions {
            recipe: self.recipe,
            samples: self.samples,
            output,
            engine: EngineOptions { threads: self.threads, context: self.context, ..EngineOptions::default() },
            pixels: PixelBounds::default(),
            provenance: serde_json::Value::Null,
        };
        quantize(self.loaded, &options, &RealDisk::shared(), watch)
    }

    /// Runs it to its end.
    pub(crate) fn end(&self, output: &Path) -> Result<Summary> {
        match self.run(output, &mut |_| ControlFlow::Continue(()))? {
            Outcome::Complete(summary) => Ok(summary),
            other => panic!("expected a bundle, found {other:?}"),
        }
    }

    /// A bundle in a folder of its own.
    pub(crate) fn made(&self) -> Made {
        let root = tempfile::tempdir().unwrap();
        let summary = self.end(&root.path().join("out")).unwrap();
        Made { root, summary }
    }

    /// Why there is no bundle; nothing is where it would be.
    pub(crate) fn refused(&self) -> Error {
        let root = tempfile::tempdir().unwrap();
        let output = root.path().join("out");
        let ended = self.run(&output, &mut |_| ControlFlow::Continue(())).map(drop);
        let error = ended.expect_err("a refusal");
        assert!(!output.exists(), "a bundle in spite of {error}");
        error
    }
}

impl Made {
    pub(crate) fn dir(&self) -> PathBuf {
        self.root.path().join("out")
    }

    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        files(&self.dir())
    }

    pub(crate) fn site(&self, name: &str) -> &SiteReport {
        let found = self.summary.sites.iter().find(|(site, _)| site.to_string() == name);
        &found.unwrap_or_else(|| panic!("no {name}")).1
    }

    /// Nothing beside the bundle, every file of which has its hash.
    pub(crate) fn check(&self) -> Manifest {
        assert_eq!(names(self.root.path()), ["out"]);
        let report = verify(&self.dir(), &mut |_, _| {}).unwrap();
        assert!(report.is_intact(), "{:?}", report.files);
        report.manifest
    }
}

/// Names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

/// Every file of a folder, by name.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    names(folder).into_iter().map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect()
}

/// Which files differ.
pub(crate) fn differing(a: &BTreeMap<String, Vec<u8>>, b: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let names = a.keys().chain(b.keys());
    let mut found: Vec<String> = names.filter(|name| a.get(*name) != b.get(*name)).cloned().collect();
    found.sort();
    found.dedup();
    found
}

pub(crate) fn preset(name: &str) -> Recipe {
    Recipe::preset(name).unwrap()
}
