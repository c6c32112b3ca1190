/* Everything Python can see. Declarations only: no #include, no #if, no macros; cffi reads this file verbatim.
 *
 *     omni_device_open("cpu", 2, &device, &err);
 *     omni_model_load(device, "model.gguf", "talker", NULL, &model, &err);
 *     omni_session_open(model, 2048, 1, OMNI_KV_F32, &session, &err);
 *     omni_lm_embed(session, 0, ids, n, rows, &err);
 *     omni_lm_decode(session, &input, &output, &err);
 *
 * Every function that can fail returns a status and, where it is not OMNI_OK, fills the error the caller owns with
 * one sentence: the thing, what was found, what was expected. Arrays belong to the caller; no pointer is kept past a
 * call except the three handles. A handle keeps its parent alive, so they may be freed in any order. */

typedef struct omni_device  omni_device;   /* where tensors live and compute runs; shared between threads  */
typedef struct omni_model   omni_model;    /* weights and hyperparameters of one component; immutable      */
typedef struct omni_session omni_session;  /* KV cache, stream state, graphs; one caller at a time         */

enum omni_kind { OMNI_KIND_LM, OMNI_KIND_ENCODER, OMNI_KIND_CODEC };

typedef enum omni_status {
    OMNI_OK = 0,
    OMNI_ERROR_ARGUMENT,     /* the caller asked for something impossible                */
    OMNI_ERROR_IO,           /* the file could not be read                               */
    OMNI_ERROR_FORMAT,       /* the file is not what it says it is                       */
    OMNI_ERROR_UNSUPPORTED,  /* valid, but not something this build can run              */
    OMNI_ERROR_MEMORY,       /* host or device memory ran out                            */
    OMNI_ERROR_CONTEXT,      /* n_past + n would exceed n_ctx; nothing was changed       */
    OMNI_ERROR_STATE,        /* an earlier call failed half way; rewind every lane first */
    OMNI_ERROR_BUSY,         /* another thread is inside this session                    */
    OMNI_ERROR_CANCELLED,    /* omni_session_cancel was called                           */
    OMNI_ERROR_DEVICE,       /* a GPU or its driver failed; restart to use it again      */
    OMNI_ERROR_INTERNAL      /* a bug here, or in the backend                            */
} omni_status;

typedef struct omni_error { int32_t status; char message[508]; } omni_error;

typedef struct omni_info {
    int32_t kind;            /* enum omni_kind                                           */
    int32_t n_embd;          /* lm, encoder: width of its input rows                     */
    int32_t n_hidden;        /* lm: width of its hidden rows; encoder: of its output rows */
    int32_t n_vocab;         /* lm: logits per head; codec: codes per group              */
    int32_t n_tables;        /* lm: embedding tables omni_lm_embed knows                 */
    int32_t n_heads_out;     /* lm: output heads                                         */
    int32_t n_groups;        /* code groups of a frame                                   */
    int32_t n_ctx_max;       /* lm: positions the model was made for; codec encoder: the longest clip */
    int32_t hop;             /* codec: PCM samples per frame                             */
    int32_t sample_rate;     /* codec; encoder: of the sound its rows are made of        */
    int32_t n_rows_min;      /* encoder: the fewest rows it takes                        */
    int32_t row_samples;     /* codec encoder: PCM samples per position, of which n_ctx_max at most; decoder: 0 */
    int32_t grid_merge;      /* encoder: its rows are patches of a grid, of which this many times this many become one; 0: no grid */
    int32_t n_deepstack;     /* encoder: further rows it gives beside each of its own; lm: levels of them it takes */
    int32_t lead;            /* codec decoder: samples that a stream's first frame falls short of hop, mostly 0 */
    int32_t n_axes;          /* lm: axes of a position                                   */
    int32_t accept_layer;    /* lm: how many layers its accepted rows went through; 0: it has none */
    int32_t n_projections;   /* lm: ways omni_lm_project knows                           */
    int32_t n_embd_proj;     /* lm: width of the rows omni_lm_project takes              */
    int32_t fast;            /* 1: loaded so, and this CPU has such products             */
    int64_t n_bytes;         /* weights on the device                                    */
} omni_info;

typedef struct omni_load {   /* how weights are kept                                     */
    int32_t map;             /* what the CPU works on stays in the file, read when looked at: 1, or -1 not, or 0 if it is large */
    int32_t host_experts;    /* 1: matrices of experts stay with the CPU, whatever the device */
    int32_t packed;          /* 1: matrices the CPU works on are rearranged for its kernels as they are read, so not mapped */
    int32_t fast;            /* 1: a codec's convolutions multiply in bfloat16 and add in float32, where the CPU has such products */
} omni_load;

enum omni_kv { OMNI_KV_F32, OMNI_KV_F16, OMNI_KV_Q8_0 };  /* types of a KV cache; F32 is the reference */

typedef struct omni_lm_input { /* the same number of rows for each of n_lanes sequences  */
    const int32_t * lanes;   /* [n_lanes], ascending: the sequences that take part       */
    const float   * embeds;  /* [n_lanes, n, n_embd]                                     */
    const float   * positions; /* [n_lanes, n, n_axes], where it has several axes; NULL: n_past and on, on every axis */
    const float   * deepstack; /* [n_lanes, n_deepstack, n, n_embd], added behind the first layers; NULL: nothing is */
    int32_t n_lanes, n;
    int32_t head;            /* which output head, for a code predictor; else 0          */
    int32_t n_heads;         /* for omni_lm_output.each: so many heads, from `head` on    */
    int32_t joined;          /* 1: the row_sum that the joined predictor left of each lane is added to its row, of which n is 1 */
} omni_lm_input;

typedef struct omni_lm_output { /* NULL = not wanted                                     */
    float * logits;          /* [n_lanes, n_vocab],  last position                       */
    float * hidden;          /* [n_lanes, n_hidden], last position                       */
    float * accepted;        /* [n_lanes, n, n_embd], each row behind accept_layer layers, without a norm */
    float * each;            /* [n_lanes, n, n_heads, n_vocab], every row through heads `head` and on; of a code predictor */
} omni_lm_output;

typedef struct omni_draw {   /* how code groups are drawn inside a graph                 */
    double temperature;      /* 0: greedy                                                */
    double top_p;            /* 1: all                                                   */
    int32_t top_k;           /* 0: all                                                   */
    const double * uniforms; /* [n_lanes, n_groups - 1] in [0, 1), from Python's generator */
} omni_draw;

int32_t     omni_device_list(char * out, int32_t n_max);  /* "name\tkind\tdescription\n" lines; returns the length needed. kind: cpu, gpu, igpu, software (a GPU that is none), other */
int32_t     omni_build_about(char * out, int32_t n_max);  /* "key\tvalue\n" lines: ggml's version, a wheel's library for this CPU, the CPU features ggml uses, our kernels; "error" where some do not run */
omni_status omni_addon_load(const char * path, omni_error * err); /* a backend more, of a wheel: devices may come with it */
omni_status omni_device_open(const char * name, int32_t n_threads, omni_device ** out, omni_error * err);
omni_status omni_device_limit(omni_device * device, int32_t n_threads, omni_error * err); /* runs that begin from now on use at most so many; 0: all */
int32_t     omni_device_name(const omni_device * d, char * out, int32_t n_max);
int32_t     omni_device_threads(const omni_device * d);
void        omni_device_free(omni_device * d);

/* how NULL: large weights are mapped where the CPU works on them, and everything is on the device. */
omni_status omni_model_load(omni_device * d, const char * path, const char * component, const omni_load * how,
                            omni_model ** out, omni_error * err);
void        omni_model_info(const omni_model * m, omni_info * out);
void        omni_model_free(omni_model * m);

/* kv: enum omni_kv, of a language model; others have F32 only. */
omni_status omni_session_open(omni_model * m, int32_t n_ctx, int32_t n_lanes, int32_t kv, omni_session ** out, omni_error * err);
omni_status omni_session_rewind(omni_session * s, int32_t lane, int32_t n_past, omni_error * err); /* 0: forget all */
omni_status omni_session_n_past(omni_session * s, int32_t lane, int32_t * out, omni_error * err);

/* A lane as bytes: to take several ways from one point, or to go on another day. save with out NULL tells the size;
 * load refuses what is damaged, of another version, made with other weights, or too long for n_ctx. */
omni_status omni_session_save(omni_session * s, int32_t lane, void * out, int64_t n_max, int64_t * n_out, omni_error * err);
omni_status omni_session_load(omni_session * s, int32_t lane, const void * in, int64_t n, omni_error * err);
void        omni_session_cancel(omni_session * s);        /* from any thread; ends the call in progress             */
void        omni_session_free(omni_session * s);

/* Ask for a named node before a run (n_out NULL); after it, learn its size in floats (out NULL) and read it. */
omni_status omni_session_tap(omni_session * s, const char * node, float * out, int64_t n_max, int64_t * n_out,
                             omni_error * err);
int32_t     omni_log_drain(char * out, int32_t n_max);    /* ggml's log lines since the last call                   */

omni_status omni_lm_embed(omni_session * s, int32_t table, const int32_t * ids, int32_t n, float * out,
                          omni_error * err);              /* out [n, n_embd]                                        */
/* Rows of another network, in [n, n_embd_proj], into rows of this one: out [n, n_embd]. */
omni_status omni_lm_project(omni_session * s, int32_t which, const float * in, int32_t n, float * out, omni_error * err);

/* The place a row takes in the KV cache is counted from n_past on, whatever its position. */
omni_status omni_lm_decode(omni_session * s, const omni_lm_input * in, const omni_lm_output * out, omni_error * err);

/* From now on a talker and the code predictor of its frames leave each other, on the device, what they pass from frame
 * to frame: the talker its hidden row of each lane, the predictor its row_sum. Both on one device; the predictor has at
 * least as many lanes. Once is enough; either may be joined anew. */
omni_status omni_lm_join(omni_session * talker, omni_session * predictor, omni_error * err);

/* What a joined session left of a lane of the talker, [n_hidden] or [n_embd]: read to out, then written from in. NULL: not. */
omni_status omni_lm_row(omni_session * s, int32_t lane, float * out, const float * in, omni_error * err);

/* A whole frame of a code predictor in one graph: codes [n_lanes, n_groups] with code0 first,
 * row_sum [n_lanes, n_embd] = the sum of the frame's group embeddings, group 0 included. Of a joined one, lanes [n_lanes]
 * are those of the talker, ascending (NULL: 0 and on), hidden NULL is what it left, and row_sum may be NULL. */
omni_status omni_lm_groups(omni_session * s, int32_t n_lanes, const int32_t * lanes, const float * hidden, const int32_t * code0,
                           const omni_draw * draw, int32_t * codes, float * row_sum, omni_error * err);

/* codes [n_frames, n_groups] -> pcm [n_out]; the lane remembers the stream until it is rewound. n_out is n_frames * hop,
 * or n_frames * hop - lead where the lane holds no frames yet, and must be at most n_max. pcm NULL: only says n_out. */
omni_status omni_codec_decode(omni_session * s, int32_t lane, const int32_t * codes, int32_t n_frames, float * pcm,
                              int64_t n_max, int64_t * n_out, omni_error * err);

/* in [n, n_embd] -> out [1 + n_deepstack, n_out, n_hidden], where n_out is at most n_max. out NULL: only says n_out;
 * then run. grid: the frames, rows and columns of patches that the n rows are, frame by frame and, within one, in
 * blocks of grid_merge * grid_merge; NULL where grid_merge is 0. */
omni_status omni_encode(omni_session * s, const float * in, int32_t n, const int32_t * grid, float * out, int32_t n_max,
                        int32_t * n_out, omni_error * err);

/* A whole clip: pcm [n] -> codes [n_frames, n_groups], n_frames = ceil(n / hop), which must be at most n_max. The
 * session's n_ctx holds ceil(n / row_samples) positions or more; what it encoded before is forgotten. */
omni_status omni_codec_encode(omni_session * s, const float * pcm, int32_t n, int32_t * codes, int32_t n_max,
                              int32_t * n_frames, omni_error * err);

/* Rows of floats as ggml's blocks, for who writes model files: in [n_rows, n_per_row] -> out, of at most n_max bytes.
 * type: a name as q4_k or q8_0. importance [n_per_row]: how much an error in each column costs, from 0; NULL: all alike.
 * out NULL: only says n_out, the bytes it takes. Threads may share the work by rows. */
omni_status omni_quantize(const char * type, const float * in, int64_t n_rows, int64_t n_per_row,
                          const float * importance, void * out, int64_t n_max, int64_t * n_out, omni_error * err);
