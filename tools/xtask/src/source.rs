//! Rust text with comments and literals told apart from code, so that a rule looks only where it applies.
//!
//! This is a lexer, not a parser: it knows strings, comments, brackets and attributes, and nothing of types.

use std::ops::Range;

/// One file in three views of the same length: an offset means the same place in each.
pub(crate) struct Source<'a> {
    pub(crate) text: &'a str,
    /// Comments and the insides of literals are spaces.
    pub(crate) code: String,
    /// All but comments is spaces.
    pub(crate) comments: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

impl<'a> Source<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let mut code = String::with_capacity(text.len());
        let mut comments = String::with_capacity(text.len());
        let mut rest = text;
        let mut after_word = false;
        while !rest.is_empty() {
            let (kind, length) = token(rest, after_word);
            let (part, tail) = rest.split_at(length);
            after_word = kind == Kind::Code && part.ends_with(is_word);
            copy(&mut code, part, kind == Kind::Code);
            copy(&mut comments, part, kind == Kind::Comment);
            rest = tail;
        }
        Self { text, code, comments }
    }

    /// The line of an offset, counted from 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.text.get(..offset).unwrap_or(self.text).matches('\n').count() + 1
    }

    /// The items behind an attribute the test accepts; it is given the attribute without white space.
    /// An inner attribute (`#![..]`) covers the whole file.
    pub(crate) fn items_behind(&self, accept: impl Fn(&str) -> bool) -> Vec<Range<usize>> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for (start, _) in self.code.match_indices('#') {
            let inner = self.after(start + 1).starts_with('!');
            let Some(end) = self.attribute_end(start) else { continue };
            let attribute: String = self
                .text
                .get(start..end)
                .unwrap_or_default()
                .chars()
                .filter(|c| !c.is_whitespace())
                .collect();
            if !accept(&attribute.replacen("#!", "#", 1)) {
                continue;
            }
            if inner {
                ranges.push(0..self.code.len());
                continue;
            }
            let mut item = end;
            while let Some(next) = self.next_attribute(item) {
                item = next;
            }
            ranges.push(start..self.item_end(item));
        }
        ranges
    }

    /// Where the text that starts at `from` meets one of `stops` outside of brackets. A `{` that is a stop
    /// ends it; another one is stepped over as a whole. A closing bracket too many ends it as well.
    pub(crate) fn until(&self, from: usize, stops: &[char]) -> usize {
        let mut depth = 0_usize;
        let mut angle = 0_usize;
        let mut last = ' ';
        for (at, c) in self.after(from).char_indices() {
            if depth == 0 && stops.contains(&c) && (angle == 0 || c != ',') {
                return from + at;
            }
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' if depth == 0 => return from + at,
                ')' | ']' | '}' => depth -= 1,
                '<' => angle += 1,
                // `->` and `=>` close nothing.
                '>' if last != '-' && last != '=' => angle = angle.saturating_sub(1),
                _ => {}
            }
            last = c;
        }
        self.code.len()
    }

    /// The offset after the bracket that closes the one at `open`.
    pub(crate) fn closed(&self, open: usize) -> usize {
        (self.until(open + 1, &[]) + 1).min(self.code.len())
    }

    /// The code from an offset on.
    pub(crate) fn after(&self, offset: usize) -> &str {
        self.code.get(offset..).unwrap_or_default()
    }

    fn attribute_end(&self, start: usize) -> Option<usize> {
        let bracket = start + 1 + usize::from(self.after(start + 1).starts_with('!'));
        self.after(bracket).starts_with('[').then(|| self.closed(bracket))
    }

    fn next_attribute(&self, from: usize) -> Option<usize> {
        let rest = self.after(from);
        let start = from + rest.len() - rest.trim_start().len();
        if self.after(start).starts_with('#') { self.attribute_end(start) } else { None }
    }

    fn item_end(&self, from: usize) -> usize {
        let end = self.until(from, &[';', '{', ',']);
        if self.after(end).starts_with('{') { self.closed(end) } else { end }
    }
}

/// Whether a character can stand in a Rust name.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Offsets where `needle` starts and is not the tail of a longer name.
pub(crate) fn word_starts<'t>(text: &'t str, needle: &'t str) -> impl Iterator<Item = usize> + 't {
    text.match_indices(needle)
        .map(|(at, _)| at)
        .filter(|at| !text.get(..*at).unwrap_or_default().ends_with(is_word))
}

/// Whether the attribute (without white space) keeps an item for tests.
pub(crate) fn is_test_only(attribute: &str) -> bool {
    attribute == "#[cfg(test)]" || attribute.starts_with("#[cfg(all(test,")
}

fn copy(into: &mut String, part: &str, shown: bool) {
    for c in part.chars() {
        if shown || c == '\n' {
            into.push(c);
        } else {
            into.extend(std::iter::repeat_n(' ', c.len_utf8()));
        }
    }
}

fn token(rest: &str, after_word: bool) -> (Kind, usize) {
    if rest.starts_with("//") {
        return (Kind::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Kind::Comment, block_comment(rest));
    }
    if let Some(length) = string(rest, after_word).or_else(|| character(rest)) {
        return (Kind::Literal, length);
    }
    (Kind::Code, rest.chars().next().map_or(1, char::len_utf8))
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(tail) = rest.get(at..).filter(|tail| !tail.is_empty()) {
        if tail.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if tail.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += tail.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn string(rest: &str, after_word: bool) -> Option<usize> {
    if let Some(body) = rest.strip_prefix('"') {
        return Some(1 + escaped(body, '"'));
    }
    if after_word {
        return None;
    }
    let bare = rest.strip_prefix(['b', 'c']).unwrap_or(rest);
    if let Some(body) = bare.strip_prefix('"') {
        return Some(rest.len() - body.len() + escaped(body, '"'));
    }
    let raw = bare.strip_prefix('r')?;
    let body = raw.trim_start_matches('#');
    let closing = format!("\"{}", "#".repeat(raw.len() - body.len()));
    let body = body.strip_prefix('"')?;
    let length = body.find(&closing).map_or(body.len(), |at| at + closing.len());
    Some(rest.len() - body.len() + length)
}

/// A character literal; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('\'')?;
    let first = body.chars().next()?;
    if first == '\\' {
        return Some(1 + escaped(body, '\''));
    }
    body.get(first.len_utf8()..)?.starts_with('\'').then_some(2 + first.len_utf8())
}

/// The length up to and with the closing quote.
fn escaped(body: &str, quote: char) -> usize {
    let mut skip = false;
    for (at, c) in body.char_indices() {
        if skip {
            skip = false;
        } else if c == '\\' {
            skip = true;
        } else if c == quote {
            return at + 1;
        }
    }
    body.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_holds_neither_comments_nor_literals() {
        let text = r##"let a = "x // \" y"; // note
let b = r#"in "raw" text"#; /* one /* two */ one */ let c = 'q'; fn f<'a>(v: &'a str) -> char { '\'' }
let d = b"bytes"; let e = '中'; let f = r"plain";"##;
        let source = Source::new(text);
        assert_eq!(source.code.len(), text.len());
        assert_eq!(source.comments.len(), text.len());
        for hidden in ["note", "raw", "two", "one", "'q'", "bytes", "中", "plain", "x //"] {
            assert!(!source.code.contains(hidden), "{hidden} in {}", source.code);
        }
        for shown in ["let b =", "let c =", "fn f<'a>(v: &'a str) -> char {", "let f ="] {
            assert!(source.code.contains(shown), "{shown} not in {}", source.code);
        }
        assert!(source.comments.contains("// note") && source.comments.contains("two"));
        assert!(!source.comments.contains("let"));
        assert_eq!(source.line(text.find("let d").unwrap()), 3);
    }

    #[test]
    fn an_item_behind_an_attribute_ends_where_it_ends() {
        let text = "fn a() {}\n#[cfg(test)]\n#[rustfmt::skip]\nmod tests { fn b<T, U>() -> [u8; 2] { [1; 2] } }\nfn c() {}\n\
                    struct S {\n    #[cfg(test)]\n    probe: Vec<(u8, u8)>,\n    kept: u8,\n}\n#[cfg(test)]\nfn d<A, B>(a: A) {}\nfn e() {}\n";
        let source = Source::new(text);
        let hidden = source.items_behind(is_test_only);
        let gone = |needle: &str| {
            let at = text.find(needle).unwrap();
            hidden.iter().any(|range| range.contains(&at))
        };
        for inside in ["fn b", "probe", "fn d"] {
            assert!(gone(inside), "{inside}");
        }
        for outside in ["fn a", "fn c", "kept", "fn e"] {
            assert!(!gone(outside), "{outside}");
        }
    }

    #[test]
    fn an_inner_attribute_covers_the_file() {
        let text = "//! About.\n#![cfg(test)]\nfn a() {}\n";
        assert_eq!(Source::new(text).items_behind(is_test_only), vec![0..text.len()]);
    }
}
