//! One question over HTTP, and its answer in JSON.

use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

use crate::entry::ENTRY_LEN_MAX;
use crate::error::DirectoryError;
use crate::registrations::SERVER_COUNT_MAX;

/// How long an answer may take: a directory is near, and who waits for one has other things to do.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// Most bytes of an answer: the longest list, with room for escapes.
const ANSWER_LEN_MAX: u64 = (2 * SERVER_COUNT_MAX * ENTRY_LEN_MAX) as u64;

/// Where to ask.
#[derive(Debug)]
pub(super) struct Http {
    agent: Agent,
    base: String,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ask<'a> {
    Get,
    Delete,
    PutForm(&'a str),
    PostJson(&'a Value),
}

/// An answer that is JSON.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) url: String,
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Http {
    pub(super) fn new(base: &str) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(ANSWER_TIME_MAX))
            .http_status_as_error(false)
            .max_redirects(0)
            // What is set for the web does not apply to the machines of a store.
            .proxy(None)
            .build();
        Self { agent: config.new_agent(), base: base.to_owned() }
    }

    pub(super) fn ask(&self, path: &str, ask: Ask<'_>) -> Result<Reply, DirectoryError> {
        let url = format!("{}{path}", self.base);
        let answered = match ask {
            Ask::Get => self.agent.get(&url).call(),
            Ask::Delete => self.agent.delete(&url).call(),
            Ask::PutForm(form) => self.agent.put(&url).content_type("application/x-www-form-urlencoded").send(form),
            Ask::PostJson(json) => self.agent.post(&url).content_type("application/json").send(json.to_string()),
        };
        let unreachable = |error: ureq::Error| DirectoryError::Unreachable { url: url.clone(), cause: cause(&error) };
        let mut answer = answered.map_err(unreachable)?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(ANSWER_LEN_MAX).read_to_string().map_err(unreachable)?;
        match serde_json::from_str(&text) {
            Ok(body) => Ok(Reply { url, status, body }),
            Err(_) if !(200..300).contains(&status) => {
                Err(DirectoryError::Refused { url, status, message: one_line(&text) })
            }
            Err(error) => Err(DirectoryError::Answer { url, found: error.to_string(), expected: "JSON" }),
        }
    }
}

impl Reply {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What the directory says of a failure.
    pub(super) fn refused(self) -> DirectoryError {
        let said = |name: &str| self.body.get(name).and_then(Value::as_str).unwrap_or_default();
        let message = match said("cause") {
            "" => one_line(said("message")),
            cause => one_line(&format!("{}: {cause}", said("message"))),
        };
        DirectoryError::Refused { url: self.url, status: self.status, message }
    }

    /// An answer that has not the form that was expected.
    pub(super) fn odd(&self, found: &str, expected: &'static str) -> DirectoryError {
        DirectoryError::Answer { url: self.url.clone(), found: found.to_owned(), expected }
    }
}

fn cause(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("no answer within {ANSWER_TIME_MAX:?}"),
        ureq::Error::Io(error) => one_line(&error.to_string()),
        error => one_line(&error.to_string()),
    }
}

/// What others say may be long and have lines; a message has one.
fn one_line(text: &str) -> String {
    text.chars().map(|sign| if sign.is_control() { ' ' } else { sign }).take(300).collect::<String>().trim().to_owned()
}
