// Nodes that read and write the rows two sessions pass each other (core/joined.h), one of each lane of a graph.
#pragma once

#include "core/graph.h"
#include "core/joined.h"

namespace omni {

inline const char * const joined_places = "places";  // input, I32 [n_lanes]: where each lane's row lies

inline ggml_tensor * read_joined(graph & g, ggml_tensor * rows) {
    return ggml_get_rows(g.ctx, rows, g.input(joined_places, GGML_TYPE_I32, g.key.n_lanes));       // [.., n_lanes]
}

inline void write_joined(graph & g, ggml_tensor * rows, ggml_tensor * x) {                          // x [.., n_lanes]
    g.after(ggml_set_rows(g.ctx, rows, x, g.input(joined_places, GGML_TYPE_I32, g.key.n_lanes)));
}

} // namespace omni
