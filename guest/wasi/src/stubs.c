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
