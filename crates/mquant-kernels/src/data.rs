//! The nouns of the kernel contract: activations as [`Rows`], float weights as [`Matrix`].

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use half::{bf16, f16};

use crate::buffers::Buffer;

/// Activations: `rows × features` in f32, row-major. Heads, images and frames exist only inside attention and patchify.
///
/// Dropped rows leave their memory to the next ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    data: Buffer<f32>,
    features: usize,
}

impl Rows {
    /// `rows × features` zeros.
    pub fn zeros(rows: usize, features: usize) -> Self {
        Self { data: Buffer::zeros(rows * features), features }
    }

    /// `rows × features` arbitrary values, all to be written before they are read.
    pub fn for_overwrite(rows: usize, features: usize) -> Self {
        Self { data: Buffer::for_overwrite(rows * features), features }
    }

    /// Takes row-major data.
    ///
    /// # Panics
    /// If the length is no multiple of `features`, or `features` is 0.
    pub fn from_vec(data: Vec<f32>, features: usize) -> Self {
        assert!(features > 0 && data.len().is_multiple_of(features), "{} values in rows of {features}", data.len());
        Self { data: Buffer::from_vec(data), features }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.data.len() / self.features
    }

    /// Values in a row.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Row `i`.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.features..(i + 1) * self.features]
    }

    /// Row `i`, writable.
    pub fn row_mut(&mut self, i: usize) -> &mut [f32] {
        &mut self.data[i * self.features..(i + 1) * self.features]
    }

    /// Rows `range`, contiguous.
    pub fn range(&self, range: Range<usize>) -> &[f32] {
        &self.data[range.start * self.features..range.end * self.features]
    }

    /// All values, row-major.
    pub fn as_slice(&self) -> &[f32] {
        &self.data
    }

    /// All values, row-major, writable.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The values, row-major.
    pub fn into_vec(self) -> Vec<f32> {
        self.data.into_vec()
    }

    /// The same values read as rows of `repeat` consecutive rows each: a merger's view of its patches.
    ///
    /// # Panics
    /// If the number of rows is no multiple of `repeat`.
    pub fn regroup(self, repeat: usize) -> Self {
        let features = self.features * repeat;
        assert!(features > 0 && self.data.len().is_multiple_of(features), "{} rows in groups of {repeat}", self.rows());
        Self { features, ..self }
    }

    /// Appends the rows of `other`.
    ///
    /// # Panics
    /// If the features differ.
    pub fn append(&mut self, other: &Rows) {
        assert_eq!(self.features, other.features, "rows of different features");
        self.data.extend(&other.data);
    }

    /// `self += other`, the residual add.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn add(&mut self, other: &Rows) {
        assert_eq!((self.data.len(), self.features), (other.data.len(), other.features), "rows of different shapes");
        for (a, b) in self.data.iter_mut().zip(&*other.data) {
            *a += b;
        }
    }
}

/// Storage type of float weights, as in a safetensors header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    Bf16,
}

impl Dtype {
    /// Bytes a value takes.
    pub fn bytes(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::Bf16 => 2,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::F32 => "F32",
            Dtype::F16 => "F16",
            Dtype::Bf16 => "BF16",
        })
    }
}

/// Bytes that stay where they are while anything holds them: a mapped file or an owned buffer. Cloning copies no data.
#[derive(Clone)]
pub struct Bytes {
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
    range: Range<usize>,
}

impl Bytes {
    /// All bytes of `owner`.
    pub fn new(owner: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Self {
        let range = 0..(*owner).as_ref().len();
        Self { owner, range }
    }

    /// A part of these bytes; shares the owner.
    ///
    /// # Panics
    /// If the range is not inside.
    pub fn slice(&self, range: Range<usize>) -> Self {
        assert!(
            range.start <= range.end && range.end <= self.range.len(),
            "slice {range:?} of {} bytes",
            self.range.len()
        );
        Self { owner: self.owner.clone(), range: self.range.start + range.start..self.range.start + range.end }
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &(*self.owner).as_ref()[self.range.clone()]
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.range.len())
    }
}

/// Values of a float weight where they lie: owned f32, or stored as the checkpoint has them.
#[derive(Clone, Debug)]
enum Storage {
    Owned(Arc<Vec<f32>>),
    Stored(Dtype, Bytes),
}

/// A float weight, `rows × cols`, row-major: `rows` outputs of `cols` inputs, as checkpoints store a linear layer.
///
/// Kept as stored (bf16 stays bf16, mapped stays mapped) and converted to f32 where it is used. Cloning shares the values.
#[derive(Clone, Debug)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    storage: Storage,
}

/// Values of a [`Matrix`] in their own type.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Half precision.
    F16(&'a [f16]),
    /// Brain float.
    Bf16(&'a [bf16]),
}

impl Matrix {
    /// Takes row-major f32 values.
    ///
    /// # Panics
    /// If the length is not `rows · cols`.
    pub fn from_f32(values: Vec<f32>, rows: usize, cols: usize) -> Self {
        assert_eq!(values.len(), rows * cols, "values of a {rows} × {cols} matrix");
        Self { rows, cols, storage: Storage::Owned(Arc::new(values)) }
    }

    /// Little-endian values of `dtype`, row-major, used where they lie. Bytes not aligned to the type are copied.
    ///
    /// # Panics
    /// If the length is not `rows · cols` values.
    pub fn from_bytes(bytes: Bytes, dtype: Dtype, rows: usize, cols: usize) -> Self {
        assert_eq!(bytes.as_ref().len(), rows * cols * dtype.bytes(), "bytes of a {rows} × {cols} {dtype} matrix");
        let aligned = bytes.as_ref().as_ptr().align_offset(dtype.bytes()) == 0;
        let bytes = if aligned { bytes } else { aligned_copy(bytes.as_ref()) };
        Self { rows, cols, storage: Storage::Stored(dtype, bytes) }
    }

    /// Number of outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// How the values are stored.
    pub fn dtype(&self) -> Dtype {
        match &self.storage {
            Storage::Owned(_) => Dtype::F32,
            Storage::Stored(dtype, _) => *dtype,
        }
    }

    /// Bytes the values take.
    pub fn byte_len(&self) -> usize {
        self.rows * self.cols * self.dtype().bytes()
    }

    /// The values, row-major, in their own type.
    pub fn values(&self) -> Values<'_> {
        match &self.storage {
            Storage::Owned(values) => Values::F32(values),
            Storage::Stored(dtype, bytes) => match dtype {
                Dtype::F32 => Values::F32(bytemuck::cast_slice(bytes.as_ref())),
                Dtype::F16 => Values::F16(bytemuck::cast_slice(bytes.as_ref())),
                Dtype::Bf16 => Values::Bf16(bytemuck::cast_slice(bytes.as_ref())),
            },
        }
    }

    /// Rows `range` as f32, row-major, into `out`.
    ///
    /// # Panics
    /// If `out` does not hold exactly these rows.
    pub fn read_rows(&self, range: Range<usize>, out: &mut [f32]) {
        let span = range.start * self.cols..range.end * self.cols;
        match self.values() {
            Values::F32(v) => out.copy_from_slice(&v[span]),
            Values::F16(v) => widen(&v[span], out, |x| x.to_f32()),
            Values::Bf16(v) => widen(&v[span], out, |x| f32::from_bits(u32::from(x.to_bits()) << 16)),
        }
    }

    /// All values as f32, row-major.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.rows * self.cols];
        self.read_rows(0..self.rows, &mut out);
        out
    }

    /// The same values rounded to `dtype`, ties to even; shared where they are of that type already.
    pub fn to_dtype(&self, dtype: Dtype) -> Self {
        if self.dtype() == dtype {
            return self.clone();
        }
        let mut row = vec![0f32; self.cols];
        let mut words: Vec<u16> = Vec::with_capacity(if dtype == Dtype::F32 { 0 } else { self.rows * self.cols });
        for i in 0..self.rows {
            self.read_rows(i..i + 1, &mut row);
            match dtype {
                Dtype::F32 => return Self::from_f32(self.to_f32(), self.rows, self.cols),
                Dtype::F16 => words.extend(row.iter().map(|v| f16::from_f32(*v).to_bits())),
                Dtype::Bf16 => words.extend(row.iter().map(|v| bf16::from_f32(*v).to_bits())),
            }
        }
        let bytes = Bytes::new(Arc::new(HalfWords(words)));
        Self { rows: self.rows, cols: self.cols, storage: Storage::Stored(dtype, bytes) }
    }

    /// Rows `range` as a matrix of its own; shares mapped values.
    ///
    /// # Panics
    /// If the range is not inside.
    pub fn row_range(&self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.rows, "rows {range:?} of {}", self.rows);
        let (rows, span) = (range.len(), range.start * self.cols..range.end * self.cols);
        let storage = match &self.storage {
            Storage::Owned(v) => Storage::Owned(Arc::new(v[span].to_vec())),
            Storage::Stored(d, b) => Storage::Stored(*d, b.slice(span.start * d.bytes()..span.end * d.bytes())),
        };
        Self { rows, cols: self.cols, storage }
    }

    /// Turns the values into owned f32, once, and gives them out to be changed. Other clones keep the old values.
    pub fn make_mut(&mut self) -> &mut [f32] {
        if let Storage::Stored(..) = self.storage {
            self.storage = Storage::Owned(Arc::new(self.to_f32()));
        }
        match &mut self.storage {
            Storage::Owned(v) => Arc::make_mut(v).as_mut_slice(),
            Storage::Stored(..) => unreachable!("made owned above"),
        }
    }

    /// Whether both read the same stored bytes, as a tied head and its embedding do.
    pub fn shares_values(&self, other: &Matrix) -> bool {
        let start = |m: &Matrix| match m.values() {
            Values::F32(v) => v.as_ptr() as usize,
            Values::F16(v) => v.as_ptr() as usize,
            Values::Bf16(v) => v.as_ptr() as usize,
        };
        start(self) == start(other)
    }
}

/// 16-bit values as bytes.
struct HalfWords(Vec<u16>);

impl AsRef<[u8]> for HalfWords {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

fn widen<T: Copy>(from: &[T], to: &mut [f32], f: impl Fn(T) -> f32) {
    assert_eq!(from.len(), to.len(), "values to widen");
    for (o, v) in to.iter_mut().zip(from) {
        *o = f(*v);
    }
}

fn aligned_copy(bytes: &[u8]) -> Bytes {
    struct Words(Vec<u32>, usize);
    impl AsRef<[u8]> for Words {
        fn as_ref(&self) -> &[u8] {
            &bytemuck::cast_slice(&self.0)[..self.1]
        }
    }
    let mut words = vec![0u32; bytes.len().div_ceil(4)];
    bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
    Bytes::new(Arc::new(Words(words, bytes.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_values_read_back_whatever_their_alignment() {
        let values: Vec<f32> = (0..24).map(|i| i as f32 * 0.5 - 3.0).collect();
        let mut raw = vec![0u8]; // one byte of offset: nothing is aligned
        raw.extend(values.iter().flat_map(|v| bf16::from_f32(*v).to_bits().to_le_bytes()));
        let bytes = Bytes::new(Arc::new(raw)).slice(1..1 + 48);
        let m = Matrix::from_bytes(bytes, Dtype::Bf16, 4, 6);
        assert_eq!(m.to_f32(), values);
        assert_eq!(m.row_range(1..3).to_f32(), values[6..18]);
    }

    #[test]
    fn changing_a_clone_leaves_the_original() {
        let a = Matrix::from_f32(vec![1.0, 2.0], 1, 2);
        let mut b = a.clone();
        assert!(a.shares_values(&b));
        b.make_mut()[0] = 5.0;
        assert_eq!((a.to_f32(), b.to_f32()), (vec![1.0, 2.0], vec![5.0, 2.0]));
    }
}
