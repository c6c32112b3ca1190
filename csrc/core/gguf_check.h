// Our own look through a GGUF header, before ggml's reader gets it: nothing in it is believed that the file cannot hold.
#pragma once

#include <string>

namespace omni {

// Fails on a count, length, type, name, axis, alignment or offset that cannot be, and on a tensor that the file does not
// hold whole. ggml's reader refuses most of these as well; others end its process (an empty key, an alignment that is no
// u32, an axis of 0) or wrap around in its arithmetic (a tensor of 2^64 bytes), and none of them gets there.
//
// Returns the bytes of memory that the reader takes for it, about.
size_t check_gguf_header(const std::string & path);

} // namespace omni
