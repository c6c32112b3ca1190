// What the checks of the kernels share: the levels, drawn numbers, and how a finding is told.
#pragma once

#include "kernels/attend.h"
#include "kernels/conv_run.h"
#include "kernels/cpu.h"
#include "kernels/panel.h"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

namespace check {

// What one instruction set's files offer.
struct level {
    const char * name;
    omni::cpu_variant variant;
    omni::matvec (*panels)(int32_t type);
    omni::matvec (*floats)(int32_t type);
    void (*exp)(const float * x, float top, float * out, int64_t n);
    const omni::conv_kernels * conv;
    omni::attend_kernel (*attend)(int32_t type);
};

// The same numbers everywhere, for a seed.
class numbers {
  public:
    explicit numbers(uint64_t seed) : state_(seed * 2654435761u + 88172645463325252u) {}

    uint32_t bits() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return uint32_t(state_ >> 16);
    }
    float uniform() { return float(int32_t(bits() >> 8) - (1 << 23)) / float(1 << 23); }  // in [-1, 1)
    std::vector<float> row(int64_t n, float size = 1.0f) {
        std::vector<float> x(n);
        for (float & v : x) {
            v = uniform() * size;
        }
        return x;
    }

  private:
    uint64_t state_;
};

inline int64_t n_failed = 0, n_held = 0;

// One thing that was looked at.
template <typename... Of> void holds(bool so, const char * format, Of... of) {
    n_held++;
    if (!so && ++n_failed <= 20) {
        std::printf("FAILED: ");
        std::printf(format, of...);
        std::printf("\n");
    }
}

// No number is as good as another, as its bits are not defined.
inline bool same_bits(const std::vector<float> & a, const std::vector<float> & b) {
    if (a.size() != b.size()) {
        return false;
    }
    for (size_t i = 0; i < a.size(); i++) {
        if (std::memcmp(&a[i], &b[i], sizeof(float)) != 0 && !(a[i] != a[i] && b[i] != b[i])) {
            return false;
        }
    }
    return true;
}

void teams();
void panels(const level & l);
void floats(const level & l);
void convolutions(const level & l);
void attention(const level & l);
void attention_chosen(const level & l);  // of the best that runs

} // namespace check
