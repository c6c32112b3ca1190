"""The sizes of the voice: every number that shapes a tensor of it, in the official classes' own names."""

RATE = 16000  # flite's own; output_sample_rate of the codec
MEL_HOP = 160  # 100 mel frames a second, 8 a codec frame
CODEC = {
    "codebook_size": 512,
    "codebook_dim": 128,
    "num_quantizers": 4,
    "latent_dim": 192,
    "decoder_dim": 192,
    "hidden_size": 192,
    "intermediate_size": 384,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 6,
    "head_dim": 32,
    "sliding_window": 72,
    "layer_scale_initial_scale": 0.1,
    "upsample_rates": [8, 5, 4, 2],
    "upsampling_ratios": [2, 2],
    "max_position_embeddings": 8000,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000,
    "hidden_act": "silu",
    "attention_bias": False,
    "attention_dropout": 0.0,
}
FRAME = 1280  # samples a codec frame: the product of the two lists above; 12.5 frames a second

# ARPAbet as flite prints it, for the helper losses; pau is silence.
PHONES = (
    "pau aa ae ah ao aw ax ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh uw v w y z zh"
).split()
