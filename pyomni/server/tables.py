"""The fields of requests: what each may be, for those who check them and for the document of the routes."""

from __future__ import annotations

from pyomni.audio.tempo import SPEEDS
from pyomni.options import COUNT, SPEECH_RANGES, Range
from pyomni.server.schema import Schema, number, one_of, text

__all__ = ["BATCH", "FORMATS", "OPTIONS", "SPEECH", "VOICE", "speech_schema"]

#: Media types of `response_format`.
FORMATS = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
#: Fields with their names in `SpeechOptions`.
OPTIONS = {
    "seed": "seed",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "repetition_penalty": "repetition_penalty",
    "max_new_tokens": "max_frames",
}
#: Numbers of a speaker's embedding, more than any model's.
MOST_NUMBERS = 1 << 14
#: None of those is as large.
LARGEST = 1e6
#: Texts of one batch.
MOST = 32
CLIP = "base64, or a data URL; no other URL is fetched"
VOICE_NAMES: Schema = {
    "anyOf": [
        {"type": "string"},
        {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
    ],
    "title": 'a name or {"id": name}',
    "description": "A speaker of the model, a saved voice, or one of OpenAI's names.",
}
SPEED = Range(*SPEEDS, f"a number from {SPEEDS[0]:g} to {SPEEDS[1]:g}")
#: Fields of a request for speech; all but `input` may be left out, or null.
SPEECH: dict[str, Schema] = {
    "input": text("What to say.", pattern=r"\S", title="what to say, as a text"),
    "model": text("The name of the model's file, or one of OpenAI's names."),
    "voice": VOICE_NAMES,
    "response_format": one_of("mp3 if left out.", FORMATS),
    "speed": number("Of the speech, at the same pitch.", SPEED),
    "stream_format": one_of("Sends sound as it is made: bare, or as server-sent events.", ["audio", "sse"]),
    "stream": {"type": "boolean", "description": "Whether sound is sent as it is made; pcm is if left out."},
    "instructions": text("How to say it, for models trained for it."),
    "instruct": text("The same."),
    "language": text("One of the model's languages, or auto."),
    "ref_audio": text(f"A clip whose voice is to speak: {CLIP}."),
    "ref_text": text("What the clip says."),
    "x_vector_only_mode": {"type": "boolean", "description": "Take no more of the clip than who speaks."},
    "speaker_embedding": {
        "type": "array",
        "minItems": 1,
        "maxItems": MOST_NUMBERS,
        "items": {"type": "number", "minimum": -LARGEST, "maximum": LARGEST},
        "title": "a list of numbers as long as the model is wide",
        "description": "Who speaks, in place of a clip.",
    },
    "task_type": text("CustomVoice, VoiceDesign or Base: the kind of model that is expected."),
    "initial_codec_chunk_frames": number("Taken, and without effect: sound begins with one frame.", COUNT),
    **{
        name: number(f"`{field}` of `SpeechOptions`.", SPEECH_RANGES[field])
        for name, field in OPTIONS.items()
    },
}
BATCH: Schema = {
    "type": "object",
    "properties": {
        "items": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST,
            "description": "Bodies of /v1/audio/speech, each checked for itself; fields beside `items` are "
            "their defaults, but for the two that stream.",
        }
    },
    "required": ["items"],
}
#: Fields of a new voice, in JSON. In a form, `consent` is a text and `audio_sample` a file.
VOICE: Schema = {
    "type": "object",
    "properties": {
        "name": text("What to call it.", pattern=r"\S", title="what to call the voice"),
        "consent": {
            "anyOf": [{"type": "boolean", "const": True}, {"type": "string", "const": "true"}],
            "title": "it to be true: a voice is kept only if its speaker agreed to that",
        },
        "audio_sample": text(f"A clip of the speaker: {CLIP}."),
        "wav_b64": text("The same."),
        "ref_text": text("What the clip says."),
    },
    "required": ["name", "consent"],
}


def speech_schema(max_chars: int) -> Schema:
    """Return what a request for speech has to be."""
    fields = {**SPEECH, "input": {**SPEECH["input"], "maxLength": max_chars}}
    return {"type": "object", "properties": fields, "required": ["input"]}
