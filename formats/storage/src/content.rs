//! `ContentHasher`: BLAKE3 over the entries of tables, the same for databases that hold the same, however
//! their files came about.

/// Hashes tables: the name of each, then its keys and values, each part with its length in front.
#[derive(Debug, Clone, Default)]
pub struct ContentHasher(blake3::Hasher);

impl ContentHasher {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A table begins.
    pub fn table(&mut self, name: &str) {
        self.part(name.as_bytes());
    }

    /// An entry of the table, in the order of keys.
    pub fn entry(&mut self, key: &[u8], value: &[u8]) {
        self.part(key);
        self.part(value);
    }

    fn part(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// The hash of everything so far, as 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        let of = |entries: &[(&[u8], &[u8])]| {
            let mut hasher = ContentHasher::new();
            hasher.table("meta");
            for (key, value) in entries {
                hasher.entry(key, value);
            }
            hasher.hex()
        };
        let whole = of(&[(b"ab", b"cd")]);
        assert_eq!(whole.len(), 64);
        assert_eq!(whole, of(&[(b"ab", b"cd")]));
        assert_ne!(whole, of(&[(b"a", b"bcd")]));
        assert_ne!(whole, of(&[(b"ab", b"cd"), (b"", b"")]));
    }
}
