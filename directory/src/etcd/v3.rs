//! The v3 API: an entry is put once under a lease, and the lease is kept alive.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Held;
use super::http::{Ask, Http, Reply};
use crate::error::DirectoryError;
use crate::servers_path;

/// gRPC's number for what is not there, and so for a lease that has run out.
const NOT_FOUND: u64 = 5;

const LIST: &str = "{\"kvs\":[{\"key\":..,\"value\":..}]} in base64";

/// An etcd with its v3 API.
#[derive(Debug)]
pub(crate) struct V3 {
    http: Http,
    /// What the keys of all servers begin with, such as `/mica/servers/`.
    folder: String,
}

impl V3 {
    pub(crate) fn new(url: &str, prefix: &str) -> Self {
        Self { http: Http::new(url), folder: format!("{}/", servers_path(prefix)) }
    }

    /// Names and values.
    pub(crate) fn list(&self) -> Result<Vec<(String, String)>, DirectoryError> {
        // The first key behind all that begin so: `/` is followed by `0`.
        let end = format!("{}0", self.folder.trim_end_matches('/'));
        let range = json!({"key": STANDARD.encode(&self.folder), "range_end": STANDARD.encode(end)});
        let reply = self.ask("/v3/kv/range", &range)?;
        let pairs = reply.body["kvs"].as_array().map(Vec::as_slice).unwrap_or_default();
        pairs.iter().map(|pair| self.server(pair).ok_or_else(|| reply.odd("a pair without them", LIST))).collect()
    }

    pub(crate) fn register(&self, held: &mut Held, name: &str, value: &str, ttl_s: u32) -> Result<(), DirectoryError> {
        let kept = match held.lease.take() {
            Some(lease) => match self.keep_alive(&lease) {
                // It may live on; the next call asks again.
                Err(error @ DirectoryError::Unreachable { .. }) => {
                    held.lease = Some(lease);
                    return Err(error);
                }
                kept => kept?.then_some(lease),
            },
            None => None,
        };
        let (lease, is_new) = match kept {
            Some(lease) => (lease, false),
            None => (self.grant(ttl_s)?, true),
        };
        held.lease = Some(lease.clone());
        if is_new || held.value != value {
            held.value.clear();
            let put = json!({"key": self.key(name), "value": STANDARD.encode(value), "lease": lease});
            self.ask("/v3/kv/put", &put)?;
            value.clone_into(&mut held.value);
        }
        Ok(())
    }

    /// What hangs on the lease goes with it.
    pub(crate) fn remove(&self, held: &mut Held, name: &str) -> Result<(), DirectoryError> {
        let Some(lease) = held.lease.take() else {
            return self.ask("/v3/kv/deleterange", &json!({"key": self.key(name)})).map(|_| ());
        };
        held.value.clear();
        let reply = self.http.ask("/v3/lease/revoke", Ask::PostJson(&json!({"ID": lease})))?;
        let is_gone = reply.is_success() || reply.body["code"].as_u64() == Some(NOT_FOUND);
        if is_gone { Ok(()) } else { Err(reply.refused()) }
    }

    fn grant(&self, ttl_s: u32) -> Result<String, DirectoryError> {
        let reply = self.ask("/v3/lease/grant", &json!({"TTL": ttl_s.to_string()}))?;
        let lease = reply.body["ID"].as_str().filter(|id| !id.is_empty()).map(str::to_owned);
        lease.ok_or_else(|| reply.odd("no lease", "{\"ID\":\"..\",\"TTL\":\"..\"}"))
    }

    /// Whether the lease still lives.
    fn keep_alive(&self, lease: &str) -> Result<bool, DirectoryError> {
        let reply = self.ask("/v3/lease/keepalive", &json!({"ID": lease}))?;
        // A lease that is not there is answered without a time to live.
        let ttl = reply.body["result"]["TTL"].as_str().and_then(|ttl| ttl.parse::<u64>().ok());
        Ok(ttl.is_some_and(|ttl| ttl > 0))
    }

    fn ask(&self, path: &str, question: &Value) -> Result<Reply, DirectoryError> {
        let reply = self.http.ask(path, Ask::PostJson(question))?;
        if reply.is_success() { Ok(reply) } else { Err(reply.refused()) }
    }

    fn key(&self, name: &str) -> String {
        STANDARD.encode(format!("{}{name}", self.folder))
    }

    fn server(&self, pair: &Value) -> Option<(String, String)> {
        let text = |name: &str| String::from_utf8(STANDARD.decode(pair[name].as_str()?).ok()?).ok();
        let name = text("key")?.strip_prefix(self.folder.as_str())?.to_owned();
        Some((name, text("value")?))
    }
}
