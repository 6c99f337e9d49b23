// FFmpeg's libraries behind a few functions: the only file that includes their headers.
//
// Containers are read by libavformat, codecs by libavcodec, as `ffmpeg` itself does it. What edit lists and encoders'
// delays cut away is cut by them.
#include "shim.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/channel_layout.h>
#include <libavutil/mathematics.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// Buffer between libavformat and the source [bytes].
#define BUFFER 32768
// Bytes of a source that cannot seek that are read until there is a track.
#define MAX_SEARCH (4 << 20)
// Tracks of a container.
#define MAX_STREAMS 256

struct Recording {
    void * source;
    Read read;
    Seek seek;
    int64_t len;
    AVIOContext * io;
    AVFormatContext * format;
    AVCodecContext * codec;
    AVPacket * packet;
    AVFrame * frame;
    AVStream * stream;
    // A packet that was read to find the tracks waits.
    int is_held;
    // Time at which the recording starts, in ticks of the track.
    int64_t origin;
    int is_absolute;
    // Time of the first packet, of any track [1/AV_TIME_BASE s].
    int64_t first;
    // Length of the latest packet, in ticks.
    int64_t duration;
    // Its bytes are not all there.
    int is_partial;
    // Why there are no more packets; 0 if there are.
    int ended;
};

// Functions of libc in the place of those that would ask WASI for files and for time: the linker puts them there.
char * tempnam(const char * folder, const char * prefix) { (void) folder; (void) prefix; return NULL; }
int __wrap_open(const char * path, int flags, ...) { (void) path; (void) flags; errno = ENOENT; return -1; }
int __wrap_fcntl(int file, int command, ...) { (void) file; (void) command; errno = EBADF; return -1; }
int __wrap_nanosleep(const struct timespec * time, struct timespec * left) { (void) time; (void) left; return 0; }
int __wrap_usleep(useconds_t time) { (void) time; return 0; }

static void be_silent(void * object, int level, const char * format, va_list arguments) {
    (void) object; (void) level; (void) format; (void) arguments;
}

static int open_nothing(AVFormatContext * format, AVIOContext ** io, const char * url, int flags, AVDictionary ** options) {
    (void) format; (void) io; (void) url; (void) flags; (void) options;
    return AVERROR(ENOENT);
}

static int read_source(void * opaque, uint8_t * out, int len) {
    Recording * recording = opaque;
    int32_t read = recording->read(recording->source, out, len);
    return read > 0 ? read : read == 0 ? AVERROR_EOF : AVERROR(EIO);
}

static int64_t seek_source(void * opaque, int64_t offset, int whence) {
    Recording * recording = opaque;
    if (whence == AVSEEK_SIZE) return recording->len;
    // libavformat turns the other two into this one.
    if ((whence & ~AVSEEK_FORCE) != SEEK_SET || offset < 0) return AVERROR(EINVAL);
    int64_t position = recording->seek(recording->source, offset);
    return position < 0 ? AVERROR(EIO) : position;
}

static int is_audio(const AVStream * stream) {
    return stream->codecpar->codec_type == AVMEDIA_TYPE_AUDIO;
}

static int is_cover(const AVStream * stream) {
    return stream->disposition & AV_DISPOSITION_ATTACHED_PIC;
}

static int has_format(const Recording * recording, const char * name) {
    return strstr(recording->format->iformat->name, name) != NULL;
}

// Reads a packet of an audio track, and notes when the recording starts.
static int read_packet(Recording * recording) {
    for (;;) {
        int status = av_read_frame(recording->format, recording->packet);
        if (status == AVERROR(EAGAIN)) continue;
        if (status < 0) return status;
        AVPacket * packet = recording->packet;
        AVStream * stream = recording->format->streams[packet->stream_index];
        if (recording->first == AV_NOPTS_VALUE && packet->pts != AV_NOPTS_VALUE && !is_cover(stream)) {
            recording->first = av_rescale_q(packet->pts, stream->time_base, AV_TIME_BASE_Q);
        }
        if (recording->stream ? stream == recording->stream : is_audio(stream)) return 0;
        // A track that appeared on the way.
        stream->discard = AVDISCARD_ALL;
        av_packet_unref(packet);
    }
}

static AVStream * track(const Recording * recording, int32_t number) {
    for (unsigned i = 0; i < recording->format->nb_streams; i++) {
        AVStream * stream = recording->format->streams[i];
        if (is_audio(stream) && number-- == 0) return stream;
    }
    return NULL;
}

int32_t ffmpeg_tracks(const Recording * recording) {
    int32_t count = 0;
    while (track(recording, count)) count++;
    return count;
}

void ffmpeg_track(const Recording * recording, int32_t number, Track * out) {
    const AVStream * stream = track(recording, number);
    *out = (Track) { 0 };
    if (!stream) return;
    const AVDictionaryEntry * language = av_dict_get(stream->metadata, "language", NULL, 0);
    out->language = language ? language->value : NULL;
    out->codec = avcodec_get_name(stream->codecpar->codec_id);
    out->is_default = (stream->disposition & AV_DISPOSITION_DEFAULT) != 0;
    out->is_decodable = avcodec_find_decoder(stream->codecpar->codec_id) != NULL;
}

static int32_t failure(int status) {
    if (status == AVERROR(ENOMEM)) return FFMPEG_OPEN_MEMORY;
    return status == AVERROR_EOF || status == AVERROR(EIO) ? FFMPEG_OPEN_CUT : FFMPEG_OPEN_DAMAGED;
}

static int find_tracks(Recording * recording) {
    if (recording->seek) return avformat_find_stream_info(recording->format, NULL);
    // That reads seconds ahead. A stream that is still to come has its tracks in its header, or says them with its first
    // packets.
    if (recording->format->ctx_flags & AVFMTCTX_NOHEADER) {
        while (ffmpeg_tracks(recording) == 0) {
            int status = read_packet(recording);
            if (status < 0) return status;
            recording->is_held = 1;
            if (avio_tell(recording->io) > MAX_SEARCH) return AVERROR_INVALIDDATA;
        }
    }
    return 0;
}

_Static_assert(FFMPEG_PADDING >= AVPROBE_PADDING_SIZE, "zeros behind the bytes that are probed");

// The container of a stream whose first bytes leave no doubt. libavformat waits for 2 KiB, a second and more of speech.
static const AVInputFormat * known(const char * name, uint8_t * start, int32_t start_len) {
    AVProbeData data = { .filename = name, .buf = start, .buf_size = start_len };
    int score = 0;
    const AVInputFormat * format = av_probe_input_format3(&data, 1, &score);
    return score >= AVPROBE_SCORE_MAX ? format : NULL;
}

int32_t ffmpeg_open(Recording ** out, void * source, Read read, Seek seek, int64_t len, const char * name, uint8_t * start,
    int32_t start_len) {
    *out = NULL;
    av_log_set_callback(be_silent);
    Recording * recording = calloc(1, sizeof *recording);
    if (!recording) return FFMPEG_OPEN_MEMORY;
    *recording = (Recording) { .source = source, .read = read, .seek = seek, .len = len, .first = AV_NOPTS_VALUE };
    uint8_t * buffer = av_malloc(BUFFER);
    recording->io = buffer ? avio_alloc_context(buffer, BUFFER, 0, recording, read_source, NULL, seek ? seek_source : NULL) : NULL;
    if (!recording->io) av_free(buffer);
    recording->packet = av_packet_alloc();
    recording->frame = av_frame_alloc();
    recording->format = avformat_alloc_context();
    int status = AVERROR(ENOMEM);
    if (!recording->io || !recording->packet || !recording->frame || !recording->format) goto failed;
    recording->io->seekable = seek ? AVIO_SEEKABLE_NORMAL : 0;
    recording->format->pb = recording->io;
    recording->format->io_open = open_nothing;
    recording->format->flags |= AVFMT_FLAG_CUSTOM_IO;
    recording->format->max_streams = MAX_STREAMS;
    // Frees the context where it fails.
    status = avformat_open_input(&recording->format, name, seek ? NULL : known(name, start, start_len), NULL);
    if (status >= 0) status = find_tracks(recording);
    if (status >= 0) {
        *out = recording;
        return FFMPEG_OK;
    }
failed:
    ffmpeg_close(recording);
    return failure(status);
}

int32_t ffmpeg_choose(Recording * recording, int32_t number) {
    AVStream * stream = track(recording, number);
    const AVCodec * decoder = stream ? avcodec_find_decoder(stream->codecpar->codec_id) : NULL;
    if (!decoder) return FFMPEG_OPEN_DAMAGED;
    AVFormatContext * format = recording->format;
    int others = 0;
    for (unsigned i = 0; i < format->nb_streams; i++) {
        others |= !is_audio(format->streams[i]) && !is_cover(format->streams[i]);
        if (format->streams[i] != stream) format->streams[i]->discard = AVDISCARD_ALL;
    }
    recording->stream = stream;
    if (recording->is_held && recording->packet->stream_index != stream->index) {
        av_packet_unref(recording->packet);
        recording->is_held = 0;
    }
    // Sound that starts behind the picture's start is late. So is sound behind an empty edit.
    int is_mov = has_format(recording, "mov");
    recording->is_absolute = others || is_mov;
    int64_t start = format->start_time != AV_NOPTS_VALUE ? format->start_time : recording->first;
    if (others && start != AV_NOPTS_VALUE && !(is_mov && start > 0)) {
        recording->origin = av_rescale_q(start, AV_TIME_BASE_Q, stream->time_base);
    }
    recording->codec = avcodec_alloc_context3(decoder);
    if (!recording->codec) return FFMPEG_OPEN_MEMORY;
    int status = avcodec_parameters_to_context(recording->codec, stream->codecpar);
    recording->codec->pkt_timebase = stream->time_base;
    if (status >= 0) status = avcodec_open2(recording->codec, decoder, NULL);
    return status >= 0 ? FFMPEG_OK : status == AVERROR(ENOMEM) ? FFMPEG_OPEN_MEMORY : FFMPEG_OPEN_DAMAGED;
}

void ffmpeg_facts(const Recording * recording, Facts * out) {
    const AVFormatContext * format = recording->format;
    const AVStream * stream = recording->stream;
    *out = (Facts) {
        .sample_rate = stream->codecpar->sample_rate,
        .channels = stream->codecpar->ch_layout.nb_channels,
        .duration = stream->duration,
        .numer = stream->time_base.num,
        .denom = stream->time_base.den,
        .is_absolute = recording->is_absolute,
        .may_jump = (format->iformat->flags & AVFMT_TS_DISCONT) != 0,
    };
    if (stream->duration == AV_NOPTS_VALUE) {
        out->duration = format->duration == AV_NOPTS_VALUE
            ? -1
            : av_rescale_q(format->duration, AV_TIME_BASE_Q, stream->time_base);
    }
    // In a container with a picture the length may be the picture's, unless each track has its own.
    int is_own = format->nb_streams == 1 || has_format(recording, "mov") || has_format(recording, "avi");
    // A file's length may be an estimate; nobody makes one of a stream.
    int is_stated = !recording->seek || format->duration_estimation_method == AVFMT_DURATION_FROM_STREAM;
    out->is_exact = out->duration >= 0 && is_own && is_stated;
}

int32_t ffmpeg_next(Recording * recording, Frame * out) {
    *out = (Frame) { 0 };
    for (;;) {
        AVFrame * frame = recording->frame;
        int status = avcodec_receive_frame(recording->codec, frame);
        if (status >= 0) {
            out->sample_rate = frame->sample_rate;
            out->channels = frame->ch_layout.nb_channels;
            out->frames = frame->nb_samples;
            out->has_time = frame->best_effort_timestamp != AV_NOPTS_VALUE;
            if (out->has_time) out->time = av_sat_sub64(frame->best_effort_timestamp, recording->origin);
            return FFMPEG_AUDIO;
        }
        if (status == AVERROR_EOF) {
            if (recording->ended == AVERROR_EOF) return recording->is_partial ? FFMPEG_CUT : FFMPEG_END;
            return recording->ended == AVERROR(EIO) || avio_feof(recording->io) ? FFMPEG_CUT : FFMPEG_DAMAGED;
        }
        if (status != AVERROR(EAGAIN)) {
            out->time = recording->duration;
            return FFMPEG_SKIPPED;
        }
        if (!recording->is_held) {
            status = read_packet(recording);
            if (status < 0) {
                recording->ended = status;
                avcodec_send_packet(recording->codec, NULL);
                continue;
            }
        }
        recording->is_held = 0;
        recording->duration = recording->packet->duration;
        recording->is_partial = (recording->packet->flags & AV_PKT_FLAG_CORRUPT) != 0;
        status = avcodec_send_packet(recording->codec, recording->packet);
        av_packet_unref(recording->packet);
        if (status < 0) {
            out->time = recording->duration;
            return FFMPEG_SKIPPED;
        }
    }
}

// Writes the samples of one channel after the other, each `channels` apart.
#define WRITE(type, value) \
    for (int channel = 0; channel < channels; channel++) { \
        const type * in = (const type *) frame->extended_data[is_planar ? channel : 0] + (is_planar ? 0 : channel); \
        for (int i = 0; i < frame->nb_samples; i++) { \
            type x = in[is_planar ? i : i * channels]; \
            out[i * channels + channel] = (value); \
        } \
    } \
    break

void ffmpeg_samples(const Recording * recording, float * out) {
    const AVFrame * frame = recording->frame;
    int channels = frame->ch_layout.nb_channels;
    int is_planar = av_sample_fmt_is_planar(frame->format);
    switch (av_get_packed_sample_fmt(frame->format)) {
    case AV_SAMPLE_FMT_U8: WRITE(uint8_t, ((int) x - 128) / 128.0f);
    case AV_SAMPLE_FMT_S16: WRITE(int16_t, x / 32768.0f);
    case AV_SAMPLE_FMT_S32: WRITE(int32_t, x / 2147483648.0f);
    case AV_SAMPLE_FMT_S64: WRITE(int64_t, x / 9223372036854775808.0f);
    case AV_SAMPLE_FMT_FLT: WRITE(float, x);
    case AV_SAMPLE_FMT_DBL: WRITE(double, (float) x);
    default: memset(out, 0, sizeof *out * channels * frame->nb_samples);
    }
}

void ffmpeg_close(Recording * recording) {
    if (!recording) return;
    avcodec_free_context(&recording->codec);
    avformat_close_input(&recording->format);
    av_packet_free(&recording->packet);
    av_frame_free(&recording->frame);
    // libavformat may have replaced the buffer.
    if (recording->io) av_freep(&recording->io->buffer);
    avio_context_free(&recording->io);
    free(recording);
}
