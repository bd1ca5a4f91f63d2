//! The Durable Object that holds the revocation list: one for an edge, so that all isolates everywhere read the same.
//!
//! Only the Worker reaches it, and hands it nothing but what a control key has signed. It decides one thing: whether the sequence
//! rises. Reading, merging and writing happen without an `await` in between, so that the runtime makes them one transaction.

use std::{cell::RefCell, rc::Rc};

use edgeseal_core::{
    json::{Members, parse_object},
    revocation::{MAX_KEPT, Revocations},
};
use serde_json::Value;
use worker::{DurableObject, Env, Method, Request, Response, ResponseBuilder, Result, SqlStorageValue, State, durable_object};

use super::gateway::now;

/// The list, in one row: the sequence of the last document, and all that documents said and time has not ended.
#[durable_object(fetch)]
pub struct EdgesealRevocations {
    state: State,
    /// What the row says; nobody else writes it.
    known: RefCell<Option<Rc<Known>>>,
}

struct Known {
    seq: u64,
    /// `{"seq":…,"kids":[…],"jtis":[…],"subs":[…]}`.
    text: String,
}

impl DurableObject for EdgesealRevocations {
    fn new(state: State, _: Env) -> Self {
        Self { state, known: RefCell::default() }
    }

    /// `GET /?known=SEQ` gives the sequence, with the list unless that is the one that is known; `POST /` adds a list.
    async fn fetch(&self, mut request: Request) -> Result<Response> {
        if request.method() == Method::Post {
            let body = request.text().await?;
            return self.add(&body);
        }
        // As text: a parser of URLs would be a third of the module.
        let asked = request.inner().url().rsplit_once("known=").and_then(|(_, known)| known.parse::<u64>().ok());
        let known = self.known()?;
        let text = if asked == Some(known.seq) { Members::new().with("seq", &known.seq).end() } else { known.text.clone() };
        Ok(json(200, text))
    }
}

impl EdgesealRevocations {
    fn add(&self, body: &str) -> Result<Response> {
        let (seq, list) = parse(body)?;
        let known = self.known()?;
        let refused = |status| Ok(json(status, Members::new().with("seq", &known.seq).end()));
        if seq <= known.seq {
            return refused(409);
        }
        let (_, mut merged) = parse(&known.text)?;
        merged.merge(list);
        merged.forget_ended(now());
        if merged.len() > MAX_KEPT {
            return refused(507);
        }
        let text = merged.write(Members::new().with("seq", &seq)).end();
        let insert = "INSERT INTO list (id, text) VALUES (0, ?) ON CONFLICT (id) DO UPDATE SET text = excluded.text";
        self.state.storage().sql().exec(insert, vec![SqlStorageValue::String(text.clone())])?;
        self.known.replace(Some(Rc::new(Known { seq, text })));
        Ok(json(200, Members::new().with("seq", &seq).with("stored_at", &now().as_millis()).end()))
    }

    fn known(&self) -> Result<Rc<Known>> {
        if let Some(known) = &*self.known.borrow() {
            return Ok(Rc::clone(known));
        }
        let sql = self.state.storage().sql();
        sql.exec("CREATE TABLE IF NOT EXISTS list (id INTEGER PRIMARY KEY, text TEXT NOT NULL)", None)?;
        let row = sql.exec("SELECT text FROM list WHERE id = 0", None)?.raw().next().transpose()?;
        let text = match row.as_deref() {
            None => r#"{"seq":0}"#.into(),
            Some([SqlStorageValue::String(text)]) => text.clone(),
            Some(_) => return Err("the row of the list cannot be read".into()),
        };
        let known = Rc::new(Known { seq: parse(&text)?.0, text });
        self.known.replace(Some(Rc::clone(&known)));
        Ok(known)
    }
}

/// The sequence and the list of a text that this Worker wrote.
pub(super) fn parse(text: &str) -> Result<(u64, Revocations)> {
    let members = parse_object(text.as_bytes()).map_err(|error| error.to_string())?.1;
    let seq = members.get("seq").and_then(Value::as_u64).ok_or("no seq")?;
    Ok((seq, Revocations::read(&members, MAX_KEPT)?))
}

fn json(status: u16, text: String) -> Response {
    ResponseBuilder::new().with_status(status).fixed(text.into_bytes())
}
