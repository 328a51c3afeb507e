//! A recurrent layer over a window of streams as one candle operation.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::{contiguous, gru};
use crate::cpu::kernel::{Matrix, MatrixMut, Pass, Write, not_tiny, product, sigmoid, tanh, vectorized};
use crate::tracker::Stop;
use crate::weights::{Cell, GATE_SUMS};

/// Rows, of all steps together, that one thread multiplies at a time.
const ROWS: usize = 64;

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

/// Where the rows of each step begin, step after step, and behind them where the last ones end: `[steps + 1]`. The rows of a step
/// are those of its lanes in their order; a lane that has ended is behind those that go on, and has no row.
pub(super) type Steps = Arc<Vec<usize>>;

/// `(x [rows, input], W [gates hidden, input + hidden], b [4 hidden]) -> h [rows, hidden]`, time-major. `W` is `W_ih` and `W_hh`
/// side by side, `b` what the gate sums begin with.
///
/// The state before the window comes from `state`, and the one after it is left there; no gradient goes through it.
pub(super) struct Recurrence {
    pub cell: Cell,
    pub steps: Steps,
    /// `[rows]`: whether the state is cleared before the token; empty: nowhere.
    pub clear: Arc<Vec<bool>>,
    pub state: Arc<Mutex<LayerState>>,
    /// Whether x needs a gradient.
    pub of_input: bool,
    pub trace: Mutex<Trace>,
    pub stop: Stop,
}

/// What the forward pass leaves for the backward one.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// `[rows, 4 hidden]`: an LSTM's i, f, g, o after their nonlinearities; a GRU's r, z, n, and the candidate's part
    /// of the state before it is scaled by r.
    gates: Vec<f32>,
    /// `[rows, hidden]`: the state before each step, after clearing.
    hidden_before: Vec<f32>,
    cell_before: Vec<f32>,
    /// `[rows, hidden]`: tanh of the cell after each step; empty for a GRU.
    cell_tanh: Vec<f32>,
}

/// `count` rows of `W_hh` from `row` on, whose products are added to the gate sums from `target` on.
struct Segment {
    row: usize,
    target: usize,
    count: usize,
}

/// To which gate sums the recurrent product is added.
fn segments(cell: Cell, width: usize) -> Vec<Segment> {
    match cell {
        Cell::Lstm => vec![Segment { row: 0, target: 0, count: 4 * width }],
        Cell::Gru => {
            vec![
                Segment { row: 0, target: 0, count: 2 * width },
                Segment { row: 2 * width, target: 3 * width, count: width },
            ]
        }
    }
}

/// Of x (if it needs one), W and b, in their shapes.
type Gradients = (Option<Vec<f32>>, Vec<f32>, Vec<f32>);

impl Recurrence {
    fn rows(&self) -> usize {
        self.steps.last().copied().unwrap_or(0)
    }

    /// Which lanes are cleared before a step of these rows.
    fn cleared(&self, now: &Range<usize>) -> impl Iterator<Item = usize> {
        let clear = self.clear.get(now.clone()).unwrap_or_default();
        clear.iter().enumerate().filter(|&(_, &clear)| clear).map(|(lane, _)| lane)
    }

    fn forward(&self, x: &[f32], w: &[f32], b: &[f32]) -> candle_core::Result<(Vec<f32>, Trace)> {
        let width = b.len() / GATE_SUMS;
        let rows = self.rows();
        let (gate_sums, gate) = (GATE_SUMS * width, self.cell.gates() * width);
        let (input, columns) = (w.len() / gate - width, w.len() / gate);
        let lstm = self.cell == Cell::Lstm;
        let mut trace = Trace {
            gates: vec![0.0; rows * gate_sums],
            hidden_before: vec![0.0; rows * width],
            cell_before: vec![0.0; if lstm { rows * width } else { 0 }],
            cell_tanh: vec![0.0; if lstm { rows * width } else { 0 }],
        };
        let mut out = vec![0.0; rows * width];
        let w_ih = Matrix::strided(w, gate, input, columns);
        trace.gates.par_chunks_mut(ROWS * gate_sums).zip(x.par_chunks(ROWS * input)).for_each(|(gates, x)| {
            let rows = x.len() / input;
            gates.chunks_exact_mut(gate_sums).for_each(|row| row.copy_from_slice(b));
            let out = MatrixMut::strided(gates, rows, gate, gate_sums);
            product(out, Write::Add, Matrix::new(x, rows, input), w_ih.t());
        });
        // Transposed once for the window, so that `gemm` need not do it at each step.
        let segments = segments(self.cell, width);
        let transposed: Vec<Vec<f32>> =
            segments.iter().map(|s| transposed(&w[s.row * columns + input..], s.count, width, columns)).collect();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for now in self.steps.windows(2).map(|at| at[0]..at[1]) {
            self.stop.check()?;
            let lanes = now.len();
            let hidden_before = &mut trace.hidden_before[now.start * width..now.end * width];
            hidden_before.copy_from_slice(&state.hidden[..lanes * width]);
            self.cleared(&now).for_each(|lane| hidden_before[lane * width..(lane + 1) * width].fill(0.0));
            if lstm {
                let cell_before = &mut trace.cell_before[now.start * width..now.end * width];
                cell_before.copy_from_slice(&state.cell[..lanes * width]);
                self.cleared(&now).for_each(|lane| cell_before[lane * width..(lane + 1) * width].fill(0.0));
            }
            let gates = &mut trace.gates[now.start * gate_sums..now.end * gate_sums];
            for (segment, w_hh) in segments.iter().zip(&transposed) {
                product(
                    MatrixMut::strided(&mut gates[segment.target..], lanes, segment.count, gate_sums),
                    Write::Add,
                    Matrix::new(hidden_before, lanes, width),
                    Matrix::new(w_hh, width, segment.count),
                );
            }
            for lane in 0..lanes {
                let row = (now.start + lane) * width..(now.start + lane + 1) * width;
                let gates = &mut gates[lane * gate_sums..(lane + 1) * gate_sums];
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
            state.hidden[..lanes * width].copy_from_slice(&out[now.start * width..now.end * width]);
        }
        Ok((out, trace))
    }

    /// `trace` is used up: its gates become their gradients.
    fn backward(&self, x: &[f32], w: &[f32], trace: &mut Trace, d_out: &[f32]) -> candle_core::Result<Gradients> {
        let rows = self.rows();
        let (width, input) = (d_out.len() / rows, x.len() / rows);
        let (gate_sums, columns) = (GATE_SUMS * width, input + width);
        let gate = self.cell.gates() * width;
        let segments = segments(self.cell, width);
        let widest = self.steps.windows(2).map(|at| at[1] - at[0]).next().unwrap_or(0);
        // Of lanes that have ended they are zero, and nothing comes from behind an end.
        let (mut d_hidden, mut d_cell) = (vec![0.0; widest * width], vec![0.0; widest * width]);
        for now in self.steps.windows(2).rev().map(|at| at[0]..at[1]) {
            self.stop.check()?;
            let (first, lanes) = (now.start, now.len());
            for lane in 0..lanes {
                let row = (first + lane) * width..(first + lane + 1) * width;
                let gates = &mut trace.gates[(first + lane) * gate_sums..(first + lane + 1) * gate_sums];
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
            let d_gates = &trace.gates[first * gate_sums..now.end * gate_sums];
            for segment in &segments {
                product(
                    MatrixMut::new(&mut d_hidden, lanes, width),
                    Write::Add,
                    Matrix::strided(&d_gates[segment.target..], lanes, segment.count, gate_sums),
                    Matrix::strided(&w[segment.row * columns + input..], segment.count, width, columns),
                );
            }
            for lane in self.cleared(&now) {
                d_hidden[lane * width..(lane + 1) * width].fill(0.0);
                d_cell[lane * width..(lane + 1) * width].fill(0.0);
            }
        }
        let d_gates = &trace.gates;
        let d_x = self.of_input.then(|| {
            let mut d_x = vec![0.0; rows * input];
            let w_ih = Matrix::strided(w, gate, input, columns);
            d_x.par_chunks_mut(ROWS * input).zip(d_gates.par_chunks(ROWS * gate_sums)).for_each(|(d_x, d_gates)| {
                let rows = d_gates.len() / gate_sums;
                let d_gates = Matrix::strided(d_gates, rows, gate, gate_sums);
                product(MatrixMut::new(d_x, rows, input), Write::Replace, d_gates, w_ih);
            });
            d_x
        });
        let mut d_w = vec![0.0; gate * columns];
        d_w.par_chunks_mut(ROWS * columns).enumerate().for_each(|(chunk, d_w)| {
            let (start, end) = (chunk * ROWS, chunk * ROWS + d_w.len() / columns);
            let of = |target: usize, count: usize| Matrix::strided(&d_gates[target..], rows, count, gate_sums).t();
            let x = Matrix::new(x, rows, input);
            let count = end - start;
            product(MatrixMut::strided(d_w, count, input, columns), Write::Replace, of(start, count), x);
            let hidden = Matrix::new(&trace.hidden_before, rows, width);
            for segment in &segments {
                let (from, to) = (start.max(segment.row), end.min(segment.row + segment.count));
                if from < to {
                    let out = &mut d_w[(from - start) * columns + input..];
                    let d_gates = of(from - segment.row + segment.target, to - from);
                    product(MatrixMut::strided(out, to - from, width, columns), Write::Replace, d_gates, hidden);
                }
            }
        });
        let mut d_b = vec![0.0; gate_sums];
        for row in d_gates.chunks_exact(gate_sums) {
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
        // One loop a gate, so that the compiler sees few slices at a time.
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

/// One lane's step back: `gates` become the gradients of the gate sums, and `d_cell` that of the cell before.
/// `d_hidden` becomes zero: an LSTM's state before acts through the gate sums alone, whose product with `W_hh` is added
/// later.
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
            i[n] = not_tiny(d_c * g_n * i_n * (1.0 - i_n));
            f[n] = not_tiny(d_c * cell_before[n] * f_n * (1.0 - f_n));
            g[n] = not_tiny(d_c * i_n * (1.0 - g_n * g_n));
            o[n] = not_tiny(d_h * t * o_n * (1.0 - o_n));
            d_cell[n] = not_tiny(d_c * f_n);
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
        let fits = fits && b_layout.shape().dims1()? == GATE_SUMS * width;
        if !fits || rows != self.rows() {
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
        Ok((d_x.map_or(Ok(None), |d_x| tensor(d_x, x))?, tensor(d_w, w)?, tensor(d_b, b)?))
    }
}
