//! `Encoding`: in which bytes stdout is written. Spreadsheets in Chinese want GBK, or a mark in front of UTF-8.

use std::io::{self, Write};

use clap::ValueEnum;
use encoding_rs::{EncoderResult, GBK};

/// The bytes of stdout, where it is a file or a pipe. A console takes Unicode whatever its code page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Encoding {
    /// UTF-8.
    #[default]
    Utf8,
    /// UTF-8 behind a byte order mark, by which Excel knows it.
    Utf8Bom,
    /// GBK, the code page of Chinese Windows; a character that it lacks is an error.
    Gbk,
}

/// Writes UTF-8 text on in another encoding.
pub(crate) struct Encoder<W: Write> {
    inner: W,
    encoding: Encoding,
    begun: bool,
    /// The beginning of a character whose end has not come yet.
    part: Vec<u8>,
}

impl<W: Write> Encoder<W> {
    pub(crate) const fn new(inner: W, encoding: Encoding) -> Self {
        Self { inner, encoding, begun: false, part: Vec::new() }
    }

    fn gbk(&mut self, text: &str) -> io::Result<()> {
        let mut encoder = GBK.new_encoder();
        let mut bytes = Vec::with_capacity(text.len() + 8);
        match encoder.encode_from_utf8_to_vec_without_replacement(text, &mut bytes, true).0 {
            EncoderResult::Unmappable(character) => {
                let what = format!("GBK has no {character:?} (U+{:04X})", u32::from(character));
                Err(io::Error::new(io::ErrorKind::InvalidInput, what))
            }
            _ => self.inner.write_all(&bytes),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.encoding == Encoding::Utf8 {
            return self.inner.write(bytes);
        }
        if !self.begun && self.encoding == Encoding::Utf8Bom {
            self.inner.write_all("\u{feff}".as_bytes())?;
        }
        self.begun = true;
        if self.encoding == Encoding::Utf8Bom {
            return self.inner.write(bytes);
        }
        let mut text = std::mem::take(&mut self.part);
        text.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&text) {
            Ok(_) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        };
        self.part = text.split_off(whole);
        let text = String::from_utf8(text).map_err(io::Error::other)?;
        self.gbk(&text)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(encoding: Encoding, parts: &[&[u8]]) -> io::Result<Vec<u8>> {
        let mut encoder = Encoder::new(Vec::new(), encoding);
        for part in parts {
            encoder.write_all(part)?;
        }
        Ok(encoder.inner)
    }

    #[test]
    fn text_is_written_in_the_encoding_that_was_asked_for() {
        let text = "名称,1\n".as_bytes();
        assert_eq!(written(Encoding::Utf8, &[text]).unwrap(), text);
        assert_eq!(
            written(Encoding::Utf8Bom, &[text, b"x"]).unwrap(),
            [b"\xef\xbb\xbf", text, b"x"].concat()
        );
        assert_eq!(written(Encoding::Gbk, &[text]).unwrap(), b"\xc3\xfb\xb3\xc6,1\n");
    }

    #[test]
    fn a_character_may_come_in_parts() {
        let text = "名称".as_bytes();
        for cut in 0..=text.len() {
            let (a, b) = text.split_at(cut);
            assert_eq!(written(Encoding::Gbk, &[a, b]).unwrap(), b"\xc3\xfb\xb3\xc6", "{cut}");
        }
    }

    #[test]
    fn a_character_that_gbk_lacks_is_named() {
        let error = written(Encoding::Gbk, &["a 🀄".as_bytes()]).unwrap_err();
        assert_eq!(error.to_string(), "GBK has no '🀄' (U+1F004)");
    }
}
