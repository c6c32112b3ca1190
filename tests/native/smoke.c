/* A model spoken through omni_api.h alone, for a system on which no Python is at hand (.ci/windows.sh): loads the demo
 * voice from the folder it runs in, takes the talker some steps, draws code groups, decodes them, and prints what came
 * out, to be compared with what it prints elsewhere (.ci/same_numbers.py). */
#include "omni.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char * model = "d\xc3\xa9mo \xe2\x98\x83.gguf";  /* "demo" and a snowman, in UTF-8 */
static omni_error err;

static void need(omni_status status, const char * what) {
    if (status != OMNI_OK) {
        printf("error %s: %s\n", what, err.message);
        exit(1);
    }
}

static float * floats(int64_t n) {
    float * x = calloc((size_t) n, sizeof(float));
    if (!x) {
        printf("error: no memory for %lld floats\n", (long long) n);
        exit(1);
    }
    return x;
}

static void print(const char * name, const float * x, int64_t n) {
    double squares = 0;
    for (int64_t i = 0; i < n; i++) {
        squares += (double) x[i] * x[i];
    }
    printf("%s n=%lld rms=%.9g first=%.9g middle=%.9g last=%.9g\n", name, (long long) n, sqrt(squares / (double) n), x[0], x[n / 2],
           x[n - 1]);
}

/* Weights kept in one way; returns the hidden row behind some steps. */
static float * talk(omni_device * device, int map, omni_info * info) {
    omni_load how = {0};
    omni_model * loaded;
    omni_session * session;
    const int32_t lane = 0, n = 5;
    int32_t ids[5] = {1, 2, 3, 4, 5};
    how.map = map;
    need(omni_model_load(device, model, "talker", &how, &loaded, &err), "talker");
    omni_model_info(loaded, info);
    need(omni_session_open(loaded, 64, 1, OMNI_KV_F32, &session, &err), "session of the talker");
    float * rows = floats((int64_t) n * info->n_embd), * logits = floats(info->n_vocab), * hidden = floats(info->n_hidden);
    need(omni_lm_embed(session, 0, ids, n, rows, &err), "embed");
    omni_lm_output out = {logits, hidden, NULL, NULL};
    for (int step = 0; step < 2; step++) {  /* all at once, then one behind them */
        omni_lm_input in = {&lane, rows, NULL, NULL, 1, step ? 1 : n, 0, 0};
        need(omni_lm_decode(session, &in, &out, &err), "decode");
    }
    printf("talker map=%d\n", map);
    print("logits", logits, info->n_vocab);
    print("hidden", hidden, info->n_hidden);
    omni_session_free(session);
    omni_model_free(loaded);
    free(rows);
    free(logits);
    return hidden;
}

int main(void) {
    char text[4096];
    omni_device * device;
    omni_model * loaded;
    omni_session * session;
    omni_info talker, info;
    enum { n_frames = 6, most_groups = 32 };
    static int32_t codes[n_frames * most_groups];

    omni_build_about(text, (int32_t) sizeof(text));
    fprintf(stderr, "%s", text);
    need(omni_device_open("cpu", 0, &device, &err), "device");
    fprintf(stderr, "threads\t%d\n", omni_device_threads(device));

    if (omni_model_load(device, "nowhere.gguf", "talker", NULL, &loaded, &err) == OMNI_OK) {
        printf("error: a file that is not there was loaded\n");
        return 1;
    }
    printf("missing: %s\n", err.message);
    if (omni_model_load(device, ".", "talker", NULL, &loaded, &err) == OMNI_OK) {
        printf("error: a folder was loaded\n");
        return 1;
    }
    printf("folder: %s\n", err.message);

    float * read = talk(device, -1, &talker), * hidden = talk(device, 1, &talker);
    if (memcmp(read, hidden, (size_t) talker.n_hidden * sizeof(float)) != 0) {
        printf("error: mapped weights give another result than those that are read\n");
        return 1;
    }

    need(omni_model_load(device, model, "code_predictor", NULL, &loaded, &err), "code_predictor");
    omni_model_info(loaded, &info);
    need(omni_session_open(loaded, info.n_groups + 1, 1, OMNI_KV_F32, &session, &err), "session of the code predictor");
    if (info.n_groups > most_groups) {
        printf("error: %d groups\n", info.n_groups);
        return 1;
    }
    float * sum = floats(info.n_embd > talker.n_hidden ? info.n_embd : talker.n_hidden);
    for (int32_t frame = 0; frame < n_frames; frame++) {
        double uniforms[most_groups] = {0};
        omni_draw draw = {0, 1, 0, uniforms};
        const int32_t code0 = 7 + 11 * frame;
        need(omni_lm_groups(session, 1, hidden, &code0, &draw, codes + frame * info.n_groups, sum, &err), "groups");
        printf("codes");
        for (int32_t g = 0; g < info.n_groups; g++) {
            printf(" %d", codes[frame * info.n_groups + g]);
        }
        printf("\n");
    }
    print("row_sum", sum, info.n_embd);
    omni_session_free(session);
    omni_model_free(loaded);

    need(omni_model_load(device, model, "codec_decoder", NULL, &loaded, &err), "codec_decoder");
    omni_model_info(loaded, &info);
    need(omni_session_open(loaded, 0, 1, OMNI_KV_F32, &session, &err), "session of the codec");
    const int64_t most = (int64_t) n_frames * info.hop;
    int64_t n = 0;
    float * pcm = floats(most);
    need(omni_codec_decode(session, 0, codes, n_frames, pcm, most, &n, &err), "codec");
    print("pcm", pcm, n);
    omni_session_free(session);
    omni_model_free(loaded);
    free(pcm);
    omni_device_free(device);
    free(read);
    free(hidden);
    free(sum);
    printf("done\n");
    return 0;
}
