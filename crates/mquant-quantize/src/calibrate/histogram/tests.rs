use super::*;

/// Numbers between 0 and 1 that look random.
fn uniform(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as f64 + 0.5) / (1u64 << 31) as f64
    }
}

fn gaussian(n: usize, seed: u64) -> Vec<f32> {
    let mut random = uniform(seed);
    (0..n).map(|_| ((-2.0 * random().ln()).sqrt() * (std::f64::consts::TAU * random()).cos()) as f32).collect()
}

fn laplace(n: usize, seed: u64) -> Vec<f32> {
    let mut random = uniform(seed);
    (0..n).map(|_| (random().ln() * if random() < 0.5 { -1.0 } else { 1.0 }) as f32).collect()
}

fn seen(values: &[f32]) -> Histogram {
    let mut histogram = Histogram::new();
    values.chunks(1000).for_each(|part| histogram.add(part));
    histogram
}

/// Mean squared error of the values themselves.
fn exact(values: &[f32], scale: f32, levels: f64) -> f64 {
    let error = |v: &f32| {
        let (v, s) = (f64::from(*v), f64::from(scale));
        (v - (v / s).round_ties_even().clamp(-levels, levels) * s).powi(2)
    };
    values.iter().map(error).sum::<f64>() / values.len() as f64
}

#[test]
fn the_scale_is_about_the_best_there_is() {
    let outlier = |at: f32| {
        let mut values = gaussian(20_000, 5);
        values[777] = at;
        values
    };
    let relu: Vec<f32> = gaussian(20_000, 8).iter().map(|v| v.max(0.0)).collect();
    let tiny: Vec<f32> = laplace(20_000, 9).iter().map(|v| v * 1e-5).collect();
    for (name, values) in [
        ("gaussian", gaussian(20_000, 1)),
        ("laplace", laplace(20_000, 2)),
        ("outlier of 20", outlier(20.0)),
        ("outlier of 1000", outlier(-1000.0)),
        ("outlier of 1e6", outlier(1e6)),
        ("relu", relu),
        ("tiny", tiny),
    ] {
        let histogram = seen(&values);
        for levels in [7u32, 127] {
            let whole = histogram.absmax() / levels as f32;
            let tried = (0..600).map(|i| whole * (-f64::from(i) / 30.0).exp2() as f32);
            let best = tried.map(|scale| exact(&values, scale, f64::from(levels))).fold(f64::INFINITY, f64::min);
            let found = exact(&values, histogram.mse_scale(levels), f64::from(levels));
            let all = exact(&values, whole, f64::from(levels));
            println!("{name:16} {levels:3} levels: {:.4} of the best, {:.4} of no clipping", found / best, found / all);
            assert!(found <= best * 1.01, "{name}, {levels} levels: {found:e}, best {best:e}");
        }
    }
}

#[test]
fn percentiles_lie_within_a_bin() {
    let mut values = laplace(30_000, 4);
    values[..5000].fill(0.0);
    let histogram = seen(&values);
    let mut sorted: Vec<f32> = values.iter().map(|v| v.abs()).collect();
    sorted.sort_by(f32::total_cmp);
    for p in [0.1, 0.2, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 1.0] {
        let exact = sorted[((p * 30_000f64).ceil() as usize).clamp(1, 30_000) - 1];
        let found = histogram.percentile(p);
        assert!(found >= exact && found <= exact * 1.0079, "{p}: {found}, exact {exact}");
    }
    assert_eq!((histogram.percentile(1.0), histogram.absmax()), (sorted[29_999], sorted[29_999]));
    assert_eq!((histogram.percentile(0.0), histogram.percentile(-1.0)), (0.0, 0.0));
    assert_eq!((histogram.percentile(2.0), histogram.percentile(f64::NAN)), (histogram.absmax(), histogram.absmax()));
    assert_eq!((histogram.zeros(), histogram.count()), (5000, 30_000));
}

#[test]
fn merging_is_adding() {
    let values = laplace(5000, 7);
    let (mut left, right) = (seen(&values[..1234]), seen(&values[1234..]));
    left.merge(&right);
    assert_eq!(left, seen(&values));
    let mut reversed = seen(&values[1234..]);
    reversed.merge(&seen(&values[..1234]));
    assert_eq!(left, reversed);
}

#[test]
fn extremes_are_counted_and_give_scales() {
    let mut histogram = seen(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0]);
    assert_eq!((histogram.not_finite(), histogram.zeros(), histogram.count(), histogram.absmax()), (3, 2, 2, 0.0));
    assert_eq!((histogram.mse_scale(127), histogram.percentile(0.5)), (SMALLEST_SCALE, 0.0));
    assert_eq!((Histogram::new().mse_scale(127), Histogram::new().percentile(0.9)), (SMALLEST_SCALE, 0.0));
    histogram.add(&[f32::MIN]);
    assert_eq!(histogram.absmax(), f32::MAX);
    for values in
        [vec![f32::from_bits(1)], vec![f32::MAX; 3], vec![2.5; 9], vec![f32::from_bits(1), f32::MAX], vec![1e-38, 1e38]]
    {
        let histogram = seen(&values);
        let scale = histogram.mse_scale(127);
        assert!(scale.is_finite() && scale >= SMALLEST_SCALE && scale <= scale_of(histogram.absmax(), 127.0));
        assert_eq!(histogram.percentile(1.0), histogram.absmax());
    }
    assert_eq!(seen(&[2.5; 9]).mse_scale(127), 2.5 / 127.0);
}
