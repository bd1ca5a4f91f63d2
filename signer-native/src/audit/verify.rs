//! Verification of an export, with nothing but its lines: every row, every chain, every checkpoint.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, BufRead},
};

use edgeseal_core::Jwk;

use super::{
    chain::{self, Chain, Row},
    checkpoint::{self, Checkpoint, Statement},
    export::Line,
};

/// Octets of a line: a row, its digest and its details. Longer ones are no rows.
const MAX_LINE: usize = 1024 * 1024;

/// What a whole export showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Rows.
    pub rows: u64,
    /// Chains.
    pub chains: usize,
    /// Checkpoints.
    pub checkpoints: u64,
    /// The keys that signed them, by `kid`.
    pub kids: Vec<String>,
    /// When the last one was made.
    pub last_checkpoint: Option<String>,
    /// Rows after the last checkpoint, of which only their own hashes speak.
    pub unproved: u64,
    /// Whether a checkpoint kept elsewhere was found in it, so that nothing before that one can have been cut off.
    pub tail: Tail,
}

/// What is known of rows that are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// No other checkpoint was given: whoever made the export may have left out what came last.
    NotProved,
    /// The checkpoint kept elsewhere is in it, with this many checkpoints after it.
    Proved {
        /// Checkpoints after it.
        later: u64,
    },
}

/// The first thing that is wrong with an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The line, from 1.
    pub line: u64,
    /// The row that it holds or should hold, from 1; `None` when the flaw is in no row.
    pub row: Option<u64>,
    /// What is wrong, in words.
    pub reason: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, row, reason } = self;
        match row {
            Some(row) => write!(formatter, "row {row} (line {line}): {reason}"),
            None => write!(formatter, "line {line}: {reason}"),
        }
    }
}

/// Why there is no report.
#[derive(Debug)]
pub enum VerifyError {
    /// The export does not hold.
    Flaw(Flaw),
    /// It cannot be read.
    Io(io::Error),
}

impl From<io::Error> for VerifyError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What is compared with an export besides itself.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// A checkpoint kept elsewhere.
    pub checkpoint: Option<String>,
    /// The only `kid`s that checkpoints may be signed by; any of the export's own keys when there are none.
    pub kids: Vec<String>,
}

/// Reads an export to its end.
///
/// # Errors
/// The first [`Flaw`], or that it cannot be read.
pub fn verify(mut input: impl BufRead, expected: &Expectation) -> Result<Report, VerifyError> {
    let mut reading = Reading::new(expected).map_err(|reason| VerifyError::Flaw(Flaw { line: 0, row: None, reason }))?;
    let mut line = Vec::new();
    loop {
        line.clear();
        let taken = io::Read::take(&mut input, MAX_LINE as u64).read_until(b'\n', &mut line)?;
        if taken == 0 {
            break;
        }
        reading.line += 1;
        if let Err(reason) = reading.take(&line) {
            let flaw = Flaw { line: reading.line, row: reading.row, reason };
            return Err(VerifyError::Flaw(reading.earlier(&mut input)?.unwrap_or(flaw)));
        }
    }
    reading.end().map_err(VerifyError::Flaw)
}

struct Reading<'a> {
    expected: &'a Expectation,
    kept: Option<Checkpoint>,
    keys: BTreeMap<String, Jwk>,
    chains: BTreeMap<String, Chain>,
    rows: u64,
    unproved: u64,
    last: Option<(u64, String)>,
    last_at: Option<String>,
    kids: Vec<String>,
    line: u64,
    /// The row that the present line is about, if it is about one.
    row: Option<u64>,
    /// Rows since the last checkpoint.
    runs: Vec<Run>,
    /// The line of the last checkpoint, or of the head.
    proved_to: u64,
    /// The last row of each chain that a checkpoint signed for.
    signed: BTreeMap<String, u64>,
    met: Option<u64>,
}

/// Rows of one chain that stand together.
struct Run {
    chain: String,
    /// The number of the first one in the chain.
    seq: u64,
    rows: usize,
}

impl<'a> Reading<'a> {
    fn new(expected: &'a Expectation) -> Result<Self, String> {
        let kept = expected.checkpoint.as_deref().map(|document| Checkpoint::parse(document.trim()));
        let kept = kept.transpose().map_err(|reason| format!("the checkpoint kept elsewhere cannot be used: {reason}"))?;
        Ok(Self {
            expected,
            kept,
            keys: BTreeMap::new(),
            chains: BTreeMap::new(),
            rows: 0,
            unproved: 0,
            last: None,
            last_at: None,
            kids: Vec::new(),
            line: 0,
            row: None,
            runs: Vec::new(),
            proved_to: 1,
            signed: BTreeMap::new(),
            met: None,
        })
    }

    fn take(&mut self, line: &[u8]) -> Result<(), String> {
        // Until it is known to be something else, a line after the first is where the next row should be.
        self.row = (self.line > 1).then_some(self.rows + 1);
        let line = line.strip_suffix(b"\n").ok_or("it does not end as a line does: the export was cut off or changed here")?;
        let line = std::str::from_utf8(line).map_err(|_| "it is no text")?;
        match Line::parse(line)? {
            Line::Head(keys) if self.line == 1 => {
                self.keys = keys.into_iter().map(|key| (key.thumbprint(), key)).collect();
                Ok(())
            }
            Line::Head(_) => Err("an export begins only once".to_owned()),
            _ if self.line == 1 => Err("an export begins with a line of its keys".to_owned()),
            Line::Row { hash, body } => {
                let row = Row::read(hash, body)?;
                let chain = self.chains.entry(row.chain().to_owned()).or_insert_with(|| Chain::new(row.chain()));
                chain.follow(&row)?;
                self.rows += 1;
                match self.runs.last_mut() {
                    Some(run) if run.chain == row.chain() => run.rows += 1,
                    _ => self.runs.push(Run { chain: row.chain().to_owned(), seq: row.seq(), rows: 1 }),
                }
                self.unproved += 1;
                Ok(())
            }
            Line::Checkpoint(document) => {
                self.row = None;
                self.checkpoint(document)
            }
        }
    }

    fn checkpoint(&mut self, document: &str) -> Result<(), String> {
        let checkpoint = Checkpoint::parse(document).map_err(|reason| format!("no checkpoint: {reason}"))?;
        let Checkpoint { id, prev, at, chains, kid, .. } = &checkpoint;
        let named = |reason: String| format!("checkpoint {id}: {reason}");
        if !self.expected.kids.is_empty() && !self.expected.kids.iter().any(|expected| expected == kid) {
            return Err(named(format!("it is signed by key {kid}, which was not named")));
        }
        let key = self.keys.get(kid).ok_or_else(|| named(format!("its key {kid} is not among those of the export")))?;
        checkpoint.verify(document, key).map_err(named)?;
        let (next, hash) = self.last.as_ref().map_or((1, chain::GENESIS), |(last, hash)| (last + 1, hash.as_str()));
        if *id != next {
            return Err(named(format!("the next one is {next}: checkpoints are missing or out of order")));
        }
        if prev != hash {
            return Err(named("it does not name the hash of the checkpoint before it".to_owned()));
        }
        self.stated(chains).map_err(named)?;
        if let Some(kept) = &self.kept
            && kept.id == *id
        {
            if self.expected.checkpoint.as_deref().map(str::trim) != Some(document) {
                return Err(named("it is not the checkpoint of this number that was kept elsewhere".to_owned()));
            }
            self.met = Some(*id);
        }
        if !self.kids.contains(kid) {
            self.kids.push(kid.clone());
        }
        self.last = Some((*id, checkpoint::hash(document)));
        self.last_at = Some(at.clone());
        (self.unproved, self.proved_to) = (0, self.line);
        Ok(())
    }

    /// Whether the rows since the last checkpoint are those that this one speaks of.
    fn stated(&mut self, statements: &[Statement]) -> Result<(), String> {
        let missing = || {
            let (chain, seq) = self.signed_for(statements).nth(usize::try_from(self.unproved).ok()?)?;
            Some((self.rows + 1, format!("here should be row {seq} of chain {chain}")))
        };
        let rewritten = || {
            let mut last = self.rows - self.unproved;
            statements.iter().find_map(|Statement { chain, seq, hash }| {
                last += seq.saturating_sub(self.signed.get(chain).copied().unwrap_or(0));
                let same = self.chains.get(chain).is_some_and(|chain| chain.hash() == hash);
                (!same).then(|| (last, format!("row {seq} of chain {chain} is not the one that was signed for")))
            })
        };
        if let Some((row, reason)) = self.out_of_place(statements).or_else(missing).or_else(rewritten) {
            self.stand_at(row);
            return Err(reason);
        }
        self.signed.extend(statements.iter().map(|statement| (statement.chain.clone(), statement.seq)));
        self.runs.clear();
        Ok(())
    }

    /// The chains and numbers of the rows between the last checkpoint and one that says this, in their order.
    fn signed_for<'s>(&self, statements: &'s [Statement]) -> impl Iterator<Item = (&'s str, u64)> {
        statements.iter().flat_map(|Statement { chain, seq, .. }| {
            let before = self.signed.get(chain).copied().unwrap_or(0);
            (before + 1..=*seq).map(|seq| (chain.as_str(), seq))
        })
    }

    /// The first of the rows since the last checkpoint that stands where this one says that another should.
    fn out_of_place(&self, statements: &[Statement]) -> Option<(u64, String)> {
        let mut signed_for = self.signed_for(statements);
        let found = self.runs.iter().flat_map(|run| (run.seq..).take(run.rows).map(|seq| (run.chain.as_str(), seq)));
        (self.rows - self.unproved + 1..).zip(found).find_map(|(row, found)| match signed_for.next() {
            Some(signed) if signed == found => None,
            Some((chain, seq)) => Some((row, format!("here should be row {seq} of chain {chain}"))),
            None => Some((row, format!("row {} of chain {} is more than was signed for", found.1, found.0))),
        })
    }

    /// Points at a row since the last checkpoint. No other lines are between those rows.
    fn stand_at(&mut self, row: u64) {
        self.row = Some(row);
        self.line = self.proved_to + row - (self.rows - self.unproved);
    }

    /// Something is wrong with the present line. Whether a row before it stands in the wrong place already, only the next
    /// checkpoint knows, if there is one that can be believed.
    fn earlier(&mut self, input: &mut impl BufRead) -> Result<Option<Flaw>, VerifyError> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if io::Read::take(&mut *input, MAX_LINE as u64).read_until(b'\n', &mut line)? == 0 {
                return Ok(None);
            }
            let Ok(text) = std::str::from_utf8(line.trim_ascii_end()) else { continue };
            let Ok(Line::Checkpoint(document)) = Line::parse(text) else { continue };
            let Ok(checkpoint) = Checkpoint::parse(document) else { return Ok(None) };
            let next = self.last.as_ref().map_or(1, |(last, _)| last + 1);
            let believed = self.keys.get(&checkpoint.kid).is_some_and(|key| checkpoint.verify(document, key).is_ok());
            if !believed || checkpoint.id != next {
                return Ok(None);
            }
            return Ok(self.out_of_place(&checkpoint.chains).map(|(row, reason)| {
                self.stand_at(row);
                Flaw { line: self.line, row: self.row, reason }
            }));
        }
    }

    fn end(self) -> Result<Report, Flaw> {
        let flaw = |reason: String| Flaw { line: self.line + 1, row: None, reason };
        if self.line == 0 {
            return Err(flaw("the export is empty".to_owned()));
        }
        let last = self.last.as_ref().map_or(0, |(id, _)| *id);
        let tail = match (&self.kept, self.met) {
            (None, _) => Tail::NotProved,
            (Some(_), Some(met)) => Tail::Proved { later: last - met },
            (Some(kept), None) => {
                let missing = kept.chains.iter().find_map(|statement| {
                    let seq = self.chains.get(&statement.chain).map_or(0, Chain::seq);
                    (seq < statement.seq).then(|| {
                        format!(": chain {} ends with row {seq} here, and had {} rows by it", statement.chain, statement.seq)
                    })
                });
                return Err(flaw(format!(
                    "the export ends before checkpoint {}, which was kept elsewhere{}",
                    kept.id,
                    missing.unwrap_or_default()
                )));
            }
        };
        Ok(Report {
            rows: self.rows,
            chains: self.chains.len(),
            checkpoints: last,
            kids: self.kids,
            last_checkpoint: self.last_at,
            unproved: self.unproved,
            tail,
        })
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
    };
    use edgeseal_core::{Algorithm, PublicKey, Timestamp, algorithm::Curve};

    use super::*;
    use crate::audit::{Event, export};

    struct Book {
        key: EcdsaKeyPair,
        jwk: Jwk,
        lines: Vec<String>,
        chains: Vec<Chain>,
        checkpoints: Vec<String>,
    }

    impl Book {
        fn new() -> Self {
            let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
            let public = PublicKey::ec_from_sec1(Curve::P256, key.public_key().as_ref()).unwrap();
            let kid = public.thumbprint();
            let jwk = Jwk::new(public, Some(Algorithm::Es256), Some(kid)).unwrap();
            let lines = vec![export::head(std::slice::from_ref(&jwk))];
            Self {
                key,
                jwk,
                lines,
                chains: vec![Chain::new("one"), Chain::new("two"), Chain::new("six")],
                checkpoints: Vec::new(),
            }
        }

        fn rows(&mut self, chain: usize, count: u64) {
            for n in 0..count {
                let event = Event::new("agent:app", "token.intent", "kid").with("n", n).with_digest(format!("d{n}"));
                self.lines.push(export::row(&self.chains[chain].append(Timestamp::from_secs(1_760_000_000), event)));
            }
        }

        fn checkpoint(&mut self, chains: &[usize]) {
            let statement = |at: &usize| {
                let chain = &self.chains[*at];
                Statement { chain: chain.id().to_owned(), seq: chain.seq(), hash: chain.hash().to_owned() }
            };
            let statements: Vec<Statement> = chains.iter().map(statement).collect();
            let last = self.checkpoints.last().map(|document| (self.checkpoints.len() as u64, checkpoint::hash(document)));
            let last = last.as_ref().map(|(id, hash)| (*id, hash.as_str()));
            let at = Timestamp::from_secs(1_760_000_100);
            let unsigned = checkpoint::unsigned(Algorithm::Es256, self.jwk.kid().unwrap(), last, at, &statements).unwrap();
            let signature = self.key.sign(&SystemRandom::new(), unsigned.signing_input()).unwrap();
            let document = unsigned.attach(signature.as_ref());
            self.lines.push(export::checkpoint(&document));
            self.checkpoints.push(document);
        }

        /// head, 1..=3 of one, 4..=5 of two, checkpoint 1, 6 of two, checkpoint 2, 7..=8 of one, checkpoint 3
        fn whole() -> Self {
            let mut book = Self::new();
            book.rows(0, 3);
            book.rows(1, 2);
            book.checkpoint(&[0, 1]);
            book.rows(1, 1);
            book.checkpoint(&[1]);
            book.rows(0, 2);
            book.checkpoint(&[0]);
            book
        }

        fn text(&self) -> String {
            self.lines.join("\n") + "\n"
        }
    }

    fn report(text: &[u8], expected: &Expectation) -> Report {
        match verify(text, expected) {
            Ok(report) => report,
            Err(VerifyError::Flaw(flaw)) => panic!("{flaw}"),
            Err(VerifyError::Io(error)) => panic!("{error}"),
        }
    }

    fn flaw(text: impl AsRef<[u8]>, expected: &Expectation) -> Flaw {
        match verify(text.as_ref(), expected) {
            Err(VerifyError::Flaw(flaw)) => flaw,
            other => panic!("{other:?}"),
        }
    }

    fn kept(document: &str) -> Expectation {
        Expectation { checkpoint: Some(format!("{document}\n")), kids: Vec::new() }
    }

    #[test]
    fn a_whole_export_is_counted() {
        let book = Book::whole();
        let found = report(book.text().as_bytes(), &Expectation::default());
        assert_eq!((found.rows, found.chains, found.checkpoints, found.unproved, found.tail), (8, 2, 3, 0, Tail::NotProved));
        assert_eq!(found.kids, [book.jwk.kid().unwrap()]);
        let found = report(book.text().as_bytes(), &kept(&book.checkpoints[1]));
        assert_eq!(found.tail, Tail::Proved { later: 1 });
        let pinned = Expectation { kids: vec!["of before".to_owned(), found.kids[0].clone()], ..Expectation::default() };
        assert_eq!(report(book.text().as_bytes(), &pinned).rows, 8);
        let other = Expectation { kids: vec!["another".to_owned()], ..Expectation::default() };
        assert!(flaw(book.text(), &other).reason.contains("which was not named"));
    }

    #[test]
    fn every_octet_counts() {
        let text = Book::whole().text();
        for at in 0..text.len() {
            // Every octet once; every fifth in other ways too.
            for mask in [0x01, 0x20, 0x80].into_iter().take(if at % 5 == 0 { 3 } else { 1 }) {
                let mut changed = text.clone().into_bytes();
                changed[at] ^= mask;
                let found = flaw(&changed, &Expectation::default());
                let before = text[..at].matches('\n').count();
                assert_eq!(found.line, 1 + before as u64, "octet {at} of {:?}: {found}", text.lines().nth(before));
            }
        }
    }

    #[test]
    fn rows_that_are_missing_or_moved_are_named() {
        let book = Book::whole();
        // Line 1 is the head; lines 7, 9 and 12 are checkpoints.
        let rows = [(2, 1), (3, 2), (4, 3), (5, 4), (6, 5), (8, 6), (10, 7), (11, 8)];
        for (line, row) in rows {
            let mut lines = book.lines.clone();
            lines.remove(line - 1);
            let found = flaw(lines.join("\n") + "\n", &Expectation::default());
            assert_eq!(found.row, Some(row), "without row {row}: {found}");
        }
        for (first, row) in [(2, 1), (3, 2), (4, 3), (5, 4), (10, 7)] {
            let mut lines = book.lines.clone();
            lines.swap(first - 1, first);
            let found = flaw(lines.join("\n") + "\n", &Expectation::default());
            assert_eq!(found.row, Some(row), "rows {row} and the next exchanged: {found}");
        }
        for line in 2..book.lines.len() {
            let mut lines = book.lines.clone();
            lines.insert(line, lines[line - 1].clone());
            flaw(lines.join("\n") + "\n", &Expectation::default());
        }
        for line in [7, 9] {
            let mut lines = book.lines.clone();
            lines.remove(line - 1);
            assert!(flaw(lines.join("\n") + "\n", &Expectation::default()).line >= line as u64);
        }
    }

    /// Whichever two rows change places, and wherever a row is put: the first place that holds another row is named.
    #[test]
    fn a_row_in_the_place_of_another_is_named() {
        for counts in [[1, 1, 2], [3, 1, 2]] {
            for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
                let mut book = Book::new();
                for _ in 0..2 {
                    order.iter().zip(counts).for_each(|(chain, count)| book.rows(*chain, count));
                    book.checkpoint(&order);
                    book.rows(order[1], 2);
                    book.checkpoint(&order[1..2]);
                }
                let lines = &book.lines;
                report((lines.join("\n") + "\n").as_bytes(), &Expectation::default());
                let places: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].starts_with("{\"hash\"")).collect();
                for (at, &place) in places.iter().enumerate() {
                    for &other in &places[at + 1..] {
                        let mut exchanged = lines.clone();
                        exchanged.swap(place, other);
                        let mut later = lines.clone();
                        later[place..=other].rotate_left(1);
                        let mut sooner = lines.clone();
                        sooner[place..=other].rotate_right(1);
                        for (what, changed) in [("exchanged", exchanged), ("moved down", later), ("moved up", sooner)] {
                            let found = flaw(changed.join("\n") + "\n", &Expectation::default());
                            let named = (found.row, found.line);
                            let expected = (Some(at as u64 + 1), place as u64 + 1);
                            assert_eq!(named, expected, "{order:?} {counts:?}: {place} and {other} {what}: {found}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_cut_tail_is_seen_by_a_checkpoint_kept_elsewhere() {
        let book = Book::whole();
        for length in 1..book.lines.len() {
            let text = book.lines[..length].join("\n") + "\n";
            let found = flaw(&text, &kept(&book.checkpoints[2]));
            assert!(found.reason.contains("ends before checkpoint 3"), "{found}");
        }
        // Of itself it holds, and says that nothing proves its end.
        let text = book.lines[..9].join("\n") + "\n";
        assert_eq!(report(text.as_bytes(), &Expectation::default()).tail, Tail::NotProved);
        let text = book.lines[..10].join("\n") + "\n";
        assert_eq!(report(text.as_bytes(), &Expectation::default()).unproved, 1);
        // A history written anew by whoever has the log and a key of their own.
        let forged = Book::whole();
        assert!(flaw(forged.text(), &kept(&book.checkpoints[1])).reason.contains("is not the checkpoint of this number"));
    }

    #[test]
    fn what_is_no_export_is_said() {
        let book = Book::whole();
        assert!(flaw("", &Expectation::default()).reason.contains("empty"));
        assert!(flaw("\n", &Expectation::default()).reason.contains("no line of an export"));
        assert!(
            flaw(book.lines[1..].join("\n") + "\n", &Expectation::default()).reason.contains("begins with a line of its keys")
        );
        assert!(flaw(book.lines.join("\n"), &Expectation::default()).reason.contains("cut off"));
        let expected = Expectation { checkpoint: Some("eyJ".to_owned()), kids: Vec::new() };
        assert!(flaw(book.text(), &expected).reason.contains("kept elsewhere cannot be used"));
        let stranger = Book::new();
        let mut lines = book.lines.clone();
        lines[0].clone_from(&stranger.lines[0]);
        assert!(flaw(lines.join("\n") + "\n", &Expectation::default()).reason.contains("not among those of the export"));
    }
}
