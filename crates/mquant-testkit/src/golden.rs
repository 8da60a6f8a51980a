//! Reference outputs of `transformers`, as the committed script wrote them.

use std::path::{Path, PathBuf};

use mquant::input::messages::{self, Message};
use mquant::kernels::Rows;
use mquant::run::{LoadOptions, LoadedModel};
use safetensors::SafeTensors;

/// A folder with a model and its cases.
#[derive(Debug)]
pub struct GoldenFolder {
    dir: PathBuf,
}

/// One tensor of a golden, as f32 or i32.
#[derive(Debug)]
pub struct Golden(Vec<u8>);

impl GoldenFolder {
    /// A folder below the tests' goldens.
    ///
    /// # Panics
    /// If it is not there.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        assert!(dir.join("config.json").is_file(), "{} holds no golden model", dir.display());
        Self { dir }
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The model.
    ///
    /// # Panics
    /// If it does not load.
    pub fn load(&self) -> LoadedModel {
        let model = LoadedModel::open(self.dir.to_str().expect("a path in UTF-8"), &LoadOptions::in_process());
        model.unwrap_or_else(|e| panic!("{}: {e}", self.dir.display()))
    }

    /// Names of the single-conversation cases.
    ///
    /// # Panics
    /// If there is none.
    pub fn cases(&self) -> Vec<String> {
        let files = std::fs::read_dir(&self.dir).expect("a readable folder");
        let names = files.map(|f| f.expect("a readable entry").file_name().into_string().expect("a name in UTF-8"));
        let mut cases: Vec<String> =
            names.filter_map(|n| Some(n.strip_suffix(".messages.json")?.to_owned())).filter(|n| n != "batch").collect();
        cases.sort();
        assert!(!cases.is_empty(), "{} has no cases", self.dir.display());
        cases
    }

    /// The conversation of a case.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn messages(&self, case: &str) -> Vec<Message> {
        self.parse(&self.read_text(case), case)
    }

    /// A conversation with an answer in the middle: the case `turns` where the folder has it, else the case `two` with an answer
    /// and another question.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn turns(&self) -> Vec<Message> {
        if self.dir.join("turns.messages.json").is_file() {
            return self.messages("turns");
        }
        let rest = r#"[{"role": "assistant", "content": "A red one."}, {"role": "user", "content": "And the other?"}]"#;
        let mut messages = self.messages("two");
        messages.extend(self.parse(rest, "turns"));
        messages
    }

    /// The conversations of the batch case.
    ///
    /// # Panics
    /// If they cannot be read.
    pub fn batch(&self) -> Vec<Vec<Message>> {
        let all: Vec<serde_json::Value> = serde_json::from_str(&self.read_text("batch")).expect("a JSON list");
        all.iter().map(|one| self.parse(&one.to_string(), "batch")).collect()
    }

    /// Whether the reference has answered a case of that name.
    pub fn has_golden(&self, case: &str) -> bool {
        self.dir.join(format!("{case}.golden.safetensors")).is_file()
    }

    /// The reference's tensors of a case.
    ///
    /// # Panics
    /// If the file is not there.
    pub fn golden(&self, case: &str) -> Golden {
        let path = self.dir.join(format!("{case}.golden.safetensors"));
        Golden(std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
    }

    fn read_text(&self, case: &str) -> String {
        let path = self.dir.join(format!("{case}.messages.json"));
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    fn parse(&self, json: &str, case: &str) -> Vec<Message> {
        messages::parse(json, &self.dir, case).unwrap_or_else(|e| panic!("{case}: {e}"))
    }
}

impl Golden {
    /// The values of an f32 tensor of one dimension.
    ///
    /// # Panics
    /// If there is no such tensor.
    pub fn floats(&self, name: &str) -> Vec<f32> {
        self.rows(name).unwrap_or_else(|| panic!("a tensor {name}")).into_vec()
    }

    /// A float tensor as rows of its last dimension, if there is one of this name.
    ///
    /// # Panics
    /// If it is no f32 tensor.
    pub fn rows(&self, name: &str) -> Option<Rows> {
        let file = SafeTensors::deserialize(&self.0).expect("a safetensors file");
        let tensor = file.tensor(name).ok()?;
        assert_eq!(tensor.dtype(), safetensors::Dtype::F32, "{name}");
        let values = bytemuck::pod_collect_to_vec(tensor.data());
        Some(Rows::from_vec(values, *tensor.shape().last().expect("a shape")))
    }

    /// An i32 tensor, flat, if there is one of this name.
    ///
    /// # Panics
    /// If it is no i32 tensor.
    pub fn ints(&self, name: &str) -> Option<Vec<u32>> {
        let file = SafeTensors::deserialize(&self.0).expect("a safetensors file");
        let tensor = file.tensor(name).ok()?;
        assert_eq!(tensor.dtype(), safetensors::Dtype::I32, "{name}");
        let values: Vec<i32> = bytemuck::pod_collect_to_vec(tensor.data());
        Some(values.into_iter().map(|v| u32::try_from(v).expect("ids and sizes are not negative")).collect())
    }
}
