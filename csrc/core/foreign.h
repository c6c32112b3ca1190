// Files made for other programs whose network is one of ours: their keys, in our words.
#pragma once

#include <string>

struct gguf_context;

namespace omni {

// Where `header` is of an architecture in the table: adds the keys that the component reads, from those the file has,
// and says what tensor names lack, such as "thinker."; else adds nothing and says "". Fails where a key is missing, of
// another type, or says something that the component does not do.
std::string adopt(gguf_context * header, const std::string & path);

} // namespace omni
