//! Bundles made of golden models: every weight rounded to nearest, after what its site asks for was folded into it.

use std::collections::BTreeMap;
use std::path::Path;

use mquant::bundle::{
    BundleTarget, BundleWriter, FloatFormat, InputFormat, NormFormat, Quantization, SiteQuant, StaticScales,
    WeightFormat, low_rank_a_name, low_rank_b_name, side_weight_name, small_files,
};
use mquant::checkpoint::{Checkpoint, NormValue, Role, TensorSpec, Tensors};
use mquant::input::{MediaKind, Modality};
use mquant::kernels::{Bits, Cpu, Dtype, Matrix, Values};
use mquant::models::{self, ModelSpec};
use mquant::nn::{CacheFormat, SiteId};
use mquant::quantize::{IntFormat, rtn};

/// A float checkpoint that bundles are made of.
pub struct FloatModel {
    checkpoint: Checkpoint,
    blueprint: Box<dyn ModelSpec>,
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

    /// A quantisation of all sites, with scales of every modality that the model reads and a cache of codes.
    pub fn quantization(&self, site: impl Fn(SiteId) -> SiteQuant) -> Quantization {
        let layout = self.blueprint.layout();
        let hears = layout.placeholder(MediaKind::Audio).map(|_| Modality::Audio);
        let modalities = [Modality::Text, Modality::Vision].into_iter().chain(hears).collect();
        let sites = self.blueprint.tensors().iter().filter_map(|spec| spec.site()).map(|id| (id, site(id))).collect();
        Quantization { modalities, kv_cache: CacheFormat::Codes, sites }
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

    /// What the linears of a site read.
    ///
    /// # Panics
    /// If the model has no such site.
    pub fn inputs(&self, site: SiteId) -> usize {
        let specs = self.blueprint.tensors();
        let weight = specs.iter().find(|spec| spec.site() == Some(site)).expect("a site of the model");
        weight.matrix_shape().1
    }

    /// The weight of a linear as its bundle has it, before it is rounded: with the gain of a norm that is not stored, and
    /// rotated, its side columns apart and 0 in the first. A folded norm's mean and bias stay behind: where it was a
    /// LayerNorm, the bundle is another model.
    ///
    /// # Panics
    /// If there is none.
    pub fn transformed(&self, name: &str, quantization: &Quantization) -> (Matrix, Option<Matrix>) {
        let specs = self.blueprint.tensors();
        let spec = specs.iter().find(|spec| spec.name == name).expect("a tensor of the model");
        let site = spec.site().expect("the weight of a linear");
        let SiteQuant { norm, rotation, side_columns, .. } = &quantization.sites[&site];
        let (matrix, (rows, inputs)) = (self.matrix(name).to_f32(), spec.matrix_shape());
        let is_gain = |spec: &&TensorSpec| spec.role == Role::Norm(site, NormValue::Gain);
        let gain = match norm {
            NormFormat::Published => vec![1.0],
            NormFormat::Rms => self.tensors.vector(&specs.iter().find(is_gain).expect("a norm").name),
        };
        let cols = rotation.as_ref().map_or(inputs, |rotation| rotation.features());
        let (mut main, mut side) = (Vec::new(), Vec::new());
        for row in matrix.chunks_exact(inputs) {
            let gained = row.iter().zip(gain.iter().cycle()).map(|(w, g)| f64::from(*w) * f64::from(*g));
            let mut row: Vec<f64> = gained.collect();
            row.resize(cols, 0.0);
            if let Some(rotation) = rotation {
                rotation.rotate_row_f64(Cpu::detect(), &mut row);
            }
            side.extend(side_columns.iter().map(|c| std::mem::take(&mut row[*c as usize]) as f32));
            main.extend(row.iter().map(|w| *w as f32));
        }
        let side = (!side_columns.is_empty()).then(|| Matrix::from_f32(side, rows, side_columns.len()));
        (Matrix::from_f32(main, rows, cols), side)
    }

    /// Writes the bundle, static scales being `scale` times 1, 2 and so on; those of side columns four times as large.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, dir: &Path, quantization: &Quantization, scale: f32) {
        let config = self.checkpoint.bytes("config.json").expect("a configuration");
        let config: serde_json::Value = serde_json::from_slice(&config).expect("JSON");
        let specs = self.blueprint.published();
        let dtype = self.tensors.matrix("language.embed_tokens.weight").dtype();
        let is_transformed = |quant: &SiteQuant| {
            quant.weight == WeightFormat::Float && (quant.rotation.is_some() || quant.norm != NormFormat::Published)
        };
        let matrices = if quantization.sites.values().any(is_transformed) { Dtype::F32 } else { dtype };
        let mut writer = BundleWriter::create(&BundleTarget {
            dir,
            config: config.as_object().expect("an object"),
            small_files: &small_files(&self.checkpoint).expect("small files"),
            specs: &specs,
            quantization,
            floats: FloatFormat { vectors: dtype, matrices },
            shard_bytes: u64::MAX,
        })
        .expect("a new bundle");
        for (ours, published) in self.blueprint.tensors().iter().zip(&specs) {
            let quant = ours.site().map(|site| &quantization.sites[&site]);
            let folded = |site| quantization.sites[&site].norm == NormFormat::Rms;
            match (quant, &ours.role) {
                (Some(SiteQuant { weight: WeightFormat::Int(format), .. }), _) => {
                    let (main, side) = self.transformed(&ours.name, quantization);
                    write_codes(&mut writer, &published.name, &main, *format);
                    if let Some(side) = side {
                        let format = IntFormat::per_channel(Bits::Eight);
                        write_codes(&mut writer, &side_weight_name(&published.name), &side, format);
                    }
                    self.write_branches(&mut writer, ours, published, quantization);
                }
                (Some(quant), _) if is_transformed(quant) => {
                    write_floats(&mut writer, &published.name, &self.transformed(&ours.name, quantization).0, matrices);
                }
                (_, Role::TiedWeight(..) | Role::Map(_)) => {}
                (_, Role::Norm(site, _)) if folded(*site) => {}
                _ => {
                    let dtype = if ours.is_vector() { dtype } else { matrices };
                    write_floats(&mut writer, &published.name, &self.matrix(&ours.name), dtype);
                }
            }
        }
        let gains = quantization.sites.iter().map(|(site, quant)| (*site, self.gains(*site, quant))).collect();
        let (input, side) = (scales(quantization, scale), scales(quantization, 4.0 * scale));
        writer.finish(&StaticScales { input, side, gains }).expect("a finished bundle");
    }

    /// Branches of made-up numbers, small beside the weight.
    fn write_branches(
        &self,
        writer: &mut BundleWriter,
        ours: &TensorSpec,
        published: &TensorSpec,
        quantization: &Quantization,
    ) {
        let site = ours.site().expect("the weight of a linear");
        let SiteQuant { branches, rotation, .. } = &quantization.sites[&site];
        let (outputs, inputs) = ours.matrix_shape();
        let inputs = rotation.as_ref().map_or(inputs, |rotation| rotation.features());
        let format = IntFormat::per_channel(Bits::Eight);
        for (modality, rank) in branches {
            let second = made_up(outputs, *rank, 0.02);
            write_codes(writer, &low_rank_b_name(&published.name, *modality), &second, format);
        }
        for (modality, rank) in branches.iter().filter(|_| ours.cuts.iter().any(|cut| cut.linear == 0)) {
            write_codes(writer, &low_rank_a_name(site, *modality), &made_up(*rank, inputs, 0.2), format);
        }
    }

    fn gains(&self, site: SiteId, quant: &SiteQuant) -> BTreeMap<Modality, Vec<f32>> {
        let inputs = if quant.gains.is_empty() { 0 } else { self.inputs(site) };
        let gain = |(i, modality): (usize, &Modality)| {
            (*modality, (0..inputs).map(|c| 0.5 + ((c * 7 + i * 5) % 11) as f32 * 0.1).collect())
        };
        quant.gains.iter().enumerate().map(gain).collect()
    }
}

fn made_up(rows: usize, cols: usize, size: f32) -> Matrix {
    let value = |i: usize| ((i * 7919 % 211) as f32 / 105.0 - 1.0) * size;
    Matrix::from_f32((0..rows * cols).map(value).collect(), rows, cols)
}

fn write_codes(writer: &mut BundleWriter, name: &str, matrix: &Matrix, format: IntFormat) {
    let weight = rtn(matrix, format).expect("finite weights");
    // In two pieces, as a large model writes it.
    let half = weight.rows / 2;
    for rows in [0..half, half..weight.rows] {
        writer.weight(name, &weight.row_range(rows)).expect("space for codes");
    }
}

fn write_floats(writer: &mut BundleWriter, name: &str, matrix: &Matrix, dtype: Dtype) {
    let wide;
    let bytes: &[u8] = match matrix.values() {
        _ if dtype == Dtype::F32 => {
            wide = matrix.to_f32();
            bytemuck::cast_slice(&wide)
        }
        Values::F32(v) => bytemuck::cast_slice(v),
        Values::F16(v) => bytemuck::cast_slice(v),
        Values::Bf16(v) => bytemuck::cast_slice(v),
    };
    writer.float(name, bytes).expect("space for floats");
}

fn scales(quantization: &Quantization, scale: f32) -> BTreeMap<SiteId, Vec<f32>> {
    let of = |site: &SiteQuant| match site.input {
        InputFormat::Float | InputFormat::PerToken | InputFormat::PerTokenSix => Vec::new(),
        InputFormat::PerTensor => vec![scale],
        InputFormat::PerModality => (1..=quantization.modalities.len()).map(|i| scale * i as f32).collect(),
    };
    quantization.sites.iter().map(|(id, site)| (*id, of(site))).collect()
}
