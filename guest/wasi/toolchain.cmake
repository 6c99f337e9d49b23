# CMake toolchain for the sandboxed guest. Handed to whisper-rs-sys through CMAKE_TOOLCHAIN_FILE by host/build/guest.rs,
# which also sets HEARKEN_WASI_CC and HEARKEN_WASI_CXX. Nothing in whisper.cpp is edited.
set(CMAKE_SYSTEM_NAME WASI)
set(CMAKE_SYSTEM_PROCESSOR wasm32)
# Paths of Windows have backslashes, which CMake takes for escapes where it writes them into files of its own.
file(TO_CMAKE_PATH "$ENV{HEARKEN_WASI_CC}" CMAKE_C_COMPILER)
file(TO_CMAKE_PATH "$ENV{HEARKEN_WASI_CXX}" CMAKE_CXX_COMPILER)
file(TO_CMAKE_PATH "$ENV{HEARKEN_WASI_AR}" CMAKE_AR)
file(TO_CMAKE_PATH "$ENV{HEARKEN_WASI_RANLIB}" CMAKE_RANLIB)
set(CMAKE_C_COMPILER_TARGET wasm32-wasip1)
set(CMAKE_CXX_COMPILER_TARGET wasm32-wasip1)
# There is nothing to run or link at configure time.
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
# find_package(Threads): wasi-libc declares pthreads; whisper.cpp never starts one with n_threads = 1.
set(CMAKE_HAVE_LIBC_PTHREAD 1 CACHE INTERNAL "")
set(CMAKE_USE_PTHREADS_INIT 1 CACHE INTERNAL "")
set(CMAKE_POSITION_INDEPENDENT_CODE OFF)
# Of whisper.cpp and ggml little is computed with: hearken's kernels are Rust. What -O3 unrolls in the rest is bytes that
# every browser would fetch.
if("$ENV{CARGO_PKG_NAME}" STREQUAL "whisper-rs-sys")
    set(CMAKE_C_FLAGS_RELEASE "-O2 -DNDEBUG" CACHE STRING "" FORCE)
    set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG" CACHE STRING "" FORCE)
endif()
