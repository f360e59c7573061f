//! What the C library's allocator does with memory that is free again. The third file with `unsafe` in it, since nothing wraps the call.

/// How much free memory stays with the process, in bytes.
#[cfg(target_env = "gnu")]
const KEPT_FREE: i32 = 8 << 20;

/// From which size on a piece of memory is asked of the system by itself, and goes back by itself, in bytes.
#[cfg(target_env = "gnu")]
const LARGE: i32 = 4 << 20;

/// Has some free memory kept for the next request. By default glibc gives it back at once, so that a listing of a thousand members would ask for
/// the same pages again and again: a tenth of its processor time (mallopt(3)).
pub fn keep_some_free_memory() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [(libc::M_TRIM_THRESHOLD, KEPT_FREE), (libc::M_MMAP_THRESHOLD, LARGE)] {
        #[allow(unsafe_code, reason = "mallopt has no safe wrapper")]
        // SAFETY: it sets a number of the allocator, and no other thread has been started yet. What it does not know it refuses.
        unsafe {
            libc::mallopt(parameter, value);
        }
    }
}
