//! Which route a request falls under. PURE.
//!
//! Every pattern that matches is looked at, the most specific counts, and of equally specific ones all count together: the
//! strictest access, and every requirement. Where nothing matches, a token is required.
//!
//! What opens (`public`, `optional`) matches exactly, on the octets that are forwarded. What closes (`required`) matches every
//! spelling that some origin takes for the same path: any letter case, escapes, matrix parameters, a trailing slash or an
//! extension. So does an optional route that asks something of the token, and in another spelling than its own a token is required.
//! `/admin/*` closes `/admin` too, and so `/admin.json` and what is below it. A path that only may be one of a route that asks
//! something of the token, since Unicode spells its characters in several ways, is in doubt. Where one path is several to the origin, the
//! routes of all count.

use alloc::{borrow::ToOwned as _, string::String, vec::Vec};
use core::cmp::Reverse;

use serde_json::Value;

use super::{
    OWN_PATHS,
    cors::CorsSettings,
    headers::push_escaped,
    path::{RequestPath, may_be},
    rate::RateLimitSettings,
    require::Requirement,
};
use crate::{
    error::{PolicyError, quoted},
    policy::OneOrMany,
    settings::{Fields, Setting, expected},
};

/// Who may come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Anybody; no token is looked at.
    Public,
    /// Anybody without a token; whoever sends one must send a good one.
    Optional,
    /// Whoever has a good token.
    #[default]
    Required,
}

/// One route of the configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteSettings {
    /// Patterns: `/exact/path`, `/prefix/*`, with `*` for one segment elsewhere.
    pub patterns: Vec<String>,
    /// Methods, all unless given; GET brings HEAD along.
    pub methods: Vec<String>,
    /// Who may come.
    pub access: Access,
    /// The issuers whose tokens are good here, all unless given.
    pub issuers: Vec<String>,
    /// What is asked of the token's claims.
    pub require: Requirement,
    /// Whether presentations of SD-JWTs are good here.
    pub sd_jwt: bool,
    /// Whether the origin gets the token as it came; as the whole gateway's unless given.
    pub forward_token: Option<bool>,
    /// What the refusals say to browsers' scripts; as the whole gateway's unless given.
    pub cors: Option<CorsSettings>,
    /// How often the same client may come.
    pub rate_limit: Option<RateLimitSettings>,
}

/// The routes, ready to look up.
#[derive(Clone, Debug)]
pub struct Routes {
    /// By specificity, the most specific first.
    entries: Vec<Entry>,
}

/// What a request falls under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// The strictest access of all.
    pub access: Access,
    /// The routes, by their position in the settings; none where none matched.
    pub routes: Vec<usize>,
}

impl Matched {
    /// Takes along what the same request falls under in another reading.
    pub(super) fn extend(&mut self, other: Self) {
        self.access = self.access.max(other.access);
        for route in other.routes {
            if !self.routes.contains(&route) {
                self.routes.push(route);
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Entry {
    route: usize,
    rank: Vec<u8>,
    pieces: Vec<Piece>,
    methods: Vec<String>,
    access: Access,
    /// Whether the route asks something of the token.
    asks: bool,
    /// Whether the last literal goes on with an extension.
    with_extension: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// This segment: as it is forwarded, and folded.
    Literal { raw: String, folded: String },
    /// Any one segment.
    One,
    /// All that follows.
    Rest,
}

/// How specific a piece is. Patterns are compared piece by piece.
mod rank {
    pub(super) const LITERAL: u8 = 4;
    pub(super) const LITERAL_WITH_EXTENSION: u8 = 3;
    pub(super) const ONE: u8 = 2;
    pub(super) const END: u8 = 1;
    pub(super) const REST: u8 = 0;
}

impl Routes {
    /// Prepares routes.
    ///
    /// # Errors
    /// The first pattern that is none, by its place.
    pub fn new(settings: &[RouteSettings]) -> Result<Self, PolicyError> {
        let mut entries = Vec::new();
        for (route, settings) in settings.iter().enumerate() {
            for (index, pattern) in settings.patterns.iter().enumerate() {
                let place = match settings.patterns.len() {
                    1 => alloc::format!("routes[{route}].match"),
                    _ => alloc::format!("routes[{route}].match[{index}]"),
                };
                let pieces = parse_pattern(pattern).map_err(|detail| PolicyError::new(place, detail))?;
                Entry::push(route, settings, &pieces, &mut entries);
            }
        }
        entries.sort_by(|a: &Entry, b| Reverse(&a.rank).cmp(&Reverse(&b.rank)));
        Ok(Self { entries })
    }

    /// What a request falls under.
    pub fn find(&self, method: &str, path: &RequestPath<'_>) -> Matched {
        let mut matched = Matched { access: Access::Required, routes: Vec::new() };
        let mut best: Option<&[u8]> = None;
        for entry in &self.entries {
            if best.is_some_and(|best| best != entry.rank) {
                break;
            }
            let Some(access) = entry.access(method, path) else { continue };
            matched.access = if best.is_none() { access } else { matched.access.max(access) };
            best = Some(&entry.rank);
            if !matched.routes.contains(&entry.route) {
                matched.routes.push(entry.route);
            }
        }
        matched
    }

    /// Whether a path may be another one of which a route asks something more: servers that compare Unicode's forms would serve what that
    /// route guards, and nobody would have asked.
    pub fn is_in_doubt(&self, method: &str, path: &RequestPath<'_>) -> bool {
        let Some(loose) = path.loose() else { return false };
        let may_be_of = |entry: &Entry| entry.closes(loose, may_be) && !entry.closes(path.folded(), is_same);
        self.entries.iter().any(|entry| entry.asks && entry.closes_method(method) && may_be_of(entry))
    }
}

impl Entry {
    fn push(route: usize, settings: &RouteSettings, pieces: &[Piece], entries: &mut Vec<Self>) {
        let RouteSettings { methods, access, issuers, require, .. } = settings;
        let asks = !require.is_empty() || !issuers.is_empty();
        let entry = |of: &[Piece], with_extension: bool| {
            let rank = rank_of(pieces, with_extension);
            Self { route, rank, pieces: of.to_vec(), methods: methods.clone(), access: *access, asks, with_extension }
        };
        // Without what follows the last name: all of it, or a slash.
        let named = match pieces.split_last() {
            Some((Piece::Rest, named)) => named,
            Some((Piece::Literal { folded, .. }, named)) if folded.is_empty() => named,
            _ => pieces,
        };
        if (asks || *access == Access::Required) && matches!(named.last(), Some(Piece::Literal { .. })) {
            // What follows a name with an extension (`/admin.php/users`) is what follows the name.
            let pieces = if pieces.ends_with(&[Piece::Rest]) { pieces } else { named };
            entries.push(entry(pieces, true));
        }
        entries.push(entry(pieces, false));
    }

    /// How it lets a request in that falls under it.
    fn access(&self, method: &str, path: &RequestPath<'_>) -> Option<Access> {
        let is_open = self.access != Access::Required && !self.with_extension;
        if is_open && self.opens_method(method) && path.is_plain() && self.opens(path.raw()) {
            return Some(self.access);
        }
        let closes = self.asks || self.access == Access::Required;
        (closes && self.closes_method(method) && self.closes(path.folded(), is_same)).then_some(Access::Required)
    }

    fn opens_method(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|one| one == method || (one == "GET" && method == "HEAD"))
    }

    fn closes_method(&self, method: &str) -> bool {
        self.opens_method(method) || self.methods.iter().any(|one| one.eq_ignore_ascii_case(method))
    }

    fn opens(&self, raw: &str) -> bool {
        let mut segments = raw.split('/').skip(1);
        for piece in &self.pieces {
            let is_it = match (piece, segments.next()) {
                (Piece::Rest, Some(_)) => return true,
                (Piece::One, Some(segment)) => !segment.is_empty(),
                (Piece::Literal { raw, .. }, Some(segment)) => raw == segment,
                (_, None) => false,
            };
            if !is_it {
                return false;
            }
        }
        segments.next().is_none()
    }

    fn closes(&self, folded: &str, is_it: fn(&str, &str) -> bool) -> bool {
        let folded = folded.strip_suffix('/').unwrap_or(folded);
        let mut segments = folded.split('/').skip(1);
        for (index, piece) in self.pieces.iter().enumerate() {
            let is_last = index + 1 == self.pieces.len();
            let matches = match (piece, segments.next()) {
                (Piece::Rest, _) => return true,
                (Piece::One, segment) => segment.is_some(),
                (Piece::Literal { folded, .. }, Some(segment))
                    if self.with_extension && matches!(self.pieces.get(index + 1), None | Some(Piece::Rest)) =>
                {
                    // What is longer than the name is none of its forms.
                    (0..=folded.len()).any(|at| {
                        let (name, rest) = segment.split_at_checked(at).unwrap_or_default();
                        rest.starts_with('.') && is_it(name, folded)
                    })
                }
                (Piece::Literal { folded, .. }, Some(segment)) => is_it(segment, folded),
                // A trailing slash of the pattern.
                (Piece::Literal { folded, .. }, None) => is_last && folded.is_empty(),
            };
            if !matches {
                return false;
            }
        }
        segments.next().is_none()
    }
}

fn is_same(segment: &str, folded: &str) -> bool {
    segment == folded
}

fn rank_of(pieces: &[Piece], with_extension: bool) -> Vec<u8> {
    let mut ranks = Vec::with_capacity(pieces.len() + 1);
    let mut end = rank::END;
    for piece in pieces {
        ranks.push(match piece {
            // A trailing slash makes a pattern no more specific.
            Piece::Literal { folded, .. } if folded.is_empty() => continue,
            Piece::Literal { .. } => rank::LITERAL,
            Piece::One => rank::ONE,
            Piece::Rest => {
                end = rank::REST;
                break;
            }
        });
    }
    if with_extension && let Some(last) = ranks.last_mut() {
        *last = rank::LITERAL_WITH_EXTENSION;
    }
    ranks.push(end);
    ranks
}

fn parse_pattern(pattern: &str) -> Result<Vec<Piece>, String> {
    let refuse = |why: &str| Err(alloc::format!("is {}: {why}", quoted(pattern)));
    if pattern.contains(['?', '#']) {
        return refuse("a pattern is of the path alone, without ? and #");
    }
    if !pattern.starts_with('/') {
        return refuse("a pattern begins with /");
    }
    if pattern.starts_with(OWN_PATHS) {
        return refuse("below /.edgeseal/ the gateway itself answers, whatever the routes say");
    }
    let last = pattern.split('/').count() - 2;
    let mut pieces = Vec::new();
    for (index, segment) in pattern.split('/').skip(1).enumerate() {
        pieces.push(match segment {
            "*" if index == last => Piece::Rest,
            "*" => Piece::One,
            _ if segment.contains('*') => return refuse("* stands for a whole segment, or at the end for all that follows"),
            _ if segment.starts_with(':') || segment.contains(['{', '}']) => {
                return refuse("write * for a segment that may be anything");
            }
            _ => Piece::Literal { raw: as_url_writes(segment), folded: String::new() },
        });
    }
    for piece in &mut pieces {
        if let Piece::Literal { raw, folded } = piece
            && !raw.is_empty()
        {
            let path = alloc::format!("/{raw}");
            match RequestPath::parse(&path) {
                Ok(path) if path.is_plain() => path.folded()[1..].clone_into(folded),
                Ok(_) => return refuse("servers differ in how they read such a path, so it cannot be told apart from others"),
                Err(why) => return refuse(&alloc::format!("no request gets through with it, since {why}")),
            }
        }
    }
    let is_empty = |piece: &Piece| matches!(piece, Piece::Literal { raw, .. } if raw.is_empty());
    if pieces.iter().rev().skip(1).any(is_empty) {
        return refuse("it has an empty segment");
    }
    Ok(pieces)
}

/// A segment as URLs carry it: what is not ASCII, and the space, percent-encoded (WHATWG URL, path percent-encode set).
fn as_url_writes(segment: &str) -> String {
    let mut out = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'`') {
            out.push(char::from(byte));
        } else {
            push_escaped(byte, &mut out);
        }
    }
    out
}

impl RouteSettings {
    fn check(&self) -> Result<(), PolicyError> {
        let Self { patterns, methods, access, issuers, require, sd_jwt, .. } = self;
        if patterns.is_empty() {
            return Err(PolicyError::new("match", "is empty: name at least one path, such as \"/public/*\""));
        }
        for (index, method) in methods.iter().enumerate() {
            let is_token = |byte: u8| byte.is_ascii_uppercase() || byte == b'-';
            if method.is_empty() || !method.bytes().all(is_token) {
                let detail = alloc::format!("is {}: methods are written in capitals, such as \"GET\"", quoted(method));
                return Err(PolicyError::new(alloc::format!("methods[{index}]"), detail));
            }
        }
        if *access == Access::Public {
            for (name, is_set) in [("require", !require.is_empty()), ("issuers", !issuers.is_empty()), ("sd_jwt", *sd_jwt)] {
                if is_set {
                    return Err(PolicyError::new(name, "asks something of the token, and a public route looks at none"));
                }
            }
        }
        Ok(())
    }
}

impl Setting for RouteSettings {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        let mut fields = Fields::from_value(value)?;
        let methods: Option<Vec<String>> = fields.optional("methods")?;
        if methods.as_ref().is_some_and(Vec::is_empty) {
            return Err(PolicyError::new("methods", "is empty: name at least one, or leave it out for all"));
        }
        let issuers: Option<Vec<String>> = fields.optional("issuers")?;
        if issuers.as_ref().is_some_and(Vec::is_empty) {
            return Err(PolicyError::new("issuers", "is empty: name at least one, or leave it out for all"));
        }
        let settings = Self {
            patterns: match fields.required("match")? {
                OneOrMany::One(one) => alloc::vec![one],
                OneOrMany::Many(many) => many,
            },
            methods: methods.unwrap_or_default(),
            access: fields.or("access", Access::default())?,
            issuers: issuers.unwrap_or_default(),
            require: fields.or("require", Requirement::default())?,
            sd_jwt: fields.or("sd_jwt", false)?,
            forward_token: fields.optional("forward_token")?,
            cors: fields.optional("cors")?,
            rate_limit: fields.optional("rate_limit")?,
        };
        fields.finish()?;
        settings.check()?;
        Ok(settings)
    }
}

impl Setting for Access {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        match value.as_str() {
            Some("public") => Ok(Self::Public),
            Some("optional") => Ok(Self::Optional),
            Some("required") => Ok(Self::Required),
            Some(other) => {
                Err(PolicyError::new("", alloc::format!("is {other:?}: must be \"public\", \"required\" or \"optional\"")))
            }
            None => Err(expected("\"public\", \"required\" or \"optional\"", &value)),
        }
    }
}
