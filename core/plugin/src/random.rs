//! Random numbers that depend on what they are for, and on nothing else.
//!
//! Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): a counter-based generator. A
//! [`Stream`] is named by (seed, name, index), for instance (the run's seed, `"dropout"`, the step), so the same
//! numbers come whatever was drawn before, by whom, and on how many threads.

/// The random numbers of one (seed, name, index), in a row.
#[derive(Clone, Debug)]
pub struct Stream {
    key: [u32; 2],
    index: u64,
    block: u64,
    buffer: [u32; 4],
    used: usize,
}

impl Stream {
    /// Begins at the first number, always the same for the same three.
    pub fn new(seed: u64, name: &str, index: u64) -> Self {
        // FNV-1a keeps names apart; the multiplication spreads neighbouring seeds over the whole key.
        let hash =
            name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        let key = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ hash;
        Self { key: [key as u32, (key >> 32) as u32], index, block: 0, buffer: [0; 4], used: 4 }
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            let counter = [self.block as u32, (self.block >> 32) as u32, self.index as u32, (self.index >> 32) as u32];
            self.buffer = philox4x32(counter, self.key);
            self.block += 1;
            self.used = 0;
        }
        self.used += 1;
        self.buffer[self.used - 1]
    }

    /// The next 64 bits: two draws of 32, the first one high.
    pub fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) << 32 | u64::from(self.next_u32())
    }

    /// Uniform in [0, 1), with 24 bits.
    pub fn uniform(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 * (1.0 / (1 << 24) as f32)
    }

    /// Uniform in [0, n), without bias (Lemire 2019). `n` of 0 gives 0.
    pub fn below(&mut self, n: u32) -> u32 {
        let reject_below = n.wrapping_neg().checked_rem(n).unwrap_or(0);
        loop {
            let product = u64::from(self.next_u32()) * u64::from(n);
            if product as u32 >= reject_below {
                return (product >> 32) as u32;
            }
        }
    }

    /// Puts values in an order that is as likely as every other (Fisher and Yates 1938). They are at most 2^32 - 1.
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.below(last as u32 + 1) as usize);
        }
    }

    /// Fills `out` with values uniform in [low, high).
    pub fn fill_uniform(&mut self, out: &mut [f32], low: f32, high: f32) {
        for value in out {
            *value = low + (high - low) * self.uniform();
        }
    }
}

/// Ten rounds of Philox4x32: 128 random bits from a counter and a key.
fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
        }
        let a = u64::from(counter[0]) * 0xd251_1f53;
        let b = u64::from(counter[2]) * 0xcd9e_8d57;
        counter = [(b >> 32) as u32 ^ counter[1] ^ key[0], b as u32, (a >> 32) as u32 ^ counter[3] ^ key[1], a as u32];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the authors' Random123 (`kat_vectors`, philox4x32 with 10 rounds).
    #[test]
    fn philox_gives_the_known_answers() {
        assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox4x32([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox4x32([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn streams_differ_by_each_part_of_their_name_and_repeat() {
        let first = |seed, name, index| Stream::new(seed, name, index).next_u64();
        let all = [first(1, "a", 0), first(2, "a", 0), first(1, "b", 0), first(1, "a", 1)];
        for (i, x) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|y| x != y));
        }
        assert_eq!(first(1, "a", 0), first(1, "a", 0));
    }

    #[test]
    fn below_is_in_range_and_even() {
        let mut stream = Stream::new(7, "below", 0);
        let mut seen = [0_u32; 5];
        for _ in 0..50_000 {
            seen[stream.below(5) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (9_500..10_500).contains(&n)), "{seen:?}");
        assert_eq!(stream.below(1), 0);
        // Of three values, every order is drawn, and about as often.
        let mut orders = std::collections::BTreeMap::new();
        for index in 0..6000 {
            let mut values = [0, 1, 2];
            Stream::new(7, "orders", index).shuffle(&mut values);
            *orders.entry(values).or_insert(0) += 1;
        }
        assert!(orders.len() == 6 && orders.values().all(|count| (900..1100).contains(count)), "{orders:?}");
        assert_eq!(stream.below(0), 0);
    }
}
