"""MIR-1K: which clips validate, so that no backing track of theirs is trained on."""

from __future__ import annotations

from collections.abc import Iterable

SINGERS = (
    *("Ani", "Kenshin", "amy", "annar", "bobon", "davidson", "fdps", "geniusturtle", "heycat", "jmzen", "khair"),
    *("leon", "tammy", "titon", "yifen"),
)
# Songs, as `<singer>_<song>`, that are sung to the same backing track.
SHARED_TRACKS = (
    ("Kenshin_5", "davidson_3", "fdps_3", "leon_2"),
    ("Ani_2", "fdps_2", "geniusturtle_4"),
    ("amy_6", "leon_5"),
    ("amy_7", "yifen_2"),
    ("annar_2", "heycat_1"),
    ("annar_4", "fdps_4"),
    ("bobon_3", "leon_1", "tammy_1"),
    ("davidson_2", "fdps_5"),
    ("heycat_4", "titon_1"),
    ("khair_5", "leon_3"),
)


def singer_groups(singers: Iterable[str], shared_tracks: Iterable[Iterable[str]]) -> tuple[frozenset[str], ...]:
    """Singers who are linked by backing tracks, directly or through others.

    Args:
        singers: all of them.
        shared_tracks: songs with the same backing track, as `<singer>_<song>`.

    Returns:
        The groups, the largest first; a singer who shares no track is a group of one.
    """
    groups = [frozenset([singer]) for singer in singers]
    for songs in shared_tracks:
        sharing = {singer_of(song) for song in songs}
        linked = [group for group in groups if group & sharing]
        groups = [group for group in groups if not group & sharing] + [frozenset().union(*linked)]
    return tuple(sorted(groups, key=lambda group: (-len(group), min(group))))


def singer_of(clip: str) -> str:
    """The singer of a clip or song, `<singer>_<song>` or `<singer>_<song>_<clip>`."""
    return clip.split("_")[0]


SINGER_GROUPS = singer_groups(SINGERS, SHARED_TRACKS)
# The largest group is trained on. It links all singers but jmzen.
VALIDATION_SINGERS = frozenset().union(*SINGER_GROUPS[1:])


def split_of(clip: str) -> str:
    """The split of a clip.

    Args:
        clip: its name, `<singer>_<song>_<clip>`.

    Returns:
        "validation" for clips of `VALIDATION_SINGERS`, "train" for others.
    """
    return "validation" if singer_of(clip) in VALIDATION_SINGERS else "train"


__all__ = ["SINGER_GROUPS", "VALIDATION_SINGERS", "split_of"]
