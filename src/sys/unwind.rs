//! Replaces the unwinder, so that the linker leaves out its code.
//!
//! A panic prints its message and its place in the source, and aborts. std would also link an
//! unwinder and a reader of debug information to print a backtrace, although a stripped binary has
//! no symbol names. The functions here replace those of the unwinder and walk no frame, so the
//! linker leaves out the unwinder and the reader. The interface is that of the Itanium C++ ABI, as
//! std declares it.

use std::ffi::{c_int, c_void};

/// `_URC_END_OF_STACK` of the ABI.
const END_OF_STACK: c_int = 5;

/// Returns without calling the callback, so that a backtrace of std has no frames.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Backtrace(_trace: *const c_void, _argument: *mut c_void) -> c_int {
    END_OF_STACK
}

/// Defines functions that are called only while a frame is walked or a panic unwinds. In this
/// binary no frame is walked, and a panic does not unwind.
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
