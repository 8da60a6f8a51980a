//! McNemar's test, exact: of the samples that only one of two models answered rightly, each model would have half if they were
//! equally good (McNemar 1947; Dietterich 1998 for its use on classifiers).

/// How likely an imbalance at least as large as `model_only` against `baseline_only` is if both models are equally good:
/// two-sided, from the binomial distribution.
pub fn mcnemar_p(model_only: usize, baseline_only: usize) -> f64 {
    let n = model_only + baseline_only;
    let few = model_only.min(baseline_only);
    // Logarithms, since 2ⁿ leaves f64 at n = 1024.
    let mut log_term = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = log_term.exp();
    for k in 1..=few {
        log_term += (((n + 1 - k) as f64) / k as f64).ln();
        tail += log_term.exp();
    }
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::mcnemar_p;

    #[test]
    fn values_are_those_of_the_binomial_distribution() {
        // 2·P(X ≤ k) of X ~ B(n, ½), from sums of binomial coefficients.
        for (a, b, expected) in [
            (0, 0, 1.0),
            (1, 0, 1.0),
            (5, 5, 1.0),
            (0, 5, 2.0 / 32.0),
            (1, 9, 2.0 * (1.0 + 10.0) / 1024.0),
            (8, 2, 2.0 * (1.0 + 10.0 + 45.0) / 1024.0),
            (10, 30, 2.0 * 0.001_110_716_886_614_682_2),
        ] {
            let found = mcnemar_p(a, b);
            assert!((found - expected).abs() < 1e-9 * expected.max(1e-3), "{a} {b}: {found} for {expected}");
        }
        // As the normal approximation has it: (1000 − 1100)/√2100 is 2.18 standard deviations.
        let found = mcnemar_p(1000, 1100);
        assert!((0.028..0.033).contains(&found), "{found}");
    }
}
