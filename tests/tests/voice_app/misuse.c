/* Everything wrong that a C program can do with a handle, an argument, an order or a thread, and what it is answered. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hearken.h>

static atomic_int checks;

#define IS(expected, call)                                                                                             \
    do {                                                                                                               \
        int32_t answer = (call);                                                                                       \
        atomic_fetch_add(&checks, 1);                                                                                  \
        if (answer != (expected)) {                                                                                    \
            fprintf(stderr, "%s:%d: %s is %s (%s), not " #expected "\n", __FILE__, __LINE__, #call,                    \
                    hearken_status_text(answer), hearken_last_error());                                                \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define TRUE(condition) IS(1, (condition) ? 1 : 0)

enum { RATE = 16000, SECOND = RATE };
static int16_t silence[60 * SECOND];

static hearken_engine engine = HEARKEN_NULL;
static hearken_model model = HEARKEN_NULL;

static hearken_session_options plain(void) {
    hearken_session_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    options.sample_rate = RATE;
    options.channels = 1;
    return options;
}

static hearken_session fresh(void) {
    hearken_session_options options = plain();
    hearken_session session;
    IS(HEARKEN_OK, hearken_session_new(model, &options, &session));
    return session;
}

static void versions(void) {
    hearken_engine none = {7};
    TRUE(hearken_abi_version() == HEARKEN_ABI_VERSION);
    TRUE(strlen(hearken_version()) > 0);
    IS(HEARKEN_ERROR_VERSION, hearken_engine_new(HEARKEN_ABI_VERSION + 1, NULL, &none));
    TRUE(none.handle == 0);
    TRUE(strstr(hearken_last_error(), "version") != NULL);
    IS(HEARKEN_ERROR_ARGUMENT, hearken_engine_new(HEARKEN_ABI_VERSION, NULL, NULL));
    TRUE(strcmp(hearken_status_text(HEARKEN_ERROR_STATE), "HEARKEN_ERROR_STATE") == 0);
    TRUE(strcmp(hearken_status_text(12345), "unknown") == 0);
}

static void engine_arguments(void) {
    hearken_engine none;
    hearken_engine_options options;
    memset(&options, 0, sizeof options);
    IS(HEARKEN_ERROR_ARGUMENT, hearken_engine_new(HEARKEN_ABI_VERSION, &options, &none));
    options.size = sizeof options;
    options.compute = 99;
    IS(HEARKEN_ERROR_ARGUMENT, hearken_engine_new(HEARKEN_ABI_VERSION, &options, &none));
    options.compute = HEARKEN_COMPUTE_FAST;
    options.memory_bytes = UINT64_MAX;
    IS(HEARKEN_ERROR_ARGUMENT, hearken_engine_new(HEARKEN_ABI_VERSION, &options, &none));
    options.memory_bytes = 0;
    options.cache_folder = "\xff\xfe";
    IS(HEARKEN_ERROR_ARGUMENT, hearken_engine_new(HEARKEN_ABI_VERSION, &options, &none));
    options.cache_folder = "/dev/null/no-folder";
    IS(HEARKEN_ERROR_SYSTEM, hearken_engine_new(HEARKEN_ABI_VERSION, &options, &none));
    /* A program of tomorrow: with a field that this library does not know. */
    struct {
        hearken_engine_options known;
        uint64_t tomorrow;
    } newer;
    memset(&newer, 0, sizeof newer);
    newer.known.size = sizeof newer;
    newer.tomorrow = 1;
    IS(HEARKEN_ERROR_VERSION, hearken_engine_new(HEARKEN_ABI_VERSION, &newer.known, &none));
    newer.tomorrow = 0;
    IS(HEARKEN_OK, hearken_engine_new(HEARKEN_ABI_VERSION, &newer.known, &none));
    IS(HEARKEN_OK, hearken_engine_free(none));
}

static void models(void) {
    hearken_model none = {7};
    hearken_engine null = HEARKEN_NULL;
    uint32_t multilingual = 7;
    IS(HEARKEN_ERROR_HANDLE, hearken_model_load(null, NULL, &none));
    TRUE(none.handle == 0);
    IS(HEARKEN_ERROR_MODEL, hearken_model_load(engine, "/no/such/model.bin", &none));
    TRUE(strstr(hearken_last_error(), "/no/such/model.bin") != NULL);
    IS(HEARKEN_ERROR_MODEL, hearken_model_load(engine, "/dev/zero", &none));
    IS(HEARKEN_ERROR_ARGUMENT, hearken_model_load(engine, "\xff", &none));
    IS(HEARKEN_ERROR_ARGUMENT, hearken_model_load(engine, NULL, NULL));
    IS(HEARKEN_ERROR_MODEL, hearken_model_load_bytes(engine, silence, sizeof silence, &none));
    IS(HEARKEN_ERROR_MODEL, hearken_model_load_bytes(engine, NULL, 0, &none));
    IS(HEARKEN_ERROR_ARGUMENT, hearken_model_load_bytes(engine, NULL, 10, &none));
    IS(HEARKEN_ERROR_ARGUMENT, hearken_model_is_multilingual(model, NULL));
    IS(HEARKEN_OK, hearken_model_is_multilingual(model, &multilingual));
    TRUE(multilingual == 0);
}

static void session_arguments(void) {
    hearken_session none;
    hearken_session_options options = plain();
    IS(HEARKEN_ERROR_ARGUMENT, hearken_session_new(model, NULL, &none));
    IS(HEARKEN_ERROR_ARGUMENT, hearken_session_new(model, &options, NULL));
    options.size = 0;
    IS(HEARKEN_ERROR_ARGUMENT, hearken_session_new(model, &options, &none));
    options = plain(), options.sample_rate = 7999;
    IS(HEARKEN_ERROR_ARGUMENT, hearken_session_new(model, &options, &none));
    options = plain(), options.channels = 0;
    IS(HEARKEN_ERROR_ARGUMENT, hearken_session_new(model, &options, &none));
    options = plain(), options.channels = 65537;
    IS(HEARKEN_ERROR_ARGUMENT, hearken_session_new(model, &options, &none));
    options = plain(), options.encoding = 2;
    IS(HEARKEN_ERROR_ARGUMENT, hearken_session_new(model, &options, &none));
    options = plain(), options.language = "klingon";
    IS(HEARKEN_ERROR_ARGUMENT, hearken_session_new(model, &options, &none));
    options = plain(), options.language = "de"; /* the model knows English only */
    IS(HEARKEN_ERROR_ARGUMENT, hearken_session_new(model, &options, &none));
    options = plain(), options.translate = 1;
    IS(HEARKEN_ERROR_ARGUMENT, hearken_session_new(model, &options, &none));
    TRUE(none.handle == 0);
}

static void languages(void) {
    const char *as_people_write_them[] = {"en", "EN", "english", "en-US", "en_GB", "auto", NULL};
    for (size_t i = 0; i < sizeof as_people_write_them / sizeof *as_people_write_them; ++i) {
        hearken_session session;
        hearken_session_options options = plain();
        options.language = as_people_write_them[i];
        IS(HEARKEN_OK, hearken_session_new(model, &options, &session));
        IS(HEARKEN_OK, hearken_session_free(session));
    }
}

static void handles(void) {
    hearken_session session = fresh(), null = HEARKEN_NULL, wild = {0xdeadbeefdeadbeef};
    hearken_session other = {engine.handle};
    hearken_session bad[] = {null, wild, other, session};
    hearken_accounting accounting;
    const hearken_event *event;
    hearken_input input;
    IS(HEARKEN_OK, hearken_session_free(session));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        IS(HEARKEN_ERROR_HANDLE, hearken_session_push(bad[i], silence, 10));
        IS(HEARKEN_ERROR_HANDLE, hearken_session_skip(bad[i], 10));
        IS(HEARKEN_ERROR_HANDLE, hearken_session_begin(bad[i]));
        IS(HEARKEN_ERROR_HANDLE, hearken_session_end(bad[i]));
        IS(HEARKEN_ERROR_HANDLE, hearken_session_finish(bad[i]));
        IS(HEARKEN_ERROR_HANDLE, hearken_session_cancel(bad[i]));
        IS(HEARKEN_ERROR_HANDLE, hearken_session_poll(bad[i], -1, &event));
        IS(HEARKEN_ERROR_HANDLE, hearken_session_accounting(bad[i], &accounting));
        IS(HEARKEN_ERROR_HANDLE, hearken_session_open_input(bad[i], 0, &input));
        IS(HEARKEN_ERROR_HANDLE, hearken_input_push(input, silence, 10));
        IS(HEARKEN_ERROR_HANDLE, hearken_session_free(bad[i]));
    }
    /* The place is used again, the handle is not. */
    hearken_session next = fresh();
    TRUE(next.handle != session.handle);
    IS(HEARKEN_ERROR_HANDLE, hearken_session_push(session, silence, 10));
    IS(HEARKEN_OK, hearken_session_free(next));
    hearken_engine engine_like = {model.handle};
    hearken_model model_like = {engine.handle};
    IS(HEARKEN_ERROR_HANDLE, hearken_engine_free(engine_like));
    IS(HEARKEN_ERROR_HANDLE, hearken_model_free(model_like));
}

static void order(void) {
    hearken_session session = fresh();
    hearken_accounting accounting;
    const hearken_event *event = NULL;
    IS(HEARKEN_ERROR_ARGUMENT, hearken_session_push(session, NULL, 1));
    IS(HEARKEN_ERROR_ARGUMENT, hearken_session_push(session, silence, SIZE_MAX));
    IS(HEARKEN_ERROR_ARGUMENT, hearken_session_push(session, (const char *)silence + 1, 1));
    IS(HEARKEN_OK, hearken_session_push(session, NULL, 0));
    IS(HEARKEN_ERROR_STATE, hearken_session_begin(session)); /* it detects speech by itself */
    IS(HEARKEN_ERROR_STATE, hearken_session_end(session));
    IS(HEARKEN_ERROR_ARGUMENT, hearken_session_poll(session, 0, NULL));
    IS(HEARKEN_TIMEOUT, hearken_session_poll(session, 0, &event));
    TRUE(event == NULL);
    IS(HEARKEN_OK, hearken_session_push(session, silence, SECOND));
    IS(HEARKEN_OK, hearken_session_finish(session));
    IS(HEARKEN_ERROR_STATE, hearken_session_finish(session));
    IS(HEARKEN_ERROR_STATE, hearken_session_push(session, silence, SECOND));
    IS(HEARKEN_ERROR_STATE, hearken_session_skip(session, 1));
    IS(HEARKEN_OK, hearken_session_poll(session, -1, &event));
    TRUE(event->event_type == HEARKEN_EVENT_FINISHED && event->end == SECOND);
    TRUE(event->text[0] == '\0' && event->words == NULL && event->word_count == 0);
    IS(HEARKEN_ENDED, hearken_session_poll(session, -1, &event));
    IS(HEARKEN_ERROR_ARGUMENT, hearken_session_accounting(session, NULL));
    IS(HEARKEN_OK, hearken_session_accounting(session, &accounting));
    TRUE(accounting.silence == SECOND && accounting.speech == 0 && accounting.dropped == 0);
    IS(HEARKEN_OK, hearken_session_cancel(session));
    IS(HEARKEN_OK, hearken_session_free(session));

    session = fresh();
    IS(HEARKEN_OK, hearken_session_skip(session, SECOND));
    IS(HEARKEN_OK, hearken_session_cancel(session));
    IS(HEARKEN_OK, hearken_session_cancel(session));
    IS(HEARKEN_ERROR_STATE, hearken_session_finish(session));
    IS(HEARKEN_OK, hearken_session_poll(session, -1, &event));
    TRUE(event->event_type == HEARKEN_EVENT_DROPPED && event->end == SECOND && event->text[0] != '\0');
    IS(HEARKEN_ENDED, hearken_session_poll(session, -1, &event));
    IS(HEARKEN_OK, hearken_session_free(session));
}

static void inputs(void) {
    hearken_session session = fresh();
    hearken_input input = HEARKEN_NULL, second = {7};
    hearken_accounting accounting;
    IS(HEARKEN_ERROR_HANDLE, hearken_input_push(input, silence, 1));
    IS(HEARKEN_ERROR_ARGUMENT, hearken_session_open_input(session, 60001, &input));
    IS(HEARKEN_ERROR_ARGUMENT, hearken_session_open_input(session, 0, NULL));
    IS(HEARKEN_OK, hearken_session_open_input(session, 2000, &input));
    IS(HEARKEN_ERROR_STATE, hearken_session_open_input(session, 0, &second));
    TRUE(second.handle == 0);
    IS(HEARKEN_ERROR_STATE, hearken_session_push(session, silence, 1));
    IS(HEARKEN_ERROR_STATE, hearken_session_skip(session, 1));
    IS(HEARKEN_ERROR_ARGUMENT, hearken_input_push(input, NULL, 1));
    IS(HEARKEN_ERROR_ARGUMENT, hearken_input_push(input, (const char *)silence + 1, 1));
    IS(HEARKEN_ERROR_ARGUMENT, hearken_input_push(input, silence, SIZE_MAX / 2));
    IS(HEARKEN_OK, hearken_input_push(input, NULL, 0));
    IS(HEARKEN_OK, hearken_input_push(input, silence, SECOND));
    /* More than there is room for: lost, but not from the account. */
    IS(HEARKEN_OK, hearken_input_push(input, silence, 60 * SECOND));
    IS(HEARKEN_OK, hearken_session_finish(session));
    IS(HEARKEN_ERROR_HANDLE, hearken_input_push(input, silence, 1));
    IS(HEARKEN_OK, hearken_session_accounting(session, &accounting));
    TRUE(accounting.silence >= SECOND && accounting.dropped > 50 * SECOND);
    TRUE(accounting.silence + accounting.speech + accounting.dropped == 61 * SECOND);
    IS(HEARKEN_OK, hearken_session_free(session));
    /* Closed by cancelling and by freeing, too. */
    session = fresh();
    IS(HEARKEN_OK, hearken_session_open_input(session, 0, &input));
    IS(HEARKEN_OK, hearken_session_cancel(session));
    IS(HEARKEN_ERROR_HANDLE, hearken_input_push(input, silence, 1));
    IS(HEARKEN_OK, hearken_session_free(session));
    session = fresh();
    IS(HEARKEN_OK, hearken_session_open_input(session, 0, &input));
    IS(HEARKEN_OK, hearken_session_free(session));
    IS(HEARKEN_ERROR_HANDLE, hearken_input_push(input, silence, 1));
}

static hearken_session called;
static atomic_int calls, freed;

static void callback(const hearken_event *event, void *user) {
    const hearken_event *none;
    TRUE(!atomic_load(&freed));
    TRUE(user == &calls);
    if (event->event_type == HEARKEN_EVENT_FINISHED) {
        IS(HEARKEN_ERROR_STATE, hearken_session_free(called)); /* it would wait for itself */
        IS(HEARKEN_ERROR_STATE, hearken_session_poll(called, 0, &none));
        IS(HEARKEN_OK, hearken_session_cancel(called));
    }
    atomic_fetch_add(&calls, 1);
}

static void callbacks(void) {
    const hearken_event *event;
    called = fresh();
    IS(HEARKEN_ERROR_ARGUMENT, hearken_session_set_callback(called, NULL, NULL));
    IS(HEARKEN_OK, hearken_session_set_callback(called, callback, &calls));
    IS(HEARKEN_ERROR_STATE, hearken_session_set_callback(called, callback, &calls));
    IS(HEARKEN_ERROR_STATE, hearken_session_poll(called, -1, &event));
    IS(HEARKEN_OK, hearken_session_finish(called));
    while (atomic_load(&calls) == 0)
        sched_yield();
    for (int i = 0; i < 1000; i++) /* events that come while it is freed */
        hearken_session_skip(called, 1000);
    IS(HEARKEN_OK, hearken_session_free(called));
    atomic_store(&freed, 1);
}

struct pusher {
    hearken_session session;
    uint64_t taken;
    int busy;
    atomic_int *stop;
};

static void *push_until(void *data) {
    struct pusher *pusher = data;
    while (!atomic_load(pusher->stop)) {
        int32_t status = hearken_session_push(pusher->session, silence, 10 * SECOND);
        if (status == HEARKEN_OK)
            pusher->taken += 10 * SECOND;
        else if (status == HEARKEN_ERROR_BUSY)
            pusher->busy = 1, atomic_store(pusher->stop, 1);
        else
            IS(HEARKEN_OK, status);
    }
    return NULL;
}

static void *poll_for_ever(void *data) {
    const hearken_event *event;
    int32_t status;
    do /* the other thread asks, too */
        status = hearken_session_poll(*(hearken_session *)data, -1, &event);
    while (status == HEARKEN_ERROR_BUSY);
    IS(HEARKEN_ENDED, status);
    return NULL;
}

static void *push_until_freed(void *data) {
    int32_t status;
    do {
        status = hearken_session_push(*(hearken_session *)data, silence, SECOND);
        TRUE(status == HEARKEN_OK || status == HEARKEN_ERROR_STATE || status == HEARKEN_ERROR_BUSY ||
             status == HEARKEN_ERROR_HANDLE);
    } while (status != HEARKEN_ERROR_HANDLE);
    return NULL;
}

static void *input_until_closed(void *data) {
    int32_t status;
    do {
        status = hearken_input_push(*(hearken_input *)data, silence, 160);
        TRUE(status == HEARKEN_OK || status == HEARKEN_ERROR_BUSY || status == HEARKEN_ERROR_HANDLE);
    } while (status != HEARKEN_ERROR_HANDLE);
    return NULL;
}

static void threads(void) {
    pthread_t one, two;
    const hearken_event *event;
    hearken_accounting accounting;
    atomic_int stop = 0;

    /* Two push: what one of them is refused is not taken, and nothing else is lost. */
    hearken_session session = fresh();
    struct pusher first = {session, 0, 0, &stop}, second = {session, 0, 0, &stop};
    pthread_create(&one, NULL, push_until, &first);
    pthread_create(&two, NULL, push_until, &second);
    pthread_join(one, NULL);
    pthread_join(two, NULL);
    TRUE(first.busy || second.busy);
    IS(HEARKEN_OK, hearken_session_finish(session));
    IS(HEARKEN_OK, hearken_session_accounting(session, &accounting));
    TRUE(accounting.silence == first.taken + second.taken);
    IS(HEARKEN_OK, hearken_session_free(session));

    /* Two poll; and one that waits is woken when the session is freed. */
    session = fresh();
    pthread_create(&one, NULL, poll_for_ever, &session);
    while (hearken_session_poll(session, 0, &event) != HEARKEN_ERROR_BUSY)
        sched_yield();
    IS(HEARKEN_ERROR_BUSY, hearken_session_set_callback(session, callback, &calls));
    IS(HEARKEN_OK, hearken_session_free(session));
    pthread_join(one, NULL);

    /* Freed while others push, by calls and by the input. */
    for (int i = 0; i < 20; i++) {
        session = fresh();
        pthread_create(&one, NULL, push_until_freed, &session);
        pthread_create(&two, NULL, push_until_freed, &session);
        IS(HEARKEN_OK, hearken_session_free(session));
        pthread_join(one, NULL);
        pthread_join(two, NULL);
        hearken_input input;
        session = fresh();
        IS(HEARKEN_OK, hearken_session_open_input(session, 100, &input));
        pthread_create(&one, NULL, input_until_closed, &input);
        pthread_create(&two, NULL, input_until_closed, &input);
        IS(HEARKEN_OK, hearken_session_free(session));
        pthread_join(one, NULL);
        pthread_join(two, NULL);
    }
}

int main(void) {
    versions();
    engine_arguments();
    IS(HEARKEN_OK, hearken_engine_new(HEARKEN_ABI_VERSION, NULL, &engine));
    IS(HEARKEN_OK, hearken_model_load(engine, NULL, &model));
    models();
    session_arguments();
    languages();
    handles();
    order();
    inputs();
    callbacks();
    threads();
    /* Freed in the wrong order: what is in use lives on. */
    hearken_session last = fresh();
    IS(HEARKEN_OK, hearken_engine_free(engine));
    IS(HEARKEN_OK, hearken_model_free(model));
    IS(HEARKEN_ERROR_HANDLE, hearken_engine_free(engine));
    IS(HEARKEN_ERROR_HANDLE, hearken_model_free(model));
    IS(HEARKEN_OK, hearken_session_push(last, silence, SECOND));
    IS(HEARKEN_OK, hearken_session_finish(last));
    IS(HEARKEN_OK, hearken_session_free(last));
    printf("%d answers were as promised\n", atomic_load(&checks));
    return 0;
}
