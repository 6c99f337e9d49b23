// hearken's handles as C++ has its resources: freed when they go out of scope, moved but not copied, errors thrown.
// Copy this file into your app and let it grow there.
#ifndef HEARKEN_HPP
#define HEARKEN_HPP

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include <hearken.h>

namespace hearken {

class Error : public std::runtime_error {
  public:
    explicit Error(hearken_status status) : std::runtime_error(hearken_last_error()), status(status) {}
    hearken_status status;
};

inline void check(hearken_status status) {
    if (status < 0)
        throw Error(status);
}

template <typename Handle, hearken_status (*Free)(Handle)> class Owned {
  public:
    Owned() = default;
    Owned(Owned &&other) noexcept : handle(std::exchange(other.handle, Handle HEARKEN_NULL)) {}
    Owned &operator=(Owned &&other) noexcept {
        std::swap(handle, other.handle);
        return *this;
    }
    ~Owned() {
        if (handle.handle != 0)
            Free(handle);
    }
    Handle get() const { return handle; }

  protected:
    Handle handle HEARKEN_NULL;
};

class Engine : public Owned<hearken_engine, hearken_engine_free> {
  public:
    Engine() { check(hearken_engine_new(HEARKEN_ABI_VERSION, nullptr, &handle)); }
};

class Model : public Owned<hearken_model, hearken_model_free> {
  public:
    // Without a path it is the small model inside the library.
    explicit Model(const Engine &engine, const std::optional<std::string> &path = {}) {
        check(hearken_model_load(engine.get(), path ? path->c_str() : nullptr, &handle));
    }
};

// The end for an audio thread. A number: copied freely, and of no use once the session is finished.
class Input {
  public:
    explicit Input(hearken_input input) : input(input) {}
    // Safe in an audio callback: neither waits, locks, allocates nor calls the system.
    hearken_status push(const float *frames, size_t count) const noexcept {
        return hearken_input_push(input, frames, count);
    }

  private:
    hearken_input input;
};

class Session : public Owned<hearken_session, hearken_session_free> {
  public:
    using Listener = std::function<void(const hearken_event &)>;

    // The listener is called on a thread of the session's. It must not throw.
    Session(const Model &model, hearken_session_options options, Listener listener)
        : listener(std::make_unique<Listener>(std::move(listener))) {
        options.size = sizeof options;
        check(hearken_session_new(model.get(), &options, &handle));
        const auto call = [](const hearken_event *event, void *user) noexcept {
            (*static_cast<Listener *>(user))(*event);
        };
        check(hearken_session_set_callback(handle, call, this->listener.get()));
    }
    Session(Session &&) = default;
    // The callback must not run any more when the listener goes.
    ~Session() { hearken_session_free(std::exchange(handle, hearken_session HEARKEN_NULL)); }

    Input open_input() {
        hearken_input input HEARKEN_NULL;
        check(hearken_session_open_input(handle, 0, &input));
        return Input(input);
    }
    void finish() { check(hearken_session_finish(handle)); }

  private:
    std::unique_ptr<Listener> listener;
};

} // namespace hearken

#endif
