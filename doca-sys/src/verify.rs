//! Compares our declarations with those of the installed headers, when this crate is built.

use super::data;
use super::error::RawError;

/// What bindgen makes of the installed headers; it stays in the output directory.
#[allow(warnings, clippy::all, clippy::pedantic, clippy::undocumented_unsafe_blocks)]
pub(crate) mod headers {
    include!(concat!(env!("OUT_DIR"), "/headers.rs"));
}

macro_rules! equal_values {
    ($($header:ident = $ours:expr),* $(,)?) => {
        $(const _: () = assert!(
            headers::$header as i64 == $ours as i64,
            concat!(stringify!($header), ": another value than the installed header's"),
        );)*
    };
}

equal_values! {
    DOCA_SUCCESS = RawError::SUCCESS.0,
    DOCA_ERROR_NOT_PERMITTED = RawError::NOT_PERMITTED.0,
    DOCA_ERROR_AGAIN = RawError::AGAIN.0,
    DOCA_ERROR_INVALID_VALUE = RawError::INVALID_VALUE.0,
    DOCA_ERROR_NO_MEMORY = RawError::NO_MEMORY.0,
    DOCA_ERROR_NOT_FOUND = RawError::NOT_FOUND.0,
    DOCA_ERROR_IO_FAILED = RawError::IO_FAILED.0,
    DOCA_ERROR_BAD_STATE = RawError::BAD_STATE.0,
    DOCA_ERROR_DRIVER = RawError::DRIVER.0,
    DOCA_ERROR_IN_PROGRESS = RawError::IN_PROGRESS.0,
    DOCA_ERROR_TOO_BIG = RawError::TOO_BIG.0,
}

#[cfg(doca_generation = "1")]
equal_values! {
    DOCA_DMA_JOB_MEMCPY = data::JOB_MEMCPY,
    DOCA_JOB_FLAGS_NONE = data::JOB_FLAGS_NONE,
    DOCA_WORKQ_RETRIEVE_FLAGS_NONE = data::WORKQ_RETRIEVE_FLAGS_NONE,
    DOCA_BUF_EXTENSION_NONE = data::BUF_EXTENSION_NONE,
}

#[cfg(doca_generation = "2")]
equal_values! {
    DOCA_CTX_STATE_IDLE = data::CTX_IDLE,
    DOCA_CTX_STATE_STARTING = data::CTX_STARTING,
    DOCA_CTX_STATE_RUNNING = data::CTX_RUNNING,
    DOCA_CTX_STATE_STOPPING = data::CTX_STOPPING,
    DOCA_ACCESS_FLAG_LOCAL_READ_ONLY = data::ACCESS_LOCAL_READ_ONLY,
    DOCA_ACCESS_FLAG_LOCAL_READ_WRITE = data::ACCESS_LOCAL_READ_WRITE,
    DOCA_ACCESS_FLAG_PCI_READ_ONLY = data::ACCESS_PCI_READ_ONLY,
    DOCA_ACCESS_FLAG_PCI_READ_WRITE = data::ACCESS_PCI_READ_WRITE,
}

macro_rules! equal_layouts {
    ($($header:ident = $ours:ty),* $(,)?) => {
        $(const _: () = assert!(
            size_of::<headers::$header>() == size_of::<$ours>() && align_of::<headers::$header>() == align_of::<$ours>(),
            concat!(stringify!($header), ": another layout than the installed header's"),
        );)*
    };
}

equal_layouts! { doca_data = data::Data, doca_error_t = RawError }

#[cfg(doca_generation = "1")]
equal_layouts! {
    doca_job = data::Job,
    doca_dma_job_memcpy = data::MemcpyJob,
    doca_event = data::Event,
    doca_pci_bdf = data::PciBdf,
}

/// Size and alignment of a function's result and of each argument, in their order. That is what the calling
/// conventions of our CPUs look at, beside the difference between numbers and floating-point numbers, of which there
/// are none here.
pub(crate) trait Shaped: Sized {
    const SHAPE: &'static [(usize, usize)];
}

macro_rules! shaped {
    ($($argument:ident)*) => {
        impl<R, $($argument),*> Shaped for unsafe extern "C" fn($($argument),*) -> R {
            const SHAPE: &'static [(usize, usize)] =
                &[(size_of::<R>(), align_of::<R>()) $(, (size_of::<$argument>(), align_of::<$argument>()))*];
        }
    };
}

shaped!();
shaped!(A);
shaped!(A B);
shaped!(A B C);
shaped!(A B C D);
shaped!(A B C D E);
shaped!(A B C D E F);
shaped!(A B C D E F G);

/// The shape of a function of this type.
pub(crate) const fn shape<F: Shaped + Copy>(_: Option<F>) -> &'static [(usize, usize)] {
    F::SHAPE
}

/// No function, of any type.
pub(crate) const fn never<F>() -> Option<F> {
    None
}

/// Whether two shapes are the same.
pub(crate) const fn same(one: &[(usize, usize)], other: &[(usize, usize)]) -> bool {
    let mut index = 0;
    while index < one.len() && index < other.len() {
        if one[index].0 != other[index].0 || one[index].1 != other[index].1 {
            return false;
        }
        index += 1;
    }
    one.len() == other.len()
}
