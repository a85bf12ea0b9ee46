//! The global allocator. musl's allocator maps and unmaps single pages: about forty system calls in
//! one `run`, a tenth of the time that `run` takes. Here a small block needs no system call until
//! the arena's first part is full.
//!
//! A small block comes from the free list of its size class, otherwise from the arena, whose first
//! part is in .bss. Above 64 bytes, each doubling of the size has four classes. A freed small block
//! returns to its list, never to the kernel. A large block, such as a buffer, is a mapping of its
//! own (mmap(2), mremap(2)) and is unmapped when freed.
//!
//! If the kernel refuses memory, the process prints one line and exits with the engine's status,
//! where std would abort. Unfinished files remain, as after SIGKILL.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::{Mutex, PoisonError};

/// The size of the largest small block, in bytes. A larger block is a mapping of its own.
const MAX_SMALL: usize = 32 << 10;
/// The alignment of every small block, in bytes. A block with a larger alignment is a mapping.
const ALIGN: usize = 16;
const CLASSES: usize = class_of(MAX_SMALL) + 1;
/// The size of the arena's first part, in bytes. Pages that no block has used take no memory.
const FIRST: usize = 128 << 10;
/// The size of each further part of the arena, in bytes.
const CHUNK: usize = 256 << 10;

thread_local! {
    /// The size of the largest mapping that this thread may allocate, in bytes.
    static LARGEST: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// From now on, an allocation of this thread fails if it is larger than `bytes` and is not a small
/// block. `image::compression` sets this limit, because a corrupt zstd block can unpack to
/// gigabytes.
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

/// The start of a freed block: the link to the next block in the list.
struct Free {
    next: *mut Free,
}

// SAFETY: only the arena uses the memory behind its pointers, and no thread owns this memory.
unsafe impl Send for Arena {}

/// The global allocator.
pub struct Heap(Mutex<Arena>);

impl Heap {
    /// Makes the global heap. Must be called once: all heaps made here would share `FIRST_PART`.
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

    /// Keeps the other threads of a test program from changing the arena while this thread forks.
    /// This thread must not allocate as long as the guard exists.
    #[cfg(test)]
    pub fn hold(&self) -> impl Drop {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Arena) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The size class of a block of `size` bytes. Above 64 bytes, each doubling of the size has four
/// classes, so such a block wastes at most a fifth of its class's size.
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
            // SAFETY: only `give` puts blocks into a list, so this block is free and has a link.
            self.free[class] = unsafe { (*head).next };
            return head.cast();
        }
        let size = size_of_class(class);
        if self.left < size {
            (self.next, self.left) = (map(CHUNK), CHUNK);
        }
        let block = self.next;
        // SAFETY: the arena owns `left` bytes from `next` on, and `size` is at most `left`.
        self.next = unsafe { block.add(size) };
        self.left -= size;
        block
    }

    fn give(&mut self, block: *mut u8, class: usize) {
        let block: *mut Free = block.cast();
        // SAFETY: the caller no longer uses the block, which has at least 16 bytes, aligned to 16.
        unsafe { (*block).next = self.free[class] };
        self.free[class] = block;
    }
}

// SAFETY: a small block is a part of the arena that no other block overlaps, and is reused only
// after it was freed. A large block is a mapping of its own. Every block has at least the layout's
// size and alignment.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_small(&layout) {
            self.with(|arena| arena.take(class_of(layout.size())))
        } else if layout.align() > 4096 || layout.size() > LARGEST.get() {
            // mmap(2) aligns to a page. No caller needs a larger alignment.
            null_mut()
        } else {
            map(layout.size())
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the conditions of `alloc`, which are the same.
        let block = unsafe { self.alloc(layout) };
        if is_small(&layout) && !block.is_null() {
            // SAFETY: the block has `size` bytes. A mapping is zero already.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_small(&layout) {
            self.with(|arena| arena.give(block, class_of(layout.size())))
        } else {
            // SAFETY: a block with this layout is a mapping of this size, and the caller frees it.
            let _ = unsafe { libc::munmap(block.cast(), layout.size()) };
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller guarantees that `size`, rounded up to the alignment, fits an isize.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (is_small(&layout), is_small(&new)) {
            (true, true) if class_of(layout.size()) == class_of(size) => block,
            // SAFETY: the old block is a mapping of this size, and the kernel moves its pages.
            (false, false) => unsafe {
                if size > LARGEST.get() {
                    return null_mut();
                }
                let moved = libc::mremap(block.cast(), layout.size(), size, libc::MREMAP_MAYMOVE);
                if moved == libc::MAP_FAILED { out_of_memory() } else { moved.cast() }
            },
            // SAFETY: the two blocks differ, and each is at least as long as the copied bytes.
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

/// Maps zeroed pages of at least `size` bytes. Ends the process if the kernel refuses.
fn map(size: usize) -> *mut u8 {
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
    // SAFETY: the kernel chooses the address, so the mapping replaces no other mapping.
    let pages = unsafe { libc::mmap(null_mut(), size, protection, flags, -1, 0) };
    if pages == libc::MAP_FAILED { out_of_memory() } else { pages.cast() }
}

/// Prints an error and ends the process. Allocates nothing.
fn out_of_memory() -> ! {
    // If the write fails, the exit status still reports the error.
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
                // SAFETY: the block has `size` bytes.
                unsafe { block.write_bytes(mark, size) };
                blocks.push((block, layout, mark));
                continue;
            }
            let (block, layout, mark) = blocks.swap_remove(chance(100));
            assert!(filled(block, layout.size(), mark));
            if chance(2) == 0 {
                // SAFETY: the block was allocated above with this layout.
                let moved = unsafe { heap.realloc(block, layout, size) };
                assert!(filled(moved, layout.size().min(size), mark));
                let layout = Layout::from_size_align(size, layout.align()).unwrap();
                // SAFETY: the block now has `size` bytes.
                unsafe { moved.write_bytes(mark, size) };
                blocks.push((moved, layout, mark));
            } else {
                // SAFETY: the block was allocated above with this layout and is not used again.
                unsafe { heap.dealloc(block, layout) };
            }
        }
    }
}
