//! Access to memory behind a caller's pointers: the whole of what this interface has to trust.

use std::ffi::{CStr, c_char, c_void};
use std::mem::{MaybeUninit, size_of};

use super::status::{CStatus, Fault};

/// A structure that begins with its own size as the caller knows it, and of which any bytes are a
/// value.
///
/// # Safety
///
/// `repr(C)`, the first field a `usize`, the others integers, floats or raw pointers, and no
/// padding.
pub(super) unsafe trait OptionStruct: Copy {
    /// Name of the type in C.
    const NAME: &'static str;
}

/// Maximum plausible size of a structure of options, in bytes: a size beyond it was never set.
const WILD: usize = 4096;

/// Copies options. Fields that an older caller does not know are 0, which means the default; fields
/// that only a newer one knows must be 0.
///
/// # Safety
///
/// `address` is null or points to as many readable bytes as the size at its start says.
pub(super) unsafe fn options<T: OptionStruct>(address: *const T) -> Result<T, Fault> {
    if address.is_null() {
        return Err(Fault::argument(format!("{} may not be NULL", T::NAME)));
    }
    // SAFETY: every such structure begins with its size, and the caller answers for that being
    // readable.
    let size = unsafe { address.cast::<usize>().read_unaligned() };
    if !(size_of::<usize>() + 1..=WILD).contains(&size) {
        return Err(Fault::argument(format!("set size in {0} to sizeof({0})", T::NAME)));
    }
    let known = size.min(size_of::<T>());
    let mut copy = MaybeUninit::<T>::zeroed();
    // SAFETY: `known` bytes are readable by the contract above, and there is room for them in a
    // `T`.
    unsafe { address.cast::<u8>().copy_to_nonoverlapping(copy.as_mut_ptr().cast(), known) };
    // SAFETY: as before, for the bytes that this version has no field for.
    let unknown = unsafe { std::slice::from_raw_parts(address.cast::<u8>().add(known), size - known) };
    if unknown.iter().any(|byte| *byte != 0) {
        let message = format!("{} has a field that this version of the library does not know", T::NAME);
        return Err(Fault::new(CStatus::HearkenErrorVersion, message));
    }
    // SAFETY: any bytes are a value of a `OptionStruct`, and all of them were zeroed or copied.
    Ok(unsafe { copy.assume_init() })
}

/// Text that ends in a NUL; `None` for NULL.
///
/// # Safety
///
/// `address` is null or points to bytes up to a NUL, which nobody writes while the result is used.
pub(super) unsafe fn text<'a>(what: &str, address: *const c_char) -> Result<Option<&'a str>, Fault> {
    if address.is_null() {
        return Ok(None);
    }
    // SAFETY: the contract above.
    let text = unsafe { CStr::from_ptr(address) };
    text.to_str().map(Some).map_err(|_| Fault::argument(format!("{what} is not UTF-8")))
}

/// Borrows `count` contiguous values.
///
/// # Safety
///
/// `address` is null or points to `count` readable values, which nobody writes while the result is
/// used.
pub(super) unsafe fn values<'a, T: Plain>(address: *const c_void, count: usize) -> Result<&'a [T], Refused> {
    if count == 0 {
        return Ok(&[]);
    }
    let address = address.cast::<T>();
    let fits = count.checked_mul(size_of::<T>()).is_some_and(|bytes| isize::try_from(bytes).is_ok());
    if address.is_null() || !address.is_aligned() || !fits {
        return Err(Refused);
    }
    // SAFETY: aligned, not null, no longer than memory can be, and readable by the contract above.
    Ok(unsafe { std::slice::from_raw_parts(address, count) })
}

/// Numbers of which any bytes are a value.
pub(super) trait Plain: Copy {}
impl Plain for u8 {}
impl Plain for i16 {}
impl Plain for f32 {}

/// A NULL, an address that is not aligned, or more values than memory holds.
#[derive(Debug)]
pub(super) struct Refused;

impl From<Refused> for Fault {
    fn from(Refused: Refused) -> Self {
        Self::argument("samples may not be NULL, must be aligned, and as many as memory can hold")
    }
}

/// Borrows the place for a result; it is set to `nothing` first, so that it is never left as it
/// was.
///
/// # Safety
///
/// `address` is null or may be written.
pub(super) unsafe fn out<'a, T: Copy>(address: *mut T, nothing: T) -> Result<&'a mut T, Fault> {
    if address.is_null() || !address.is_aligned() {
        return Err(Fault::argument("where the result goes may not be NULL"));
    }
    // SAFETY: the contract above; it is written before it is read.
    unsafe {
        address.write(nothing);
        Ok(&mut *address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    #[repr(C)]
    struct Example {
        size: usize,
        first: u64,
        second: u64,
    }

    // SAFETY: of integers alone, without padding.
    unsafe impl OptionStruct for Example {
        const NAME: &'static str = "some_options";
    }

    #[test]
    fn options_may_be_older_or_newer_than_the_library() {
        let read = |words: &[u64]| {
            assert!(words[0] > 4096 || words[0] as usize <= size_of_val(words));
            // SAFETY: the size at the start is no more than there is, or refused.
            unsafe { options(words.as_ptr().cast::<Example>()) }
        };
        assert_eq!(read(&[24, 1, 2]).unwrap(), Example { size: 24, first: 1, second: 2 });
        assert_eq!(read(&[16, 1]).unwrap(), Example { size: 16, first: 1, second: 0 });
        assert_eq!(read(&[32, 1, 2, 0]).unwrap().second, 2);
        assert_eq!(read(&[32, 1, 2, 3]).unwrap_err().status, CStatus::HearkenErrorVersion);
        for unset in [0, 8, 4097, u64::MAX] {
            assert_eq!(read(&[unset, 0, 0]).unwrap_err().status, CStatus::HearkenErrorArgument, "{unset}");
        }
        // SAFETY: null is allowed.
        assert!(unsafe { options::<Example>(std::ptr::null()) }.is_err());
    }

    #[test]
    fn values_that_cannot_be_are_refused() {
        let bytes = [0u64; 2];
        let odd = bytes.as_ptr().cast::<c_void>().wrapping_byte_add(1);
        // SAFETY: a buffer that could not be read is rejected before.
        unsafe {
            assert!(values::<f32>(std::ptr::null(), 0).is_ok_and(<[f32]>::is_empty));
            assert!(values::<f32>(std::ptr::null(), 1).is_err());
            assert!(values::<i16>(odd, 1).is_err());
            assert!(values::<f32>(bytes.as_ptr().cast(), usize::MAX / 4).is_err());
            assert_eq!(values::<i16>(bytes.as_ptr().cast(), 8).unwrap(), [0; 8]);
        }
    }
}
