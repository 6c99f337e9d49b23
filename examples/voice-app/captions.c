/*
 * Captions of raw audio on standard input, with hearken's C interface and events by polling.
 *
 *     arecord -q -f S16_LE -r 16000 -c 1 -t raw | ./captions
 *     ffmpeg -v error -i talk.mp3 -f s16le -ac 1 -ar 16000 - | ./captions --model ggml-base.en.bin
 *
 * Every utterance is a line on standard output. On a terminal, the text so far is on the line before it is complete.
 * Exit status: 0 done, 1 error, 2 wrong usage, 3 done, but some audio was not recognized.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hearken.h>

#define RATE 16000
#define BLOCK (RATE / 50)

/* What is on the terminal: the words of the utterance that are certain, and how it goes on. */
static char committed[4096];
static int partials; /* whether to show them at all */
static int dropped;

/* Says what went wrong, for the functions that answer with a status. */
static int failed(hearken_status status, const char *what) {
    if (status >= 0)
        return 0;
    fprintf(stderr, "captions: %s: %s (%s)\n", what, hearken_last_error(), hearken_status_text(status));
    return 1;
}

static void append(char *text, size_t size, const char *word) {
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s%s", used > 0 ? " " : "", word);
}

static double seconds(uint64_t samples) {
    return (double)samples / HEARKEN_SAMPLE_RATE;
}

static void show(const hearken_event *event) {
    char line[8192];
    switch (event->event_type) {
    case HEARKEN_EVENT_PARTIAL:
        /* The first words of the event do not change any more; the others are replaced by the next event. */
        for (size_t i = 0; i < event->committed; i++)
            append(committed, sizeof committed, event->words[i].text);
        snprintf(line, sizeof line, "%s", committed);
        for (size_t i = event->committed; i < event->word_count; i++)
            append(line, sizeof line, event->words[i].text);
        if (partials)
            printf("\r\033[K%s", line);
        break;
    case HEARKEN_EVENT_FINAL:
        committed[0] = '\0';
        if (partials)
            printf("\r\033[K");
        if (event->word_count > 0)
            printf("%7.2f %7.2f  %s\n", seconds(event->start), seconds(event->end), event->text);
        break;
    case HEARKEN_EVENT_DROPPED:
        dropped = 1;
        fprintf(stderr, "captions: %.2f s at %.2f s were not recognized: %s\n", seconds(event->end - event->start),
                seconds(event->start), event->text);
        break;
    default: /* Later versions may have more. */
        break;
    }
    fflush(stdout);
}

/* Shows what has happened; waits for it as long as asked. The last status: HEARKEN_TIMEOUT, HEARKEN_ENDED or an error. */
static hearken_status show_all(hearken_session session, int timeout_ms) {
    const hearken_event *event;
    hearken_status status;
    while ((status = hearken_session_poll(session, timeout_ms, &event)) == HEARKEN_OK)
        show(event);
    return status;
}

static int run(hearken_session session) {
    int16_t block[BLOCK];
    size_t frames;
    while ((frames = fread(block, sizeof block[0], BLOCK, stdin)) > 0) {
        if (failed(hearken_session_push(session, block, frames), "cannot push"))
            return 1;
        if (failed(show_all(session, 0), "cannot poll"))
            return 1;
    }
    if (ferror(stdin)) {
        perror("captions: standard input");
        return 1;
    }
    if (failed(hearken_session_finish(session), "cannot finish"))
        return 1;
    return failed(show_all(session, -1), "cannot poll") ? 1 : 0;
}

int main(int argc, char **argv) {
    const char *path = NULL, *language = NULL;
    for (int i = 1; i < argc; i++) {
        if (i + 1 < argc && strcmp(argv[i], "--model") == 0) {
            path = argv[++i];
        } else if (i + 1 < argc && strcmp(argv[i], "--language") == 0) {
            language = argv[++i];
        } else {
            fprintf(stderr, "usage: captions [--model FILE] [--language CODE] < AUDIO (s16le, %d Hz, mono)\n", RATE);
            return 2;
        }
    }
    partials = isatty(STDOUT_FILENO);

    hearken_engine engine = HEARKEN_NULL;
    hearken_model model = HEARKEN_NULL;
    hearken_session session = HEARKEN_NULL;
    hearken_session_options options = {
        .size = sizeof options,
        .sample_rate = RATE,
        .channels = 1,
        .encoding = HEARKEN_ENCODING_S16,
        .language = language,
    };
    int code = 1;
    if (!failed(hearken_engine_new(HEARKEN_ABI_VERSION, NULL, &engine), "no engine") &&
        !failed(hearken_model_load(engine, path, &model), "no model") &&
        !failed(hearken_session_new(model, &options, &session), "no session"))
        code = run(session);
    /* A handle that was never made is answered with an error, which is of no interest here. */
    hearken_session_free(session);
    hearken_model_free(model);
    hearken_engine_free(engine);
    return code == 0 && dropped ? 3 : code;
}
