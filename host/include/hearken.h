/*
 * hearken: streaming transcription with whisper.cpp inside a WebAssembly sandbox.
 *
 * Made from host/src/capi by a test; do not edit. docs/voice-apps.md is the page for authors of voice apps, and
 * examples/voice-app has programs in C and C++.
 *
 * An engine loads models, a model makes sessions. A session takes PCM and gives events, to hearken_session_poll or to a
 * callback. Handles are numbers: one that is null, freed or of another kind is answered with HEARKEN_ERROR_HANDLE.
 *
 * Functions answer with a hearken_status and never throw, never abort and never let a panic out. What "Threads" says of
 * each function: on which threads it may be called; "one at a time" is for one object, and another thread that is in such
 * a call at that moment costs HEARKEN_ERROR_BUSY. Where nothing is said of order, any will do.
 */


#ifndef HEARKEN_H
#define HEARKEN_H

#include <stddef.h>
#include <stdint.h>

/** Initializes a handle that stands for nothing yet. What makes objects leaves this when it fails. */
#define HEARKEN_NULL {0}


/**
 * Version of this interface. It changes when a program that was compiled against an older header
 * would no longer work; functions, fields at the end of structures, and event types are added
 * without changing it.
 */
#define HEARKEN_ABI_VERSION 1

/**
 * Samples in a second of every position and length in events: 16 000, whatever the rate of the
 * audio that is pushed.
 */
#define HEARKEN_SAMPLE_RATE 16000

/**
 * Status of a call: 0 or more is no error. After an error nothing was taken and nothing was
 * changed, unless the function says otherwise.
 */
enum hearken_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Done.
   */
  HEARKEN_OK = 0,
  /**
   * No event came within the timeout.
   */
  HEARKEN_TIMEOUT = 1,
  /**
   * No more events: the session is finished, cancelled or freed.
   */
  HEARKEN_ENDED = 2,
  /**
   * The header that the program was compiled with belongs to another version of the library.
   * Install the two of one version.
   */
  HEARKEN_ERROR_VERSION = -1,
  /**
   * An argument that cannot be: NULL where it may not be, text that is not UTF-8, a value out of
   * range, a language that the model does not know.
   */
  HEARKEN_ERROR_ARGUMENT = -2,
  /**
   * A handle that is null, freed, or of another kind.
   */
  HEARKEN_ERROR_HANDLE = -3,
  /**
   * Not now: the order of calls is wrong, such as a push after the end.
   */
  HEARKEN_ERROR_STATE = -4,
  /**
   * Another thread is in a call that excludes this one. Calls of one kind on one session belong
   * on one thread.
   */
  HEARKEN_ERROR_BUSY = -5,
  /**
   * The model cannot be read, or is not one that hearken loads.
   */
  HEARKEN_ERROR_MODEL = -6,
  /**
   * The operating system refused something: a thread, a file, memory.
   */
  HEARKEN_ERROR_SYSTEM = -7,
  /**
   * The sandbox failed.
   */
  HEARKEN_ERROR_SANDBOX = -8,
  /**
   * A defect in hearken. The object that was called may be of no more use; others are not
   * affected. Please report it.
   */
  HEARKEN_ERROR_DEFECT = -9,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum hearken_status hearken_status;
#else
typedef int32_t hearken_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Where matrix multiplication runs. Everything else of the recognizer runs inside the sandbox in
 * any case.
 */
enum hearken_compute
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * The host, with the processor's fastest instructions; weights and activations rounded to 8
   * bits or bfloat16.
   */
  HEARKEN_COMPUTE_FAST = 0,
  /**
   * The host, as exactly as native whisper.cpp.
   */
  HEARKEN_COMPUTE_EXACT = 1,
  /**
   * The guest, inside the sandbox: slower, and nothing crosses but audio and text.
   */
  HEARKEN_COMPUTE_GUEST = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum hearken_compute hearken_compute;
#else
typedef uint32_t hearken_compute;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Storage format of a sample, in the machine's byte order.
 */
enum hearken_encoding
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Signed 16-bit integers.
   */
  HEARKEN_ENCODING_S16 = 0,
  /**
   * 32-bit floats from -1 to 1. NaN and infinite samples are replaced by 0; others are clamped
   * to [-1, 1].
   */
  HEARKEN_ENCODING_F32 = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum hearken_encoding hearken_encoding;
#else
typedef uint32_t hearken_encoding;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Type of an event. Programs ignore types that they do not know.
 */
enum hearken_event_type
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Speech began at `start`.
   */
  HEARKEN_EVENT_SPEECH_STARTED = 0,
  /**
   * Speech ended at `end`. The utterance's `HEARKEN_EVENT_FINAL` comes when it is recognized.
   */
  HEARKEN_EVENT_SPEECH_ENDED = 1,
  /**
   * The language is known: `text` is its ISO 639-1 code, `probability` how sure the model is.
   */
  HEARKEN_EVENT_LANGUAGE = 2,
  /**
   * The hypothesis for the utterance that began at `start`, while it goes on. The first
   * `committed` words were committed with this event and do not change any more; the others
   * replace those of the event before.
   */
  HEARKEN_EVENT_PARTIAL = 3,
  /**
   * The utterance from `start` to `end` is complete: all its words, of which those that were
   * committed come first, as they were.
   */
  HEARKEN_EVENT_FINAL = 4,
  /**
   * Audio from `start` to `end` was not recognized; `text` has the reason.
   */
  HEARKEN_EVENT_DROPPED = 5,
  /**
   * Everything that was pushed, up to `end`, is dealt with. The last event.
   */
  HEARKEN_EVENT_FINISHED = 6,
  /**
   * Voice from `start` to `end`, at least a second of it, in which no words were recognized
   * though it was decoded again: speech that was missed, or a sound that voice activity takes
   * for speech.
   */
  HEARKEN_EVENT_UNRECOGNIZED = 7,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum hearken_event_type hearken_event_type;
#else
typedef uint32_t hearken_event_type;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Settings of an engine. Everything but `size` may be 0, which means the default.
 */
typedef struct hearken_engine_options {
  /**
   * `sizeof(hearken_engine_options)`.
   */
  size_t size;
  /**
   * Folder for prepared models, in UTF-8; it must belong to the user alone, because its content
   * is executed. NULL: `hearken` in the user's cache folder, or the value of the environment
   * variable `HEARKEN_CACHE_DIR`.
   */
  const char *cache_folder;
  /**
   * Bytes that this folder may take. Default: 16 GiB.
   */
  uint64_t cache_bytes;
  /**
   * Bytes of memory that each sandbox may take. Default and most: 4 GiB.
   */
  uint64_t memory_bytes;
  /**
   * Seconds of CPU time that one decode may take before its sandbox is ended. Default: 120.
   */
  uint32_t cpu_seconds;
  /**
   * Recognizer threads. Default: as many as the process may use cores.
   */
  uint32_t threads;
  /**
   * A value of `hearken_compute`. Default: `HEARKEN_COMPUTE_FAST`.
   */
  uint32_t compute;
  /**
   * Not 0: keeps no prepared models, so that each load takes seconds.
   */
  uint32_t no_cache;
} hearken_engine_options;

/**
 * An engine: the sandbox's compiler, the recognizer threads and the cache. A program needs one.
 * `{0}` is null.
 */
typedef struct hearken_engine {
  /**
   * Not 0 unless it is null; otherwise without a meaning.
   */
  uint64_t handle;
} hearken_engine;

/**
 * A model, ready to recognize. All sessions of a model share one copy of its weights. `{0}` is
 * null.
 */
typedef struct hearken_model {
  /**
   * Not 0 unless it is null; otherwise without a meaning.
   */
  uint64_t handle;
} hearken_model;

/**
 * Options of a session. Everything but `size`, `sample_rate` and `channels` may be 0, which means
 * the default.
 */
typedef struct hearken_session_options {
  /**
   * `sizeof(hearken_session_options)`.
   */
  size_t size;
  /**
   * Code ("de"), English name ("german") or tag ("de-AT") of the language, in any case. NULL or
   * "auto": it is detected in each utterance.
   */
  const char *language;
  /**
   * Names, spellings and style, in UTF-8, as text that came before. NULL: none.
   */
  const char *prompt;
  /**
   * Frames a second of the audio that is pushed, 8000 to 192000.
   */
  uint32_t sample_rate;
  /**
   * Samples of a frame, 1 to 8. They are averaged.
   */
  uint32_t channels;
  /**
   * A value of `hearken_encoding`. Default: `HEARKEN_ENCODING_S16`.
   */
  uint32_t encoding;
  /**
   * Least new speech between two partial texts, in ms. Default: 300. It becomes longer while
   * recognizing takes longer.
   */
  uint32_t step_ms;
  /**
   * Silence that ends an utterance, in ms, at most 60000. Default: 600. Less gives final texts
   * sooner, and cuts sentences at pauses.
   */
  uint32_t silence_ms;
  /**
   * Speech that may wait to be recognized, in ms. Default: 120000. What comes on top is
   * `HEARKEN_EVENT_DROPPED`.
   */
  uint32_t backlog_ms;
  /**
   * Not 0: translates into English (multilingual models only).
   */
  uint32_t translate;
  /**
   * Not 0: does not detect speech, but takes the audio between `hearken_session_begin` and
   * `hearken_session_end`.
   */
  uint32_t push_to_talk;
} hearken_session_options;

/**
 * A session: recognizes one stream of audio, and reports events. `{0}` is null.
 */
typedef struct hearken_session {
  /**
   * Not 0 unless it is null; otherwise without a meaning.
   */
  uint64_t handle;
} hearken_session;

/**
 * A word with its place in time.
 */
typedef struct hearken_word {
  /**
   * First sample.
   */
  uint64_t start;
  /**
   * Sample after the last.
   */
  uint64_t end;
  /**
   * The word with the punctuation attached to it: UTF-8 without control characters, ends in a
   * NUL.
   */
  const char *text;
  /**
   * Mean probability of its tokens, from 0 to 1.
   */
  float probability;
  /**
   * 0.
   */
  uint32_t reserved;
} hearken_word;

/**
 * Something that happened. Positions are samples at 16 kHz (`HEARKEN_SAMPLE_RATE`) from the start
 * of the session's audio. Only the library makes these; later versions may have more fields at the
 * end.
 */
typedef struct hearken_event {
  /**
   * A value of `hearken_event_type`.
   */
  uint32_t event_type;
  /**
   * Probability of the detected language, from 0 to 1; otherwise 0.
   */
  float probability;
  /**
   * First sample of the event's subject; of `HEARKEN_EVENT_PARTIAL` and `HEARKEN_EVENT_FINAL`
   * the utterance's, by which they belong together.
   */
  uint64_t start;
  /**
   * Sample after the last of the event's subject; of a partial text the end of its last word.
   */
  uint64_t end;
  /**
   * The words, joined by spaces; or the text that the type describes. UTF-8 without control
   * characters, ends in a NUL; never NULL.
   */
  const char *text;
  /**
   * The words of a partial or final text; NULL if there are none.
   */
  const struct hearken_word *words;
  /**
   * Number of words.
   */
  size_t word_count;
  /**
   * Number of committed words: the first ones.
   */
  size_t committed;
} hearken_event;

/**
 * Receives an event. The event and the memory that it points to belong to the library, and are
 * gone when the function returns. It must return: neither a C++ exception nor `longjmp` may leave
 * it.
 *
 * It is called on a thread of the session's own, one event after the other. It may call every
 * function of the session but `hearken_session_free` and, since it has the events,
 * `hearken_session_poll`. Events wait while it runs; audio does not.
 */
typedef void (*hearken_callback)(const struct hearken_event *event, void *user);

/**
 * Accounting of the samples so far, at 16 kHz: all input is `speech + silence + dropped`.
 */
typedef struct hearken_accounting {
  /**
   * Inside utterances.
   */
  uint64_t speech;
  /**
   * Between utterances.
   */
  uint64_t silence;
  /**
   * Not recognized: see `HEARKEN_EVENT_DROPPED`.
   */
  uint64_t dropped;
} hearken_accounting;

/**
 * The end of a session for an audio thread. `{0}` is null.
 */
typedef struct hearken_input {
  /**
   * Not 0 unless it is null; otherwise without a meaning.
   */
  uint64_t handle;
} hearken_input;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The `HEARKEN_ABI_VERSION` of the library that is loaded.
 *
 * Threads: any, audio threads too.
 */
uint32_t hearken_abi_version(void);

/**
 * The version of the library that is loaded, such as "0.1.0". Never NULL, never to be freed.
 *
 * Threads: any, audio threads too.
 */
const char *hearken_version(void);

/**
 * Message of the latest error on this thread: one line, in UTF-8, with the remedy. Never NULL;
 * empty before the first error. It belongs to the library, and stays as it is until the next call
 * on this thread that ends in an error.
 *
 * Threads: any but audio threads; each has its own.
 */
const char *hearken_last_error(void);

/**
 * The name of a status, such as "HEARKEN_ERROR_STATE"; "unknown" for a number that is none. Never
 * NULL, never to be freed.
 *
 * Threads: any, audio threads too.
 */
const char *hearken_status_text(int32_t status);

/**
 * Makes an engine: opens the cache, and starts the recognizer threads and, unless
 * `HEARKEN_COMPUTE_GUEST` is asked for, those that help to multiply. `abi_version` is always
 * `HEARKEN_ABI_VERSION`. `options` may be NULL.
 *
 * Threads: any but audio threads. Do not `fork` afterwards, unless to `exec`. Ownership: `*engine`
 * is yours; free it with `hearken_engine_free`. The options are copied. Errors:
 * `HEARKEN_ERROR_VERSION` when header and library do not fit together; `HEARKEN_ERROR_ARGUMENT`;
 * `HEARKEN_ERROR_SYSTEM` when the cache folder cannot be used or a thread cannot be started;
 * `HEARKEN_ERROR_SANDBOX` when this machine cannot run WebAssembly. `*engine` is null then.
 *
 * # Safety
 *
 * `options` is NULL or as `size` in it says, with text that ends in a NUL; `engine` may be
 * written.
 */
hearken_status hearken_engine_new(uint32_t abi_version,
                                  const struct hearken_engine_options *options,
                                  struct hearken_engine *engine);

/**
 * Frees an engine. Its models and sessions go on: the threads end when the last of them is freed,
 * too.
 *
 * Threads: any but audio threads. Waits for decodes that run, if nothing else uses the engine.
 * Errors: `HEARKEN_ERROR_HANDLE`.
 */
hearken_status hearken_engine_free(struct hearken_engine engine);

/**
 * Checks a model file and gets it ready. `path` names a ggml Whisper model, in UTF-8; NULL stands
 * for the small model inside the library, which knows English digits and some commands, and
 * nothing else. The first time on a machine that takes seconds, while the model is compiled; after
 * that it comes from the cache.
 *
 * Threads: any but audio threads, nor one that has a window to draw. A call for a model that is
 * being loaded waits for it. Ownership: `*model` is yours; free it with `hearken_model_free`. The
 * path is copied. Errors: `HEARKEN_ERROR_HANDLE`; `HEARKEN_ERROR_ARGUMENT`; `HEARKEN_ERROR_MODEL`
 * when the file cannot be read, is no model that hearken loads, or needs more memory than a
 * sandbox may have; `HEARKEN_ERROR_SANDBOX`; `HEARKEN_ERROR_SYSTEM`. `*model` is null then.
 *
 * # Safety
 *
 * `path` is NULL or ends in a NUL; `model` may be written.
 */
hearken_status hearken_model_load(struct hearken_engine engine, const char *path, struct hearken_model *model);

/**
 * As `hearken_model_load`, from `len` bytes of a model file in memory.
 *
 * Threads: any but audio threads, nor one that has a window to draw.
 * Ownership: the bytes are copied, and may be freed afterwards; `*model` is yours.
 * Errors: as `hearken_model_load`.
 *
 * # Safety
 *
 * `bytes` points to `len` bytes; `model` may be written.
 */
hearken_status hearken_model_load_bytes(struct hearken_engine engine,
                                        const void *bytes,
                                        size_t len,
                                        struct hearken_model *model);

/**
 * Sets `*multilingual` to 1 if the model knows other languages than English, otherwise to 0.
 *
 * Threads: any but audio threads.
 * Errors: `HEARKEN_ERROR_HANDLE`, `HEARKEN_ERROR_ARGUMENT`.
 *
 * # Safety
 *
 * `multilingual` may be written.
 */
hearken_status hearken_model_is_multilingual(struct hearken_model model, uint32_t *multilingual);

/**
 * Frees a model. Its sessions go on.
 *
 * Threads: any but audio threads. Waits for decodes that run, if nothing else uses the engine.
 * Errors: `HEARKEN_ERROR_HANDLE`.
 */
hearken_status hearken_model_free(struct hearken_model model);

/**
 * Starts a session. It costs some tens of KiB and no thread; a sandbox is made when somebody
 * speaks.
 *
 * Threads: any but audio threads. Ownership: `*session` is yours; free it with
 * `hearken_session_free`. The options are copied. The model may be freed. Errors:
 * `HEARKEN_ERROR_HANDLE`; `HEARKEN_ERROR_ARGUMENT`, also for a language that the model does not
 * know; `HEARKEN_ERROR_VERSION` for a field that is set and not known. `*session` is null then.
 *
 * # Safety
 *
 * `options` is as `size` in it says, with texts that end in a NUL; `session` may be written.
 */
hearken_status hearken_session_new(struct hearken_model model,
                                   const struct hearken_session_options *options,
                                   struct hearken_session *session);

/**
 * Takes `frame_count` interleaved frames of the session's format. Never waits for the recognizer.
 * Resamples and detects speech on the calling thread, for which it allocates, and locks data that
 * is held for no longer than that: not for an audio thread, which has `hearken_input_push`.
 *
 * Threads: any but audio threads; one at a time. Ownership: the frames are copied. Errors:
 * `HEARKEN_ERROR_HANDLE`; `HEARKEN_ERROR_ARGUMENT`; `HEARKEN_ERROR_STATE` after the end, or when
 * an input is open; `HEARKEN_ERROR_BUSY` while another thread pushes into the same session.
 * Nothing was taken then.
 *
 * # Safety
 *
 * `frames` points to as many frames, aligned as their samples are.
 */
hearken_status hearken_session_push(struct hearken_session session, const void *frames, size_t frame_count);

/**
 * Reports that `frame_count` frames never came: a running utterance ends here, the clock goes on,
 * and the gap is reported as `HEARKEN_EVENT_DROPPED`.
 *
 * Threads: as `hearken_session_push`.
 * Errors: as `hearken_session_push`.
 */
hearken_status hearken_session_skip(struct hearken_session session, uint64_t frame_count);

/**
 * The key of push-to-talk is pressed: an utterance begins with the next frames. With an input,
 * those are the next that the session's thread takes out of the ring.
 *
 * Threads: any but audio threads. Errors: `HEARKEN_ERROR_HANDLE`; `HEARKEN_ERROR_STATE` after the
 * end, or when the session detects speech by itself.
 */
hearken_status hearken_session_begin(struct hearken_session session);

/**
 * The key of push-to-talk is released: the utterance ends.
 *
 * Threads: as `hearken_session_begin`.
 * Errors: as `hearken_session_begin`.
 */
hearken_status hearken_session_end(struct hearken_session session);

/**
 * Ends the audio. The rest is recognized; `HEARKEN_EVENT_FINISHED` is the last event. An input is
 * closed, and its content is pushed before, which takes up to some milliseconds. Does not wait for
 * the recognizer.
 *
 * Threads: any but audio threads. Waits for a push that runs. Errors: `HEARKEN_ERROR_HANDLE`;
 * `HEARKEN_ERROR_STATE` the second time, or after `hearken_session_cancel`.
 */
hearken_status hearken_session_finish(struct hearken_session session);

/**
 * Cancels recognition. Earlier events can still be read; `HEARKEN_EVENT_FINISHED` is not among
 * them. An input is closed.
 *
 * Threads: any but audio threads. Waits for a push that runs.
 * Errors: `HEARKEN_ERROR_HANDLE`.
 */
hearken_status hearken_session_cancel(struct hearken_session session);

/**
 * Takes the next event. Waits for it for `timeout_ms` milliseconds: 0 not at all, a negative
 * number for ever.
 *
 * Threads: any but audio threads; one at a time. Ownership: `*event`, and the memory that it
 * points to, belong to the session, and stay until the next call of this function or of
 * `hearken_session_free`, on any thread. Errors: `HEARKEN_TIMEOUT` and `HEARKEN_ENDED` are none.
 * `HEARKEN_ERROR_HANDLE`; `HEARKEN_ERROR_ARGUMENT`; `HEARKEN_ERROR_STATE` when the session has a
 * callback; `HEARKEN_ERROR_BUSY` while another thread polls. `*event` is NULL unless the answer is
 * `HEARKEN_OK`.
 *
 * # Safety
 *
 * `event` may be written.
 */
hearken_status hearken_session_poll(struct hearken_session session,
                                    int32_t timeout_ms,
                                    const struct hearken_event **event);

/**
 * Has events brought instead of fetching them: from now on `callback` is called with each of them
 * and with `user`, on a thread that this session then has.
 *
 * Threads: any but audio threads. Ownership: `user` is yours; it must be good on that thread until
 * `hearken_session_free` has returned. Errors: `HEARKEN_ERROR_HANDLE`; `HEARKEN_ERROR_ARGUMENT`;
 * `HEARKEN_ERROR_STATE` when there is one already; `HEARKEN_ERROR_BUSY` while a thread polls;
 * `HEARKEN_ERROR_SYSTEM` when a thread cannot be started.
 *
 * # Safety
 *
 * `callback` may be called with `user` on another thread until the session is freed.
 */
hearken_status hearken_session_set_callback(struct hearken_session session, hearken_callback callback, void *user);

/**
 * Sets `*accounting` to where each sample went so far.
 *
 * Threads: any but audio threads.
 * Errors: `HEARKEN_ERROR_HANDLE`, `HEARKEN_ERROR_ARGUMENT`.
 *
 * # Safety
 *
 * `accounting` may be written.
 */
hearken_status hearken_session_accounting(struct hearken_session session, struct hearken_accounting *accounting);

/**
 * Cancels and frees a session. A thread that waits in `hearken_session_poll` gets `HEARKEN_ENDED`.
 * When it returns, no callback runs, and none will.
 *
 * Threads: any but audio threads. Waits for a push, a poll and a callback that run. Errors:
 * `HEARKEN_ERROR_HANDLE`; `HEARKEN_ERROR_STATE` in the session's own callback, which it would wait
 * for.
 */
hearken_status hearken_session_free(struct hearken_session session);

/**
 * Opens the end of a session for an audio thread, which then is its only source of audio:
 * `hearken_session_push` and `hearken_session_skip` are refused from now on. What is pushed into
 * it waits in a ring of `buffer_ms` milliseconds (0: 4000; at most 60000) until a thread of the
 * session's own, which looks 100 times a second, takes it out. What comes while the ring is full
 * is lost, and reported as `HEARKEN_EVENT_DROPPED`.
 *
 * Threads: any but audio threads. Ownership: `*input` belongs to the session: it is closed by
 * `hearken_session_finish`, `hearken_session_cancel` and `hearken_session_free`. Errors:
 * `HEARKEN_ERROR_HANDLE`; `HEARKEN_ERROR_ARGUMENT`; `HEARKEN_ERROR_STATE` when one is open
 * already, or the session has ended; `HEARKEN_ERROR_BUSY` while another thread pushes;
 * `HEARKEN_ERROR_SYSTEM` when a thread cannot be started, or 4096 inputs are open. `*input` is
 * null then.
 *
 * # Safety
 *
 * `input` may be written.
 */
hearken_status hearken_session_open_input(struct hearken_session session,
                                          uint32_t buffer_ms,
                                          struct hearken_input *input);

/**
 * Takes `frame_count` interleaved frames of the session's format from an audio thread. It neither
 * waits, locks, allocates nor calls the system, whatever the session and other threads do
 * meanwhile; it takes as long as copying the samples. Frames that find no room are lost, which is
 * no error: see `hearken_session_open_input`.
 *
 * Threads: any, audio threads too; one at a time. Ownership: the frames are copied. Errors:
 * `HEARKEN_ERROR_HANDLE` when the input is null or was closed; `HEARKEN_ERROR_BUSY` while another
 * thread is in this function for the same input; `HEARKEN_ERROR_ARGUMENT`. Nothing was taken then.
 * There is no message: `hearken_last_error` stays as it was.
 *
 * # Safety
 *
 * `frames` points to as many frames, aligned as their samples are.
 */
hearken_status hearken_input_push(struct hearken_input input, const void *frames, size_t frame_count);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* HEARKEN_H */
