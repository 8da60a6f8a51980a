//! Bundles made of golden models: every weight rounded to nearest.

use std::collections::BTreeMap;
use std::path::Path;

use mquant::bundle::{
    BundleTarget, BundleWriter, FloatFormat, InputFormat, Quantization, SiteQuant, WeightFormat, small_files,
};
use mquant::checkpoint::{Checkpoint, Role, Tensors};
use mquant::input::Modality;
use mquant::kernels::{IntWeight, Matrix, Values};
use mquant::models::{self, Blueprint};
use mquant::nn::{CacheFormat, SiteId};
use mquant::quantize::rtn;

/// A float checkpoint that bundles are made of.
pub struct FloatModel {
    checkpoint: Checkpoint,
    blueprint: Box<dyn Blueprint>,
    tensors: Tensors,
}

impl std::fmt::Debug for FloatModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FloatModel").field("dir", &self.checkpoint.dir()).finish_non_exhaustive()
    }
}

impl FloatModel {
    /// Opens a folder.
    ///
    /// # Panics
    /// If it is no float model.
    pub fn open(dir: &Path) -> Self {
        let checkpoint = Checkpoint::open(dir.to_str().expect("a path in UTF-8")).expect("a checkpoint");
        let blueprint = models::blueprint(checkpoint.config()).expect("a model of a known family");
        let tensors = checkpoint.select(&blueprint.naming(), &blueprint.tensors()).expect("float weights");
        Self { checkpoint, blueprint, tensors }
    }

    /// A quantisation of all sites, with text and vision scales and a cache of codes.
    pub fn quantization(&self, site: impl Fn(SiteId) -> SiteQuant) -> Quantization {
        let sites = self.blueprint.tensors().iter().filter_map(|spec| spec.site()).map(|id| (id, site(id))).collect();
        Quantization { modalities: vec![Modality::Text, Modality::Vision], kv_cache: CacheFormat::Codes, sites }
    }

    /// The float weight of that name, a tied one being what it is tied to.
    ///
    /// # Panics
    /// If there is none.
    pub fn matrix(&self, name: &str) -> Matrix {
        let tied = self.blueprint.tensors().into_iter().find_map(|spec| match spec.role {
            Role::TiedWeight(_, to) if spec.name == name => Some(to),
            _ => None,
        });
        self.tensors.matrix(tied.as_deref().unwrap_or(name))
    }

    /// Writes the bundle, static scales being `scale` times 1, 2 and so on.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, dir: &Path, quantization: &Quantization, scale: f32) {
        let config = self.checkpoint.bytes("config.json").expect("a configuration");
        let config: serde_json::Value = serde_json::from_slice(&config).expect("JSON");
        let specs = self.blueprint.published();
        let dtype = self.tensors.matrix("language.embed_tokens.weight").dtype();
        let mut writer = BundleWriter::create(&BundleTarget {
            dir,
            config: config.as_object().expect("an object"),
            small_files: &small_files(&self.checkpoint).expect("small files"),
            specs: &specs,
            quantization,
            floats: FloatFormat { vectors: dtype, matrices: dtype },
            shard_bytes: u64::MAX,
        })
        .expect("a new bundle");
        for (ours, published) in self.blueprint.tensors().iter().zip(&specs) {
            let format = ours.site().map(|site| quantization.sites[&site].weight);
            match format {
                Some(WeightFormat::Int(format)) => {
                    let weight = rtn(&self.matrix(&ours.name), format).expect("finite weights");
                    // In two pieces, as a large model writes it.
                    let half = weight.rows / 2;
                    for rows in [0..half, half..weight.rows] {
                        let part: IntWeight = weight.row_range(rows);
                        writer.weight(&published.name, &part).expect("space for codes");
                    }
                }
                _ if matches!(ours.role, Role::TiedWeight(..)) => {}
                _ => {
                    let matrix = self.matrix(&ours.name);
                    let bytes: &[u8] = match matrix.values() {
                        Values::F32(v) => bytemuck::cast_slice(v),
                        Values::F16(v) => bytemuck::cast_slice(v),
                        Values::Bf16(v) => bytemuck::cast_slice(v),
                    };
                    writer.float(&published.name, bytes).expect("space for floats");
                }
            }
        }
        writer.finish(&scales(quantization, scale)).expect("a finished bundle");
    }
}

fn scales(quantization: &Quantization, scale: f32) -> BTreeMap<SiteId, Vec<f32>> {
    let of = |site: &SiteQuant| match site.input {
        InputFormat::Float | InputFormat::PerToken => Vec::new(),
        InputFormat::PerTensor => vec![scale],
        InputFormat::PerModality => (1..=quantization.modalities.len()).map(|i| scale * i as f32).collect(),
    };
    quantization.sites.iter().map(|(id, site)| (*id, of(site))).collect()
}
