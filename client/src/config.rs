//! What an application can choose.

use std::net::SocketAddr;
use std::time::Duration;

use directory::Source;
use qp_wire::limits::REQUEST_COUNT_MAX;

use crate::error::ConfigError;

/// Most requests under way: their frames are numbered with 16 bits, and one more is needed while requests move.
pub(crate) const WINDOW_MAX: usize = 65_535;

/// Most servers: a key's server is chosen by 16 bits of its hash.
pub(crate) const SERVER_COUNT_MAX: usize = 1 << 15;

/// Servers, limits and times of a client. [`Config::new`] has sensible values for all but the servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The address of each server, 1 to 32768 of them. Every client must name the same servers in the same order: the
    /// position in the list decides which keys a server holds.
    pub servers: Vec<SocketAddr>,
    /// Where the servers are listed, in place of [`servers`](Self::servers); none by default. It is asked again each
    /// second, and changes of the list are adopted.
    pub directory: Option<Source>,
    /// Most requests under way, 1 to 65535. 1024 by default: enough to keep a server busy, and few enough for the
    /// socket buffers that a kernel gives without being asked.
    pub window: usize,
    /// Most requests in a frame, 1 to 1024. 32 by default, as in the paper's evaluation.
    pub requests_per_frame: usize,
    /// The longest that a request waits in a frame that is not full, while other answers keep arriving. 50 µs by
    /// default, about the round trip that it would have to wait anyway. When nothing arrives, it does not wait.
    pub linger: Duration,
    /// How long a pipeline that waits for answers looks again before it sleeps. 20 µs by default: to be woken takes as long as
    /// several answers do, and where a server shares the CPU, no more than this is wasted. Ten times as long after a pause of 10 ms,
    /// since the server may have to be woken too. Zero sleeps at once.
    pub spin: Duration,
    /// How long a request may take, all its attempts together. 5 s by default: longer than a server's restart.
    pub timeout: Duration,
    /// How long to wait for the servers to say who they are, when connecting. 2 s by default.
    pub connect_timeout: Duration,
    /// Most attempts of a request in vain, at least 1. 20 by default: when 30 % of the frames are lost in either direction, an
    /// attempt fails with 1 - 0.7², and 20 in a row with a probability of 1.4 in a million.
    pub attempts_max: u32,
    /// The shortest time after which a frame is sent again. 10 ms by default: what a process may lose to others on a
    /// busy machine, so that a frame is not doubled without need. On a quiet network the round trip is far shorter, and
    /// a loss costs this much.
    pub resend_after_min: Duration,
    /// The longest time after which a frame is sent again. 200 ms by default, so that requests go on soon after a server
    /// is back.
    pub resend_after_max: Duration,
    /// Which operations are sent again when no answer comes.
    pub resend: Resend,
}

impl Config {
    /// The default choices for these servers.
    pub fn new(servers: &[SocketAddr]) -> Self {
        Self {
            servers: servers.to_vec(),
            directory: None,
            window: 1024,
            requests_per_frame: 32,
            linger: Duration::from_micros(50),
            spin: Duration::from_micros(20),
            timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
            attempts_max: 20,
            resend_after_min: Duration::from_millis(10),
            resend_after_max: Duration::from_millis(200),
            resend: Resend::default(),
        }
    }

    /// The default choices for the servers of a directory.
    pub fn of_directory(source: Source) -> Self {
        Self { directory: Some(source), ..Self::new(&[]) }
    }

    /// Whether every choice is in its range.
    ///
    /// # Errors
    /// The first [`ConfigError`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let server_count = self.servers.len();
        if server_count == 0 || server_count > SERVER_COUNT_MAX {
            return Err(ConfigError::ServerCount { count: server_count });
        }
        if self.window == 0 || self.window > WINDOW_MAX {
            return Err(ConfigError::Window { window: self.window });
        }
        if self.requests_per_frame == 0 || self.requests_per_frame > REQUEST_COUNT_MAX {
            return Err(ConfigError::RequestsPerFrame { count: self.requests_per_frame });
        }
        if self.attempts_max == 0 {
            return Err(ConfigError::Attempts);
        }
        if self.resend_after_min.is_zero() || self.resend_after_min > self.resend_after_max {
            return Err(ConfigError::ResendAfter { min: self.resend_after_min, max: self.resend_after_max });
        }
        Ok(())
    }
}

/// Which operations are sent again when no answer comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resend {
    /// Those that do no harm when they are executed twice: all but INCREMENT and APPEND, which are sent once and end as
    /// [`Outcome::Unknown`](crate::Outcome::Unknown) when their answer is lost.
    ///
    /// ADD and COMPARE_AND_SET are sent again, but an answer that the first attempt may have caused itself, such as
    /// "exists", is told as `Unknown`. DELETE is sent again, and "not found" after that may be its own doing:
    /// [`Answer::attempts`](crate::Answer::attempts) tells.
    #[default]
    Harmless,
    /// All of them: INCREMENT and APPEND are executed at least once, perhaps more often.
    All,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config::new(&["127.0.0.1:1".parse().expect("an address")])
    }

    #[test]
    fn the_defaults_are_in_their_ranges() {
        assert_eq!(config().check(), Ok(()));
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let cases = [
            (Config { servers: Vec::new(), ..config() }, ConfigError::ServerCount { count: 0 }),
            (Config { window: 0, ..config() }, ConfigError::Window { window: 0 }),
            (Config { window: 65536, ..config() }, ConfigError::Window { window: 65536 }),
            (Config { requests_per_frame: 0, ..config() }, ConfigError::RequestsPerFrame { count: 0 }),
            (Config { requests_per_frame: 1025, ..config() }, ConfigError::RequestsPerFrame { count: 1025 }),
            (Config { attempts_max: 0, ..config() }, ConfigError::Attempts),
        ];
        for (config, error) in cases {
            assert_eq!(config.check(), Err(error));
        }
        let crossed = Config { resend_after_min: Duration::from_secs(1), ..config() };
        assert!(matches!(crossed.check(), Err(ConfigError::ResendAfter { .. })));
    }
}
