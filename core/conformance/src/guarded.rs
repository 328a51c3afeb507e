//! Outputs with values around them that nobody may write.

/// How many guards there are on each side. A write beside the output within these is seen, and harms nothing.
const GUARDS: usize = 64;

/// An output cut out of a larger piece of memory.
pub(crate) struct Guarded<T> {
    memory: Vec<T>,
    guard: T,
}

impl<T: Copy + PartialEq> Guarded<T> {
    /// `len` values of `fill`, between values of `guard` (which must equal itself: no NaN).
    pub(crate) fn new(len: usize, fill: T, guard: T) -> Self {
        let mut memory = vec![guard; len + 2 * GUARDS];
        memory[GUARDS..GUARDS + len].fill(fill);
        Self { memory, guard }
    }

    /// `[len]`: the output without its guards.
    pub(crate) fn values(&self) -> &[T] {
        &self.memory[GUARDS..self.memory.len() - GUARDS]
    }

    /// As [`Guarded::values`], for a call to write.
    pub(crate) fn values_mut(&mut self) -> &mut [T] {
        let end = self.memory.len() - GUARDS;
        &mut self.memory[GUARDS..end]
    }

    /// The index of a guard that was overwritten, counted from the output's start: below 0, or its length and above.
    pub(crate) fn breach(&self) -> Option<isize> {
        let outside = |at: &usize| !(GUARDS..self.memory.len() - GUARDS).contains(at);
        let at = (0..self.memory.len()).filter(outside).find(|&at| self.memory[at] != self.guard)?;
        Some(at as isize - GUARDS as isize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_beside_the_output_is_seen_on_either_side() {
        let mut output = Guarded::new(3, 0.0, 0.5);
        output.values_mut().fill(1.0);
        assert_eq!((output.values(), output.breach()), (&[1.0; 3][..], None));
        output.memory[GUARDS + 3] = 1.0;
        assert_eq!(output.breach(), Some(3));
        output.memory[GUARDS - 1] = 1.0;
        assert_eq!(output.breach(), Some(-1));
    }
}
