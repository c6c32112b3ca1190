// omni_api.h for C and C++: the include guard, the integer types and the linkage that cffi's reader cannot have there.
#ifndef OMNI_H
#define OMNI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "omni_api.h"

#ifdef __cplusplus
}
#endif

#endif  // OMNI_H
