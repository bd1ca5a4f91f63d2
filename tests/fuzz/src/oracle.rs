//! Readings of JSON and base64url as their RFCs put it, written to be plain: slow, recursive, one character at a time.

use serde_json::Value;

/// A JSON value (RFC 8259), members in the order of the text.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(f64),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// What a text holds beyond its value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Remarks {
    pub duplicate: bool,
    /// Containers inside each other.
    pub depth: usize,
    /// A number so near the largest double that readers may differ on whether it is one.
    pub disputed: bool,
}

impl Json {
    /// The value of a whole text, or `None` for what is no JSON.
    pub fn read(bytes: &[u8]) -> Option<(Self, Remarks)> {
        let text: Vec<char> = std::str::from_utf8(bytes).ok()?.chars().collect();
        let mut reader = Reader { text, at: 0, remarks: Remarks::default() };
        reader.space();
        let value = reader.value(1)?;
        reader.space();
        (reader.at == reader.text.len()).then_some((value, reader.remarks))
    }

    /// The members of an object under Edgeseal's rules: no duplicates, at most 128 deep.
    pub fn strict_object(bytes: &[u8]) -> Option<Vec<(String, Self)>> {
        match Self::read(bytes)? {
            (Self::Object(members), remarks) if !remarks.duplicate && remarks.depth <= 128 => Some(members),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// Whether serde's value is this one. Doubles may differ in their last digits.
    pub fn equals(&self, other: &Value) -> bool {
        match (self, other) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(a), Value::Bool(b)) => a == b,
            (Self::Number(a), Value::Number(b)) => {
                let b = b.as_f64().unwrap();
                (a - b).abs() <= a.abs() * 4.0 * f64::EPSILON || (a - b).abs() < 1e-300
            }
            (Self::String(a), Value::String(b)) => a == b,
            (Self::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equals(b)),
            (Self::Object(a), Value::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| a.equals(b)))
            }
            _ => false,
        }
    }
}

/// The member of an object that has no two of one name.
pub fn member<'a>(members: &'a [(String, Json)], name: &str) -> Option<&'a Json> {
    members.iter().find(|(own, _)| own == name).map(|(_, value)| value)
}

struct Reader {
    text: Vec<char>,
    at: usize,
    remarks: Remarks,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += 1;
        Some(next)
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Option<Json> {
        match self.peek()? {
            '{' => self.object(depth),
            '[' => self.array(depth),
            '"' => self.string().map(Json::String),
            'n' => self.word("null", Json::Null),
            't' => self.word("true", Json::Bool(true)),
            'f' => self.word("false", Json::Bool(false)),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str, value: Json) -> Option<Json> {
        word.chars().all(|wanted| self.take(wanted)).then_some(value)
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        self.remarks.depth = self.remarks.depth.max(depth);
        let mut members: Vec<(String, Json)> = Vec::new();
        self.next();
        self.space();
        if self.take('}') {
            return Some(Json::Object(members));
        }
        loop {
            self.space();
            let name = self.string()?;
            self.space();
            if !self.take(':') {
                return None;
            }
            self.space();
            let value = self.value(depth + 1)?;
            self.remarks.duplicate |= members.iter().any(|(earlier, _)| *earlier == name);
            members.push((name, value));
            self.space();
            match self.next()? {
                ',' => {}
                '}' => return Some(Json::Object(members)),
                _ => return None,
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Json> {
        self.remarks.depth = self.remarks.depth.max(depth);
        let mut elements = Vec::new();
        self.next();
        self.space();
        if self.take(']') {
            return Some(Json::Array(elements));
        }
        loop {
            self.space();
            elements.push(self.value(depth + 1)?);
            self.space();
            match self.next()? {
                ',' => {}
                ']' => return Some(Json::Array(elements)),
                _ => return None,
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        if !self.take('"') {
            return None;
        }
        let mut units = Vec::new();
        let mut buffer = [0; 2];
        loop {
            let unit = match self.next()? {
                '"' => return String::from_utf16(&units).ok(),
                '\\' => match self.next()? {
                    'u' => self.hex4()?,
                    'b' => 8,
                    'f' => 12,
                    'n' => 10,
                    'r' => 13,
                    't' => 9,
                    plain @ ('"' | '\\' | '/') => plain as u16,
                    _ => return None,
                },
                control if (control as u32) < 0x20 => return None,
                plain => {
                    units.extend_from_slice(plain.encode_utf16(&mut buffer));
                    continue;
                }
            };
            units.push(unit);
        }
    }

    fn hex4(&mut self) -> Option<u16> {
        (0..4).try_fold(0, |value, _| Some(value << 4 | u16::try_from(self.next()?.to_digit(16)?).ok()?))
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|digit| digit.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<Json> {
        let start = self.at;
        self.take('-');
        if !self.take('0') {
            self.digits()?;
        }
        if self.take('.') {
            self.digits()?;
        }
        let mantissa: String = self.text[start..self.at].iter().collect();
        let mut exponent = 0.0;
        if self.take('e') || self.take('E') {
            let from = self.at;
            let _ = self.take('+') || self.take('-');
            self.digits()?;
            exponent = self.text[from..self.at].iter().collect::<String>().parse().unwrap();
        }
        let value: f64 = self.text[start..self.at].iter().collect::<String>().parse().unwrap();
        // From the mantissa's own digits: it may be beyond a double where the number is not.
        let digits = mantissa.trim_start_matches('-').trim_start_matches(['0', '.']);
        if !digits.is_empty() {
            let whole = mantissa.trim_start_matches('-').split('.').next().unwrap();
            let magnitude = if whole.trim_start_matches('0').is_empty() {
                let fraction = mantissa.split('.').nth(1).unwrap_or_default();
                #[allow(clippy::cast_precision_loss, reason = "a count of digits")]
                let zeros = fraction.chars().take_while(|digit| *digit == '0').count() as f64;
                -zeros
            } else {
                #[allow(clippy::cast_precision_loss, reason = "a count of digits")]
                let digits = whole.trim_start_matches('0').len() as f64;
                digits
            } + exponent;
            self.remarks.disputed |= (308.0..=310.0).contains(&magnitude);
        }
        value.is_finite().then_some(Json::Number(value)).or_else(|| self.remarks.disputed.then_some(Json::Number(f64::MAX)))
    }
}

/// Base64url without padding (RFC 4648 section 5): canonical, or nothing.
pub fn base64url(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: Vec<u8> = text
        .chars()
        .map(|character| ALPHABET.find(character))
        .collect::<Option<Vec<usize>>>()?
        .into_iter()
        .flat_map(|value| (0..6).rev().map(move |bit| u8::from(value >> bit & 1 == 1)))
        .collect();
    let (octets, rest) = bits.as_chunks::<8>();
    // What is left of the last character: fewer than six bits, all zero.
    (rest.len() < 6 && rest.iter().all(|bit| *bit == 0))
        .then(|| octets.iter().map(|bits| bits.iter().fold(0, |octet, bit| octet << 1 | bit)).collect())
}

/// The other direction.
pub fn to_base64url(octets: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits: Vec<u8> = octets.iter().flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1)).collect();
    bits.resize(bits.len().div_ceil(6) * 6, 0);
    bits.chunks(6).map(|six| ALPHABET[six.iter().fold(0, |value, bit| value << 1 | usize::from(*bit))] as char).collect()
}
