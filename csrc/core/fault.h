// A GPU that fails. ggml's CUDA backend ends the process then, and the reason may be no more than a library built for other
// GPUs; inside a call of ours it is a failure like any other, and this process uses no such device again.
#pragma once

namespace omni {

void fault_install();  // idempotent
bool device_lost();    // since then nothing of a GPU's is freed: its driver would be asked, and fail again

} // namespace omni
