// A voice app in small, with hearken's C interface in C++: an audio thread that may never wait, and events by callback.
//
//     ffmpeg -v error -re -i talk.mp3 -f f32le -ac 2 -ar 48000 - | ./listen ggml-base.en.bin
//
// Standard input stands for a sound card: it delivers 48 kHz stereo floats, block by block, to a callback. Every utterance
// is a line on standard output. Exit status: 0 done, 1 error, 3 done, but some audio was not recognized.

#include <atomic>
#include <chrono>
#include <future>
#include <iomanip>
#include <iostream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#include "hearken.hpp"

namespace {

constexpr unsigned RATE = 48000, CHANNELS = 2, BLOCK = RATE / 100;

// What a sound card's driver calls, on its own thread. hearken's part of it is safe there.
hearken_status audio_callback(const hearken::Input &input, const float *frames, size_t count) noexcept {
    return input.push(frames, count);
}

bool read_block(std::vector<float> &block) {
    auto *bytes = reinterpret_cast<char *>(block.data());
    size_t wanted = block.size() * sizeof(float), have = 0;
    while (have < wanted) {
        const ssize_t count = read(STDIN_FILENO, bytes + have, wanted - have);
        if (count <= 0)
            break;
        have += static_cast<size_t>(count);
    }
    block.resize(have / sizeof(float) / CHANNELS * CHANNELS);
    return !block.empty();
}

int run(const std::optional<std::string> &path) {
    hearken::Engine engine;
    hearken::Model model(engine, path);
    hearken_session_options options{};
    options.sample_rate = RATE;
    options.channels = CHANNELS;
    options.encoding = HEARKEN_ENCODING_F32;

    std::promise<void> finished;
    std::atomic<bool> dropped{false};
    const auto seconds = [](uint64_t samples) { return static_cast<double>(samples) / HEARKEN_SAMPLE_RATE; };
    hearken::Session session(model, options, [&](const hearken_event &event) {
        switch (event.event_type) {
        case HEARKEN_EVENT_FINAL:
            if (event.word_count > 0)
                std::cout << std::fixed << std::setprecision(2) << seconds(event.start) << ' ' << seconds(event.end)
                          << "  " << event.text << std::endl;
            break;
        case HEARKEN_EVENT_DROPPED:
            dropped = true;
            std::cerr << "listen: " << seconds(event.end - event.start)
                      << " s were not recognized: " << event.text << std::endl;
            break;
        case HEARKEN_EVENT_FINISHED:
            finished.set_value();
            break;
        default: // Later versions may have more.
            break;
        }
    });

    const hearken::Input input = session.open_input();
    std::thread audio([&input] {
        std::vector<float> block(BLOCK * CHANNELS);
        auto due = std::chrono::steady_clock::now();
        while (read_block(block)) {
            if (audio_callback(input, block.data(), block.size() / CHANNELS) != HEARKEN_OK)
                return;
            // A sound card delivers no faster than it hears.
            due += std::chrono::milliseconds(10);
            std::this_thread::sleep_until(due);
            block.resize(BLOCK * CHANNELS);
        }
    });
    audio.join();
    session.finish();
    finished.get_future().wait();
    return dropped ? 3 : 0;
}

} // namespace

int main(int argc, char **argv) {
    try {
        return run(argc > 1 ? std::optional<std::string>(argv[1]) : std::nullopt);
    } catch (const hearken::Error &error) {
        std::cerr << "listen: " << error.what() << " (" << hearken_status_text(error.status) << ")" << std::endl;
        return 1;
    }
}
