//! A GRU's steps, forward and back.

use crate::cpu::kernel::{Pass, not_tiny, sigmoid, tanh};

/// One lane's step. `gates` `[4 hidden]` hold the gate sums: r, z, the candidate's part of the input and its part of
/// the state. The first three become r, z, n; the last stays.
pub(super) struct Forward<'a> {
    pub gates: &'a mut [f32],
    pub hidden_before: &'a [f32],
    pub hidden: &'a mut [f32],
}

impl Pass for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let width = self.hidden.len();
        let (reset_update, rest) = self.gates.split_at_mut(2 * width);
        reset_update.iter_mut().for_each(|x| *x = sigmoid(*x));
        let (r, z) = reset_update.split_at(width);
        let (n, of_state) = rest.split_at_mut(width);
        for ((n, of_state), r) in n.iter_mut().zip(of_state).zip(r) {
            *n = tanh(r.mul_add(*of_state, *n));
        }
        for (((hidden, before), z), n) in self.hidden.iter_mut().zip(self.hidden_before).zip(z).zip(n) {
            *hidden = z.mul_add(before - *n, *n);
        }
    }
}

/// One lane's step back: `gates` become the gradients of the gate sums, and `d_hidden` the part of the gradient of the
/// state before that does not come through the gate sums.
pub(super) struct Backward<'a> {
    pub gates: &'a mut [f32],
    pub hidden_before: &'a [f32],
    pub d_out: &'a [f32],
    pub d_hidden: &'a mut [f32],
}

impl Pass for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { gates, hidden_before, d_out, d_hidden } = self;
        let width = d_hidden.len();
        let (r, rest) = gates.split_at_mut(width);
        let (z, rest) = rest.split_at_mut(width);
        let (n, of_state) = rest.split_at_mut(width);
        let (hidden_before, d_out, of_state) = (&hidden_before[..width], &d_out[..width], &mut of_state[..width]);
        for i in 0..width {
            let d_h = d_out[i] + d_hidden[i];
            let (r_i, z_i, n_i, state) = (r[i], z[i], n[i], of_state[i]);
            let d_n = d_h * (1.0 - z_i) * (1.0 - n_i * n_i);
            r[i] = not_tiny(d_n * state * r_i * (1.0 - r_i));
            z[i] = not_tiny(d_h * (hidden_before[i] - n_i) * z_i * (1.0 - z_i));
            n[i] = not_tiny(d_n);
            of_state[i] = not_tiny(d_n * r_i);
            d_hidden[i] = not_tiny(d_h * z_i);
        }
    }
}
