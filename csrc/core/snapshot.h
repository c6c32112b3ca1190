// A lane of a session as bytes: what save writes and load checks. Little-endian, versioned, with a checksum.
#pragma once

#include <cstdint>

namespace omni {

struct snapshot_header {
    char     magic[8];       // "omnilane"
    uint32_t version;
    uint32_t n_states;
    uint64_t model;          // of the weights it was made with
    int64_t  n_past;
    int64_t  n_bytes;        // of what follows
    uint64_t checksum;       // of what follows
};

constexpr char     snapshot_magic[8] = {'o', 'm', 'n', 'i', 'l', 'a', 'n', 'e'};
constexpr uint32_t snapshot_version = 1;

// A 64-bit hash after FNV-1a, over 8 bytes at a time: tells damage and mix-ups, not malice.
uint64_t fingerprint(const void * data, uint64_t n, uint64_t seed = 14695981039346656037ull);

} // namespace omni
