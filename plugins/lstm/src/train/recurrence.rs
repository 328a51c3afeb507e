//! An LSTM layer over a window of streams as one candle operation.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::contiguous;
use crate::kernel::{Matrix, MatrixMut, Pass, Write, product, sigmoid, tanh, vectorized};
use crate::tracker::Stop;

/// Rows of a time-batched product that one thread makes.
const ROWS: usize = 64;

/// The state of one layer between windows: h and c, `[batch, hidden]` each.
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

/// `(x [steps * batch, input], W [4 hidden, input + hidden], b [4 hidden]) -> h [steps * batch, hidden]`, time-major.
/// `W` is `W_ih` and `W_hh` side by side, `b` the sum of both biases.
///
/// The state before the window comes from `state`, and the one after it is left there; no gradient goes through it.
pub(super) struct Recurrence {
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
    /// `[rows, 4 hidden]` i, f, g, o after their nonlinearities.
    gates: Vec<f32>,
    /// `[rows, hidden]` the state before each step, after clearing.
    hidden_before: Vec<f32>,
    cell_before: Vec<f32>,
    /// `[rows, hidden]` tanh of the cell after each step.
    cell_tanh: Vec<f32>,
}

impl Recurrence {
    fn forward(&self, x: &[f32], w: &[f32], b: &[f32]) -> candle_core::Result<(Vec<f32>, Trace)> {
        let width = b.len() / 4;
        let rows = self.clear.len();
        let input = w.len() / b.len() - width;
        let (batch, gate, columns) = (self.batch, 4 * width, input + width);
        let mut trace = Trace {
            gates: vec![0.0; rows * gate],
            hidden_before: vec![0.0; rows * width],
            cell_before: vec![0.0; rows * width],
            cell_tanh: vec![0.0; rows * width],
        };
        let mut out = vec![0.0; rows * width];
        let w_ih = Matrix::strided(w, gate, input, columns);
        trace.gates.par_chunks_mut(ROWS * gate).zip(x.par_chunks(ROWS * input)).for_each(|(gates, x)| {
            let rows = x.len() / input;
            gates.chunks_exact_mut(gate).for_each(|row| row.copy_from_slice(b));
            product(MatrixMut::new(gates, rows, gate), Write::Add, Matrix::new(x, rows, input), w_ih.t());
        });
        // Transposed once for the window, so that `gemm` need not do it at each step.
        let w_hh = transposed(&w[input..], gate, width, columns);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for step in 0..rows / batch {
            self.stop.check()?;
            let now = step * batch..(step + 1) * batch;
            let hidden_before = &mut trace.hidden_before[now.start * width..now.end * width];
            let cell_before = &mut trace.cell_before[now.start * width..now.end * width];
            hidden_before.copy_from_slice(&state.hidden);
            cell_before.copy_from_slice(&state.cell);
            for (lane, _) in self.clear[now.clone()].iter().enumerate().filter(|&(_, &clear)| clear) {
                hidden_before[lane * width..(lane + 1) * width].fill(0.0);
                cell_before[lane * width..(lane + 1) * width].fill(0.0);
            }
            let gates = &mut trace.gates[now.start * gate..now.end * gate];
            product(
                MatrixMut::new(gates, batch, gate),
                Write::Add,
                Matrix::new(hidden_before, batch, width),
                Matrix::new(&w_hh, width, gate),
            );
            for lane in 0..batch {
                let row = (now.start + lane) * width..(now.start + lane + 1) * width;
                vectorized(Forward {
                    gates: &mut gates[lane * gate..(lane + 1) * gate],
                    cell_before: &cell_before[lane * width..(lane + 1) * width],
                    cell: &mut state.cell[lane * width..(lane + 1) * width],
                    cell_tanh: &mut trace.cell_tanh[row.clone()],
                    hidden: &mut out[row],
                });
            }
            state.hidden.copy_from_slice(&out[now.start * width..now.end * width]);
        }
        Ok((out, trace))
    }

    /// The gradients of x, W and b.
    fn backward(
        &self,
        x: &[f32],
        w: &[f32],
        trace: &mut Trace,
        d_out: &[f32],
    ) -> candle_core::Result<(Vec<f32>, Vec<f32>, Vec<f32>)> {
        let rows = self.clear.len();
        let width = d_out.len() / rows;
        let input = x.len() / rows;
        let (batch, gate, columns) = (self.batch, 4 * width, input + width);
        let w_hh = Matrix::strided(&w[input..], gate, width, columns);
        let (mut d_hidden, mut d_cell) = (vec![0.0; batch * width], vec![0.0; batch * width]);
        for step in (0..rows / batch).rev() {
            self.stop.check()?;
            let first = step * batch;
            for lane in 0..batch {
                let row = (first + lane) * width..(first + lane + 1) * width;
                vectorized(Backward {
                    gates: &mut trace.gates[(first + lane) * gate..(first + lane + 1) * gate],
                    cell_before: &trace.cell_before[row.clone()],
                    cell_tanh: &trace.cell_tanh[row.clone()],
                    d_out: &d_out[row],
                    d_hidden: &d_hidden[lane * width..(lane + 1) * width],
                    d_cell: &mut d_cell[lane * width..(lane + 1) * width],
                });
            }
            let d_gates = Matrix::new(&trace.gates[first * gate..(first + batch) * gate], batch, gate);
            product(MatrixMut::new(&mut d_hidden, batch, width), Write::Replace, d_gates, w_hh);
            for (lane, _) in self.clear[first..first + batch].iter().enumerate().filter(|&(_, &clear)| clear) {
                d_hidden[lane * width..(lane + 1) * width].fill(0.0);
                d_cell[lane * width..(lane + 1) * width].fill(0.0);
            }
        }
        let d_gates = &trace.gates;
        let mut d_x = vec![0.0; rows * input];
        let w_ih = Matrix::strided(w, gate, input, columns);
        d_x.par_chunks_mut(ROWS * input).zip(d_gates.par_chunks(ROWS * gate)).for_each(|(d_x, d_gates)| {
            let rows = d_gates.len() / gate;
            product(MatrixMut::new(d_x, rows, input), Write::Replace, Matrix::new(d_gates, rows, gate), w_ih);
        });
        let mut d_w = vec![0.0; gate * columns];
        d_w.par_chunks_mut(ROWS * columns).enumerate().for_each(|(chunk, d_w)| {
            let count = d_w.len() / columns;
            let d_gates = Matrix::strided(&d_gates[chunk * ROWS..], rows, count, gate).t();
            let x = Matrix::new(x, rows, input);
            product(MatrixMut::strided(d_w, count, input, columns), Write::Replace, d_gates, x);
            let hidden = Matrix::new(&trace.hidden_before, rows, width);
            product(MatrixMut::strided(&mut d_w[input..], count, width, columns), Write::Replace, d_gates, hidden);
        });
        let mut d_b = vec![0.0; gate];
        for row in d_gates.chunks_exact(gate) {
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

/// One lane's step back: gates become the gradients before their nonlinearities, `d_cell` that of the cell before.
struct Backward<'a> {
    gates: &'a mut [f32],
    cell_before: &'a [f32],
    cell_tanh: &'a [f32],
    d_out: &'a [f32],
    d_hidden: &'a [f32],
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
        let (d_out, d_hidden, o) = (&d_out[..width], &d_hidden[..width], &mut o[..width]);
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
        }
    }
}

impl CustomOp3 for Recurrence {
    fn name(&self) -> &'static str {
        "lstm-recurrence"
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
        let width = gate / 4;
        let fits = gate == 4 * width && columns == input + width && b_layout.shape().dims1()? == gate;
        if !fits || rows != self.clear.len() || rows % self.batch != 0 {
            candle_core::bail!("lstm-recurrence: {x_layout:?}, {w_layout:?} and {b_layout:?}");
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
