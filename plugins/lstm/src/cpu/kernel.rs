//! The numeric kernels: matrix products by `gemm`, rows of a table gathered into columns, and `exp`, `sigmoid` and `tanh`
//! that the compiler vectorises.
//!
//! This is the crate's only module with `unsafe`, and the products are its only use of it. Everything element-wise is
//! plain Rust inside [`vectorized`], which runs it under the widest instructions that the processor has.

#![allow(unsafe_code, reason = "`gemm` takes raw pointers; the bounds are checked here, once, for the whole crate")]

/// An element-wise pass over slices.
pub trait Pass {
    /// What the pass comes to; `()` where it only writes.
    type Output;
    /// Must be `#[inline(always)]`, and so must all that it calls: only what is inlined into the caller is compiled for
    /// the caller's instructions. (A closure or a function pointer is not.)
    fn run(self) -> Self::Output;
}

/// Runs a pass compiled for the processor at hand: AVX-512, AVX2 with FMA, or the target's baseline.
pub fn vectorized<P: Pass>(pass: P) -> P::Output {
    struct Inlined<P>(P);
    impl<P: Pass> pulp::WithSimd for Inlined<P> {
        type Output = P::Output;
        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, _: S) -> P::Output {
            self.0.run()
        }
    }
    pulp::Arch::new().dispatch(Inlined(pass))
}

/// Every set of instructions that this machine has, the portable one included.
#[cfg(test)]
pub(crate) fn instructions() -> Vec<(&'static str, pulp::Arch)> {
    let mut all = vec![("portable", pulp::Arch::Scalar)];
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        all.extend(pulp::x86::V3::try_new().map(|simd| ("AVX2", pulp::Arch::V3(simd))));
        all.extend(pulp::x86::V4::try_new().map(|simd| ("AVX-512", pulp::Arch::V4(simd))));
    }
    #[cfg(target_arch = "aarch64")]
    all.push(("the widest", pulp::Arch::new()));
    all
}

/// What is smaller changes nothing that is trained, and is taken for 0. Gradients that go back through hundreds of steps, and the
/// means of those that are seldom there, would otherwise shrink to numbers without a leading bit, with which processors
/// compute some hundred times more slowly.
const TINY: f32 = 1e-30;

/// The value, 0 if it is tiny.
#[inline(always)]
pub fn not_tiny(value: f32) -> f32 {
    if value.abs() < TINY { 0.0 } else { value }
}

/// A matrix view over a slice: element `(i, j)` is at `i * row_stride + j * column_stride`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    data: &'a [f32],
    shape: View,
}

/// As [`Matrix`], to be written.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    data: &'a mut [f32],
    shape: View,
}

#[derive(Clone, Copy, Debug)]
struct View {
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl View {
    /// In row-major order, rows `stride` apart.
    fn row_major(rows: usize, columns: usize, stride: usize) -> Self {
        assert!(columns <= stride, "rows of {columns} columns overlap at a stride of {stride}");
        Self { rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// The shortest slice that holds every element.
    fn extent(&self) -> usize {
        match self.rows.min(self.columns) {
            0 => 0,
            _ => (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride + 1,
        }
    }
}

impl<'a> Matrix<'a> {
    /// `[rows, columns]` in row-major order.
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// `[rows, columns]` in row-major order, rows `stride` apart.
    pub fn strided(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        let shape = View::row_major(rows, columns, stride);
        assert!(shape.extent() <= data.len(), "a matrix of {shape:?} in {} values", data.len());
        Self { data, shape }
    }

    /// `[columns, rows]`: the same values, transposed without a copy.
    pub fn t(self) -> Self {
        let View { rows, columns, row_stride, column_stride } = self.shape;
        let shape = View { rows: columns, columns: rows, row_stride: column_stride, column_stride: row_stride };
        Self { data: self.data, shape }
    }
}

impl<'a> MatrixMut<'a> {
    /// `[rows, columns]` in row-major order.
    pub fn new(data: &'a mut [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// `[rows, columns]` in row-major order, rows `stride` apart.
    pub fn strided(data: &'a mut [f32], rows: usize, columns: usize, stride: usize) -> Self {
        let shape = View::row_major(rows, columns, stride);
        assert!(shape.extent() <= data.len(), "a matrix of {shape:?} in {} values", data.len());
        Self { data, shape }
    }
}

/// Whether a product replaces its output or is added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// `out = a b`
    Replace,
    /// `out += a b`
    Add,
}

/// `out = a b` or `out += a b`, on the calling thread alone.
///
/// An element's bits depend on its row of `a`, its column of `b` and the shapes, not on the other rows and columns: callers
/// that promise equal bits keep to a fixed shape.
pub fn product(out: MatrixMut<'_>, write: Write, a: Matrix<'_>, b: Matrix<'_>) {
    let (o, a_shape, b_shape) = (out.shape, a.shape, b.shape);
    assert!(
        o.rows == a_shape.rows && o.columns == b_shape.columns && a_shape.columns == b_shape.rows,
        "product of {a_shape:?} and {b_shape:?} into {o:?}"
    );
    if o.rows == 0 || o.columns == 0 {
        return;
    }
    // `gemm` is at its best with a column-major output, and ours is row-major, so it computes out' = b' a'.
    // SAFETY: the constructors of the views checked that every element addressed by shape and strides lies in its
    // slice, the assertion above that the shapes agree. The output's rows do not overlap (its stride is at least its
    // width), and the borrow rules keep it apart from `a` and `b`. Strides fit `isize` as the slices do.
    unsafe {
        gemm::gemm(
            o.columns,
            o.rows,
            a_shape.columns,
            out.data.as_mut_ptr(),
            o.row_stride as isize,
            o.column_stride as isize,
            write == Write::Add,
            b.data.as_ptr(),
            b_shape.row_stride as isize,
            b_shape.column_stride as isize,
            a.data.as_ptr(),
            a_shape.row_stride as isize,
            a_shape.column_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Copies rows of a `table` `[_, width]` into the columns of `out` `[width, 16]`.
pub fn gather(arch: pulp::Arch, table: &[f32], width: usize, rows: &[u32; 16], out: &mut [f32]) {
    let rows = rows.map(|row| &table[row as usize * width..][..width]);
    let done = match arch {
        #[cfg(target_arch = "x86_64")]
        pulp::Arch::V3(simd) => simd.vectorize(turn::Rows(simd, &rows, out)),
        #[cfg(target_arch = "x86_64")]
        pulp::Arch::V4(simd) => (*simd).vectorize(turn::Rows(*simd, &rows, out)),
        _ => 0,
    };
    for (k, out) in out.chunks_exact_mut(16).enumerate().take(width).skip(done) {
        out.iter_mut().zip(&rows).for_each(|(out, row)| *out = row[k]);
    }
}

/// Rows into columns with the shuffles of x86, which the compiler does not find by itself: four times as fast.
#[cfg(target_arch = "x86_64")]
mod turn {
    use std::arch::x86_64::__m256;

    use pulp::x86::V3;

    /// The instructions, the rows and the output. Gives how many values of each row are done, a multiple of 8.
    pub struct Rows<'a>(pub V3, pub &'a [&'a [f32]; 16], pub &'a mut [f32]);

    impl pulp::NullaryFnOnce for Rows<'_> {
        type Output = usize;

        #[inline(always)]
        fn call(self) -> usize {
            let Self(simd, rows, out) = self;
            let mut blocks = [&[] as &[[f32; 8]]; 16];
            for l in 0..16 {
                blocks[l] = rows[l].as_chunks().0;
            }
            let (out, _) = out.as_chunks_mut::<8>();
            let count = blocks[0].len();
            for (k, out) in out.chunks_exact_mut(16).enumerate().take(count) {
                for half in 0..2 {
                    let mut block = [[0.0; 8]; 8];
                    for l in 0..8 {
                        block[l] = blocks[half * 8 + l][k];
                    }
                    let columns = transpose(simd, pulp::cast(block));
                    for (out, column) in out.iter_mut().skip(half).step_by(2).zip(columns) {
                        *out = pulp::cast(column);
                    }
                }
            }
            count * 8
        }
    }

    /// 8 rows of 8 values become 8 columns.
    #[inline(always)]
    fn transpose(simd: V3, rows: [__m256; 8]) -> [__m256; 8] {
        let avx = simd.avx;
        let (mut pairs, mut fours, mut columns) = (rows, rows, rows);
        for i in 0..4 {
            pairs[2 * i] = avx._mm256_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = avx._mm256_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
        }
        for i in [0, 4] {
            fours[i] = avx._mm256_shuffle_ps::<0x44>(pairs[i], pairs[i + 2]);
            fours[i + 1] = avx._mm256_shuffle_ps::<0xEE>(pairs[i], pairs[i + 2]);
            fours[i + 2] = avx._mm256_shuffle_ps::<0x44>(pairs[i + 1], pairs[i + 3]);
            fours[i + 3] = avx._mm256_shuffle_ps::<0xEE>(pairs[i + 1], pairs[i + 3]);
        }
        for i in 0..4 {
            columns[i] = avx._mm256_permute2f128_ps::<0x20>(fours[i], fours[i + 4]);
            columns[i + 4] = avx._mm256_permute2f128_ps::<0x31>(fours[i], fours[i + 4]);
        }
        columns
    }
}

/// 1.5 * 2^23: adding it rounds a float to an integer, which then is its low bits.
const ROUND: f32 = 12_582_912.0;

/// `(2^n, e^r - 1)` where `x = n ln 2 + r`, |r| <= ln 2 / 2. `x` must be within ±87. NaN gives NaN in the second.
#[inline(always)]
fn split_exp(x: f32) -> (f32, f32) {
    let rounded = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    // ln 2 in two parts, so that n ln 2 loses nothing.
    let r = n.mul_add(2.121_944_4e-4, n.mul_add(-0.693_359_4, x));
    let power = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    // The polynomial of Cephes' expf.
    let p = 1.987_569_1e-4_f32;
    let p = p.mul_add(r, 1.398_199_9e-3);
    let p = p.mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_5e-1);
    let p = p.mul_add(r, 0.5);
    (power, (p * r).mul_add(r, r))
}

/// `e^x` within 2 ulp for |x| <= 87, and the value at ±87 beyond. NaN stays NaN.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let (power, fraction) = split_exp(x.clamp(-87.0, 87.0));
    fraction.mul_add(power, power)
}

/// The logistic function, within 4 ulp for x > -87. NaN stays NaN.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `tanh`, within 4 ulp. NaN stays NaN.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let e = exp_m1_twice(x);
    e / (e + 2.0)
}

/// `e^(2x) - 1`, clamped to where `tanh` is ±1 in f32; accurate near 0, where `exp(2x) - 1` would cancel.
#[inline(always)]
fn exp_m1_twice(x: f32) -> f32 {
    let (power, fraction) = split_exp(2.0 * x.clamp(-9.1, 9.1));
    fraction.mul_add(power, power - 1.0)
}

/// The next c and h of an LSTM's neuron in 16 lanes, from its gate sums.
#[inline(always)]
pub fn next_lstm(
    input: [f32; 16],
    forget: [f32; 16],
    update: [f32; 16],
    output: [f32; 16],
    mut cell: [f32; 16],
) -> ([f32; 16], [f32; 16]) {
    let mut hidden = [0.0; 16];
    for l in 0..16 {
        cell[l] = sigmoid(forget[l]).mul_add(cell[l], sigmoid_times_tanh(input[l], update[l]));
        hidden[l] = sigmoid_times_tanh(output[l], cell[l]);
    }
    (cell, hidden)
}

/// The next h of a GRU's neuron in 16 lanes, from its gate sums (the last two are the candidate's part of the input and
/// its part of the state) and the h before.
#[inline(always)]
pub fn next_gru(
    reset: [f32; 16],
    update: [f32; 16],
    of_input: [f32; 16],
    of_state: [f32; 16],
    mut hidden: [f32; 16],
) -> [f32; 16] {
    for l in 0..16 {
        let candidate = tanh(sigmoid(reset[l]).mul_add(of_state[l], of_input[l]));
        hidden[l] = sigmoid(update[l]).mul_add(hidden[l] - candidate, candidate);
    }
    hidden
}

/// `sigmoid(s) * tanh(t)` with one division.
#[inline(always)]
pub fn sigmoid_times_tanh(s: f32, t: f32) -> f32 {
    // Below -40 the logistic function is 4e-18: clamping keeps the product of the denominators finite.
    let (power, fraction) = split_exp((-s).clamp(-87.0, 40.0));
    let (e, denominator) = (exp_m1_twice(t), 1.0 + fraction.mul_add(power, power));
    e / (denominator * (e + 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The greatest error over `[-range, range]`, in units in the last place of `exact`.
    fn worst(range: f64, ours: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64) -> f64 {
        let steps = 1 << 20;
        (-steps..=steps)
            .map(|i| {
                // Dense near zero as well as far from it.
                let x = (range * (f64::from(i) / f64::from(steps)).powi(3)) as f32;
                let exact = exact(f64::from(x));
                let unit = f64::from(f32::EPSILON) * exact.abs().max(f64::from(f32::MIN_POSITIVE));
                (f64::from(ours(x)) - exact).abs() / unit
            })
            .fold(0.0, f64::max)
    }

    struct Apply<F>(F, f32);

    impl<F: Fn(f32) -> f32> Pass for Apply<F> {
        type Output = f32;
        #[inline(always)]
        fn run(self) -> f32 {
            (self.0)(self.1)
        }
    }

    #[test]
    fn the_functions_are_as_exact_as_they_say() {
        let bounds = [
            ("exp", worst(86.9, exp, f64::exp), 2.0),
            ("sigmoid", worst(86.9, sigmoid, |x| 1.0 / (1.0 + (-x).exp())), 4.0),
            ("tanh", worst(20.0, tanh, f64::tanh), 4.0),
        ];
        for (name, found, bound) in bounds {
            assert!(found <= bound, "{name} is {found} ulp off");
        }
    }

    #[test]
    fn their_product_is_that_of_both() {
        for i in -400..=400 {
            for j in -400..=400 {
                let (s, t) = (i as f32 / 20.0, j as f32 / 20.0);
                let exact = (f64::from(t)).tanh() / (1.0 + (-f64::from(s)).exp());
                let found = f64::from(sigmoid_times_tanh(s, t));
                assert!((found - exact).abs() <= 1e-6 * exact.abs(), "{s}, {t}: {found}, not {exact}");
            }
        }
        assert_eq!(sigmoid_times_tanh(-1e30, 1e30), sigmoid_times_tanh(-40.0, 9.1));
        assert_eq!(sigmoid_times_tanh(1e30, -1e30), -1.0);
    }

    #[test]
    fn nan_stays_nan() {
        for f in [exp, sigmoid, tanh, |x| sigmoid_times_tanh(x, 1.0), |x| sigmoid_times_tanh(1.0, x)] {
            assert!(f(f32::NAN).is_nan());
            assert!(vectorized(Apply(f, f32::NAN)).is_nan());
        }
    }

    /// Under every set of instructions that the machine has.
    #[test]
    fn rows_become_columns() {
        for width in [1, 7, 8, 9, 40, 43] {
            let table: Vec<f32> = (0..30 * width).map(|i| i as f32).collect();
            let rows: [u32; 16] = std::array::from_fn(|l| (l as u32 * 7) % 30);
            for (name, arch) in instructions() {
                let mut out = vec![-1.0; width * 16 + 3];
                gather(arch, &table, width, &rows, &mut out);
                for (i, &found) in out.iter().enumerate() {
                    let (k, lane) = (i / 16, i % 16);
                    let expected = if k < width { (rows[lane] as usize * width + k) as f32 } else { -1.0 };
                    assert_eq!(found, expected, "{name}: lane {lane} of value {k} of {width}");
                }
            }
        }
    }

    fn matrix(rows: usize, columns: usize) -> impl Strategy<Value = Vec<f32>> {
        proptest::collection::vec(-1.0_f32..1.0, rows * columns)
    }

    proptest! {
        #[test]
        fn a_product_is_the_sum_of_products(
            (m, n, k, a, b, c, write, turn) in (1..20_usize, 1..20_usize, 1..40_usize).prop_flat_map(|(m, n, k)| {
                let write = prop_oneof![Just(Write::Replace), Just(Write::Add)];
                (Just(m), Just(n), Just(k), matrix(m, k), matrix(k, n), matrix(m, n + 3), write, any::<[bool; 2]>())
            })
        ) {
            let turned = |x: &[f32], rows: usize, columns: usize| -> Vec<f32> {
                (0..columns).flat_map(|j| (0..rows).map(move |i| x[i * columns + j])).collect()
            };
            let (a_t, b_t) = (turned(&a, m, k), turned(&b, k, n));
            let left = if turn[0] { Matrix::new(&a_t, k, m).t() } else { Matrix::new(&a, m, k) };
            let right = if turn[1] { Matrix::new(&b_t, n, k).t() } else { Matrix::new(&b, k, n) };
            let mut out = c.clone();
            product(MatrixMut::strided(&mut out, m, n, n + 3), write, left, right);
            for i in 0..m {
                for j in 0..n + 3 {
                    let before = c[i * (n + 3) + j];
                    let sum: f32 = (0..k).map(|x| a[i * k + x] * b[x * n + j.min(n - 1)]).sum();
                    let expected = match write {
                        _ if j >= n => before,
                        Write::Add => before + sum,
                        Write::Replace => sum,
                    };
                    prop_assert!((out[i * (n + 3) + j] - expected).abs() < 1e-4);
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "a matrix of")]
    fn a_view_beyond_its_slice_is_refused() {
        Matrix::new(&[0.0; 5], 2, 3);
    }

    #[test]
    #[should_panic(expected = "product of")]
    fn shapes_that_do_not_agree_are_refused() {
        product(
            MatrixMut::new(&mut [0.0; 4], 2, 2),
            Write::Add,
            Matrix::new(&[0.0; 6], 2, 3),
            Matrix::new(&[0.0; 4], 2, 2),
        );
    }
}
