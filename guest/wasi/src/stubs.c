// What whisper.cpp's objects name and WASI does not have. None of it is reached in a working guest; if it is, the
// guest traps, which closes one utterance and nothing else.
#include <stddef.h>

// Dynamic back-ends do not exist in the sandbox.
void * dlopen(const char * file, int mode) { (void) file; (void) mode; return NULL; }
void * dlsym(void * handle, const char * name) { (void) handle; (void) name; return NULL; }
int dlclose(void * handle) { (void) handle; return -1; }
char * dlerror(void) { return "no dynamic loading in the sandbox"; }

// Nothing can be caught (-fignore-exceptions), so a throw ends the guest.
void * __cxa_allocate_exception(size_t size) { (void) size; __builtin_trap(); }
void __cxa_throw(void * object, void * type, void (*destroy)(void *)) {
    (void) object; (void) type; (void) destroy;
    __builtin_trap();
}

// ggml's thread pool with one thread: its locks guard nothing, and nobody else can be waited for.
#include <errno.h>
#include <pthread.h>

int pthread_mutex_init(pthread_mutex_t * m, const pthread_mutexattr_t * a) { (void) m; (void) a; return 0; }
int pthread_mutex_destroy(pthread_mutex_t * m) { (void) m; return 0; }
int pthread_mutex_lock(pthread_mutex_t * m) { (void) m; return 0; }
int pthread_mutex_unlock(pthread_mutex_t * m) { (void) m; return 0; }
int pthread_cond_init(pthread_cond_t * c, const pthread_condattr_t * a) { (void) c; (void) a; return 0; }
int pthread_cond_destroy(pthread_cond_t * c) { (void) c; return 0; }
int pthread_cond_broadcast(pthread_cond_t * c) { (void) c; return 0; }
int pthread_cond_wait(pthread_cond_t * c, pthread_mutex_t * m) { (void) c; (void) m; __builtin_trap(); }
int pthread_create(pthread_t * t, const pthread_attr_t * a, void * (*f)(void *), void * x) {
    (void) t; (void) a; (void) f; (void) x;
    return EAGAIN;
}
int pthread_join(pthread_t t, void ** r) { (void) t; (void) r; return ESRCH; }

/* Rust's start of a program calls it; a libc of 2024 has no such function, and one thread needs no
   preparation: a reactor has none either. */
__attribute__((weak)) void __wasi_init_tp(void) {}
