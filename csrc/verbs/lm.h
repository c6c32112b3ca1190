// What a caller asks of a language model, checked, and turned into runs of its graphs.
#pragma once

#include "components/component.h"
#include "core/session.h"

namespace omni {

void lm_embed(session & s, const component & c, int32_t table, const int32_t * ids, int32_t n, float * out);
void lm_project(session & s, const omni_info & info, int32_t which, const float * in, int32_t n, float * out);
void lm_decode(session & s, const component & c, const omni_lm_input & in, const omni_lm_output & out);
// lanes: of the joined talker, ascending; nullptr: 0 and on. hidden nullptr: what that talker left; row_sum nullptr: left for it alone.
void lm_groups(session & s, const component & c, int32_t n_lanes, const int32_t * lanes, const float * hidden, const int32_t * code0,
               const omni_draw & draw, int32_t * codes, float * row_sum);

void lm_join(session & talker, const component & t, session & predictor, const component & p);
void lm_row(session & s, const component & c, int32_t lane, float * out, const float * in);
const joined_rows & joined_of(const session & s);  // fails where it is not joined

void check_ids(const char * what, const int32_t * ids, int64_t n, int64_t n_ids);

} // namespace omni
