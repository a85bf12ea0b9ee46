//! Pseudo-random numbers, the same for the same seed. The seed is printed, and the environment
//! variable SEED sets it.
//!
//! Tests of kills and races choose moments and victims by these numbers, so that the same choices
//! can be repeated after a failure. The numbers are not for secrets.

use std::time::SystemTime;

/// The generator xorshift64*.
pub struct Chance(u64);

impl Chance {
    pub fn new() -> Chance {
        Chance::of(Chance::seed())
    }

    pub fn seed() -> u64 {
        let by_clock = || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
        let seed = std::env::var("SEED").map_or_else(|_| by_clock(), |seed| seed.parse().unwrap());
        println!("SEED={seed}");
        seed
    }

    pub fn of(seed: u64) -> Chance {
        Chance(seed | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}
