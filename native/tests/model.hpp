// An explorer of small protocols: every interleaving of their steps, state by state.
//
// A model is a State, the steps that lead from it to others, and what must hold. Each step is what one
// actor does to shared memory at once: one atomic operation or one system call. Memory is sequentially
// consistent but for what a model itself delays (model_event.cpp has store buffers).
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <vector>

namespace test {

// Model::State                          bytes that compare as such
// Model::each_step(state, emit)         calls emit(words, next) for all that may happen next
// Model::flaw(state)                    what is wrong with the state as such, or null
// Model::is_end(state)                  whether it may rest here: to such a state there must be a way
//                                       from everywhere
template <class Model>
class Explorer {
public:
    using State = typename Model::State;
    static_assert(std::is_trivially_copyable_v<State> && std::has_unique_object_representations_v<State>);

    // Breadth first, so that what leads to a flaw is told in as few steps as possible. True if sound.
    bool explore(const Model& model, const State& initial) {
        add(initial, 0, "start");
        for (size_t at = 0; at < nodes_.size(); ++at) {
            const State state = nodes_[at].state;
            model.each_step(state, [&](const char* step, const State& next) { add(next, at, step); });
            if (const char* flaw = model.flaw(state)) return found(flaw, at);
        }
        std::vector<size_t> open;
        std::vector<bool> ends(nodes_.size());
        auto reach = [&](size_t at) {
            if (!ends[at]) open.push_back(at);
            ends[at] = true;
        };
        for (size_t at = 0; at < nodes_.size(); ++at)
            if (model.is_end(nodes_[at].state)) reach(at);
        while (!open.empty()) {
            size_t at = open.back();
            open.pop_back();
            for (size_t before : nodes_[at].before) reach(before);
        }
        for (size_t at = 0; at < nodes_.size(); ++at)
            if (!ends[at]) return found("from here there is no way to an end", at);
        return true;
    }

    size_t states() const { return nodes_.size(); }

    void tell(FILE* where) const {
        if (!flaw_) return;
        std::vector<const char*> steps;
        for (size_t at = flawed_; at; at = nodes_[at].before[0]) steps.push_back(nodes_[at].step);
        for (size_t i = steps.size(); i--;) fprintf(where, "    %s\n", steps[i]);
        fprintf(where, "  %s\n", flaw_);
    }

private:
    struct Node {
        State state;
        const char* step;            // that led here first
        std::vector<size_t> before;  // from where, the first way first
    };
    struct Hash {
        size_t operator()(const State& state) const {
            return std::hash<std::string_view>()({reinterpret_cast<const char*>(&state), sizeof state});
        }
    };
    struct Same {
        bool operator()(const State& a, const State& b) const { return !memcmp(&a, &b, sizeof a); }
    };

    void add(const State& state, size_t from, const char* step) {
        auto [known, is_new] = known_.try_emplace(state, nodes_.size());
        if (is_new) nodes_.push_back({state, step, {}});
        nodes_[known->second].before.push_back(from);
    }

    bool found(const char* flaw, size_t at) {
        flaw_ = flaw;
        flawed_ = at;
        return false;
    }

    std::vector<Node> nodes_;
    std::unordered_map<State, size_t, Hash, Same> known_;
    const char* flaw_ = nullptr;
    size_t flawed_ = 0;
};

// The protocol as it is must be sound, and with a piece left out it must not be: else the model sees
// nothing.
template <class Model>
bool is_sound(const Model& model, const typename Model::State& initial) {
    Explorer<Model> explorer;
    bool sound = explorer.explore(model, initial);
    printf("  %zu states\n", explorer.states());
    explorer.tell(stderr);
    return sound;
}

template <class Model>
bool is_flawed(const Model& model, const typename Model::State& initial) {
    Explorer<Model> explorer;
    bool sound = explorer.explore(model, initial);
    if (sound) fprintf(stderr, "  no flaw found in %zu states\n", explorer.states());
    return !sound;
}

}  // namespace test
