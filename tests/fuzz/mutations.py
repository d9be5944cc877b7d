"""Damage to files: of bytes, of numbers in headers, of lengths, of JSON; the same for the same generator."""

import copy
import json
import random
import struct

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
        _damage(damaged, generator, others)
    if damaged[:4] == b"OggS" and generator.random() < 0.7:
        correct_ogg_checksums(damaged)
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
    ends = (generator.randrange(min(len(data), HEADER_BYTES) or 1), max(0, len(data) - generator.randint(1, 1000)))
    return generator.choice((*ends, generator.randrange(len(data) or 1)))


DAMAGES = (
    *("flip a bit", "flip a bit", "random bytes", "odd number", "odd number", "odd number"),
    *("fill", "truncate", "remove", "repeat", "splice", "append"),
)


def _damage(data: bytearray, generator: random.Random, others: list[bytes]) -> None:
    how, at = generator.choice(DAMAGES), _position(data, generator)
    if how == "flip a bit" and data:
        data[min(at, len(data) - 1)] ^= 1 << generator.randrange(8)
    elif how == "random bytes":
        size = generator.choice((1, 2, 4, 16, 100))
        data[at : at + size] = generator.randbytes(size)
    elif how == "odd number":
        number = generator.choice((*ODD_NUMBERS, len(data), generator.getrandbits(32)))
        size, order = generator.choice((1, 2, 3, 4, 8)), generator.choice(("little", "big"))
        data[at : at + size] = (number % 256**size).to_bytes(size, order)
    elif how == "fill":
        size = len(data[at : at + generator.choice((4, 64, 1000))])
        data[at : at + size] = bytes([generator.choice((0, 255))]) * size
    elif how == "truncate":
        del data[at:]
    elif how == "remove":
        del data[at : at + generator.choice((1, 4, 50, 1000))]
    elif how == "repeat":
        data[at:at] = data[at : at + generator.choice((4, 50, 1000))] * generator.choice((1, 2, 30))
    elif how == "splice":
        other, size = generator.choice(others), generator.choice((8, 200, 4000))
        start = generator.randrange(len(other))
        data[at : at + generator.choice((0, size))] = other[start : start + size]
    elif how == "append":
        data += generator.choice((generator.randbytes(300), bytes(3000), generator.choice(others)))


def _eight_bits_on(checksum: int) -> int:
    for _ in range(8):
        checksum = checksum << 1 & 0xFFFF_FFFF ^ (0x04C1_1DB7 if checksum & 0x8000_0000 else 0)
    return checksum


OGG_TABLE = [_eight_bits_on(byte << 24) for byte in range(256)]


def correct_ogg_checksums(data: bytearray) -> None:
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
