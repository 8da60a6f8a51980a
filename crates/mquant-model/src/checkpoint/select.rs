//! From published tensors to the ones a family asks for: names mapped, everything compared before anything is computed.

use std::collections::{BTreeMap, HashMap};

use mquant_kernels::Matrix;

use super::error::CheckpointError;
use super::finite::{self, Scan};
use super::mismatch::{Mismatch, Problem};
use super::shard::StoredTensor;
use super::tensor_spec::{Presence, Role, TensorSpec};

/// Bytes that are searched for NaN before their memory is given back.
const SCANNED_AT_ONCE: usize = 512 << 20;

/// Ends of published names that carry nothing a model needs: tables that are computed from the configuration.
const DERIVED: [&str; 3] = ["rotary_emb.inv_freq", "rotary_pos_emb.inv_freq", "rotary_emb.original_inv_freq"];

/// Renames published prefixes to the family's own: the first rule whose prefix matches replaces it. A name that no rule
/// matches is the family's name already.
#[derive(Clone, Copy, Debug)]
pub struct Naming {
    /// Published prefix, and the family's.
    pub rules: &'static [(&'static str, &'static str)],
    /// Beginnings of published names of tensors that a model does without: parts of a checkpoint that are not run.
    pub unused: &'static [&'static str],
}

impl Naming {
    /// Rules alone: every tensor is used.
    pub const fn of(rules: &'static [(&'static str, &'static str)]) -> Self {
        Self { rules, unused: &[] }
    }

    /// Whether a published tensor belongs to a part that is not run.
    pub fn is_unused(&self, published: &str) -> bool {
        self.unused.iter().any(|prefix| published.starts_with(prefix))
    }

    /// The family's name of a published tensor.
    pub fn rename(&self, published: &str) -> String {
        let rule = self.rules.iter().find_map(|(from, to)| published.strip_prefix(from).map(|rest| (to, rest)));
        rule.map_or_else(|| published.to_owned(), |(to, rest)| format!("{to}{rest}"))
    }
}

/// The tensors that were asked for, by the family's names, all of them there, of the right shape and element type.
#[derive(Clone, Debug)]
pub struct Tensors {
    /// Every name that was asked for; `None` for an optional one that is absent.
    by_name: BTreeMap<String, Option<Selected>>,
}

#[derive(Clone, Debug)]
struct Selected {
    role: Role,
    stored: StoredTensor,
}

impl Tensors {
    /// The tensor as a matrix: its first dimension by all others. Shares the mapped values.
    ///
    /// # Panics
    /// If the name is none of the specs, or of an optional tensor that is absent: a defect of the caller.
    pub fn matrix(&self, name: &str) -> Matrix {
        self.optional_matrix(name).unwrap_or_else(|| panic!("tensor {name} is optional and absent"))
    }

    /// The tensor as a matrix, if it is there.
    ///
    /// # Panics
    /// If the name is none of the specs, or one of integers: a defect of the caller.
    pub fn optional_matrix(&self, name: &str) -> Option<Matrix> {
        self.selected(name).map(|tensor| {
            let stored = &tensor.stored;
            let rows = stored.shape.first().copied().unwrap_or(1);
            let cols = stored.shape.iter().skip(1).product();
            let dtype = stored.dtype.float().unwrap_or_else(|| panic!("tensor {name} was not asked for as floats"));
            Matrix::from_bytes(stored.bytes.clone(), dtype, rows, cols)
        })
    }

    /// All values of the tensor as f32, row-major.
    ///
    /// # Panics
    /// If the name is none of the specs, or of an optional tensor that is absent: a defect of the caller.
    pub fn vector(&self, name: &str) -> Vec<f32> {
        self.matrix(name).to_f32()
    }

    /// All values of the tensor as f32, row-major, if it is there.
    ///
    /// # Panics
    /// If the name is none of the specs: a defect of the caller.
    pub fn optional_vector(&self, name: &str) -> Option<Vec<f32>> {
        self.optional_matrix(name).map(|matrix| matrix.to_f32())
    }

    /// Whether the tensor is there.
    ///
    /// # Panics
    /// If the name is none of the specs: a defect of the caller.
    pub fn has(&self, name: &str) -> bool {
        self.selected(name).is_some()
    }

    /// Bytes all tensors take as stored.
    pub fn byte_len(&self) -> u64 {
        self.by_name.values().flatten().map(|tensor| tensor.stored.bytes.as_ref().len() as u64).sum()
    }

    /// Reads every float once and refuses NaN and infinity.
    ///
    /// # Errors
    /// [`CheckpointError::NotFinite`], which lists every tensor that has some.
    pub fn check_finite(&self) -> Result<(), CheckpointError> {
        self.check_finite_of(|_| true)
    }

    /// [`check_finite`](Self::check_finite) of all floats but tables, so that what is read lazily stays unread.
    pub(crate) fn check_finite_but_tables(&self) -> Result<(), CheckpointError> {
        self.check_finite_of(|role| !matches!(role, Role::Table(_)))
    }

    fn check_finite_of(&self, wanted: impl Fn(&Role) -> bool) -> Result<(), CheckpointError> {
        let wanted = self.by_name.iter().filter_map(|(name, tensor)| {
            let Selected { stored, .. } = tensor.as_ref().filter(|tensor| wanted(&tensor.role))?;
            Some((stored, Scan { tensor: name, dtype: stored.dtype.float()?, bytes: stored.bytes.as_ref() }))
        });
        let (mut tensors, mut group, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut scan = |group: &mut Vec<(&StoredTensor, Scan<'_>)>| {
            let (stored, scans): (Vec<_>, Vec<_>) = group.drain(..).unzip();
            tensors.extend(finite::scan(&scans));
            // A checkpoint may be larger than memory: what was looked at need not stay.
            stored.iter().for_each(|stored| stored.place.release(0..stored.bytes.as_ref().len()));
        };
        for one in wanted {
            bytes += one.1.bytes.len();
            group.push(one);
            if bytes >= SCANNED_AT_ONCE {
                scan(&mut group);
                bytes = 0;
            }
        }
        scan(&mut group);
        if tensors.is_empty() { Ok(()) } else { Err(CheckpointError::NotFinite { tensors }) }
    }

    /// The tensor as it is stored.
    ///
    /// # Panics
    /// If the name is none of the specs, or of an optional tensor that is absent: a defect of the caller.
    pub(crate) fn stored(&self, name: &str) -> &StoredTensor {
        &self.selected(name).unwrap_or_else(|| panic!("tensor {name} is optional and absent")).stored
    }

    fn selected(&self, name: &str) -> Option<&Selected> {
        let asked = self.by_name.get(name);
        asked.unwrap_or_else(|| panic!("tensor {name} was not asked for")).as_ref()
    }
}

/// Compares all of `specs` with all of `stored`.
///
/// # Panics
/// If two specs have one name: a defect of the caller.
pub(crate) fn select(
    stored: &[StoredTensor],
    naming: &Naming,
    specs: &[TensorSpec],
) -> Result<Tensors, CheckpointError> {
    let mut mismatches = Vec::new();
    let mut there: BTreeMap<String, &StoredTensor> = BTreeMap::new();
    let is_derived = |name: &str| DERIVED.iter().any(|end| name.ends_with(end));
    let needed = stored.iter().filter(|tensor| !is_derived(&tensor.name) && !naming.is_unused(&tensor.name));
    for tensor in needed {
        let name = naming.rename(&tensor.name);
        if let Some(first) = there.get(&name) {
            let published = [first.name.clone(), tensor.name.clone()];
            mismatches.push(Mismatch { tensor: name, problem: Problem::Collision { published } });
        } else {
            there.insert(name, tensor);
        }
    }

    let mut asked: HashMap<&str, &TensorSpec> = HashMap::with_capacity(specs.len());
    let mut by_name = BTreeMap::new();
    for spec in specs {
        assert!(asked.insert(&spec.name, spec).is_none(), "tensor {} is asked for twice", spec.name);
        let tensor = there.get(&spec.name);
        match tensor.map_or_else(|| absent(spec), |tensor| check(spec, tensor).map(Some)) {
            Ok(selected) => drop(by_name.insert(spec.name.clone(), selected)),
            Err(problem) => mismatches.push(Mismatch { tensor: spec.name.clone(), problem }),
        }
    }
    let unexpected = there.into_iter().filter(|(name, _)| !asked.contains_key(name.as_str()));
    mismatches.extend(unexpected.map(|(name, tensor)| Mismatch {
        tensor: name,
        problem: Problem::Unexpected { dtype: tensor.dtype, found: tensor.shape.clone() },
    }));
    if mismatches.is_empty() { Ok(Tensors { by_name }) } else { Err(CheckpointError::Tensors { mismatches }) }
}

fn absent(spec: &TensorSpec) -> Result<Option<Selected>, Problem> {
    match spec.presence {
        Presence::Optional => Ok(None),
        Presence::Required => Err(Problem::Missing { expected: spec.shape.clone(), elements: spec.elements }),
    }
}

fn check(spec: &TensorSpec, tensor: &StoredTensor) -> Result<Selected, Problem> {
    if spec.shape != tensor.shape {
        return Err(Problem::Shape { expected: spec.shape.clone(), found: tensor.shape.clone() });
    }
    if !spec.elements.accept(tensor.dtype) {
        return Err(Problem::Dtype { expected: spec.elements, found: tensor.dtype });
    }
    Ok(Selected { role: spec.role.clone(), stored: tensor.clone() })
}
