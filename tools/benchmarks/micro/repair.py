"""zfec and raptorq side by side as repair of lost frames: `python tools/benchmarks/micro/repair.py`.

raptorq is no library of l2sync's: pip install raptorq.

A generation of K symbols goes to eight receivers, each of which loses frames independently; then as many repair symbols
as the worst lacks, again with loss, until all have it.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import zfec

try:
    import raptorq
except ImportError:
    raptorq = None

RECEIVERS = 8
LOSS = 0.05
ROUNDS = 12


class Code(NamedTuple):
    """``encode(data, k, symbol size)`` gives data and repair, ``decode`` the data of what came, or None."""

    name: str
    encode: Callable[[bytes, int, int], list[tuple[int, bytes]]]
    decode: Callable[[list[tuple[int, bytes]], int, int], bytes | None]


def repairs(k: int) -> int:
    """How many repair symbols are made: enough for the worst of the receivers, and what is lost of them."""
    return math.ceil(k * LOSS * 2) + 8


@cache
def zfec_encoder(k: int) -> zfec.Encoder:
    """Kept, as the agent does."""
    return zfec.Encoder(k, 256)


@cache
def zfec_decoder(k: int) -> zfec.Decoder:
    """Kept as well."""
    return zfec.Decoder(k, 256)


def zfec_encode(data: bytes, k: int, size: int) -> list[tuple[int, bytes]]:
    """The data's symbols, then repair symbols."""
    blocks = [data[at : at + size] for at in range(0, len(data), size)]
    return list(enumerate([*blocks, *zfec_encoder(k).encode(blocks, list(range(k, k + repairs(k))))]))


def zfec_decode(symbols: list[tuple[int, bytes]], k: int, size: int) -> bytes | None:
    """Any k symbols do."""
    if len(symbols) < k:
        return None
    numbers = [number for number, _ in symbols[:k]]
    return b"".join(zfec_decoder(k).decode([one for _, one in symbols[:k]], numbers))


def raptorq_encode(data: bytes, k: int, size: int) -> list[tuple[int, bytes]]:
    """The same; a packet is a symbol with four bytes of numbers."""
    return list(enumerate(raptorq.Encoder.with_defaults(data, size).get_encoded_packets(repairs(k))))


def raptorq_decode(symbols: list[tuple[int, bytes]], k: int, size: int) -> bytes | None:
    """k symbols do nearly always."""
    decoder = raptorq.Decoder.with_defaults(k * size, size)
    for _, packet in symbols:
        if (data := decoder.decode(packet)) is not None:
            return data
    return None


def timed(work: Callable[[], object], seconds: float = 0.4) -> float:
    """Seconds of processor time that it takes, the median."""
    took, end = [], time.process_time() + seconds
    while time.process_time() < end or len(took) < 3:
        start = time.process_time()
        work()
        took.append(time.process_time() - start)
    return statistics.median(took)


def overhead(code: Code, data: bytes, k: int, size: int, rng: random.Random) -> tuple[float, float]:
    """Symbols sent over k, as a share of k, and rounds of repair; means over many generations."""
    sent, rounds = [], []
    for _ in range(ROUNDS):
        symbols = code.encode(data, k, size)
        have: list[list[tuple[int, bytes]]] = [
            [one for one in symbols[:k] if rng.random() >= LOSS] for _ in range(RECEIVERS)
        ]
        at, turn = k, 0
        while True:
            lacking = [k - len(got) for got in have]
            for number, got in enumerate(have):
                if lacking[number] <= 0 and code.decode(got, k, size) is None:
                    lacking[number] = 1
            most = max(lacking)
            if most <= 0:
                break
            turn += 1
            for one in symbols[at : at + most]:
                for got in have:
                    if rng.random() >= LOSS:
                        got.append(one)
            at += most
        sent.append(at / k - 1)
        rounds.append(turn)
    return statistics.mean(sent), statistics.mean(rounds)


def measure(code: Code, k: int, size: int) -> str:
    """One line of the table."""
    rng = random.Random(1)
    data = rng.randbytes(k * size)
    mb = len(data) / 1e6
    symbols = code.encode(data, k, size)
    lost = math.ceil(k * LOSS)
    few = symbols[lost : k + lost]
    encode, decode = timed(lambda: code.encode(data, k, size)), timed(lambda: code.decode(few, k, size))
    assert code.decode(symbols[lost : k + lost + 3], k, size) == data
    whole = timed(lambda: code.decode(symbols[:k], k, size))
    share, rounds = overhead(code, data, k, size, rng)
    return (
        f"| {code.name} | {k} | {size} | {repairs(k)} | "
        f"{encode * 1e3:.2f} ms, {mb / encode:.0f} MB/s | {decode * 1e3:.2f} ms, {mb / decode:.0f} MB/s | "
        f"{whole * 1e3:.2f} ms | {share:.1%} | {rounds:.1f} |"
    )


def main() -> None:
    """Print the table."""
    print("| code | k | symbol | repair made | encode | decode, 5 % lost | decode, none lost | sent over k | rounds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    codes = [Code("zfec", zfec_encode, zfec_decode)]
    if raptorq is not None:
        codes.append(Code("raptorq", raptorq_encode, raptorq_decode))
    for size in (1440, 8936):
        for k in (32, 192, 1024):
            for code in codes:
                if k <= 192 or code.name != "zfec":
                    print(measure(code, k, size), flush=True)


main()
