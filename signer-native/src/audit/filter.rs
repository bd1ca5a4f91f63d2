//! PURE. Which rows somebody looks for.

use edgeseal_core::{Timestamp, json};

use super::{AuditRow, chain::Row};

/// A place among all rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditPlace {
    /// When its row was written.
    pub at: Timestamp,
    /// The row's chain.
    pub chain: String,
    /// The row's number there.
    pub seq: u64,
}

/// Which rows are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Who, exactly.
    pub actor: Option<String>,
    /// What, exactly; or all that begins so, with a star at the end.
    pub action: Option<String>,
    /// On what, exactly.
    pub subject: Option<String>,
    /// About the signature over this digest.
    pub digest: Option<String>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub to: Option<Timestamp>,
    /// Before this place.
    pub before: Option<AuditPlace>,
}

impl AuditFilter {
    /// Patterns (SQL's LIKE, escaped by `!`) that the bodies of such rows fit, besides others: they are canonical JSON.
    pub fn patterns(&self) -> Vec<String> {
        let pattern = |name: &str, value: &str, open: bool| {
            let mut text = String::new();
            json::write_string(value, &mut text);
            if open {
                text.pop();
            }
            let escaped = text.chars().flat_map(|one| matches!(one, '!' | '%' | '_').then_some('!').into_iter().chain([one]));
            format!("%\"{name}\":{}%", escaped.collect::<String>())
        };
        let exact = |name, value: &Option<String>| value.as_deref().map(|value| pattern(name, value, false));
        let action = self.action.as_deref().map(|action| match action.strip_suffix('*') {
            Some(beginning) => pattern("action", beginning, true),
            None => pattern("action", action, false),
        });
        [exact("actor", &self.actor), action, exact("subject", &self.subject)].into_iter().flatten().collect()
    }

    /// Whether a row is one, wherever it stands.
    pub fn fits(&self, row: &AuditRow) -> bool {
        let Self { actor, action, subject, digest, from, to, before: _ } = self;
        let is_then = from.is_none_or(|from| row.at >= from) && to.is_none_or(|to| row.at < to);
        if !is_then || (digest.is_some() && *digest != row.digest) {
            return false;
        }
        // Patterns know no members, and those of `SQLite` no case.
        let read = Row::read(&row.hash, &row.body).ok();
        let found = |name: &str| read.as_ref().map_or("", |read| read.text(name));
        let is = |name, wanted: &Option<String>| wanted.as_deref().is_none_or(|wanted| found(name) == wanted);
        let action = action.as_deref().is_none_or(|action| match action.strip_suffix('*') {
            Some(beginning) => found("action").starts_with(beginning),
            None => found("action") == action,
        });
        action && is("actor", actor) && is("subject", subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Chain, Event};

    #[test]
    fn patterns_are_escaped_and_rows_are_looked_at_again() {
        let filter =
            AuditFilter { actor: Some("admin:a_b%!".to_owned()), action: Some("keys.*".to_owned()), ..AuditFilter::default() };
        assert_eq!(filter.patterns(), ["%\"actor\":\"admin:a!_b!%!!\"%", "%\"action\":\"keys.%"]);
        let mut chain = Chain::new("c");
        let mut row = |actor: &str, action: &'static str| chain.append(Timestamp::from_secs(1), Event::new(actor, action, "s"));
        assert!(filter.fits(&row("admin:a_b%!", "keys.activate")));
        assert!(!filter.fits(&row("admin:A_b%!", "keys.activate")));
        assert!(!filter.fits(&row("admin:a_b%!", "agents.keys.")));
    }
}
