//! A bundle written to disk: the folder is there whole or not at all, and no more than a piece of a tensor is in memory.
//!
//! Enters: the small files and configuration of a float checkpoint, its tensors in the family's order (floats as stored,
//! integer weights with their scales), the input scales. Leaves: a folder that [`Weights`](super::Weights) opens.

use std::collections::BTreeMap;
use std::path::Path;

use mquant_kernels::{Bits, Dtype, IntWeight};
use serde_json::{Map, Value};
use thiserror::Error;

use super::canonical::side_fault;
use super::config::FIELD;
use super::specs::{self, Beside, Stored, gain_name, input_scale_name, side_input_scale_name};
use super::{BundleError, Quantization, SmallFile};
use crate::bundle::IntFormat;
use crate::checkpoint::{
    Elements, Presence, Role, ShardsWriter, StoredDtype, TensorShape, TensorSpec, UnfinishedFolder, WriteError,
};
use crate::error::{Class, Explain};
use crate::input::Modality;
use crate::nn::SiteId;

/// What a bundle is to be made of.
#[derive(Debug)]
pub struct BundleTarget<'a> {
    /// The folder to make; it must not exist. [`BundleWriter::create_in`] is given one instead.
    pub dir: &'a Path,
    /// The float model's `config.json`.
    pub config: &'a Map<String, Value>,
    /// What else the folder holds.
    pub small_files: &'a [SmallFile],
    /// Every tensor of the float model, under its published name, in the order they will come. A tied head that is to be
    /// stored is required here; a bias that the published model has not follows its weight.
    pub specs: &'a [TensorSpec],
    /// How every site is quantised.
    pub quantization: &'a Quantization,
    /// How floats are stored.
    pub floats: FloatFormat,
    /// Bytes of weights in a file.
    pub shard_bytes: u64,
}

/// How the float tensors of a bundle are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloatFormat {
    /// Biases and norms.
    pub vectors: Dtype,
    /// Tables, and weights that stay float.
    pub matrices: Dtype,
}

/// The static scales of all sites, in the order of the quantisation's modalities.
#[derive(Clone, Debug, Default)]
pub struct StaticScales {
    /// Of the activations.
    pub input: BTreeMap<SiteId, Vec<f32>>,
    /// Of the channels that are computed beside the main product.
    pub side: BTreeMap<SiteId, Vec<f32>>,
    /// The gains for rows of single modalities.
    pub gains: BTreeMap<SiteId, BTreeMap<Modality, Vec<f32>>>,
}

/// Why a bundle could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BundleWriteError {
    /// The system refused, or something is in the way.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The quantisation does not fit the model.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A tensor came that is not the next one, or not as planned.
    #[error("expected {expected}, found {found}")]
    Unplanned {
        /// The next tensor, or what it should be.
        expected: String,
        /// What came.
        found: String,
    },
    /// An input scale that no activation can have.
    #[error("{tensor}: expected {expected} positive finite scales, found {found:?}")]
    InputScale {
        /// Where it would be stored.
        tensor: String,
        /// How many there should be.
        expected: usize,
        /// What came.
        found: Vec<f32>,
    },
}

impl Explain for BundleWriteError {
    fn class(&self) -> Class {
        match self {
            BundleWriteError::Write(e) => e.class(),
            BundleWriteError::Bundle(e) => e.class(),
            BundleWriteError::Unplanned { .. } => Class::Bug,
            BundleWriteError::InputScale { .. } => Class::Numeric,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            BundleWriteError::Write(e) => e.code(),
            BundleWriteError::Bundle(e) => e.code(),
            BundleWriteError::Unplanned { .. } => "BUNDLE_PLAN",
            BundleWriteError::InputScale { .. } => "BUNDLE_INPUT_SCALE",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            BundleWriteError::Write(e) => e.hint(),
            BundleWriteError::Bundle(e) => e.hint(),
            _ => None,
        }
    }
}

/// One tensor of the float model and what becomes of it.
#[derive(Debug)]
struct Planned {
    name: String,
    /// Outputs and inputs; a vector has one row.
    rows: usize,
    cols: usize,
    form: Form,
    /// Inputs whose codes must be 0.
    side: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Float(Dtype),
    Int(IntFormat),
}

/// A bundle in the making. Tensors come in the order of the specs, integer weights whole or a few outputs at a time, each
/// followed by its side weight where its site has side columns. Norms that were folded into their linears do not come.
/// Dropped unfinished, it leaves nothing.
#[derive(Debug)]
pub struct BundleWriter {
    // Before the folder: its file goes first when both are dropped.
    weights: ShardsWriter,
    folder: UnfinishedFolder,
    plan: std::vec::IntoIter<Planned>,
    current: Option<Unfinished>,
    /// Static scales every site stores: of its activation, and of its side channels.
    inputs: Vec<(SiteId, [usize; 2])>,
    /// Sites and modalities with gains, and how many values those are.
    gains: BTreeMap<SiteId, Vec<(Modality, usize)>>,
}

/// A tensor some rows of which have been written.
#[derive(Debug)]
struct Unfinished {
    planned: Planned,
    rows: usize,
    /// They follow the codes.
    scales: Vec<f32>,
}

impl BundleWriter {
    /// Begins a folder on the system's disk: `DIR.partial` with configuration and small files.
    ///
    /// # Errors
    /// The folder exists, the system refuses, or the quantisation does not list the sites of the model.
    ///
    /// # Panics
    /// If the specs are not those of a family.
    pub fn create(target: &BundleTarget<'_>) -> Result<Self, BundleWriteError> {
        specs::check_sites(target.specs, target.quantization)?;
        Self::create_in(UnfinishedFolder::create(target.dir)?, target)
    }

    /// Begins a bundle in an empty folder that grows already; it says where, not `target.dir`.
    ///
    /// # Errors
    /// The system refuses, or the quantisation does not list the sites of the model.
    ///
    /// # Panics
    /// If the specs are not those of a family.
    pub fn create_in(folder: UnfinishedFolder, target: &BundleTarget<'_>) -> Result<Self, BundleWriteError> {
        specs::check_sites(target.specs, target.quantization)?;
        let specs = written(target.specs, target.quantization);
        let tensors = shapes(&specs, target.quantization, target.floats);
        let mut config = target.config.clone();
        config.insert(FIELD.to_owned(), target.quantization.to_json());
        folder.write("config.json", format!("{:#}\n", Value::Object(config)).as_bytes())?;
        for file in target.small_files {
            folder.write(&file.name, &file.bytes)?;
        }
        let weights = ShardsWriter::create(&folder, tensors, target.shard_bytes)?;
        let plan: Vec<Planned> = specs.iter().flat_map(|spec| planned(spec, target)).collect();
        let Quantization { modalities, sites, .. } = target.quantization;
        let inputs = sites.iter();
        let inputs =
            inputs.map(|(site, quant)| (*site, [quant.input.scales(modalities), quant.side_scales(modalities)]));
        let inputs = inputs.collect();
        let gains = sites.iter().map(|(site, quant)| {
            let features = specs::inputs_of(target.specs, *site);
            (*site, quant.gains.iter().map(|modality| (*modality, features)).collect())
        });
        let gains = gains.collect();
        Ok(Self { weights, folder, plan: plan.into_iter(), current: None, inputs, gains })
    }

    /// Bytes of all tensors.
    pub fn byte_len(&self) -> u64 {
        self.weights.byte_len()
    }

    /// Writes some rows of a float tensor: little-endian values of the planned type. A vector is one row.
    ///
    /// # Errors
    /// It is not the next tensor, not planned as float, or the bytes are no whole rows; or the system refuses.
    pub fn float(&mut self, name: &str, bytes: &[u8]) -> Result<(), BundleWriteError> {
        let mut current = self.current(name)?;
        let Form::Float(dtype) = current.planned.form else { return Err(unplanned(&current, "floats")) };
        let row = current.planned.cols * dtype.bytes();
        let rows = bytes.len() / row;
        if bytes.is_empty() || !bytes.len().is_multiple_of(row) || rows > current.planned.rows - current.rows {
            return Err(unplanned(&current, &format!("{} bytes of rows of {row}", bytes.len())));
        }
        self.weights.write(bytes)?;
        current.rows += rows;
        self.put_back(current)
    }

    /// Writes an integer weight, a side weight ([`side_weight_name`](super::side_weight_name)), a half of a low-rank branch
    /// ([`low_rank_b_name`](super::low_rank_b_name), then behind a site's first linear [`low_rank_a_name`](super::low_rank_a_name)), or the next outputs of one.
    ///
    /// # Errors
    /// It is not the next tensor or of another format or shape than planned; it is none the kernels accept, or has codes for
    /// side columns; or the system refuses.
    pub fn weight(&mut self, name: &str, part: &IntWeight) -> Result<(), BundleWriteError> {
        let mut current = self.current(name)?;
        let found = Form::Int(IntFormat { bits: part.bits, group: part.group });
        let (rows, cols) = (current.planned.rows - current.rows, current.planned.cols);
        if current.planned.form != found || part.cols != cols || part.rows > rows {
            let found = format!("{} outputs of {} inputs in {} bits", part.rows, part.cols, part.bits);
            return Err(unplanned(&current, &found));
        }
        let (file, tensor) = ("the new bundle".to_owned(), name.to_owned());
        if let Err(source) = part.check() {
            return Err(BundleError::Weight { file, tensor, source }.into());
        }
        if let Some((output, input, found)) = side_fault(part, &current.planned.side) {
            let output = current.rows + output;
            return Err(BundleError::SideCode { file, tensor, output, input, found }.into());
        }
        self.weights.write(part.codes.as_ref())?;
        current.scales.extend_from_slice(&part.scales);
        current.rows += part.rows;
        self.put_back(current)
    }

    /// Writes the static scales, takes everything to the disk and gives the folder its name. Returns the bytes of its tensors.
    ///
    /// # Errors
    /// Tensors or scales are missing, a scale is no positive finite number, or the system refuses.
    pub fn finish(self, scales: &StaticScales) -> Result<u64, BundleWriteError> {
        let (folder, bytes) = self.finish_tensors(scales)?;
        folder.finish()?;
        Ok(bytes)
    }

    /// As [`finish`](Self::finish), but the folder still grows: more can be written into it, and
    /// [`UnfinishedFolder::finish`] gives it its name.
    ///
    /// # Errors
    /// Tensors or scales are missing, a scale is no positive finite number, or the system refuses.
    pub fn finish_tensors(mut self, scales: &StaticScales) -> Result<(UnfinishedFolder, u64), BundleWriteError> {
        if let Some(next) = self.current.as_ref().map(|c| &c.planned).or_else(|| self.plan.as_slice().first()) {
            return Err(BundleWriteError::Unplanned { expected: next.name.clone(), found: "the end".to_owned() });
        }
        for (site, [input, side]) in &self.inputs {
            let mut each = vec![
                (input_scale_name(*site), *input, scales.input.get(site)),
                (side_input_scale_name(*site), *side, scales.side.get(site)),
            ];
            each.extend(self.gains[site].iter().map(|(modality, features)| {
                let found = scales.gains.get(site).and_then(|gains| gains.get(modality));
                (gain_name(*site, *modality), *features, found)
            }));
            for (tensor, expected, found) in each.into_iter().filter(|(_, expected, _)| *expected > 0) {
                let found = found.cloned().unwrap_or_default();
                if found.len() != expected || !found.iter().all(|s| s.is_finite() && *s > 0.0) {
                    return Err(BundleWriteError::InputScale { tensor, expected, found });
                }
                self.weights.write(bytemuck::cast_slice(&found))?;
            }
        }
        let bytes = self.weights.finish()?;
        Ok((self.folder, bytes))
    }

    /// The tensor that is next, taken out.
    fn current(&mut self, name: &str) -> Result<Unfinished, BundleWriteError> {
        let next = self.current.take().or_else(|| {
            let planned = self.plan.next()?;
            Some(Unfinished { planned, rows: 0, scales: Vec::new() })
        });
        match next {
            Some(next) if next.planned.name == name => Ok(next),
            next => {
                let expected = next.map_or_else(|| "the end".to_owned(), |next| next.planned.name);
                Err(BundleWriteError::Unplanned { expected, found: name.to_owned() })
            }
        }
    }

    fn put_back(&mut self, current: Unfinished) -> Result<(), BundleWriteError> {
        if current.rows < current.planned.rows {
            self.current = Some(current);
        } else {
            self.weights.write(bytemuck::cast_slice(&current.scales))?;
        }
        Ok(())
    }
}

/// The specs of the tensors that are written: no norm that was folded, and a tied weight only where it is not the other tensor.
fn written(specs: &[TensorSpec], quantization: &Quantization) -> Vec<TensorSpec> {
    let is_there = |spec: &&TensorSpec| {
        let presence = Stored::of(spec, quantization).map_or(spec.presence, |weight| weight.presence);
        presence == Presence::Required && !specs::is_folded(spec, quantization)
    };
    specs.iter().filter(is_there).cloned().collect()
}

fn shapes(specs: &[TensorSpec], quantization: &Quantization, floats: FloatFormat) -> Vec<TensorShape> {
    // A bias that may have been created would have a spec of its own.
    let stored = specs::stored(specs, quantization).into_iter().filter(|spec| spec.presence == Presence::Required);
    let shapes = stored.map(|spec| {
        let dtype = match spec.elements {
            Elements::Exactly(dtype) => dtype,
            Elements::Float => stored_dtype(float_dtype(&spec, floats)),
        };
        TensorShape { name: spec.name, dtype, shape: spec.shape }
    });
    shapes.collect()
}

/// A tensor, and the side weight that follows it.
fn planned(spec: &TensorSpec, target: &BundleTarget<'_>) -> Vec<Planned> {
    let name = spec.name.clone();
    let float = Form::Float(float_dtype(spec, target.floats));
    let Some(stored) = Stored::of(spec, target.quantization) else {
        let (rows, cols) = match spec.is_vector() {
            true => (1, spec.shape.iter().product()),
            false => spec.matrix_shape(),
        };
        return vec![Planned { name, rows, cols, form: float, side: Vec::new() }];
    };
    let Stored { rows, cols, format, side, .. } = stored;
    let main = Planned { name, rows, cols, form: format.map_or(float, Form::Int), side: side.to_vec() };
    let form = Form::Int(IntFormat::per_channel(Bits::Eight));
    let beside = stored.beside(spec).into_iter();
    let beside = beside.map(|Beside { name, rows, cols, .. }| Planned { name, rows, cols, form, side: Vec::new() });
    std::iter::once(main).chain(beside).collect()
}

fn float_dtype(spec: &TensorSpec, floats: FloatFormat) -> Dtype {
    if spec.is_vector() || matches!(spec.role, Role::Map(_)) { floats.vectors } else { floats.matrices }
}

fn stored_dtype(dtype: Dtype) -> StoredDtype {
    match dtype {
        Dtype::F32 => StoredDtype::F32,
        Dtype::F16 => StoredDtype::F16,
        Dtype::Bf16 => StoredDtype::BF16,
    }
}

fn unplanned(current: &Unfinished, found: &str) -> BundleWriteError {
    let Planned { name, rows, cols, form, .. } = &current.planned;
    let expected = match form {
        Form::Float(dtype) => format!("{name}: {} rows of {cols} {dtype} values", rows - current.rows),
        Form::Int(IntFormat { bits, group }) => {
            let groups = group.map_or_else(String::new, |group| format!(" in groups of {group}"));
            format!("{name}: {} outputs of {cols} inputs in {bits} bits{groups}", rows - current.rows)
        }
    };
    BundleWriteError::Unplanned { expected, found: found.to_owned() }
}
