//! A recurrent layer over a window of streams as one candle operation.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::{contiguous, gru};
use crate::kernel::{Matrix, MatrixMut, Pass, Write, product, sigmoid, tanh, vectorized};
use crate::tracker::Stop;
use crate::weights::Cell;

/// Rows of a time-batched product that one thread makes.
const ROWS: usize = 64;

/// Sums that a neuron has: an LSTM's gates; a GRU's r and z, and of its candidate the part of the input and that of the
/// state.
const SUMS: usize = 4;

/// The state of one layer between windows: h and c, `[batch, hidden]` each; a GRU's c stays zero.
#[derive(Clone, Debug)]
pub(crate) struct LayerState {
    pub hidden: Vec<f32>,
    pub cell: Vec<f32>,
}

impl LayerState {
    pub fn zeros(batch: usize, hidden: usize) -> Self {
        Self { hidden: vec![0.0; batch * hidden], cell: vec![0.0; batch * hidden] }
    }
}

/// `(x [steps * batch, input], W [gates hidden, input + hidden], b [4 hidden]) -> h [steps * batch, hidden]`, time-major.
/// `W` is `W_ih` and `W_hh` side by side, `b` what a neuron's sums begin with.
///
/// The state before the window comes from `state`, and the one after it is left there; no gradient goes through it.
pub(super) struct Recurrence {
    pub cell: Cell,
    pub batch: usize,
    /// `[steps * batch]`: whether the state is cleared before the token.
    pub clear: Arc<Vec<bool>>,
    pub state: Arc<Mutex<LayerState>>,
    pub trace: Mutex<Trace>,
    pub stop: Stop,
}

/// What the forward pass leaves for the backward one.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// `[rows, 4 hidden]`: i, f, g, o after their nonlinearities; of a GRU r, z, n, and the candidate's part of the state.
    gates: Vec<f32>,
    /// `[rows, hidden]` the state before each step, after clearing.
    hidden_before: Vec<f32>,
    cell_before: Vec<f32>,
    /// `[rows, hidden]` tanh of the cell after each step.
    cell_tanh: Vec<f32>,
}

/// Rows of `W_hh`, and the sums that they are added to.
struct Segment {
    row: usize,
    sum: usize,
    count: usize,
}

/// Which sums the recurrent product goes to.
fn segments(cell: Cell, width: usize) -> Vec<Segment> {
    match cell {
        Cell::Lstm => vec![Segment { row: 0, sum: 0, count: 4 * width }],
        Cell::Gru => {
            vec![Segment { row: 0, sum: 0, count: 2 * width }, Segment { row: 2 * width, sum: 3 * width, count: width }]
        }
    }
}

/// What the gradients of a layer are: of x, W and b.
type Gradients = (Vec<f32>, Vec<f32>, Vec<f32>);

impl Recurrence {
    fn forward(&self, x: &[f32], w: &[f32], b: &[f32]) -> candle_core::Result<(Vec<f32>, Trace)> {
        let width = b.len() / SUMS;
        let rows = self.clear.len();
        let (batch, sums, gate) = (self.batch, SUMS * width, self.cell.gates() * width);
        let (input, columns) = (w.len() / gate - width, w.len() / gate);
        let lstm = self.cell == Cell::Lstm;
        let mut trace = Trace {
            gates: vec![0.0; rows * sums],
            hidden_before: vec![0.0; rows * width],
            cell_before: vec![0.0; if lstm { rows * width } else { 0 }],
            cell_tanh: vec![0.0; if lstm { rows * width } else { 0 }],
        };
        let mut out = vec![0.0; rows * width];
        let w_ih = Matrix::strided(w, gate, input, columns);
        trace.gates.par_chunks_mut(ROWS * sums).zip(x.par_chunks(ROWS * input)).for_each(|(gates, x)| {
            let rows = x.len() / input;
            gates.chunks_exact_mut(sums).for_each(|row| row.copy_from_slice(b));
            let out = MatrixMut::strided(gates, rows, gate, sums);
            product(out, Write::Add, Matrix::new(x, rows, input), w_ih.t());
        });
        // Transposed once for the window, so that `gemm` need not do it at each step.
        let segments = segments(self.cell, width);
        let transposed: Vec<Vec<f32>> =
            segments.iter().map(|s| transposed(&w[s.row * columns + input..], s.count, width, columns)).collect();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for step in 0..rows / batch {
            self.stop.check()?;
            let now = step * batch..(step + 1) * batch;
            let hidden_before = &mut trace.hidden_before[now.start * width..now.end * width];
            hidden_before.copy_from_slice(&state.hidden);
            let cleared = || self.clear[now.clone()].iter().enumerate().filter(|&(_, &clear)| clear);
            cleared().for_each(|(lane, _)| hidden_before[lane * width..(lane + 1) * width].fill(0.0));
            if lstm {
                let cell_before = &mut trace.cell_before[now.start * width..now.end * width];
                cell_before.copy_from_slice(&state.cell);
                cleared().for_each(|(lane, _)| cell_before[lane * width..(lane + 1) * width].fill(0.0));
            }
            let gates = &mut trace.gates[now.start * sums..now.end * sums];
            for (segment, w_hh) in segments.iter().zip(&transposed) {
                product(
                    MatrixMut::strided(&mut gates[segment.sum..], batch, segment.count, sums),
                    Write::Add,
                    Matrix::new(hidden_before, batch, width),
                    Matrix::new(w_hh, width, segment.count),
                );
            }
            for lane in 0..batch {
                let row = (now.start + lane) * width..(now.start + lane + 1) * width;
                let gates = &mut gates[lane * sums..(lane + 1) * sums];
                if lstm {
                    vectorized(Forward {
                        gates,
                        cell_before: &trace.cell_before[row.clone()],
                        cell: &mut state.cell[lane * width..(lane + 1) * width],
                        cell_tanh: &mut trace.cell_tanh[row.clone()],
                        hidden: &mut out[row],
                    });
                } else {
                    let hidden_before = &hidden_before[lane * width..(lane + 1) * width];
                    vectorized(gru::Forward { gates, hidden_before, hidden: &mut out[row] });
                }
            }
            state.hidden.copy_from_slice(&out[now.start * width..now.end * width]);
        }
        Ok((out, trace))
    }

    /// The gradients of x, W and b.
    fn backward(&self, x: &[f32], w: &[f32], trace: &mut Trace, d_out: &[f32]) -> candle_core::Result<Gradients> {
        let rows = self.clear.len();
        let (width, input) = (d_out.len() / rows, x.len() / rows);
        let (batch, sums, columns) = (self.batch, SUMS * width, input + width);
        let gate = self.cell.gates() * width;
        let segments = segments(self.cell, width);
        let (mut d_hidden, mut d_cell) = (vec![0.0; batch * width], vec![0.0; batch * width]);
        for step in (0..rows / batch).rev() {
            self.stop.check()?;
            let first = step * batch;
            for lane in 0..batch {
                let row = (first + lane) * width..(first + lane + 1) * width;
                let gates = &mut trace.gates[(first + lane) * sums..(first + lane + 1) * sums];
                let (d_hidden, d_out) = (&mut d_hidden[lane * width..(lane + 1) * width], &d_out[row.clone()]);
                if self.cell == Cell::Lstm {
                    vectorized(Backward {
                        gates,
                        cell_before: &trace.cell_before[row.clone()],
                        cell_tanh: &trace.cell_tanh[row],
                        d_out,
                        d_hidden,
                        d_cell: &mut d_cell[lane * width..(lane + 1) * width],
                    });
                } else {
                    vectorized(gru::Backward { gates, hidden_before: &trace.hidden_before[row], d_out, d_hidden });
                }
            }
            let d_gates = &trace.gates[first * sums..(first + batch) * sums];
            for segment in &segments {
                product(
                    MatrixMut::new(&mut d_hidden, batch, width),
                    Write::Add,
                    Matrix::strided(&d_gates[segment.sum..], batch, segment.count, sums),
                    Matrix::strided(&w[segment.row * columns + input..], segment.count, width, columns),
                );
            }
            for (lane, _) in self.clear[first..first + batch].iter().enumerate().filter(|&(_, &clear)| clear) {
                d_hidden[lane * width..(lane + 1) * width].fill(0.0);
                d_cell[lane * width..(lane + 1) * width].fill(0.0);
            }
        }
        let d_gates = &trace.gates;
        let mut d_x = vec![0.0; rows * input];
        let w_ih = Matrix::strided(w, gate, input, columns);
        d_x.par_chunks_mut(ROWS * input).zip(d_gates.par_chunks(ROWS * sums)).for_each(|(d_x, d_gates)| {
            let rows = d_gates.len() / sums;
            let d_gates = Matrix::strided(d_gates, rows, gate, sums);
            product(MatrixMut::new(d_x, rows, input), Write::Replace, d_gates, w_ih);
        });
        let mut d_w = vec![0.0; gate * columns];
        d_w.par_chunks_mut(ROWS * columns).enumerate().for_each(|(chunk, d_w)| {
            let (start, end) = (chunk * ROWS, chunk * ROWS + d_w.len() / columns);
            let of = |sum: usize, count: usize| Matrix::strided(&d_gates[sum..], rows, count, sums).t();
            let x = Matrix::new(x, rows, input);
            let count = end - start;
            product(MatrixMut::strided(d_w, count, input, columns), Write::Replace, of(start, count), x);
            let hidden = Matrix::new(&trace.hidden_before, rows, width);
            for segment in &segments {
                let (from, to) = (start.max(segment.row), end.min(segment.row + segment.count));
                if from < to {
                    let out = &mut d_w[(from - start) * columns + input..];
                    let d_gates = of(from - segment.row + segment.sum, to - from);
                    product(MatrixMut::strided(out, to - from, width, columns), Write::Replace, d_gates, hidden);
                }
            }
        });
        let mut d_b = vec![0.0; sums];
        for row in d_gates.chunks_exact(sums) {
            d_b.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        Ok((d_x, d_w, d_b))
    }
}

/// `[columns, rows]` of a `[rows, columns]` whose rows are `stride` apart.
fn transposed(w: &[f32], rows: usize, columns: usize, stride: usize) -> Vec<f32> {
    let mut out = vec![0.0; rows * columns];
    for row in 0..rows {
        for (column, value) in w[row * stride..][..columns].iter().enumerate() {
            out[column * rows + row] = *value;
        }
    }
    out
}

/// One lane's step, `[hidden]` and `[4 hidden]` each: the gates' nonlinearities, cell and output.
struct Forward<'a> {
    gates: &'a mut [f32],
    cell_before: &'a [f32],
    cell: &'a mut [f32],
    cell_tanh: &'a mut [f32],
    hidden: &'a mut [f32],
}

impl Pass for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let width = self.hidden.len();
        // A loop for each, so that the compiler sees few slices at a time.
        let (input_forget, rest) = self.gates.split_at_mut(2 * width);
        input_forget.iter_mut().for_each(|x| *x = sigmoid(*x));
        let (i, f) = input_forget.split_at(width);
        let (g, o) = rest.split_at_mut(width);
        g.iter_mut().for_each(|x| *x = tanh(*x));
        o.iter_mut().for_each(|x| *x = sigmoid(*x));
        for (((c, before), f), (i, g)) in self.cell.iter_mut().zip(self.cell_before).zip(f).zip(i.iter().zip(&*g)) {
            *c = f.mul_add(*before, i * g);
        }
        for ((h, t), (c, o)) in self.hidden.iter_mut().zip(self.cell_tanh).zip(self.cell.iter().zip(&*o)) {
            *t = tanh(*c);
            *h = o * *t;
        }
    }
}

/// One lane's step back: gates become the gradients before their nonlinearities, `d_cell` that of the cell before, and
/// `d_hidden` what of that of the state before is not a product with the gates': nothing.
struct Backward<'a> {
    gates: &'a mut [f32],
    cell_before: &'a [f32],
    cell_tanh: &'a [f32],
    d_out: &'a [f32],
    d_hidden: &'a mut [f32],
    d_cell: &'a mut [f32],
}

impl Pass for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let width = self.d_cell.len();
        let (i, rest) = self.gates.split_at_mut(width);
        let (f, rest) = rest.split_at_mut(width);
        let (g, o) = rest.split_at_mut(width);
        let Self { cell_before, cell_tanh, d_out, d_hidden, d_cell, .. } = self;
        let (cell_before, cell_tanh) = (&cell_before[..width], &cell_tanh[..width]);
        let (d_out, d_hidden, o) = (&d_out[..width], &mut d_hidden[..width], &mut o[..width]);
        for n in 0..width {
            let d_h = d_out[n] + d_hidden[n];
            let t = cell_tanh[n];
            let d_c = (d_h * o[n]).mul_add(1.0 - t * t, d_cell[n]);
            let (i_n, f_n, g_n, o_n) = (i[n], f[n], g[n], o[n]);
            i[n] = d_c * g_n * i_n * (1.0 - i_n);
            f[n] = d_c * cell_before[n] * f_n * (1.0 - f_n);
            g[n] = d_c * i_n * (1.0 - g_n * g_n);
            o[n] = d_h * t * o_n * (1.0 - o_n);
            d_cell[n] = d_c * f_n;
            d_hidden[n] = 0.0;
        }
    }
}

impl CustomOp3 for Recurrence {
    fn name(&self) -> &'static str {
        "recurrence"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (rows, input) = x_layout.shape().dims2()?;
        let (gate, columns) = w_layout.shape().dims2()?;
        let width = gate / self.cell.gates();
        let fits = gate == self.cell.gates() * width && columns == input + width;
        let fits = fits && b_layout.shape().dims1()? == SUMS * width;
        if !fits || rows != self.clear.len() || rows % self.batch != 0 {
            candle_core::bail!("recurrence: {x_layout:?}, {w_layout:?} and {b_layout:?}");
        }
        let (out, trace) =
            self.forward(contiguous(x, x_layout)?, contiguous(w, w_layout)?, contiguous(b, b_layout)?)?;
        *self.trace.lock().unwrap_or_else(PoisonError::into_inner) = trace;
        Ok((CpuStorage::F32(out), Shape::from((rows, width))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        d_out: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut trace = self.trace.lock().unwrap_or_else(PoisonError::into_inner);
        let values = |t: &Tensor| t.flatten_all()?.to_vec1::<f32>();
        let (d_x, d_w, d_b) = self.backward(&values(x)?, &values(w)?, &mut trace, &values(d_out)?)?;
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device()).map(Some);
        Ok((tensor(d_x, x)?, tensor(d_w, w)?, tensor(d_b, b)?))
    }
}
