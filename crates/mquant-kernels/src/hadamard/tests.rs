//! Matrices against their definition, rotations against dense products in f64, every level against the scalar one.

use super::*;
use crate::features::Level;

/// Orders that are multiplied out, of which each has its own way to be made.
const DENSE: [usize; 13] = [12, 20, 28, 36, 52, 60, 76, 92, 108, 116, 148, 156, 172];

/// Widths of published models.
const WIDTHS: [usize; 20] = [
    80, 896, 1152, 1280, 1536, 2560, 3200, 3584, 4096, 4864, 5120, 6912, 8960, 9728, 11_008, 12_800, 14_336, 18_944,
    27_648, 29_568,
];

/// The matrix of a factor by definition, row-major.
fn signs_of(factor: usize) -> Vec<i8> {
    let at = |i: usize| (i / factor, i % factor);
    let matrix = orders::matrix(factor);
    let sign = |(i, j): (usize, usize)| match &matrix {
        Some(matrix) => matrix.at(i, j),
        None => 1 - 2 * ((i & j).count_ones() % 2) as i8,
    };
    (0..factor * factor).map(|i| sign(at(i))).collect()
}

/// The matrix of a block by the definition of a Kronecker product, row-major.
fn product_of(factors: &[usize]) -> Vec<i8> {
    factors.iter().fold(vec![1], |outer, factor| {
        let (n, inner) = (outer.len().isqrt(), signs_of(*factor));
        let size = n * factor;
        let entry = |i: usize, j: usize| outer[i / factor * n + j / factor] * inner[i % factor * factor + j % factor];
        (0..size * size).map(|at| entry(at / size, at % size)).collect()
    })
}

/// H·row / √n in f64, factor by factor, with sums in the plainest order; 2^m is m factors of 2.
fn expected(rotation: &Hadamard, row: &[f32], direction: Direction) -> Vec<f64> {
    let (blocks, factors) = rotation.parts();
    let block = row.len() / blocks;
    let mut y: Vec<f64> = row.iter().map(|v| f64::from(*v)).collect();
    let mut inner = 1;
    let parts = |f: &usize| if f.is_power_of_two() { vec![2; f.ilog2() as usize] } else { vec![*f] };
    for factor in factors.iter().rev().flat_map(parts) {
        let signs = signs_of(factor);
        let sign = |i: usize, j: usize| match direction {
            Direction::Forward => f64::from(signs[i * factor + j]),
            Direction::Inverse => f64::from(signs[j * factor + i]),
        };
        let x = y.clone();
        for (at, y) in y.iter_mut().enumerate() {
            let i = at / inner % factor;
            *y = (0..factor).map(|j| sign(i, j) * x[at - i * inner + j * inner]).sum();
        }
        inner *= factor;
    }
    y.iter().map(|v| v / (block as f64).sqrt()).collect()
}

fn noise(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| (((i + seed) * 7919 % 10_007) as f32 - 5000.0) * 1.7e-3).collect()
}

fn check(rotation: &Hadamard) {
    let row = noise(rotation.features(), 3);
    for direction in [Direction::Forward, Direction::Inverse] {
        let want = expected(rotation, &row, direction);
        let mut wide: Vec<f64> = row.iter().map(|v| f64::from(*v)).collect();
        rotation.apply_f64(Cpu::detect(), &mut wide, direction);
        for (at, (got, want)) in wide.iter().zip(&want).enumerate() {
            assert!(
                (got - want).abs() < 1e-11,
                "{:?} {direction:?} in f64 at {at}: {got} not {want}",
                rotation.parts()
            );
        }
        let mut scalar = row.clone();
        rotation.apply(Cpu::detect().capped(Level::Scalar).unwrap(), &mut scalar, direction);
        for (at, (got, want)) in scalar.iter().zip(&want).enumerate() {
            assert!(
                (f64::from(*got) - want).abs() < 3e-5,
                "{:?} {direction:?} at {at}: {got} not {want}",
                rotation.parts()
            );
        }
        for cpu in Cpu::levels() {
            let mut y = row.clone();
            rotation.apply(cpu, &mut y, direction);
            let same = y.iter().zip(&scalar).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{:?} {direction:?} at {}", rotation.parts(), cpu.level());
        }
    }
}

#[test]
fn every_matrix_is_orthogonal() {
    let known: Vec<usize> = (1..=LARGEST_DENSE).filter(|k| orders::is_known(*k)).collect();
    assert!(DENSE.iter().all(|k| known.contains(k)), "known are {known:?}");
    for order in known {
        let matrix = orders::matrix(order).unwrap();
        for i in 0..order {
            for j in 0..order {
                assert!(matches!(matrix.at(i, j), -1 | 1));
                let product: i32 = (0..order).map(|k| i32::from(matrix.at(i, k)) * i32::from(matrix.at(j, k))).sum();
                assert_eq!(product, if i == j { order as i32 } else { 0 }, "rows {i} and {j} of order {order}");
            }
        }
    }
}

// Bundles hold weights rotated by these matrices: a new order may change the sum, an old one must not.
#[test]
fn matrices_never_change() {
    let known: Vec<usize> = (1..=LARGEST_DENSE).filter(|k| orders::is_known(*k)).collect();
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for order in &known {
        let matrix = orders::matrix(*order).unwrap();
        for at in 0..order * order {
            hash = (hash ^ u64::from(matrix.at(at / order, at % order) < 0)).wrapping_mul(0x100_0000_01b3);
        }
    }
    assert_eq!((known.len(), hash), (40, 2069267329161308937), "orders and a checksum of their signs");
}

#[test]
fn composite_matrices_are_orthogonal_products() {
    for n in [1usize, 2, 4, 8, 16, 24, 40, 48, 80, 144, 240, 336] {
        let rotation = Hadamard::new(n).unwrap();
        let (blocks, factors) = rotation.parts();
        assert_eq!((blocks, factors.iter().product::<usize>()), (1, n));
        let matrix = product_of(&factors);
        let rows: Vec<&[i8]> = matrix.chunks_exact(n).collect();
        for i in 0..n {
            for j in 0..=i {
                let product: i32 = rows[i].iter().zip(rows[j]).map(|(a, b)| i32::from(a * b)).sum();
                assert_eq!(product, if i == j { n as i32 } else { 0 });
            }
            // Column i of the rotation is what it makes of the unit vector i.
            let mut unit = vec![0.0; n];
            unit[i] = (n as f32).sqrt();
            rotation.rotate_row(Cpu::detect(), &mut unit);
            for (got, row) in unit.iter().zip(&rows) {
                assert!((got - f32::from(row[i])).abs() < 1e-5, "order {n}, column {i}");
            }
        }
    }
}

#[test]
fn rotations_of_all_shapes_follow_the_definition_at_every_level() {
    for m in 0..=15 {
        check(&Hadamard::new(1 << m).unwrap());
    }
    for order in DENSE {
        for inner in [1, 2, 4, 8, 16, 64] {
            check(&Hadamard::new(order * inner).unwrap());
            check(&Hadamard::from_parts(1, &[order, inner]).unwrap());
        }
        for blocks in [3, 5, 19] {
            check(&Hadamard::blocks(order * blocks, order).unwrap());
            check(&Hadamard::blocks(order * 8 * blocks, order * 8).unwrap());
        }
    }
    for (blocks, factors) in [(1, &[12, 20][..]), (3, &[20, 12, 28, 2]), (7, &[12, 12]), (1, &[28, 20, 16])] {
        check(&Hadamard::from_parts(blocks, factors).unwrap());
    }
    for (features, block) in [(3420, 36), (3420, 180), (13_696, 128), (4304, 16), (15, 1), (30, 2), (1000, 8)] {
        check(&Hadamard::blocks(features, block).unwrap());
    }
}

#[test]
fn widths_of_models_are_rotated() {
    for width in WIDTHS {
        check(&Hadamard::new(width).unwrap());
    }
    let parts = |width| Hadamard::new(width).unwrap().parts().1;
    assert_eq!(parts(8960), [20, 28, 16]);
    assert_eq!(parts(18_944), [148, 128]);
    assert_eq!(parts(11_008), [172, 64]);
    assert_eq!(parts(5120), [20, 256]);
    assert_eq!(parts(4096), [4096]);
    assert_eq!(Hadamard::largest_power_of_two(13_696).unwrap().parts(), (107, vec![128]));
}

#[test]
fn turning_back_gives_the_row() {
    for width in [96, 1536, 8960, 11_008] {
        let rotation = Hadamard::new(width).unwrap();
        let row = noise(width, 11);
        let mut y = row.clone();
        rotation.rotate_row(Cpu::detect(), &mut y);
        let length = |v: &[f32]| v.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
        assert!((length(&y) / length(&row) - 1.0).abs() < 1e-5);
        rotation.inverse_row(Cpu::detect(), &mut y);
        assert!(y.iter().zip(&row).all(|(a, b)| (a - b).abs() < 2e-5), "{width}");
        let wide: Vec<f64> = row.iter().map(|v| f64::from(*v)).collect();
        let mut y = wide.clone();
        rotation.rotate_row_f64(Cpu::detect(), &mut y);
        rotation.inverse_row_f64(Cpu::detect(), &mut y);
        assert!(y.iter().zip(&wide).all(|(a, b)| (a - b).abs() < 1e-12), "{width} in f64");
    }
}

#[test]
#[cfg(unix)]
fn nothing_outside_the_row_is_touched() {
    use crate::guard::{Edge, Guarded};
    let shapes =
        [(1, 12), (1, 20 * 4), (3, 28), (5, 36), (1, 172), (1, 8), (7, 4), (1, 12 * 16), (1, 4096), (3, 1 << 13)];
    for (blocks, block) in shapes {
        let rotation = Hadamard::blocks(blocks * block, block).unwrap();
        let row = noise(blocks * block, 9);
        let mut want = row.clone();
        rotation.rotate_row(Cpu::detect(), &mut want);
        for edge in [Edge::Begin, Edge::End] {
            for cpu in Cpu::levels() {
                let mut y = Guarded::copy_of(&row, edge);
                rotation.rotate_row(cpu, &mut y);
                assert_eq!(*y, want[..], "{blocks} blocks of {block} at {}", cpu.level());
            }
        }
    }
}

#[test]
fn parts_name_a_rotation() {
    for rotation in [Hadamard::new(8960), Hadamard::blocks(3420, 180), Hadamard::new(12), Hadamard::new(1)] {
        let rotation = rotation.unwrap();
        let (blocks, factors) = rotation.parts();
        let same = Hadamard::from_parts(blocks, &factors).unwrap();
        assert_eq!((&same, same.features()), (&rotation, rotation.features()));
    }
}

#[test]
fn padding_goes_to_the_next_size_there_is() {
    for (features, padded) in
        [(18_944, 18_944), (29_568, 29_568), (4304, 4320), (3420, 3440), (4864, 4864), (1, 1), (3, 4)]
    {
        let rotation = Hadamard::padded(features).unwrap();
        assert_eq!((rotation.features(), rotation.parts().0), (padded, 1), "{features}");
        assert!((features..padded).all(|n| Hadamard::new(n).is_err()), "{features} has a nearer one");
    }
    for features in (36..4000).chain((4000..160_000).step_by(997)) {
        let padded = Hadamard::padded(features).unwrap().features();
        assert!(padded >= features && padded * 10 <= features * 11, "{features} to {padded}");
    }
    for features in [0, MAX_PADDED + 1, usize::MAX] {
        assert_eq!(Hadamard::padded(features), Err(HadamardError::Blocks { features, block: features }));
    }
    assert_eq!(Hadamard::padded(MAX_PADDED).unwrap().features(), MAX_PADDED);
}

#[test]
fn impossible_sizes_are_refused_in_words() {
    for order in [3usize, 6, 7, 14, 18, 107, 188, 428, 13_696] {
        let refused = Hadamard::new(order).unwrap_err();
        let power_of_two = 1 << order.trailing_zeros();
        assert_eq!(refused, HadamardError::Order { order, power_of_two });
        assert!(refused.to_string().contains(&format!("order {order} ")), "{refused}");
        assert!(Hadamard::blocks(order, power_of_two).is_ok());
    }
    for (features, block) in [(0, 0), (0, 4), (4, 0), (10, 4), (4, 8)] {
        assert_eq!(Hadamard::blocks(features, block).unwrap_err(), HadamardError::Blocks { features, block });
    }
    assert!(Hadamard::largest_power_of_two(0).is_err());
    for (blocks, factors, at) in
        [(1, &[16, 12][..], 0), (2, &[12, 7], 1), (1, &[6], 0), (1, &[512, 4], 0), (1, &[428], 0)]
    {
        assert_eq!(
            Hadamard::from_parts(blocks, factors).unwrap_err(),
            HadamardError::Factor { factor: factors[at], at }
        );
    }
    for (blocks, factors) in [(0, &[12][..]), (1, &[0]), (1, &[usize::MAX, 2]), (1 << 60, &[16]), (usize::MAX, &[12])] {
        assert!(matches!(Hadamard::from_parts(blocks, factors), Err(HadamardError::Size { .. })));
    }
}
