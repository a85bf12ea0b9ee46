//! The allocator. A command of ours lives for milliseconds, and a monitor for months with a few
//! kilobytes. musl's own allocator asks the kernel for single pages and returns them each time: some forty
//! system calls in a `run`, a tenth of its time.
//!
//! Small blocks have size classes, four to each doubling. They come from a free list for each class,
//! otherwise from the end of the arena, which starts in .bss, so that most commands make no
//! system call for memory at all. Freed blocks return to their list, never to the kernel. Large
//! blocks, which are the buffers, are mappings of their own (mmap(2), mremap(2)) and are unmapped when
//! freed.
//!
//! If the kernel refuses memory, the process ends with one line and the engine's exit status: std
//! would abort. Half-made things are then left as after a kill.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::{Mutex, PoisonError};

/// A larger block is a mapping of its own.
const MAX_SMALL: usize = 32 << 10;
/// The alignment of every block; a block that needs more is a mapping.
const ALIGN: usize = 16;
const CLASSES: usize = class_of(MAX_SMALL) + 1;
/// The size of the arena's first part. Only pages that are touched take memory.
const FIRST: usize = 128 << 10;
/// The size of its further parts.
const CHUNK: usize = 256 << 10;

thread_local! {
    /// The largest block that this thread may have.
    static LARGEST: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Refuses this thread larger blocks from now on, for a decoder that allocates whatever its input
/// says and panics if it can't.
pub fn limit_blocks_of_thread(bytes: usize) {
    LARGEST.set(bytes);
}

#[repr(align(4096))]
struct First(#[allow(dead_code)] [u8; FIRST]);

struct Arena {
    free: [*mut Free; CLASSES],
    next: *mut u8,
    left: usize,
}

/// A freed block: the link is in the block itself.
struct Free {
    next: *mut Free,
}

// SAFETY: the pointers lead to memory that belongs to the arena alone, whichever thread holds it.
unsafe impl Send for Arena {}

/// The global allocator.
pub struct Heap(Mutex<Arena>);

impl Heap {
    /// Makes the one global heap: a second would carve from the same first part.
    pub const fn global() -> Heap {
        static mut FIRST_PART: First = First([0; FIRST]);
        Heap::of(Arena {
            free: [null_mut(); CLASSES],
            next: (&raw mut FIRST_PART).cast(),
            left: FIRST,
        })
    }

    const fn of(arena: Arena) -> Heap {
        Heap(Mutex::new(arena))
    }

    /// Blocks the other threads of a test program while this one forks. Nothing may be allocated
    /// as long as the guard lives.
    #[cfg(test)]
    pub fn hold(&self) -> impl Drop {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Arena) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Four classes to each doubling: at most a quarter of a block is wasted.
const fn class_of(size: usize) -> usize {
    let units = if size <= ALIGN { 1 } else { size.div_ceil(ALIGN) };
    if units <= 4 {
        return units - 1;
    }
    let shift = (units - 1).ilog2() - 2;
    let step = (units - 1) >> shift;
    (shift as usize) * 4 + step
}

const fn size_of_class(class: usize) -> usize {
    if class < 4 {
        return (class + 1) * ALIGN;
    }
    let shift = class / 4 - 1;
    ((class % 4 + 5) << shift) * ALIGN
}

fn is_small(layout: &Layout) -> bool {
    layout.size() <= MAX_SMALL && layout.align() <= ALIGN
}

impl Arena {
    fn take(&mut self, class: usize) -> *mut u8 {
        let head = self.free[class];
        if !head.is_null() {
            // SAFETY: only `give` puts blocks into a list: this one is free and its link intact.
            self.free[class] = unsafe { (*head).next };
            return head.cast();
        }
        let size = size_of_class(class);
        if self.left < size {
            (self.next, self.left) = (map(CHUNK), CHUNK);
        }
        let block = self.next;
        // SAFETY: `left` bytes from `next` on are the arena's own, and `size` is no more.
        self.next = unsafe { block.add(size) };
        self.left -= size;
        block
    }

    fn give(&mut self, block: *mut u8, class: usize) {
        let block: *mut Free = block.cast();
        // SAFETY: the block is the arena's again, at least 16 bytes long and aligned so.
        unsafe { (*block).next = self.free[class] };
        self.free[class] = block;
    }
}

// SAFETY: a block is either carved from the arena once and given out again only after it was freed,
// or a mapping of its own; both are as large and as aligned as asked for (`is_small`).
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match is_small(&layout) {
            true => self.with(|arena| arena.take(class_of(layout.size()))),
            // No caller asks for more than a page's alignment.
            false if layout.align() > 4096 || layout.size() > LARGEST.get() => null_mut(),
            false => map(layout.size()),
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { self.alloc(layout) };
        if is_small(&layout) && !block.is_null() {
            // SAFETY: the block is that long. Mappings are zero already.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_small(&layout) {
            self.with(|arena| arena.give(block, class_of(layout.size())))
        } else {
            // SAFETY: by `layout` it is a mapping, of this size, that nothing uses any more.
            let _ = unsafe { libc::munmap(block.cast(), layout.size()) };
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the new size is not too large for the alignment.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (is_small(&layout), is_small(&new)) {
            (true, true) if class_of(layout.size()) == class_of(size) => block,
            // SAFETY: both are mappings: the kernel moves the pages. Only the block is touched.
            (false, false) => unsafe {
                if size > LARGEST.get() {
                    return null_mut();
                }
                let moved = libc::mremap(block.cast(), layout.size(), size, libc::MREMAP_MAYMOVE);
                if moved == libc::MAP_FAILED { out_of_memory() } else { moved.cast() }
            },
            // SAFETY: two different blocks, each at least as long as what is copied.
            _ => unsafe {
                let to = self.alloc(new);
                if !to.is_null() {
                    to.copy_from_nonoverlapping(block, layout.size().min(size));
                    self.dealloc(block, layout);
                }
                to
            },
        }
    }
}

/// Fresh zeroed pages.
fn map(size: usize) -> *mut u8 {
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
    // SAFETY: an anonymous mapping wherever the kernel likes; nothing existing is touched.
    let pages = unsafe { libc::mmap(null_mut(), size, protection, flags, -1, 0) };
    if pages == libc::MAP_FAILED { out_of_memory() } else { pages.cast() }
}

/// Ends the process without an allocation.
fn out_of_memory() -> ! {
    // If even this can't be written, the exit status says that it failed.
    let _ = rustix::io::write(
        rustix::stdio::stderr(),
        b"mydocker: out of memory: the kernel gives no more; raise the limit or free some\n",
    );
    super::exec::exit_now(crate::error::EXIT_ENGINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_fit_and_waste_little() {
        for size in 1..=MAX_SMALL {
            let class = class_of(size);
            assert!(size_of_class(class) >= size, "{size}");
            assert!(class == 0 || size_of_class(class - 1) < size, "{size}");
        }
        assert_eq!(size_of_class(CLASSES - 1), MAX_SMALL);
    }

    #[test]
    fn blocks_keep_what_is_in_them() {
        let heap = Heap::of(Arena { free: [null_mut(); CLASSES], next: null_mut(), left: 0 });
        let mut blocks: Vec<(*mut u8, Layout, u8)> = Vec::new();
        let mut seed = 12345u64;
        let mut chance = |below: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as usize % below
        };
        let filled = |block: *mut u8, length: usize, mark: u8| {
            // SAFETY: every block here was allocated with this length and filled.
            unsafe { std::slice::from_raw_parts(block, length) }.iter().all(|&byte| byte == mark)
        };
        for round in 0..20_000 {
            let mark = round as u8;
            let most = [40, 600, 5000, 100_000][chance(4)];
            let size = 1 + chance(most);
            if blocks.len() < 100 {
                let layout = Layout::from_size_align(size, [1, 8, 16, 4096][chance(4)]).unwrap();
                // SAFETY: the layout is not empty and the block is filled within it.
                let block = unsafe { heap.alloc(layout) };
                assert_eq!(block.align_offset(layout.align()), 0);
                // SAFETY: as above.
                unsafe { block.write_bytes(mark, size) };
                blocks.push((block, layout, mark));
                continue;
            }
            let (block, layout, mark) = blocks.swap_remove(chance(100));
            assert!(filled(block, layout.size(), mark));
            if chance(2) == 0 {
                // SAFETY: allocated above with this layout.
                let moved = unsafe { heap.realloc(block, layout, size) };
                assert!(filled(moved, layout.size().min(size), mark));
                let layout = Layout::from_size_align(size, layout.align()).unwrap();
                // SAFETY: as long as asked for.
                unsafe { moved.write_bytes(mark, size) };
                blocks.push((moved, layout, mark));
            } else {
                // SAFETY: allocated above with this layout, and forgotten here.
                unsafe { heap.dealloc(block, layout) };
            }
        }
    }
}
