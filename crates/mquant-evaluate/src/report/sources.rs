//! Folders, and what is in them.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{BlameRecord, BundleRecord, Provenance, Report, ReportError, SCHEMA, trim};
use crate::evaluate::{Blame, EVALUATION, EvaluationRecord, SCHEMA as EVALUATION_SCHEMA};
use mquant_model::bundle::{FileHash, MANIFEST, Manifest, ManifestError};
use mquant_model::disk::{Disk, Entry, Links, folder_of, read_at_most};
use mquant_model::excerpt::{excerpt, quoted};
use mquant_model::nn::SiteId;
use mquant_quantize::pipeline::SiteReport;

/// The file that tells what costs the evaluated model its accuracy.
const BLAME: &str = "blame.json";
/// What its `schema` says.
const BLAME_SCHEMA: &str = "mquant.blame/1";
/// Longest such file that is read, in bytes.
const CAP: u64 = 64 << 20;
/// Most folders of one report.
const FOLDERS: usize = 16;
/// The names that modalities have.
const MODALITIES: [&str; 3] = ["text", "vision", "audio"];

/// Folders of evaluations and bundles, in the order they are to be shown.
#[derive(Clone, Debug)]
pub struct Sources {
    found: Vec<Found>,
}

/// A folder and what it holds.
#[derive(Clone, Debug)]
struct Found {
    dir: PathBuf,
    evaluation: bool,
    blame: bool,
    bundle: bool,
}

impl Sources {
    /// Looks which folder holds what; nothing is read yet.
    ///
    /// # Errors
    /// No folder, more than 16, or one that holds neither an evaluation nor a bundle.
    pub fn new(disk: &dyn Disk, folders: &[PathBuf]) -> Result<Self, ReportError> {
        if folders.is_empty() {
            return Err(ReportError::NoFolder);
        }
        if folders.len() > FOLDERS {
            return Err(ReportError::TooMany { most: FOLDERS, found: folders.len() });
        }
        let found = folders.iter().map(|dir| {
            let [evaluation, blame, bundle] = [EVALUATION, BLAME, MANIFEST].map(|name| has(disk, dir, name));
            let found = Found { dir: dir.clone(), evaluation: evaluation?, blame: blame?, bundle: bundle? };
            if found.evaluation || found.bundle { Ok(found) } else { Err(ReportError::Nothing { dir: dir.clone() }) }
        });
        Ok(Self { found: found.collect::<Result<_, _>>()? })
    }

    /// Where a report goes if nobody says: the first folder with an evaluation, else `BUNDLE-report` beside the first bundle.
    pub fn default_output(&self) -> PathBuf {
        match self.found.iter().find(|found| found.evaluation && !found.bundle) {
            Some(found) => found.dir.clone(),
            None => self.found.first().map(|found| beside(&found.dir)).unwrap_or_default(),
        }
    }

    /// Reads what the folders hold. Texts are cut, and pictures that are not wholly harmless are left out.
    ///
    /// # Errors
    /// A file cannot be read, is too long, of another schema, or not what its schema says.
    pub fn gather(&self, disk: &dyn Disk) -> Result<Report, ReportError> {
        let mut report =
            Report { schema: SCHEMA.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), ..Report::default() };
        for Found { dir, evaluation, blame, bundle } in &self.found {
            if *evaluation {
                let found: EvaluationRecord = read_record(disk, &dir.join(EVALUATION), EVALUATION_SCHEMA)?;
                if *blame {
                    let (model, identity) = (found.model.name.clone(), found.model.identity.clone());
                    let blame: Blame = read_record(disk, &dir.join(BLAME), BLAME_SCHEMA)?;
                    report.blames.push(BlameRecord { model, identity, blame });
                }
                report.evaluations.push(found);
            }
            if *bundle {
                report.bundles.push(read_bundle(disk, dir)?);
            }
        }
        trim::trim(&mut report);
        Ok(report)
    }
}

/// `path/to/BUNDLE-report`.
fn beside(bundle: &Path) -> PathBuf {
    let absolute = std::path::absolute(bundle).unwrap_or_else(|_| bundle.to_owned());
    let mut name = absolute.file_name().unwrap_or_default().to_owned();
    name.push("-report");
    match bundle.file_name() {
        Some(_) => bundle.with_file_name(name),
        // `.` or `..` has no name of its own.
        None => folder_of(&absolute).join(name),
    }
}

fn has(disk: &dyn Disk, dir: &Path, name: &str) -> Result<bool, ReportError> {
    let path = dir.join(name);
    match disk.entry(&path, Links::Followed) {
        Ok(entry) => Ok(matches!(entry, Some(Entry::File { .. }))),
        Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => Ok(false),
        Err(source) => Err(ReportError::Io { path, source }),
    }
}

fn read_record<T: DeserializeOwned>(disk: &dyn Disk, path: &Path, schema: &'static str) -> Result<T, ReportError> {
    let bytes = read_at_most(disk, path, CAP).map_err(|source| ReportError::Io { path: path.to_owned(), source })?;
    let bytes = bytes.ok_or_else(|| ReportError::TooLong { path: path.to_owned(), most: CAP })?;
    let form = |e: serde_json::Error| ReportError::Form { path: path.to_owned(), problem: excerpt(&e.to_string()) };
    // The schema first: a file of another one differs in more than this, which would then be told instead.
    let value: Value = serde_json::from_slice(&bytes).map_err(form)?;
    if value["schema"] != schema {
        let found = excerpt(&value["schema"].to_string());
        return Err(ReportError::Schema { path: path.to_owned(), expected: schema, found });
    }
    drop(value);
    // From the text, whose errors have a line and a column.
    serde_json::from_slice(&bytes).map_err(form)
}

fn read_bundle(disk: &dyn Disk, dir: &Path) -> Result<BundleRecord, ReportError> {
    let path = dir.join(MANIFEST);
    let manifest =
        Manifest::read(disk, dir).and_then(|found| found.ok_or_else(|| ManifestError::Missing { dir: dir.to_owned() }));
    let Manifest { fingerprint, provenance, files } =
        manifest.map_err(|source| ReportError::Manifest { dir: dir.to_owned(), source: Box::new(source) })?;
    let identity = disk.open(&path).and_then(|file| FileHash::of_reader(file, &mut |_| {}));
    let identity = identity.map_err(|source| ReportError::Io { path: path.clone(), source })?.sha256;
    // A bundle may tell nothing at all.
    let provenance: Option<Provenance> = serde_json::from_value(provenance).map_err(|e| {
        let problem = format!("provenance: {}", excerpt(&e.to_string()));
        ReportError::Form { path: path.clone(), problem }
    })?;
    let provenance = provenance.unwrap_or_default();
    check_names(&provenance).map_err(|problem| ReportError::Form { path, problem })?;
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(BundleRecord { name, identity, fingerprint, files, provenance })
}

/// That sites and modalities have the names there are.
fn check_names(provenance: &Provenance) -> Result<(), String> {
    for (name, site) in &provenance.sites {
        if SiteId::parse(name).is_none() {
            return Err(format!("provenance.sites: expected a site such as vision.3.qkv, found {}", quoted(name)));
        }
        if let Some(wrong) = modalities(site).find(|modality| !MODALITIES.contains(&modality.as_str())) {
            return Err(format!("{name}: expected a modality (text, vision or audio), found {}", quoted(wrong)));
        }
    }
    Ok(())
}

/// Every name of a modality that a site holds.
fn modalities(site: &SiteReport) -> impl Iterator<Item = &String> {
    let f32s = site.absmax.keys().chain(site.scales.keys());
    let f64s = site.input_sqnr_db.keys().chain(site.clipped.keys()).chain(site.output_sqnr_db.keys());
    let counts = site.rows.keys().chain(site.measured_rows.keys());
    f32s.chain(f64s).chain(counts).chain(site.stages.iter().flat_map(|stage| stage.activation.keys()))
}
