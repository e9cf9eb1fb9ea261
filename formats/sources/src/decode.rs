//! Bytes to text: byte-order mark, then strict UTF-8, then GB18030 (which holds GBK and GB2312).

use std::borrow::Cow;

use encoding_rs::{DecoderResult, Encoding, GB18030, UTF_8};

use crate::error::SourceError;
use crate::source::SourceFile;

/// A file's text and the encoding in which it was read.
#[derive(Debug)]
pub(crate) struct Text<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) encoding: &'static str,
}

/// Reads a file as text.
///
/// # Errors
/// `Empty` for a file without text, `Encoding` with the first byte that no encoding allows.
pub(crate) fn decode<'a>(file: &SourceFile<'a>) -> Result<Text<'a>, SourceError> {
    let found = decode_bytes(file.bytes).map_err(|(offset, tried)| SourceError::Encoding {
        file: file.name.to_owned(),
        offset: offset as u64,
        tried,
    })?;
    if found.text.trim().is_empty() {
        return Err(SourceError::Empty { file: file.name.to_owned() });
    }
    Ok(found)
}

/// The first line, as far as it can be read, for telling files apart; what cannot be read is replaced.
pub(crate) fn first_line(bytes: &[u8]) -> String {
    const MOST: usize = 1024;
    let head = bytes.get(..bytes.len().min(MOST)).unwrap_or_default();
    let (encoding, mark) = Encoding::for_bom(head).unwrap_or_else(|| match std::str::from_utf8(head) {
        // The head may end inside a character.
        Err(error) if error.error_len().is_some() => (GB18030, 0),
        _ => (UTF_8, 0),
    });
    let (text, _) = encoding.decode_without_bom_handling(head.get(mark..).unwrap_or_default());
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn decode_bytes(bytes: &[u8]) -> Result<Text<'_>, (usize, &'static str)> {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        let body = bytes.get(mark..).unwrap_or_default();
        let name = if encoding == UTF_8 { "UTF-8 with a byte-order mark" } else { encoding.name() };
        let text = strict(encoding, body).map_err(|offset| (mark + offset, name))?;
        return Ok(Text { text, encoding: name });
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Text { text: Cow::Borrowed(text), encoding: UTF_8.name() }),
        // Read as GB18030, a torn UTF-8 file would be noise.
        Err(error) if ends_inside_a_character(bytes, error) => {
            Err((error.valid_up_to(), "whole character of UTF-8: the file is torn"))
        }
        Err(_) => match strict(GB18030, bytes) {
            Ok(text) => Ok(Text { text, encoding: GB18030.name() }),
            Err(offset) => Err((offset, "UTF-8 and no GB18030 (GBK)")),
        },
    }
}

fn ends_inside_a_character(bytes: &[u8], error: std::str::Utf8Error) -> bool {
    let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
    // A few characters of GBK can pass for UTF-8 by chance, eight do not.
    error.error_len().is_none() && valid.iter().filter(|b| !b.is_ascii()).count() >= 16
}

/// The text, or the offset of the first byte that is none.
fn strict<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> Result<Cow<'a, str>, usize> {
    if encoding == UTF_8 {
        return std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| error.valid_up_to());
    }
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 2 + 16);
    let mut done = 0;
    loop {
        let rest = bytes.get(done..).unwrap_or_default();
        let (result, read) = decoder.decode_to_string_without_replacement(rest, &mut text, true);
        done += read;
        match result {
            DecoderResult::InputEmpty => return Ok(Cow::Owned(text)),
            DecoderResult::OutputFull => text.reserve(rest.len() + 16),
            DecoderResult::Malformed(bad, after) => {
                return Err(done.saturating_sub(usize::from(bad) + usize::from(after)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::{GBK, UTF_16LE};
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Text<'_>, SourceError> {
        decode(&SourceFile { name: "x.csv", folder: None, bytes })
    }

    #[test]
    fn every_encoding_of_one_text_reads_the_same() {
        let text = "日期,名称\n平安银行,万  科Ａ\n";
        let mut utf16 = vec![0xff, 0xfe];
        utf16.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        let gbk = GBK.encode(text).0.into_owned();
        let marked = [b"\xef\xbb\xbf", text.as_bytes()].concat();
        let cases: [(&[u8], &str); 4] = [
            (text.as_bytes(), "UTF-8"),
            (&marked, "UTF-8 with a byte-order mark"),
            (&gbk, "gb18030"),
            (&utf16, UTF_16LE.name()),
        ];
        for (bytes, encoding) in cases {
            let found = read(bytes).unwrap();
            assert_eq!((found.text.as_ref(), found.encoding), (text, encoding));
            assert_eq!(first_line(bytes), "日期,名称");
        }
    }

    #[test]
    fn the_first_byte_that_is_no_text_is_named() {
        let gbk = [GBK.encode("日期,").0.as_ref(), b"\xff\xff"].concat();
        let error = read(&gbk).unwrap_err();
        assert!(matches!(error, SourceError::Encoding { offset: 5, .. }), "{error}");
        let torn = read("日期,时间,代码,名称,类型".as_bytes().get(..30).unwrap()).unwrap_err();
        assert!(matches!(torn, SourceError::Encoding { offset: 28, .. }), "{torn}");
        let marked = read(b"\xef\xbb\xbfa\xffb").unwrap_err();
        assert!(matches!(marked, SourceError::Encoding { offset: 4, .. }), "{marked}");
    }

    #[test]
    fn nothing_is_not_a_text() {
        for bytes in [&b""[..], b"\xef\xbb\xbf", b"\r\n \n"] {
            assert!(matches!(read(bytes), Err(SourceError::Empty { .. })));
        }
    }

    proptest! {
        #[test]
        fn gbk_text_is_read_back(text in "[a-z,\\n一-龥]{0,80}日") {
            let (bytes, _, lost) = GBK.encode(&text);
            prop_assert!(!lost);
            let found = read(&bytes).unwrap().text.into_owned();
            prop_assert_eq!(found.as_str(), text.as_str());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _line = first_line(&bytes);
            let _text = read(&bytes);
        }
    }
}
