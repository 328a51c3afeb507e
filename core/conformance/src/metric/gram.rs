//! Whether numbers between distributions are a kernel: the smallest eigenvalue of their matrix.

use std::ops::{Index, IndexMut};

/// Sweeps of rotations at most. They converge quadratically: matrices of a few rows take about six.
const SWEEPS: usize = 64;

/// A matrix `[n, n]` that is symmetric.
#[derive(Clone, Debug)]
pub(super) struct Gram {
    n: usize,
    values: Vec<f64>,
}

impl Index<(usize, usize)> for Gram {
    type Output = f64;

    fn index(&self, (row, column): (usize, usize)) -> &f64 {
        &self.values[row * self.n + column]
    }
}

impl IndexMut<(usize, usize)> for Gram {
    fn index_mut(&mut self, (row, column): (usize, usize)) -> &mut f64 {
        &mut self.values[row * self.n + column]
    }
}

impl Gram {
    /// Of its upper triangle and diagonal; the rest follows.
    pub(super) fn new(n: usize, value: impl Fn(usize, usize) -> f64) -> Self {
        let values = (0..n * n).map(|at| value((at / n).min(at % n), (at / n).max(at % n))).collect();
        Self { n, values }
    }

    /// By Jacobi's rotations, each of which makes one entry beside the diagonal 0 and keeps the eigenvalues: accurate to
    /// rounding of the largest, with nothing to tune. Infinity where there is no row.
    pub(super) fn smallest_eigenvalue(mut self) -> f64 {
        let squares = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
        let negligible = squares(&self.values) * f64::EPSILON.powi(2);
        let n = self.n;
        let pairs = (0..n).flat_map(|p| (p + 1..n).map(move |q| (p, q)));
        for _ in 0..SWEEPS {
            let beside: Vec<f64> = pairs.clone().map(|pair| self[pair]).collect();
            if squares(&beside) <= negligible {
                break;
            }
            pairs.clone().for_each(|(p, q)| self.rotate(p, q));
        }
        (0..self.n).map(|at| self[(at, at)]).fold(f64::INFINITY, f64::min)
    }

    /// Turns the plane of two axes so that the entry between them becomes 0.
    fn rotate(&mut self, p: usize, q: usize) {
        let between = self[(p, q)];
        if between == 0.0 {
            return;
        }
        // The smaller of the two angles that do it: by the other one, sweeps need not converge.
        let cotangent = (self[(q, q)] - self[(p, p)]) / (2.0 * between);
        let tangent = 1.0_f64.copysign(cotangent) / (cotangent.abs() + cotangent.hypot(1.0));
        let cosine = 1.0 / tangent.hypot(1.0);
        let sine = tangent * cosine;
        let turned = |a: f64, b: f64| (cosine * a - sine * b, sine * a + cosine * b);
        for k in 0..self.n {
            (self[(k, p)], self[(k, q)]) = turned(self[(k, p)], self[(k, q)]);
        }
        for k in 0..self.n {
            (self[(p, k)], self[(q, k)]) = turned(self[(p, k)], self[(q, k)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Eigenvalues by hand: of a circulant, `c0 + 2 c1 cos(2πk/4) + c2 cos(πk)`; of a path's Laplacian,
    /// `2 - 2 cos(πk/n)`; of `[[a, b], [b, a]]`, `a ± b`.
    #[test]
    fn known_eigenvalues() {
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-14, "{found}, not {expected}");
        near(Gram::new(2, |i, j| if i == j { 1.0 } else { -3.0 }).smallest_eigenvalue(), -2.0);
        let circulant = [1.0, 0.75, 0.0, 0.75];
        near(Gram::new(4, |i, j| circulant[j - i]).smallest_eigenvalue(), -0.5);
        let path = |i: usize, j: usize| match j - i {
            0 => 2.0 - f64::from(u8::from(i == 0)) - f64::from(u8::from(i == 8)),
            1 => -1.0,
            _ => 0.0,
        };
        near(Gram::new(9, path).smallest_eigenvalue(), 0.0);
        let shifted = |i, j| path(i, j) - if i == j { 0.25 } else { 0.0 };
        near(Gram::new(9, shifted).smallest_eigenvalue(), -0.25);
        assert_eq!(Gram::new(1, |_, _| 7.0).smallest_eigenvalue(), 7.0);
        assert_eq!(Gram::new(3, |_, _| 0.0).smallest_eigenvalue(), 0.0);
    }

    proptest! {
        /// A matrix of inner products has no eigenvalue below 0; less `shift` on its diagonal, its smallest is less by that.
        #[test]
        fn eigenvalues_move_with_the_diagonal(
            vectors in prop::collection::vec(prop::array::uniform3(-1.0..1.0), 4..9),
            shift in 0.0..2.0,
        ) {
            let inner = |i: usize, j: usize| -> f64 { (0..3).map(|k| vectors[i][k] * vectors[j][k]).sum() };
            // More vectors than dimensions: the smallest is 0.
            let smallest = Gram::new(vectors.len(), inner).smallest_eigenvalue();
            prop_assert!(smallest.abs() < 1e-14, "{}", smallest);
            let shifted = Gram::new(vectors.len(), |i, j| inner(i, j) - if i == j { shift } else { 0.0 });
            let smallest = shifted.smallest_eigenvalue();
            prop_assert!((smallest + shift).abs() < 1e-13, "{} of {}", smallest, shift);
        }
    }
}
