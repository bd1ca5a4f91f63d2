//! Who acts on the administrators' listener: a person, known by a certificate or by a session of the console, and what the
//! person's role allows. Both ways lead to one name, so that two credentials of one person count once.

use axum::{extract::FromRequestParts, http::request::Parts};

use super::{
    Shared,
    access::session_required,
    problem::{Code, Problem},
};
use crate::keys::Actor;

/// What somebody may do. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads everything, changes nothing.
    Auditor,
    /// Runs what is there: makes keys, rotates, suspends, retires, declares compromise, enrols and revokes agents.
    Operator,
    /// Changes what may be: profiles, issuers, policies, people; imports and destroys keys.
    Administrator,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 3] = [Self::Auditor, Self::Operator, Self::Administrator];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auditor => "auditor",
            Self::Operator => "operator",
            Self::Administrator => "administrator",
        }
    }

    /// The role of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// How a person was recognized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// By a client certificate of the administrators' authority.
    Certificate,
    /// By a session of the console that began with a passkey.
    Session,
    /// By a session that began with a recovery code: good for registering a passkey, and for nothing else.
    Recovery,
}

/// Who acts: whom [`super::access::identify`] has recognized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name, without what stands before it in certificates.
    pub name: String,
    /// What the person may do.
    pub role: Role,
    /// How the person was recognized.
    pub credential: Credential,
    /// Whether a passkey was shown in the last minutes; a certificate is shown with every connection.
    pub proved: bool,
}

impl Credential {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Session => "passkey",
            Self::Recovery => "recovery",
        }
    }
}

impl Person {
    /// The name that the audit keeps.
    pub fn actor(&self) -> Actor {
        Actor::administrator(&self.name)
    }

    /// Whether the person may do what takes this role.
    ///
    /// # Errors
    /// [`Code::RoleDenied`].
    pub fn needs(&self, role: Role) -> Result<(), Problem> {
        if self.role >= role {
            return Ok(());
        }
        let detail = format!("{} is {}, and this takes {}", self.name, self.role.as_str(), role.as_str());
        Err(Problem::new(Code::RoleDenied, detail))
    }

    /// Whether the person may do what takes a passkey shown a moment ago.
    ///
    /// # Errors
    /// [`Code::ReauthenticationRequired`].
    pub fn needs_proof(&self) -> Result<(), Problem> {
        if self.proved {
            return Ok(());
        }
        let detail =
            "this takes a passkey that was shown in the last minutes; show one (POST /console/v1/reauth/start) and ask again";
        Err(Problem::new(Code::ReauthenticationRequired, detail))
    }
}

impl FromRequestParts<Shared> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(session_required)
    }
}

/// Somebody who may read.
#[derive(Clone, Debug)]
pub struct Auditor(pub Person);

/// Somebody who may run what is there.
#[derive(Clone, Debug)]
pub struct Operator(pub Person);

/// Somebody who may change what may be.
#[derive(Clone, Debug)]
pub struct Administrator(pub Person);

macro_rules! role {
    ($($name:ident),*) => {$(
        impl FromRequestParts<Shared> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, service: &Shared) -> Result<Self, Problem> {
                let person = Person::from_request_parts(parts, service).await?;
                person.needs(Role::$name)?;
                Ok(Self(person))
            }
        }
    )*};
}

role!(Auditor, Operator, Administrator);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_those_before_it_may() {
        for (index, role) in Role::ALL.into_iter().enumerate() {
            let person = Person { name: "alice".to_owned(), role, credential: Credential::Session, proved: true };
            for (other, needed) in Role::ALL.into_iter().enumerate() {
                assert_eq!(person.needs(needed).is_ok(), other <= index, "{role:?} {needed:?}");
            }
            assert_eq!(Role::from_name(role.as_str()), Some(role));
        }
    }
}
