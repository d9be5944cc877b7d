"""Damage to files: of bytes, of numbers in headers, of lengths, of JSON; the same for the same generator."""

from __future__ import annotations

import copy
import json
import random
import struct
from collections.abc import Callable

ODD_NUMBERS = (0, 1, 2, 7, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)
ODD_VALUES = (
    *(None, True, False, 0, -1, 1, 2, 3, 4, 1.5, -0.0, 1e308, float("nan"), float("inf"), 2**31, 2**63, 10**30),
    *("", "0", "vocals", "../../x", "\x00", "\ud800", "a" * 10_000, "CON", "unet_svs", "bert", "F16", "I64", "BOOL"),
    *([], {}, [[]], ["vocals", "vocals"], [1] * 100, ["x"] * 50, {"a": {"b": []}}, [-1], [2**62], [0, 2**63]),
)
HEADER_BYTES = 400


def mutate(data: bytes, generator: random.Random, others: list[bytes]) -> bytes:
    """Damages a file in one to six places."""
    damaged = bytearray(data)
    for _ in range(generator.choice((1, 1, 1, 2, 3, 6))):
        generator.choice(DAMAGES)(damaged, generator, others)
    if damaged[:4] == b"OggS" and generator.random() < 0.7:
        _correct_ogg_checksums(damaged)
    return bytes(damaged)


def mutate_json(data: bytes, generator: random.Random, others: list[bytes]) -> bytes:
    """Damages a JSON file's values, or its bytes."""
    if generator.random() < 0.25:
        return mutate(data, generator, others)
    document = json.loads(data)
    for _ in range(generator.choice((1, 1, 1, 2, 4))):
        document = _changed(document, generator)
    return json.dumps(document).encode()


def mutate_safetensors(data: bytes, generator: random.Random, others: list[bytes]) -> bytes:
    """Damages a safetensors file's header or its bytes."""
    if generator.random() < 0.4:
        return mutate(data, generator, others)
    size = int.from_bytes(data[:8], "little")
    header = mutate_json(data[8 : 8 + size], generator, others)
    size = generator.choice((len(header), len(header), len(header), len(header) - 1, 2**40, 2**63, 0))
    return struct.pack("<Q", size) + header + data[8 + int.from_bytes(data[:8], "little") :]


def _changed(document: object, generator: random.Random) -> object:
    if not isinstance(document, (dict, list)) or not document or generator.random() < 0.02:
        return generator.choice(ODD_VALUES)
    document = copy.deepcopy(document)
    owner, key = generator.choice(list(_places(document)))
    how = generator.random()
    value = owner[key]
    if how < 0.15:
        del owner[key]
    elif how < 0.4 and isinstance(value, int) and not isinstance(value, bool):
        owner[key] = generator.choice((-value, value + 1, value - 1, value * 2, value * 1000, value * 10**9))
    elif how < 0.5 and isinstance(value, list):
        owner[key] = value * generator.choice((0, 2, 20))
    else:
        owner[key] = copy.deepcopy(generator.choice(ODD_VALUES))
    return document


def _places(document: object):
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(items):
        yield document, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


def _position(data: bytearray, generator: random.Random) -> int:
    """Anywhere, at the beginning where headers are, or at the end where indices are."""
    near = min(len(data), HEADER_BYTES)
    return generator.choice(
        (generator.randrange(near or 1), max(0, len(data) - generator.randint(1, 1000)), _anywhere(data, generator))
    )


def _anywhere(data: bytearray, generator: random.Random) -> int:
    return generator.randrange(len(data) or 1)


def _flip_bit(data: bytearray, generator: random.Random, others: list[bytes]) -> None:
    if data:
        data[min(_position(data, generator), len(data) - 1)] ^= 1 << generator.randrange(8)


def _random_bytes(data: bytearray, generator: random.Random, others: list[bytes]) -> None:
    position, size = _position(data, generator), generator.choice((1, 2, 4, 16, 100))
    data[position : position + size] = generator.randbytes(size)


def _odd_number(data: bytearray, generator: random.Random, others: list[bytes]) -> None:
    number = generator.choice((*ODD_NUMBERS, len(data), generator.getrandbits(32)))
    size, order = generator.choice((1, 2, 3, 4, 8)), generator.choice(("little", "big"))
    position = _position(data, generator)
    data[position : position + size] = (number % 256**size).to_bytes(size, order)


def _fill(data: bytearray, generator: random.Random, others: list[bytes]) -> None:
    position, size = _position(data, generator), generator.choice((4, 64, 1000))
    data[position : position + size] = bytes([generator.choice((0, 255))]) * len(data[position : position + size])


def _truncate(data: bytearray, generator: random.Random, others: list[bytes]) -> None:
    del data[_position(data, generator) :]


def _remove(data: bytearray, generator: random.Random, others: list[bytes]) -> None:
    position = _position(data, generator)
    del data[position : position + generator.choice((1, 4, 50, 1000))]


def _repeat(data: bytearray, generator: random.Random, others: list[bytes]) -> None:
    position, size = _position(data, generator), generator.choice((4, 50, 1000))
    data[position:position] = data[position : position + size] * generator.choice((1, 2, 30))


def _splice(data: bytearray, generator: random.Random, others: list[bytes]) -> None:
    other = generator.choice(others)
    position, start, size = (
        _position(data, generator),
        generator.randrange(len(other)),
        generator.choice((8, 200, 4000)),
    )
    data[position : position + generator.choice((0, size))] = other[start : start + size]


def _append(data: bytearray, generator: random.Random, others: list[bytes]) -> None:
    data += generator.choice((generator.randbytes(300), bytes(3000), generator.choice(others)))


DAMAGES: tuple[Callable[[bytearray, random.Random, list[bytes]], None], ...] = (
    *(_flip_bit, _flip_bit, _random_bytes, _odd_number, _odd_number, _odd_number),
    *(_fill, _truncate, _remove, _repeat, _splice, _append),
)


def _ogg_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C1_1DB7 if value & 0x8000_0000 else 0)) & 0xFFFF_FFFF
        table.append(value)
    return table


OGG_TABLE = _ogg_table()


def _correct_ogg_checksums(data: bytearray) -> None:
    """Damage that a checksum tells would go no further than that."""
    position = data.find(b"OggS")
    while position >= 0 and position + 27 <= len(data):
        num_segments = data[position + 26]
        end = position + 27 + num_segments + sum(data[position + 27 : position + 27 + num_segments])
        data[position + 22 : position + 26] = bytes(4)
        checksum = 0
        for byte in data[position:end]:
            checksum = (checksum << 8 & 0xFFFF_FFFF) ^ OGG_TABLE[checksum >> 24 ^ byte]
        data[position + 22 : position + 26] = checksum.to_bytes(4, "little")
        position = data.find(b"OggS", position + 4)
