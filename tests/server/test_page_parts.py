"""What the page computes: spectra, columns, samples, and when they are to be heard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import chromium
import numpy as np
import pytest

from pyomni.server.front import FILES


@pytest.fixture(scope="module")
def page(browser) -> Iterator[Any]:
    """Open an empty document beside the page's files, without a server."""

    def answer(route: Any) -> None:
        data, media = FILES.get(urlsplit(route.request.url).path, (b"", "text/html"))
        route.fulfill(body=data, content_type=media)

    context = browser.new_context()
    context.route("**/*", answer)
    opened = context.new_page()
    opened.goto("http://127.0.0.1:1/empty")
    yield opened
    context.close()


def test_spectra_are_those_of_numpy(page):
    samples = np.random.default_rng(3).normal(size=256)
    made = page.evaluate(
        """async (samples) => {
            const { Fft } = await import("/page/fft.js");
            return [...new Fft(samples.length).power(samples)];
        }""",
        samples.tolist(),
    )
    assert np.allclose(made, np.abs(np.fft.rfft(samples)) ** 2, rtol=1e-3, atol=1e-3)


def test_a_long_sound_is_drawn_in_as_many_columns(page):
    """A tone at 1000 Hz for half of it, then silence."""
    found = page.evaluate(
        """async () => {
            const { Columns, BANDS } = await import("/page/columns.js");
            const columns = new Columns(24000);
            const tone = Float32Array.from({ length: 1000 }, (_, i) => 0.5 * Math.sin(2 * Math.PI * i / 24));
            for (let i = 0; i < 1300; i++) columns.push(tone.map((s) => (i < 650 ? s : 0)));
            const last = columns.n - 1;
            const level = (at) => [...columns.levels.slice(at * BANDS, (at + 1) * BANDS)];
            const { n, step, samples, peaks } = columns;
            return { n, step, samples, peaks: [peaks[10], peaks[last]], levels: [level(10), level(last)] };
        }"""
    )
    assert found["samples"] == 1_300_000
    assert found["step"] == 4
    assert found["n"] == -(-(found["samples"] // 256) // 4) <= 2048
    assert found["peaks"] == [pytest.approx(0.5, abs=0.01), 0]
    mel = np.log1p(np.array([60, 1000, 12000]) / 700)
    assert np.argmax(found["levels"][0]) == pytest.approx(96 * (mel[1] - mel[0]) / (mel[2] - mel[0]), abs=2)
    assert not any(found["levels"][1])


def test_samples_cut_anywhere_are_whole_again_and_a_wav_file_of_them(page):
    samples = np.random.default_rng(4).integers(-32768, 32768, 500).astype("<i2")
    made = page.evaluate(
        """async (bytes) => {
            const { PcmReader, toFloats, toInts, wavFile } = await import("/page/samples.js");
            const reader = new PcmReader();
            const blocks = [];
            for (let at = 0, n = 1; at < bytes.length; at += n, n = (n * 7) % 31 + 1) {
                blocks.push(reader.push(Uint8Array.from(bytes.slice(at, at + n))));
            }
            const file = new Uint8Array(await wavFile(blocks, 24000).arrayBuffer());
            const again = blocks.map((block) => toInts(toFloats(block)));
            return [...[blocks, again].map((all) => all.flatMap((block) => [...block])), [...file]];
        }""",
        list(samples.tobytes()),
    )
    assert made[0] == made[1] == samples.tolist()
    header, data = bytes(made[2][:44]), bytes(made[2][44:])
    assert data == samples.tobytes()
    assert (header[:4], header[8:16], header[36:40]) == (b"RIFF", b"WAVEfmt ", b"data")
    assert [int.from_bytes(header[at : at + 4], "little") for at in (4, 24, 28, 40)] == [
        36 + 1000,
        24000,
        48000,
        1000,
    ]


def test_sound_that_comes_too_slowly_is_gathered_before_it_goes_on(page):
    """A player on a clock of its own, by hand: blocks of seconds, and when each is to be heard."""
    log = page.evaluate(
        """async () => {
            const { Player } = await import("/page/player.js");
            const started = [];
            const sources = [];
            const clock = {
                sampleRate: 1000, currentTime: 0, destination: null,
                createBuffer: (channels, n) => ({ n, copyToChannel() {} }),
                createBufferSource() {
                    const source = { connect() {}, stop() {} };
                    source.start = (at) => started.push([at, source.buffer.n]);
                    sources.push(source);
                    return source;
                },
            };
            const player = new Player(clock);
            const counts = [];
            const push = (seconds) => {
                player.push(new Float32Array(seconds * 1000));
                counts.push(started.length);
            };
            push(0.08);                // too little to begin with
            push(0.08);                // begins
            push(0.08);                // joins without a gap
            clock.currentTime = 0.2;
            const heard = [player.heard];
            clock.currentTime = 1;     // ran dry
            heard.push(player.heard);
            push(0.3);                 // waits for half a second
            push(0.3);
            clock.currentTime = 3;
            push(0.9);                 // and now for a whole one
            player.end();              // nothing more comes: out with it
            const before = player.silent;
            for (const source of sources) source.onended();
            await player.finished;
            return { counts, started, heard, silent: [before, player.silent] };
        }"""
    )
    assert log["counts"] == [0, 2, 3, 3, 5, 5]
    assert [n for _, n in log["started"]] == [80, 80, 80, 300, 300, 900]
    assert [at for at, _ in log["started"]] == pytest.approx([0.05, 0.13, 0.21, 1.05, 1.35, 3.05])
    assert log["heard"] == pytest.approx([0.15, 0.24])
    assert log["silent"] == [False, True]


def test_a_browser_that_is_needed_is_not_gone_without(monkeypatch):
    monkeypatch.setattr(chromium, "find", lambda: None)
    monkeypatch.delenv("PYOMNI_NEED_CHROMIUM", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Chromium"), chromium.chromium():
        pass
    monkeypatch.setenv("PYOMNI_NEED_CHROMIUM", "1")
    with pytest.raises(pytest.fail.Exception, match="no Chromium"), chromium.chromium():
        pass
