//! What is registered at this moment, and the answers of etcd's v2 API about it.
//!
//! It knows no socket and reads no clock: time is an argument. A name whose time to live has passed is gone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::entry::Entry;

/// Most servers: whoever reaches the directory could fill its memory otherwise.
pub const SERVER_COUNT_MAX: usize = 1024;

/// An answer: the status of HTTP and a JSON object.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The object.
    pub body: Value,
}

#[derive(Clone, Debug)]
struct Registration {
    value: String,
    /// When it was set, in changes of all that is registered; a PUT creates anew, as in etcd.
    index: u64,
    expires: Option<Instant>,
}

/// The servers below one directory, such as `/mica/servers`.
#[derive(Clone, Debug)]
pub struct Registrations {
    directory: String,
    /// Before this, nobody is listed.
    lists_from: Option<Instant>,
    index: u64,
    by_name: BTreeMap<String, Registration>,
}

impl Registrations {
    /// No server yet; `directory` is the path of all of them, such as `/mica/servers`.
    pub fn new(directory: &str) -> Self {
        let directory = directory.trim_end_matches('/').to_owned();
        Self { directory, lists_from: None, index: 0, by_name: BTreeMap::new() }
    }

    /// The same, that lists nobody before this time. A directory that was started anew knows nobody at first, and then
    /// one server after the other: whoever believed such a list would look for keys where they are not.
    #[must_use]
    pub fn listing_from(self, time: Instant) -> Self {
        Self { lists_from: Some(time), ..self }
    }

    /// The answer to a GET of a path below `/v2/keys`: a server's entry, or all of them.
    pub fn get(&mut self, now: Instant, path: &str) -> Answer {
        self.expire(now);
        let Some(name) = self.name_in(path) else { return self.refusal(404, 100, "Key not found", path) };
        if name.is_empty() {
            let is_silent = self.lists_from.is_some_and(|from| now < from);
            let listed = self.by_name.iter().filter(|_| !is_silent);
            let nodes: Vec<Value> = listed.map(|(name, found)| self.node(now, name, found)).collect();
            let mut node = json!({"key": self.directory, "dir": true});
            if !nodes.is_empty() {
                node["nodes"] = Value::Array(nodes);
            }
            return Answer { status: 200, body: json!({"action": "get", "node": node}) };
        }
        match self.by_name.get(name) {
            Some(found) => Answer { status: 200, body: json!({"action": "get", "node": self.node(now, name, found)}) },
            None => self.refusal(404, 100, "Key not found", path),
        }
    }

    /// The answer to a PUT. Without a time to live a name stays until it is removed.
    pub fn put(&mut self, now: Instant, path: &str, value: &str, ttl: Option<Duration>) -> Answer {
        self.expire(now);
        let name = match self.name_in(path) {
            Some(name) if !name.is_empty() && !name.contains('/') => name.to_owned(),
            Some("") => return self.refusal(403, 102, "Not a file", path),
            _ => return self.refusal(400, 107, "Root is read only", path),
        };
        // What no client can read would keep all of them from adopting what has changed elsewhere.
        if let Err(error) = Entry::parse(value) {
            return self.refusal(400, 209, "Invalid field", &format!("value: {error}"));
        }
        let before = self.by_name.get(&name).cloned();
        if before.is_none() && self.by_name.len() >= SERVER_COUNT_MAX {
            let full = format!("{path}: {SERVER_COUNT_MAX} servers are registered, which is the most");
            return self.refusal(400, 107, "Root is read only", &full);
        }
        self.index += 1;
        let expires = ttl.and_then(|ttl| now.checked_add(ttl));
        let new = Registration { value: value.to_owned(), index: self.index, expires };
        let mut body = json!({"action": "set", "node": self.node(now, &name, &new)});
        if let Some(before) = &before {
            body["prevNode"] = self.node(now, &name, before);
        }
        self.by_name.insert(name, new);
        Answer { status: if before.is_some() { 200 } else { 201 }, body }
    }

    /// The answer to a DELETE; the directory itself stays, as in etcd.
    pub fn delete(&mut self, now: Instant, path: &str) -> Answer {
        self.expire(now);
        let name = match self.name_in(path) {
            Some("") => return self.refusal(403, 102, "Not a file", path),
            Some(name) => name.to_owned(),
            None => return self.refusal(404, 100, "Key not found", path),
        };
        let Some(before) = self.by_name.remove(&name) else {
            return self.refusal(404, 100, "Key not found", path);
        };
        self.index += 1;
        let node = json!({"key": self.key(&name), "modifiedIndex": self.index, "createdIndex": before.index});
        let body = json!({"action": "delete", "node": node, "prevNode": self.node(now, &name, &before)});
        Answer { status: 200, body }
    }

    fn expire(&mut self, now: Instant) {
        self.by_name.retain(|_, found| found.expires.is_none_or(|expires| now < expires));
    }

    /// The name in a path, empty for the directory itself; `None` for a path elsewhere.
    fn name_in<'p>(&self, path: &'p str) -> Option<&'p str> {
        match path.strip_prefix(self.directory.as_str())? {
            "" | "/" => Some(""),
            rest => rest.strip_prefix('/'),
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.directory)
    }

    fn node(&self, now: Instant, name: &str, found: &Registration) -> Value {
        let mut node = json!({
            "key": self.key(name),
            "value": found.value,
            "modifiedIndex": found.index,
            "createdIndex": found.index,
        });
        if let Some(expires) = found.expires {
            // Whole seconds, and never 0 while it is there.
            let left = expires.saturating_duration_since(now);
            node["ttl"] = json!(left.as_secs() + u64::from(left.subsec_nanos() > 0));
        }
        node
    }

    fn refusal(&self, status: u16, code: u16, message: &str, cause: &str) -> Answer {
        let cause = cause.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(cause);
        let body = json!({"errorCode": code, "message": message, "cause": cause, "index": self.index});
        Answer { status, body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = r#"{"concurrent_read":false,"concurrent_write":false,"partitions":[[0,0]],"endpoints":[[0,0,"00:00:00:00:00:00","127.0.0.1",7600]]}"#;
    const TTL: Option<Duration> = Some(Duration::from_secs(2));

    #[test]
    fn an_empty_directory_has_no_nodes() {
        let mut all = Registrations::new("/mica/servers/");
        let empty = json!({"action": "get", "node": {"key": "/mica/servers", "dir": true}});
        assert_eq!(all.get(Instant::now(), "/mica/servers/").body, empty);
        assert_eq!(all.get(Instant::now(), "/mica/servers").body, empty);
    }

    #[test]
    fn a_server_is_there_until_its_time_is_over_or_it_is_removed() {
        let (mut all, start) = (Registrations::new("/mica/servers"), Instant::now());
        assert_eq!(all.put(start, "/mica/servers/a", VALUE, TTL).status, 201);
        assert_eq!(all.put(start, "/mica/servers/b", VALUE, TTL).status, 201);
        let later = start + Duration::from_millis(1500);
        let again = all.put(later, "/mica/servers/a", VALUE, TTL);
        assert_eq!(
            (again.status, &again.body["node"]["createdIndex"], &again.body["prevNode"]["ttl"]),
            (200, &json!(3), &json!(1))
        );
        let listed = all.get(start + Duration::from_secs(2), "/mica/servers/").body;
        assert_eq!(listed["node"]["nodes"].as_array().map(Vec::len), Some(1));
        assert_eq!(listed["node"]["nodes"][0]["key"], "/mica/servers/a");
        assert_eq!(all.get(later, "/mica/servers/a").body["node"]["value"], VALUE);
        assert_eq!(all.delete(later, "/mica/servers/a").status, 200);
        assert_eq!(all.get(later, "/mica/servers/a").body["errorCode"], 100);
    }

    #[test]
    fn a_directory_started_anew_lists_nobody_until_everybody_has_had_time_to_register() {
        let start = Instant::now();
        let mut all = Registrations::new("/mica/servers").listing_from(start + Duration::from_secs(1));
        assert_eq!(all.put(start, "/mica/servers/a", VALUE, TTL).status, 201);
        assert!(all.get(start, "/mica/servers/").body["node"]["nodes"].is_null());
        assert_eq!(all.get(start, "/mica/servers/a").body["node"]["value"], VALUE);
        let later = all.get(start + Duration::from_secs(1), "/mica/servers/").body;
        assert_eq!(later["node"]["nodes"][0]["value"], VALUE);
    }

    #[test]
    fn what_is_refused_has_the_number_that_etcd_gives() {
        let (mut all, now) = (Registrations::new("/mica/servers"), Instant::now());
        assert_eq!(all.get(now, "/other").body["errorCode"], 100);
        let not_a_file = json!({"errorCode": 102, "message": "Not a file", "cause": "/mica/servers", "index": 0});
        assert_eq!(all.delete(now, "/mica/servers/"), Answer { status: 403, body: not_a_file });
        assert_eq!(all.delete(now, "/mica/servers/a").body["errorCode"], 100);
        assert_eq!(all.put(now, "/mica/servers", VALUE, TTL).body["errorCode"], 102);
        assert_eq!(all.put(now, "/mica/serversa", VALUE, TTL).body["errorCode"], 107);
        let wrong = all.put(now, "/mica/servers/a", "{}", TTL);
        assert_eq!((wrong.status, &wrong.body["errorCode"]), (400, &json!(209)));
        assert!(wrong.body["cause"].as_str().is_some_and(|cause| cause.contains("missing field")));
    }

    #[test]
    fn no_more_servers_are_taken_than_there_is_room_for() {
        let (mut all, now) = (Registrations::new("/mica/servers"), Instant::now());
        for number in 0..SERVER_COUNT_MAX {
            assert_eq!(all.put(now, &format!("/mica/servers/{number}"), VALUE, None).status, 201);
        }
        assert_eq!(all.put(now, "/mica/servers/more", VALUE, None).status, 400);
        assert_eq!(all.put(now, "/mica/servers/0", VALUE, None).status, 200);
    }
}
