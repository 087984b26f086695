//! Adler-32, the checksum of ZooKeeper's files: <https://www.rfc-editor.org/rfc/rfc1950>.

const MODULUS: u32 = 65_521;
/// The most bytes after which the sums still fit.
const CHUNK: usize = 5_552;

/// A sum in the making.
#[derive(Debug, Clone, Copy)]
pub(super) struct Adler32 {
    low: u32,
    high: u32,
}

impl Adler32 {
    pub(super) fn new() -> Self {
        Self { low: 1, high: 0 }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(CHUNK) {
            for byte in chunk {
                self.low += u32::from(*byte);
                self.high += self.low;
            }
            self.low %= MODULUS;
            self.high %= MODULUS;
        }
    }

    pub(super) fn sum(self) -> u32 {
        self.high << 16 | self.low
    }
}

/// Of all these bytes.
pub(super) fn adler32(bytes: &[u8]) -> u32 {
    let mut sum = Adler32::new();
    sum.add(bytes);
    sum.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_rfc() {
        assert_eq!(adler32(b"Wikipedia"), 0x11E6_0398);
        let many = vec![0xff; 100_000];
        let (low, high) = many.iter().fold((1, 0), |(low, high), byte| {
            let low = (low + u32::from(*byte)) % MODULUS;
            (low, (high + low) % MODULUS)
        });
        assert_eq!(adler32(&many), high << 16 | low);
    }
}
