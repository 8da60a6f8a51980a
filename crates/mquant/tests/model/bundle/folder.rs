//! Bundles in temporary folders, whole or changed in one chosen way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mquant::bundle::{InputFormat, NormFormat, PackedCache, SiteQuant, WeightFormat};
use mquant::kernels::{Bits, Hadamard};
use mquant::nn::{SiteId, SiteKind, Stage, Tower};
use mquant::quantize::IntFormat;
use mquant::run::{LoadOptions, LoadedModel};
use mquant_testkit::bundle::FloatModel;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use tempfile::TempDir;

/// Element type, dimensions, data.
pub(crate) type Stored = (Dtype, Vec<usize>, Vec<u8>);

pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

/// Every kind of site there is.
pub(crate) fn mixed(site: SiteId) -> SiteQuant {
    let int = |bits, group| WeightFormat::Int(IntFormat { bits, group });
    let (weight, input) = match (site.tower(), site.part.stage, site.kind) {
        (_, _, SiteKind::Patch) => (WeightFormat::Float, InputFormat::Float),
        (Tower::Vision, Stage::Block(0), _) => (int(Bits::Eight, None), InputFormat::PerTensor),
        (Tower::Vision, Stage::Block(_), _) => (int(Bits::Four, Some(64)), InputFormat::PerModality),
        (_, Stage::Projector, _) => (int(Bits::Eight, Some(128)), InputFormat::PerToken),
        (_, Stage::Block(0), SiteKind::Out) => (int(Bits::Four, None), InputFormat::Float),
        (_, Stage::Block(_), _) => (int(Bits::Four, Some(32)), InputFormat::PerModality),
        _ => (int(Bits::Eight, None), InputFormat::PerModality),
    };
    SiteQuant::new(weight, input)
}

/// All weights in 8 bits, each row with its own scale.
pub(crate) fn eight(_: SiteId) -> SiteQuant {
    let weight = WeightFormat::Int(IntFormat::per_channel(Bits::Eight));
    SiteQuant::new(weight, InputFormat::PerToken)
}

/// Every kind of norm, rotation and split on top of [`mixed`], for a golden model that has 2 layers a tower.
pub(crate) fn transformed(model: &FloatModel, site: SiteId) -> SiteQuant {
    let inputs = model.inputs(site);
    let whole = || Some(Arc::new(Hadamard::new(inputs).unwrap()));
    let padded = || Some(Arc::new(Hadamard::padded(inputs + 1).unwrap()));
    let plain = mixed(site);
    let last = inputs as u32 - 1;
    match (site.tower(), site.block_index(), site.kind) {
        (Tower::Vision, Some(_), SiteKind::Down) => SiteQuant { rotation: whole(), side_columns: vec![0], ..plain },
        (_, Some(1), SiteKind::Down) => {
            SiteQuant { rotation: padded(), side_columns: vec![0, 4, last, last + 1], ..plain }
        }
        (Tower::Vision, Some(0), SiteKind::Qkv) => SiteQuant { side_columns: vec![1, 2, 95], ..plain },
        (Tower::Language, Some(_), SiteKind::Qkv) => {
            SiteQuant { norm: NormFormat::Rms, side_columns: (0..70).collect(), ..plain }
        }
        (Tower::Language, Some(0), SiteKind::Up) => {
            SiteQuant { norm: NormFormat::Rms, rotation: whole(), side_columns: vec![0], ..plain }
        }
        (Tower::Vision, Some(1), SiteKind::Out) => SiteQuant { side_columns: vec![3, 50], ..plain },
        (_, None, SiteKind::Up) => SiteQuant { rotation: padded(), ..plain },
        (_, None, SiteKind::Down) => SiteQuant { side_columns: vec![9], ..plain },
        (_, None, SiteKind::Head) => SiteQuant { norm: NormFormat::Rms, ..plain },
        _ => plain,
    }
}

/// A bundle of a golden model.
pub(crate) struct Bundle {
    root: TempDir,
}

impl Bundle {
    pub(crate) fn of(name: &str, site: impl Fn(SiteId) -> SiteQuant) -> Self {
        let root = tempfile::tempdir().unwrap();
        let model = FloatModel::open(&golden(name));
        model.write(&root.path().join("bundle"), &model.quantization(site), 0.03);
        Self { root }
    }

    /// A bundle of [`transformed`] sites.
    pub(crate) fn transformed(name: &str) -> Self {
        let model = FloatModel::open(&golden(name));
        Self::of(name, |site| transformed(&model, site))
    }

    /// All tensors, by their published names.
    pub(crate) fn tensors(&self) -> BTreeMap<String, Stored> {
        let mut all = BTreeMap::new();
        self.with_tensors(|tensors| all.clone_from(tensors));
        all
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.root.path().join("bundle")
    }

    pub(crate) fn open(&self, packed_cache: PackedCache) -> mquant::Result<LoadedModel> {
        let options = LoadOptions { packed_cache, ..LoadOptions::in_process() };
        LoadedModel::open(self.dir().to_str().unwrap(), &options)
    }

    /// The same bundle with other tensors.
    pub(crate) fn with_tensors(&self, change: impl FnOnce(&mut BTreeMap<String, Stored>)) -> Self {
        let copy = self.copy();
        let path = copy.dir().join("model.safetensors");
        let file = std::fs::read(&path).unwrap();
        let stored = SafeTensors::deserialize(&file).unwrap();
        let owned = stored
            .iter()
            .map(|(name, view)| (name.to_owned(), (view.dtype(), view.shape().to_vec(), view.data().to_vec())));
        let mut tensors: BTreeMap<String, Stored> = owned.collect();
        change(&mut tensors);
        let views = tensors
            .iter()
            .map(|(name, (dtype, shape, data))| (name.clone(), TensorView::new(*dtype, shape.clone(), data).unwrap()));
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        copy
    }

    /// The same bundle with another `quantization_config`.
    pub(crate) fn with_config(&self, change: impl FnOnce(&mut Value)) -> Self {
        let copy = self.copy();
        let path = copy.dir().join("config.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut config);
        std::fs::write(&path, config.to_string()).unwrap();
        copy
    }

    /// Names of the files of panels kept.
    pub(crate) fn kept(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.dir()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("mquant-packed")).collect()
    }

    fn copy(&self) -> Self {
        let root = tempfile::tempdir().unwrap();
        let to = root.path().join("bundle");
        std::fs::create_dir(&to).unwrap();
        for entry in std::fs::read_dir(self.dir()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        Self { root }
    }
}
