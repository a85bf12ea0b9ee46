//! Replaces the unwinder. A panic of ours prints where and why, and aborts. std would also link an
//! unwinder and a reader of debug information, to print a backtrace for which a stripped
//! binary has no names. These functions replace the unwinder's and walk no frame, so the linker finds
//! both unreachable: a quarter of the binary.
//!
//! The interface is that of the Itanium C++ ABI, as std declares it.

use std::ffi::{c_int, c_void};

/// `_URC_END_OF_STACK`
const END_OF_STACK: c_int = 5;

/// Walks no frame.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_trace: *const c_void, _argument: *mut c_void) -> c_int {
    END_OF_STACK
}

/// Functions that are only called for a frame that is being walked, or by an unwinding panic.
macro_rules! unreached {
    ($($name:ident)*) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name() -> ! {
                std::process::abort()
            }
        )*
    };
}

unreached! {
    _Unwind_DeleteException
    _Unwind_FindEnclosingFunction
    _Unwind_GetCFA
    _Unwind_GetDataRelBase
    _Unwind_GetIP
    _Unwind_GetIPInfo
    _Unwind_GetLanguageSpecificData
    _Unwind_GetRegionStart
    _Unwind_GetTextRelBase
    _Unwind_RaiseException
    _Unwind_Resume
    _Unwind_SetGR
    _Unwind_SetIP
}
