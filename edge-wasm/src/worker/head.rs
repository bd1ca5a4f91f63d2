//! A request's head, as the shim writes it into the module's memory: `METHOD URL`, and where there is an `Authorization` field a line with it.

use std::cell::RefCell;

use worker::{wasm_bindgen::prelude::wasm_bindgen, web_sys::Request};

thread_local! {
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Where the shim may write so many octets.
#[wasm_bindgen]
pub fn room(length: usize) -> usize {
    ROOM.with_borrow_mut(|room| {
        room.resize(length.max(room.len()), 0);
        room.as_ptr() as usize
    })
}

/// What nearly every request is judged by; other headers are asked for.
#[derive(Debug)]
pub(super) struct Head {
    text: String,
    // Where in it they begin.
    url: usize,
    target: usize,
    authorization: Option<usize>,
    request: Request,
}

impl Head {
    /// The head that the shim has written, of so many octets.
    pub(super) fn taken(length: usize, request: Request) -> Self {
        let octets = ROOM.with_borrow(|room| room.get(..length).unwrap_or_default().to_vec());
        // The shim's encoder writes UTF-8 and nothing else.
        let text = String::from_utf8(octets).unwrap_or_default();
        // A method and a URL have no spaces and no line breaks (RFC 9110, RFC 3986), a field has no line breaks.
        let url = text.find(' ').map_or(text.len(), |at| at + 1);
        let authorization = text.find('\n').map(|at| at + 1);
        // Behind `scheme://` the path begins at the first slash: the runtime writes one at least.
        let authority = text.get(url..).and_then(|url| url.find(':')).map_or(url, |colon| url + colon + 3);
        let target = text.get(authority..).and_then(|rest| rest.find('/')).map_or(text.len(), |slash| authority + slash);
        Self { text, url, target, authorization, request }
    }

    pub(super) fn method(&self) -> &str {
        self.text.get(..self.url.saturating_sub(1)).unwrap_or_default()
    }

    /// As the runtime writes it: absolute.
    pub(super) fn url(&self) -> &str {
        self.text.get(self.url..self.end()).unwrap_or_default()
    }

    /// Path, query and fragment.
    pub(super) fn target(&self) -> &str {
        self.text.get(self.target..self.end()).unwrap_or("/")
    }

    /// A header by its name in lower case, several fields joined by commas.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        if name == "authorization" {
            return self.authorization.map(|at| self.text[at..].to_owned());
        }
        self.request.headers().get(name).ok().flatten()
    }

    fn end(&self) -> usize {
        self.authorization.map_or(self.text.len(), |at| at - 1)
    }

    pub(super) fn request(&self) -> &Request {
        &self.request
    }
}
