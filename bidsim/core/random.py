"""Counter-based random numbers: a draw is a pure function of (seed, named stream, ids).

Nothing here has a state, so results do not depend on the order of calls, on chunk sizes or on threads,
and adding a consumer never shifts another's draws. The mixer is SplitMix64's finaliser
(Steele, Lea and Flood, OOPSLA 2014; constants of Stafford's variant 13).
"""

from __future__ import annotations

import hashlib

import numba
import numpy as np

from bidsim.core.kernel import kernel

_A = np.uint64(0x9E3779B97F4A7C15)
_B = np.uint64(0xD1B54A32D192ED03)
_C = np.uint64(0x8CB92BA72F3D8DD7)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_UNIT = 2.0**-53


def stream_key(seed: int, name: str) -> np.uint64:
    """Key of a named stream: 64 bits of SHA-256 over the seed and the name."""
    return np.uint64(int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little"))


def name_id(name: str) -> int:
    """Identify a name by 63 bits of its hash, so that a campaign keeps its dice whatever else is in the scenario."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") >> 1


def campaign_id(name: str) -> int:
    """Identify a campaign, whose dice go by this whatever its place among others."""
    return name_id(f"campaign/{name}")


@kernel()
def mix(z: np.uint64) -> np.uint64:
    """Scramble 64 bits one-to-one."""
    z = (z ^ (z >> _S30)) * _M1
    z = (z ^ (z >> _S27)) * _M2
    return z ^ (z >> _S31)


@kernel()
def _converted(a: int) -> np.uint64:
    return np.uint64(a)


def _wrapped(a: int) -> np.uint64:
    """As compiled code converts: Python's own refuses negative numbers."""
    return np.uint64(int(a) & 0xFFFF_FFFF_FFFF_FFFF)


_word = _wrapped if numba.config.DISABLE_JIT else _converted


@kernel()
def draw(key: np.uint64, a: int, b: int, c: int) -> np.uint64:
    """64 random bits for up to three ids in a stream."""
    z = mix(key + _word(a) * _A + _B)
    return mix((z ^ (_word(b) * _B)) + _word(c) * _C)


@kernel()
def unit(bits: np.uint64) -> float:
    """Map 64 random bits to a float64 in [0, 1)."""
    return np.float64(bits >> _S11) * _UNIT


@kernel()
def uniform(key: np.uint64, a: int, b: int, c: int) -> float:
    """Draw uniformly from [0, 1) for up to three ids in a stream."""
    return unit(draw(key, a, b, c))


@kernel()
def uniform_open(key: np.uint64, a: int, b: int, c: int) -> float:
    """Draw uniformly from the open interval (0, 1), safe for logarithms and quantiles."""
    return (np.float64(draw(key, a, b, c) >> _S11) + 0.5) * _UNIT
