//! What became of a request, as the application sees it.

use std::time::Duration;

use qp_wire::ResultCode;

/// The end of a request. Every request that was submitted has exactly one.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// What the application gave with the request.
    pub tag: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// The value that came with the answer, if the operation has one to give.
    pub value: Option<&'a [u8]>,
    /// From the submission to the end.
    pub latency: Duration,
    /// How often it was sent; 0 when it never left this machine.
    pub attempts: u32,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The server executed or refused it, as the code says.
    ///
    /// [`NotProcessed`](ResultCode::NotProcessed) and [`Rejected`](ResultCode::Rejected) come only when the server kept
    /// saying so until the time was up; nothing has been changed then.
    Answered(ResultCode),
    /// No answer in time, and nothing has been changed: a read, or a request that was never sent.
    TimedOut,
    /// A mutation was sent and no answer settles it: it may have been executed or not.
    Unknown,
}
