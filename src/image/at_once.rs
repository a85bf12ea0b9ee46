//! A few threads over a list: for layers, whose bytes keep a core or a connection busy each.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::Result;

/// Layers on their way at once: as many as registries are used to from Docker.
const THREADS: usize = 3;

/// Does `work` to each of `items`, some at once; the results are in their order. The first error
/// ends it, and tells the others by the flag.
pub fn at_once<T: Sync, R: Send>(
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
                    // The first is the one to tell: the others are what it stopped.
                    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..THREADS.min(items.len()) {
            // With fewer threads it only takes longer.
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
        assert_eq!(at_once(&items, |item, _| Ok(item * 2)).unwrap()[99], 198);
        let failed = at_once(&items, |item, stop| {
            while *item != 1 && !stop.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            let told = if *item == 1 { "one" } else { "stopped" };
            Err::<(), _>(Error::new(told))
        });
        assert_eq!(failed.unwrap_err().to_string(), "one");
        assert!(at_once(&[0u8; 0], |_, _| Ok(())).unwrap().is_empty());
    }
}
