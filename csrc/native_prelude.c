/* The C half of the generated binding: what cffi puts before the code it writes for omni_api.h. */
#include "omni.h"
