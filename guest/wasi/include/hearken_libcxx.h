// What this libc++ was built without, in one place: the macros changed their form in LLVM 20.
#pragma once
#include <version>

#if defined(_LIBCPP_HAS_NO_THREADS) || (defined(_LIBCPP_HAS_THREADS) && !_LIBCPP_HAS_THREADS)
#    define HEARKEN_NO_THREADS 1
#endif
#if defined(_LIBCPP_HAS_NO_FILESYSTEM) || (defined(_LIBCPP_HAS_FILESYSTEM) && !_LIBCPP_HAS_FILESYSTEM)
#    define HEARKEN_NO_FILESYSTEM 1
#endif
