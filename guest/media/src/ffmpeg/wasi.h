// What libavutil names and wasi-libc does not have. Included before every file of FFmpeg's.
#pragma once

// Temporary files, which no demuxer or decoder makes: shim.c says that there is none.
char * tempnam(const char * folder, const char * prefix);
