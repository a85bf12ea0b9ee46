//! Shares the work on a list of layers among a few threads.
//!
//! Each layer keeps a core or a connection busy, so three at a time are faster than one. The
//! results keep the list's order. After the first error no thread takes another layer. A single
//! item starts no thread. If the kernel refuses a thread, the other threads do all the work.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::Result;

/// How many layers are transferred at the same time. Docker pulls as many.
const THREADS: usize = 3;

/// Calls `work` for each of `items`, for up to `THREADS` items at the same time. Returns the
/// results in the order of `items`. After the first error, sets the flag that all calls get, calls
/// `work` for no further item, and returns this error.
pub fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T, &AtomicBool) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let done: Mutex<Vec<_>> = Mutex::new(items.iter().map(|_| None).collect());
    let failed = Mutex::new(None);
    let worker = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at).filter(|_| !stop.load(Ordering::Relaxed)) else {
                return;
            };
            match work(item, &stop) {
                Ok(result) => {
                    done.lock().unwrap_or_else(PoisonError::into_inner)[at] = Some(result);
                }
                Err(error) => {
                    // Keep the first error. The other calls may fail only because they are stopped.
                    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..THREADS.min(items.len()) {
            // Ignore the error: with fewer threads the work only takes longer.
            let thread = std::thread::Builder::new().name("layer".into());
            drop(thread.spawn_scoped(scope, worker));
        }
        worker();
    });
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(done.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn results_keep_their_order_and_the_first_error_ends_it() {
        let items: Vec<u32> = (0..100).collect();
        assert_eq!(in_parallel(&items, |item, _| Ok(item * 2)).unwrap()[99], 198);
        let failed = in_parallel(&items, |item, stop| {
            while *item != 1 && !stop.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            let message = if *item == 1 { "one" } else { "stopped" };
            Err::<(), _>(Error::new(message))
        });
        assert_eq!(failed.unwrap_err().to_string(), "one");
        assert!(in_parallel(&[0u8; 0], |_, _| Ok(())).unwrap().is_empty());
    }
}
