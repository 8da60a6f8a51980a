//! The few vector operations that a rotation is made of. One value is the definition; wider ones do the same to each.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Some values that are worked on side by side.
///
/// # Safety
/// Every method may only be called where the CPU has the instructions of the type.
pub(super) trait Vector: Copy {
    /// Number of values, a power of two.
    const WIDTH: usize;

    /// The values at `from`.
    ///
    /// # Safety
    /// `WIDTH` values can be read there.
    unsafe fn load(from: *const f32) -> Self;

    /// Writes the values to `to`.
    ///
    /// # Safety
    /// `WIDTH` values can be written there.
    unsafe fn store(self, to: *mut f32);

    /// a + b.
    ///
    /// # Safety
    /// As the trait says.
    unsafe fn add(self, other: Self) -> Self;

    /// a − b.
    ///
    /// # Safety
    /// As the trait says.
    unsafe fn sub(self, other: Self) -> Self;

    /// Sums and differences of values 1, 2, 4, … apart, as far as `size`/2 and the vector reach.
    ///
    /// # Safety
    /// As the trait says.
    unsafe fn within(self, size: usize) -> Self;
}

impl Vector for f32 {
    const WIDTH: usize = 1;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { *from }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { *to = self };
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self + other
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self - other
    }

    #[inline(always)]
    unsafe fn within(self, _size: usize) -> Self {
        self
    }
}

#[cfg(target_arch = "x86_64")]
impl Vector for __m256 {
    const WIDTH: usize = 8;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { _mm256_storeu_ps(to, self) };
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm256_add_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm256_sub_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn within(self, size: usize) -> Self {
        let mut v = self;
        // SAFETY: the caller's promise.
        unsafe {
            if size >= 2 {
                let other = _mm256_permute_ps::<0b10_11_00_01>(v);
                v = _mm256_blend_ps::<0b1010_1010>(_mm256_add_ps(other, v), _mm256_sub_ps(other, v));
            }
            if size >= 4 {
                let other = _mm256_permute_ps::<0b01_00_11_10>(v);
                v = _mm256_blend_ps::<0b1100_1100>(_mm256_add_ps(other, v), _mm256_sub_ps(other, v));
            }
            if size >= 8 {
                let other = _mm256_permute2f128_ps::<1>(v, v);
                v = _mm256_blend_ps::<0b1111_0000>(_mm256_add_ps(other, v), _mm256_sub_ps(other, v));
            }
        }
        v
    }
}

#[cfg(target_arch = "x86_64")]
impl Vector for __m512 {
    const WIDTH: usize = 16;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { _mm512_storeu_ps(to, self) };
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm512_add_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { _mm512_sub_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn within(self, size: usize) -> Self {
        let mut v = self;
        // SAFETY: the caller's promise.
        unsafe {
            if size >= 2 {
                let other = _mm512_permute_ps::<0b10_11_00_01>(v);
                v = _mm512_mask_sub_ps(_mm512_add_ps(other, v), 0b1010_1010_1010_1010, other, v);
            }
            if size >= 4 {
                let other = _mm512_permute_ps::<0b01_00_11_10>(v);
                v = _mm512_mask_sub_ps(_mm512_add_ps(other, v), 0b1100_1100_1100_1100, other, v);
            }
            if size >= 8 {
                let other = _mm512_shuffle_f32x4::<0b10_11_00_01>(v, v);
                v = _mm512_mask_sub_ps(_mm512_add_ps(other, v), 0b1111_0000_1111_0000, other, v);
            }
            if size >= 16 {
                let other = _mm512_shuffle_f32x4::<0b01_00_11_10>(v, v);
                v = _mm512_mask_sub_ps(_mm512_add_ps(other, v), 0b1111_1111_0000_0000, other, v);
            }
        }
        v
    }
}
