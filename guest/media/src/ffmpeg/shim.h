// FFmpeg's libraries as mod.rs sees them. The structures are declared there once more, field by field.
#pragma once
#include <stdint.h>

typedef struct Recording Recording;

// Reads some bytes; 0 is the end, less than 0 an error.
typedef int32_t (*Read)(void * source, uint8_t * out, int32_t len);
// Moves to a position, and returns it or -1.
typedef int64_t (*Seek)(void * source, int64_t position);

typedef struct {
    // Language as the container names it, or NULL.
    const char * language;
    // Name of the codec.
    const char * codec;
    int32_t is_default;
    int32_t is_decodable;
} Track;

typedef struct {
    // From the headers; 0 if they do not say it.
    int32_t sample_rate;
    int32_t channels;
    // Length in ticks; less than 0 if it is not known.
    int64_t duration;
    // Length of a tick [s].
    int32_t numer;
    int32_t denom;
    // The length is in the headers, and the track's own.
    int32_t is_exact;
    // Times count from the start of the recording, and not from the start of the track.
    int32_t is_absolute;
    // Times may start anew on the way.
    int32_t may_jump;
} Facts;

typedef struct {
    int32_t sample_rate;
    int32_t channels;
    int32_t frames;
    int32_t has_time;
    // Start of the frame, or length of what was skipped, in ticks; 0 if the length is not known.
    int64_t time;
} Frame;

enum { FFMPEG_PADDING = 32 };
// Results of ffmpeg_next.
enum { FFMPEG_AUDIO, FFMPEG_SKIPPED, FFMPEG_END, FFMPEG_CUT, FFMPEG_DAMAGED };
// Results of ffmpeg_open and ffmpeg_choose.
enum { FFMPEG_OK, FFMPEG_OPEN_CUT, FFMPEG_OPEN_DAMAGED, FFMPEG_OPEN_MEMORY };

// Opens a recording and finds its tracks. `seek` is NULL where there is no seeking; `name` has the extension. `start` has the
// first `start_len` bytes, and FFMPEG_PADDING zeros behind them.
int32_t ffmpeg_open(Recording ** out, void * source, Read read, Seek seek, int64_t len, const char * name, uint8_t * start,
    int32_t start_len);
int32_t ffmpeg_tracks(const Recording * recording);
void ffmpeg_track(const Recording * recording, int32_t number, Track * out);
// Chooses the audio track that is decoded, once.
int32_t ffmpeg_choose(Recording * recording, int32_t number);
void ffmpeg_facts(const Recording * recording, Facts * out);
// Decodes up to the next frame.
int32_t ffmpeg_next(Recording * recording, Frame * out);
// Writes the samples of the latest frame, interleaved: `frames * channels` of them.
void ffmpeg_samples(const Recording * recording, float * out);
void ffmpeg_close(Recording * recording);
