//! The v2 API: what MICA2 uses. Each registration is a PUT of the whole entry with a time to live.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::http::{Ask, Http};
use crate::error::DirectoryError;
use crate::servers_path;

/// The number of "Key not found".
const NOT_FOUND: u64 = 100;

/// What an answer with servers has.
const LIST: &str = "{\"node\":{\"dir\":true,\"nodes\":[{\"key\":..,\"value\":..}]}}";

/// An etcd with its v2 API, or an embedded directory.
#[derive(Debug)]
pub(crate) struct V2 {
    http: Http,
    /// The key of all servers, such as `/mica/servers`.
    key: String,
}

impl V2 {
    pub(crate) fn new(url: &str, prefix: &str) -> Self {
        Self { http: Http::new(url), key: servers_path(prefix) }
    }

    /// Names and values.
    pub(crate) fn list(&self) -> Result<Vec<(String, String)>, DirectoryError> {
        let reply = self.http.ask(&format!("/v2/keys{}/", self.key), Ask::Get)?;
        if !reply.is_success() {
            // Before the first server has registered, there is no such directory.
            let is_missing = reply.body["errorCode"].as_u64() == Some(NOT_FOUND);
            return if is_missing { Ok(Vec::new()) } else { Err(reply.refused()) };
        }
        let node = &reply.body["node"];
        if node["dir"].as_bool() != Some(true) {
            return Err(reply.odd("a node that is no directory", LIST));
        }
        let nodes = node["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let servers = nodes.iter().filter(|node| node["dir"].as_bool() != Some(true));
        servers.map(|node| self.server(node).ok_or_else(|| reply.odd("a node without them", LIST))).collect()
    }

    pub(crate) fn register(&self, name: &str, value: &str, ttl_s: u32) -> Result<(), DirectoryError> {
        // With `&`, since newer releases of etcd refuse the `;` of MICA2.
        let form = format!("value={}&ttl={ttl_s}", utf8_percent_encode(value, NON_ALPHANUMERIC));
        let reply = self.http.ask(&self.path_of(name), Ask::PutForm(&form))?;
        if reply.is_success() { Ok(()) } else { Err(reply.refused()) }
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), DirectoryError> {
        let reply = self.http.ask(&self.path_of(name), Ask::Delete)?;
        let is_gone = reply.is_success() || reply.body["errorCode"].as_u64() == Some(NOT_FOUND);
        if is_gone { Ok(()) } else { Err(reply.refused()) }
    }

    fn path_of(&self, name: &str) -> String {
        format!("/v2/keys{}/{}", self.key, utf8_percent_encode(name, NON_ALPHANUMERIC))
    }

    fn server(&self, node: &Value) -> Option<(String, String)> {
        let name = node["key"].as_str()?.strip_prefix(self.key.as_str())?.strip_prefix('/')?;
        Some((name.to_owned(), node["value"].as_str()?.to_owned()))
    }
}
