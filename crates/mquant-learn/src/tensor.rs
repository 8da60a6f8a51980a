//! Between tensors and slices.

use candle_core::{CpuStorage, Device, Layout, Shape, Storage, Tensor};

/// A result of tensor arithmetic.
pub(crate) type TensorResult<T> = candle_core::Result<T>;

/// Values of an operand, which must lie together.
pub(crate) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> TensorResult<&'a [f32]> {
    let values = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&values[from..to]),
        None => Err(candle_core::Error::Msg("an operand does not lie together".to_owned())),
    }
}

/// What `f` makes of the values of a tensor, row-major.
pub(crate) fn with_values<T>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> TensorResult<T>) -> TensorResult<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(slice(storage, layout)?),
        _ => Err(candle_core::Error::Msg("a tensor is not on the CPU".to_owned())),
    }
}

/// A tensor of values, row-major.
pub(crate) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> TensorResult<Tensor> {
    Tensor::from_vec(values, shape.into(), &Device::Cpu)
}

/// A tensor of indices.
pub(crate) fn indices(values: Vec<u32>) -> TensorResult<Tensor> {
    let len = values.len();
    Tensor::from_vec(values, len, &Device::Cpu)
}
