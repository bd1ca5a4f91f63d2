//! A request's path, judged on the very octets that are forwarded. PURE.
//!
//! Two readings of one path are where gateways fall: what is public here must not be something else at the origin. So a path
//! that origins are known to read in different ways is refused; one that some of them fold into another (letter case, matrix
//! parameters, trailing dots) is never public; and what is protected is protected in every folded spelling too. Unicode has more
//! spellings than a table of a few lines folds: such characters stand for any, and a path that may then be one of which more is asked is
//! refused. What goes on behind a script is other paths as well.

use alloc::{borrow::Cow, string::String, vec::Vec};
use core::ops::Range;

/// Octets of a path: what Workers themselves allow for a whole URL.
pub const MAX_PATH_LEN: usize = 16 * 1024;

/// How the name of a script ends behind which a path may go on (`PATH_INFO`, RFC 3875 section 4.1.5), as front controllers of PHP and
/// `ColdFusion` and applications behind CGI are asked. Not `.pl` and `.py`: such names are in the paths of sources as well.
const SCRIPTS: [&str; 4] = [".php", ".cfm", ".cgi", ".fcgi"];

/// A path that one may look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPath<'a> {
    raw: &'a str,
    folded: Cow<'a, str>,
    loose: Option<String>,
    is_plain: bool,
    script: Option<Range<usize>>,
}

impl<'a> RequestPath<'a> {
    /// Judges a path: what stands in a request between the authority and `?`.
    ///
    /// # Errors
    /// Why no two servers need agree on what it names: encoded slashes and backslashes, empty segments, dot segments in any
    /// encoding, double encoding, control characters, octets that are no UTF-8, two scripts, segments that ASP.NET leaves out.
    pub fn parse(raw: &'a str) -> Result<Self, &'static str> {
        if raw.len() > MAX_PATH_LEN {
            return Err("the path is too long");
        }
        if !raw.starts_with('/') {
            return Err("the path does not begin with a slash");
        }
        if is_simple(raw) {
            return Ok(Self { raw, folded: Cow::Borrowed(raw), loose: None, is_plain: true, script: None });
        }
        let Folder { out, is_plain, has_forms, script, .. } = Folder::fold_path(raw, false)?;
        let loose = if has_forms { Some(Folder::fold_path(raw, true)?.out) } else { None };
        Ok(Self { raw, folded: Cow::Owned(out), loose, is_plain, script })
    }

    /// The path as it is forwarded.
    pub fn raw(&self) -> &'a str {
        self.raw
    }

    /// The path as the most lenient origin reads it: decoded, in lower case, without matrix parameters and trailing dots.
    pub fn folded(&self) -> &str {
        &self.folded
    }

    /// The folded path with placeholders for the characters that have other forms in Unicode: see [`may_be`]. `None` where it has none.
    pub(super) fn loose(&self) -> Option<&str> {
        self.loose.as_deref()
    }

    /// What it is to an application that is one script: `/shop/index.php/admin` is served as `/shop/admin`, and where the script answers for
    /// the whole host as `/admin`. None where it goes on behind no script.
    pub(super) fn past_script(&self) -> impl Iterator<Item = String> {
        self.script.iter().flat_map(move |script| {
            let behind = &self.raw[script.end..];
            [script.start, 0].into_iter().map(move |kept| [&self.raw[..kept], behind].concat())
        })
    }

    /// Whether nothing in it is known to be folded by some origin, letter case aside.
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }
}

/// Whether a path is its own folded form and nothing in it needs a look: nearly every path is.
fn is_simple(raw: &str) -> bool {
    let mut before = b'x';
    for (at, byte) in raw.bytes().enumerate() {
        let is_fine = match byte {
            b'/' => before != b'/' && before != b'.' && !is_script(&raw.as_bytes()[..at]),
            // With a parenthesis begins what ASP.NET leaves out.
            b'.' | b'(' => before != b'/',
            b'a'..=b'z'
            | b'0'..=b'9'
            | b'-'
            | b'_'
            | b'~'
            | b'!'
            | b'$'
            | b'&'
            | b'\''
            | b')'
            | b'*'
            | b'+'
            | b','
            | b'='
            | b'@' => true,
            _ => false,
        };
        if !is_fine {
            return false;
        }
        before = byte;
    }
    before != b'.'
}

fn is_script(path: &[u8]) -> bool {
    SCRIPTS.iter().any(|end| path.ends_with(end.as_bytes()))
}

/// Stands for one or more characters. No path holds it, nor the other one.
const ANY: char = '\u{1}';
/// Stands for one or more characters beyond ASCII.
const BEYOND_ASCII: char = '\u{2}';

/// Whether a segment of a loose path may be this text. A placeholder is no longer than what it stands for, so neither is the segment.
pub(super) fn may_be(segment: &str, text: &str) -> bool {
    if segment.len() > text.len() || !segment.contains([ANY, BEYOND_ASCII]) {
        return segment == text;
    }
    // Whether what was looked at of the segment may be so many characters of the text.
    let end = text.chars().count();
    let mut reached = alloc::vec![false; end + 1];
    reached[0] = true;
    for one in segment.chars() {
        let (mut above, mut is_here) = (core::mem::replace(&mut reached[0], false), false);
        for (character, reached) in text.chars().zip(&mut reached[1..]) {
            let (fits, goes_on) = match one {
                ANY => (true, is_here),
                BEYOND_ASCII => (!character.is_ascii(), is_here),
                _ => (one == character, false),
            };
            is_here = fits && (above || goes_on);
            above = core::mem::replace(reached, is_here);
        }
    }
    reached[end]
}

struct Folder {
    out: String,
    is_plain: bool,
    /// Whether some character has other forms in Unicode.
    has_forms: bool,
    /// Whether these become placeholders.
    is_loose: bool,
    /// Where the path as it came has a script behind which it goes on, with the slash before it.
    script: Option<Range<usize>>,
}

impl Folder {
    fn fold_path(raw: &str, is_loose: bool) -> Result<Self, &'static str> {
        let mut folder = Self { out: String::with_capacity(raw.len()), is_plain: true, has_forms: false, is_loose, script: None };
        let segments = raw.split('/').skip(1);
        let mut end = 0;
        for segment in segments {
            let start = end;
            end += 1 + segment.len();
            let is_last = end == raw.len();
            folder.segment(segment, is_last)?;
            if !is_last && is_script(folder.out.as_bytes()) && folder.script.replace(start..end).is_some() {
                // nginx's usual patterns end the script at the first or at the last one.
                return Err("the path goes on behind two scripts");
            }
        }
        // An origin that decodes before it looks for the query sees the path end here.
        if let Some(end) = folder.out.find(['?', '#']) {
            folder.out.truncate(end);
        }
        Ok(folder)
    }

    fn segment(&mut self, segment: &str, is_last: bool) -> Result<(), &'static str> {
        self.out.push('/');
        if segment.is_empty() {
            return if is_last { Ok(()) } else { Err("the path has an empty segment") };
        }
        let decoded = decode(segment)?;
        let decoded = core::str::from_utf8(&decoded).map_err(|_| "the path holds octets that are not UTF-8")?;
        if is_escape(decoded) {
            return Err("the path is encoded twice");
        }
        let start = self.out.len();
        for character in decoded.chars() {
            check(character)?;
        }
        for character in decoded.chars() {
            self.fold(character);
        }
        if is_cookieless(&self.out[start..]) {
            return Err("the path has a segment that ASP.NET leaves out");
        }
        // A matrix parameter ends the segment for servlet containers and others.
        if let Some(end) = self.out[start..].find(';') {
            self.is_plain = false;
            self.out.truncate(start + end);
        }
        // NTFS reads `admin::$DATA`, or `admin:$i30:$INDEX_ALLOCATION`, as `admin`.
        if self.out[start..].contains(":$")
            && let Some(colon) = self.out[start..].find(':')
        {
            self.is_plain = false;
            self.out.truncate(start + colon);
        }
        // Windows drops trailing dots and spaces.
        let kept = self.out[start..].trim_end_matches(['.', ' ']).len();
        if kept == 0 {
            return Err("the path has a segment of dots, or an empty one");
        }
        if start + kept < self.out.len() {
            self.is_plain = false;
            self.out.truncate(start + kept);
        }
        Ok(())
    }

    fn fold(&mut self, character: char) {
        match character {
            'A'..='Z' => self.out.push(character.to_ascii_lowercase()),
            '?' | '#' => {
                self.is_plain = false;
                self.out.push(character);
            }
            '\0'..='\x7f' => self.out.push(character),
            _ => self.fold_wide(character),
        }
    }

    fn fold_wide(&mut self, character: char) {
        let fold = compatible(character);
        let is_mark = is_in(&MARKS, character);
        let is_other_form = is_in(&OTHER_FORMS, character);
        let placeholder = match fold {
            Fold::No if is_other_form => Some(ANY),
            Fold::No if is_in(&FORMS_BEYOND_ASCII, character) => Some(BEYOND_ASCII),
            _ if is_mark => Some(BEYOND_ASCII),
            _ => None,
        };
        self.has_forms |= placeholder.is_some();
        match (placeholder, fold) {
            (Some(placeholder), _) if self.is_loose => self.stand_in(placeholder, is_mark),
            (_, Fold::No) => {
                self.is_plain &= !is_other_form;
                self.out.extend(character.to_lowercase());
            }
            (_, Fold::To(text)) => {
                self.is_plain = false;
                self.out.push_str(text);
            }
            (_, Fold::Width(ascii)) => {
                self.is_plain = false;
                self.out.push(ascii.to_ascii_lowercase());
            }
        }
    }

    /// A mark takes the letter before it along. Side by side, placeholders are one.
    fn stand_in(&mut self, placeholder: char, is_mark: bool) {
        if is_mark && !self.out.ends_with(|before: char| before == ANY || before.is_ascii_punctuation()) {
            self.out.pop();
        }
        if self.out.ends_with(BEYOND_ASCII) {
            self.out.pop();
        }
        if !self.out.ends_with(ANY) {
            self.out.push(placeholder);
        }
    }
}

/// Percent-decoding, once; every escape must be one.
fn decode(segment: &str) -> Result<Cow<'_, [u8]>, &'static str> {
    if !segment.contains('%') {
        return Ok(Cow::Borrowed(segment.as_bytes()));
    }
    let mut out = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err("the path holds a % that begins no escape") };
        out.push(high * 16 + low);
    }
    Ok(Cow::Owned(out))
}

/// Whether a decoded text holds what somebody may decode again: `%41`, or `%u0041` of IIS.
fn is_escape(decoded: &str) -> bool {
    let bytes = decoded.as_bytes();
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%').any(|(at, _)| {
        let digits = |from: usize, count: usize| {
            bytes.get(from..from + count).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        digits(at + 1, 2) || (bytes.get(at + 1).is_some_and(|byte| matches!(byte, b'u' | b'U')) && digits(at + 2, 4))
    })
}

/// What no segment may hold once it is decoded.
fn check(character: char) -> Result<(), &'static str> {
    match character {
        '/' => Err("the path holds an encoded slash"),
        '\\' => Err("the path holds a backslash"),
        _ if character.is_control() => Err("the path holds a control character"),
        // What Windows (its code pages 932 and 949 too) and Unicode's compatibility forms turn into the separators.
        '\u{a5}' | '\u{20a9}' | '\u{2044}' | '\u{2100}' | '\u{2101}' | '\u{2105}' | '\u{2106}' | '\u{2215}' | '\u{2216}'
        | '\u{29f5}' | '\u{29f8}' | '\u{29f9}' | '\u{fe68}' | '\u{ff0f}' | '\u{ff3c}' => {
            Err("the path holds a character that some servers read as a slash")
        }
        '\u{fe6a}' | '\u{ff05}' => Err("the path holds a character that some servers read as %"),
        _ => Ok(()),
    }
}

/// Whether a folded segment begins as ASP.NET's values without cookies do, such as `(S(x))` and `(A(x)S(y))`: the path is served without
/// them, and the letters behind them become another name's.
fn is_cookieless(segment: &str) -> bool {
    matches!(segment.as_bytes(), [b'(', b'a'..=b'z', b'(', ..]) && segment.contains("))")
}

enum Fold {
    /// It is what it is, letter case aside.
    No,
    /// Some servers read this instead.
    To(&'static str),
    /// A wide form of this.
    Width(char),
}

/// Characters that case folding, compatibility forms or file systems turn into ASCII, or leave out.
fn compatible(character: char) -> Fold {
    match character {
        '\u{130}' | '\u{131}' => Fold::To("i"),
        '\u{17f}' => Fold::To("s"),
        '\u{212a}' => Fold::To("k"),
        '\u{2024}' | '\u{fe52}' => Fold::To("."),
        '\u{2025}' => Fold::To(".."),
        '\u{2026}' => Fold::To("..."),
        '\u{37e}' | '\u{fe14}' | '\u{fe54}' => Fold::To(";"),
        '\u{2047}' | '\u{2048}' | '\u{fe16}' | '\u{fe56}' => Fold::To("?"),
        '\u{2049}' => Fold::To("!?"),
        '\u{fe5f}' => Fold::To("#"),
        '\u{fe13}' | '\u{fe55}' => Fold::To(":"),
        '\u{fe69}' => Fold::To("$"),
        '\u{ff01}'..='\u{ff5e}' => Fold::Width(char::from_u32(character as u32 - 0xfee0).unwrap_or(character)),
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => Fold::To(" "),
        // Ignored by some file systems and comparisons (Default_Ignorable_Code_Point); combining marks make one character of two.
        '\u{ad}'
        | '\u{61c}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{e0000}'..='\u{e0fff}'
        | '\u{300}'..='\u{36f}' => Fold::To(""),
        _ => Fold::No,
    }
}

/// Characters whose compatibility forms (UAX 15, NFKC) hold ASCII: letters and digits raised, lowered, circled, of mathematics, several
/// in one. By ranges of them, so that some are among these which have none.
#[rustfmt::skip]
const OTHER_FORMS: [(char, char); 37] = [
    ('\u{aa}', '\u{aa}'), ('\u{b2}', '\u{b2}'), ('\u{b3}', '\u{b3}'), ('\u{b9}', '\u{b9}'), ('\u{ba}', '\u{ba}'),
    ('\u{bc}', '\u{be}'), ('\u{132}', '\u{132}'), ('\u{133}', '\u{133}'), ('\u{13f}', '\u{13f}'), ('\u{140}', '\u{140}'),
    ('\u{149}', '\u{149}'), ('\u{1c4}', '\u{1cc}'), ('\u{1f1}', '\u{1f3}'), ('\u{2b0}', '\u{2b8}'), ('\u{2e0}', '\u{2e4}'),
    ('\u{1d2c}', '\u{1d6a}'), ('\u{1d9b}', '\u{1dbf}'), ('\u{1e9a}', '\u{1e9a}'), ('\u{203c}', '\u{203c}'),
    ('\u{2047}', '\u{2049}'), ('\u{2070}', '\u{209f}'), ('\u{20a8}', '\u{20a8}'), ('\u{2100}', '\u{218f}'),
    ('\u{2460}', '\u{24ff}'), ('\u{2a74}', '\u{2a76}'), ('\u{2c7c}', '\u{2c7c}'), ('\u{2c7d}', '\u{2c7d}'),
    ('\u{3200}', '\u{33ff}'), ('\u{a7f2}', '\u{a7f4}'), ('\u{fb00}', '\u{fb06}'), ('\u{fb29}', '\u{fb29}'),
    ('\u{fe10}', '\u{fe19}'), ('\u{fe30}', '\u{fe6b}'), ('\u{107a5}', '\u{107a5}'), ('\u{1d400}', '\u{1d7ff}'),
    ('\u{1f100}', '\u{1f190}'), ('\u{1fbf0}', '\u{1fbf9}'),
];

/// Characters that are one or several others beyond ASCII in another form of Unicode. By ranges as well.
#[rustfmt::skip]
const FORMS_BEYOND_ASCII: [(char, char); 18] = [
    ('\u{b5}', '\u{b5}'), ('\u{374}', '\u{374}'), ('\u{387}', '\u{387}'), ('\u{958}', '\u{95f}'), ('\u{9dc}', '\u{9df}'),
    ('\u{a33}', '\u{a36}'), ('\u{a59}', '\u{a5e}'), ('\u{b5c}', '\u{b5c}'), ('\u{b5d}', '\u{b5d}'), ('\u{1100}', '\u{11ff}'),
    ('\u{1f71}', '\u{1f7d}'), ('\u{1fbb}', '\u{1ffd}'), ('\u{2e80}', '\u{2fdf}'), ('\u{3131}', '\u{318f}'),
    ('\u{f900}', '\u{fdff}'), ('\u{fe70}', '\u{fefc}'), ('\u{ff61}', '\u{ffee}'), ('\u{2f800}', '\u{2fa1f}'),
];

/// Marks that make one letter of the one before them.
#[rustfmt::skip]
const MARKS: [(char, char); 9] = [
    ('\u{300}', '\u{36f}'), ('\u{5b0}', '\u{5c2}'), ('\u{653}', '\u{655}'), ('\u{93c}', '\u{93c}'), ('\u{9bc}', '\u{9bc}'),
    ('\u{a3c}', '\u{a3c}'), ('\u{b3c}', '\u{b3c}'), ('\u{3099}', '\u{3099}'), ('\u{309a}', '\u{309a}'),
];

#[inline(never)]
fn is_in(ranges: &[(char, char)], character: char) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_are_what_they_are() {
        for path in [
            "/",
            "/a",
            "/a/b.c/d-e_f",
            "/a/",
            "/a@b/c,d",
            "/well.known/x",
            "/~user/it's",
            "/orders(1)/x",
            "/f(g(x))",
            "/(a)/(b(c)",
        ] {
            let parsed = RequestPath::parse(path).unwrap();
            assert_eq!((parsed.raw(), parsed.folded(), parsed.is_plain()), (path, path, true), "{path}");
        }
    }

    #[test]
    fn what_is_read_in_two_ways_is_refused() {
        for path in [
            "",
            "a",
            "//",
            "//a",
            "/a//b",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a%5Cb",
            "/a\\b",
            "/.",
            "/..",
            "/a/..",
            "/a/./b",
            "/a/%2e%2e/b",
            "/a/.%2e/b",
            "/a/%2E./b",
            "/a/%2e",
            "/a/...",
            "/a/..%20/b",
            "/a/%20/b",
            "/a/..;/b",
            "/a/;x=1/b",
            "/a/%2e%2e;x/b",
            "/a%252fb",
            "/a%25252fb",
            "/a%25%32%66b",
            "/a%2525%32f",
            "/%u002e",
            "/%25u002e",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%00",
            "/a%00.png",
            "/a%0d%0ab",
            "/a%7f",
            "/a%c2%85",
            "/a%c0%af",
            "/a%e0%80%af",
            "/a%f0%80%80%af",
            "/%c0%ae%c0%ae/",
            "/a%ff",
            "/a%ed%a0%80",
            "/a\tb",
            "/a\u{0}b",
            "/a%ef%bc%8fb",
            "/a%e2%88%95b",
            "/%e2%84%80",
            "/a%c2%a5b",
            "/a%e2%82%a9b",
            "/%ef%bc%8e%ef%bc%8e/b",
            "/a/%e2%80%a5/b",
            "/a/%e2%80%8b/b",
            "/a/(S(x))/b",
            "/a/(s(x))/b",
            "/(A(x)S(y)F(z))/b",
            "/a/%28S%28x%29%29/b",
            "/a/(S())/b",
            "/a/(S(x;y))/b",
            "/a/(S(x:$y))/b",
            "/a/(S(%3f))/b",
            "/a/(S(x))b/c",
            "/a/%ef%bc%88S(x))/b",
        ] {
            assert!(RequestPath::parse(path).is_err(), "{path:?}");
        }
        assert!(RequestPath::parse(&alloc::format!("/{}", "a".repeat(MAX_PATH_LEN))).is_err());
    }

    #[test]
    fn what_some_origin_folds_is_folded_and_not_plain() {
        for (path, folded, is_plain) in [
            ("/Admin", "/admin", true),
            ("/%61dmin", "/admin", true),
            ("/ADM%49N/X", "/admin/x", true),
            ("/admin;x=1/users", "/admin/users", false),
            ("/admin%3bx/users", "/admin/users", false),
            ("/admin%ef%bc%9bx/users", "/admin/users", false),
            ("/admin%e2%81%87x", "/admin", false),
            ("/admin./users", "/admin/users", false),
            ("/admin%20/users", "/admin/users", false),
            ("/admin%3fx", "/admin", false),
            ("/admin%23x", "/admin", false),
            ("/admin::$DATA", "/admin", false),
            ("/admin:$i30:$INDEX_ALLOCATION/x", "/admin/x", false),
            ("/admin%ef%bc%9a%24i30%3a$INDEX_ALLOCATION/x", "/admin/x", false),
            ("/admin%20:x:$DATA", "/admin", false),
            ("/items/x:batch", "/items/x:batch", true),
            ("/%e2%93%90dmin", "/\u{24d0}dmin", false),
            ("/%f0%9d%90%9admin", "/\u{1d41a}dmin", false),
            ("/%e2%84%83", "/\u{2103}", false),
            ("/o%ef%ac%83ce", "/o\u{fb03}ce", false),
            ("/x%c2%b2", "/x\u{b2}", false),
            ("/%e2%85%a8", "/\u{2178}", false),
            ("/na%c3%afve/%e6%bc%a2%e5%ad%97/%d0%b6", "/na\u{ef}ve/\u{6f22}\u{5b57}/\u{436}", true),
            ("/as%e2%84%aa", "/ask", false),
            ("/%ef%bc%a1dmin", "/admin", false),
            ("/adm%c4%b1n", "/admin", false),
            ("/ad%c2%admin", "/admin", false),
            ("/ad%e1%85%9fm%e3%85%a4in%ef%be%a0", "/admin", false),
            ("/adm%d8%9ci%e1%a0%8en%e2%81%aa", "/admin", false),
            ("/%f3%a0%81%a1admin%f3%a0%84%80", "/admin", false),
            ("/k%c3%84se", "/käse", true),
            ("/100%25", "/100%", true),
        ] {
            let parsed = RequestPath::parse(path).unwrap();
            assert_eq!((parsed.folded(), parsed.is_plain()), (folded, is_plain), "{path}");
        }
    }

    #[test]
    fn what_goes_on_behind_a_script_is_other_paths_too() {
        for (path, without, behind) in [
            ("/index.php/admin/x", "/admin/x", "/admin/x"),
            ("/shop/index.php/admin", "/shop/admin", "/admin"),
            ("/shop/App.PH%50;a=b/%61/", "/shop/%61/", "/%61/"),
            ("/index.php/", "/", "/"),
            ("/shop/index.cfm/admin", "/shop/admin", "/admin"),
            ("/cgi-bin/app.CGI/admin", "/cgi-bin/admin", "/admin"),
            ("/dispatch.fcgi/admin", "/admin", "/admin"),
            ("/caf%c3%a9/%ef%bc%a9ndex.php./x", "/caf%c3%a9/x", "/x"),
        ] {
            assert_eq!(RequestPath::parse(path).unwrap().past_script().collect::<Vec<_>>(), [without, behind], "{path}");
        }
        for path in [
            "/",
            "/index.php",
            "/x/Index.php",
            "/index.phpx/y",
            "/index.php.x/y",
            "/php/y",
            "/Php/y",
            "/index%3f.ph/y",
            "/src/main.py/raw",
            "/x.xcgi/y",
        ] {
            assert_eq!(RequestPath::parse(path).unwrap().past_script().count(), 0, "{path}");
        }
        for path in ["/a.php/b.php/x", "/a.php/x/B.PHP/y", "/a.php/b.php/", "/a.cgi/b.php/x"] {
            assert!(RequestPath::parse(path).is_err(), "{path}");
        }
        assert!(RequestPath::parse("/a.php/b.php").is_ok());
    }

    #[test]
    fn what_unicode_spells_otherwise_may_be_more_than_one_text() {
        for (path, may_be_it, may_not) in [
            ("/%e2%93%90dmin", &["admin", "xdmin", "12dmin"][..], &["dmin", "admi", "admins"][..]),
            ("/o%ef%ac%83ce", &["office"], &["oce"]),
            ("/%F0%9D%90%80%F0%9D%90%83min", &["admin", "amin"], &["min"]),
            ("/cafe%CC%81", &["caf\u{e9}", "caf\u{1ebf}", "caf\u{e9}\u{e9}"], &["cafe", "caf", "caf\u{e9}x", "cafeteria"]),
            ("/e%CC%81t%c3%a9", &["\u{e9}t\u{e9}"], &["\u{e9}t\u{e8}", "\u{e9}t"]),
            ("/%e3%81%8b%e3%82%99", &["\u{304c}"], &["a"]),
            ("/%e1%84%92%e1%85%a1%e1%86%ab", &["\u{d55c}"], &["han"]),
            ("/%e2%91%a0e%CC%81.x", &["1e.x", "1\u{e9}.x"], &["1e", "1e.y"]),
        ] {
            let parsed = RequestPath::parse(path).unwrap();
            let loose = parsed.loose().unwrap();
            assert!(may_be_it.iter().all(|text| may_be(&loose[1..], text)), "{path} {loose:?}");
            assert!(!may_not.iter().any(|text| may_be(&loose[1..], text)), "{path} {loose:?}");
        }
        for path in ["/caf%c3%a9/%e6%bc%a2%e5%ad%97/%d0%b6%e3%81%8c/%ed%95%9c", "/A;x/b", "/ad%c2%admin", "/ADMIN"] {
            assert_eq!(RequestPath::parse(path).unwrap().loose(), None, "{path}");
        }
    }
}
