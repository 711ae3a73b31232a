"""Which profiles a `mapping` line has: finds their files, reads them, and refuses the faulty ones alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from drivers.contract import Surroundings
from drivers.lines.broker import BrokerOptions, check_options
from drivers.mqtt.mapping import MappingCodec, Refused
from drivers.mqtt.profile import MAX_PROFILE, Problem, Profile, read_profile
from drivers.mqtt.profile_tests import run_tests
from drivers.mqtt.value import read_zone
from gateway.config import LineConfig
from gateway.wrong_value import did_you_mean

SHIPPED = Path(__file__).parent / "mqtt" / "profiles"
OWN = "mappings"  # folder of an operator's own profiles, beside gateway.toml
MAX_PROFILES = 64  # on one line; we ship about a dozen


class MappingOptions(BrokerOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `[line.options]` may hold for a mapping line, beside what every broker line may.

    mappings    profiles, in this order: a bare name is mappings/NAME.toml beside gateway.toml, else ours; a path is that file
    parameters  profile name -> what to put in place of its own parameters, for instance { zigbee2mqtt = { base = "z2m" } }
    zone        of times without a zone, in place of the profiles' own: UTC, +08:00, Asia/Shanghai
    topics      subscription filters in place of those that the profiles need
    """

    mappings: tuple[str, ...] = ()
    parameters: dict[str, dict[str, str]] = {}
    zone: str = ""


class Loaded(NamedTuple):
    """One entry of `mappings`: its profile, or why there is none."""

    name: str
    file: str
    profile: Profile | None
    problems: Sequence[Problem]

    def told(self) -> list[str]:
        return [problem.told(self.file) for problem in self.problems]


def profile_file(name: str) -> Path:
    """The file that a name means: a path as it stands, else mappings/NAME.toml here, else the one that we ship. It may not exist."""
    if name.endswith(".toml") or "/" in name:
        return Path(name)
    own, shipped = Path(OWN) / f"{name}.toml", SHIPPED / f"{name}.toml"
    return own if _is_file(own) or not _is_file(shipped) else shipped


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or with a NUL
        return False


def load_profile(name: str, parameters: dict[str, str] | None = None, zone: str = "", own: Path = Path(OWN)) -> Loaded:
    """Read, compile and test one profile. own: the folder whose profiles are named too when this one is missing."""
    path = profile_file(name)
    file = str(path)
    try:
        with path.open("rb") as opened:
            text = opened.read(MAX_PROFILE + 1).decode()
    except UnicodeDecodeError as error:
        return Loaded(name, file, None, [Problem(1, "", f"is not UTF-8 at byte {error.start}; save it as UTF-8")])
    except (OSError, ValueError) as error:
        there = dict.fromkeys((*(one.stem for one in sorted(own.glob("*.toml"))), *shipped_names()))
        remedy = did_you_mean(path.stem, there).replace("known here: ", "use one of ")
        return Loaded(name, file, None, [Problem(1, "", f"cannot be read ({getattr(error, 'strerror', None) or error}); write the file; {remedy}")])
    profile, problems = read_profile(text, file, parameters, zone or None)
    if profile is not None and profile.name != path.stem:
        what = f"{profile.name!r} is not the name of its file; write {path.stem!r}, or call the file {profile.name}.toml"
        return Loaded(name, file, None, [Problem(profile.lines.line(("name",)), "name", what)])
    if profile is not None:
        # The samples speak of the profile as it is in the file, whatever a line puts in place of its parameters.
        plain = profile if not parameters and not zone else read_profile(text, file)[0]
        problems = run_tests(plain) if plain is not None else []
    return Loaded(name, file, None if problems else profile, problems)


def load_profiles(options: MappingOptions) -> list[Loaded]:
    """All profiles of a line, in order."""
    loaded = []
    seen: set[str] = set()
    for name in options.mappings[:MAX_PROFILES]:
        own_name = Path(name).stem
        one = load_profile(name, options.parameters.get(own_name), options.zone)
        if one.profile is not None and one.profile.name in seen:
            line = one.profile.lines.line(("name",))
            fault = Problem(line, "name", f"{one.profile.name!r} is the name of an earlier profile; give it its own")
            one = Loaded(name, one.file, None, [fault])
        if one.profile is not None:
            seen.add(one.profile.name)
        loaded.append(one)
    return loaded


def build_codec(options: MappingOptions, place: Surroundings) -> MappingCodec:
    """The codec of a line: with the profiles that can be used, and word of those that cannot."""
    loaded = load_profiles(options)
    refused = [Refused(Path(one.name).stem, one.told()[0]) for one in loaded if one.profile is None]
    return MappingCodec([one.profile for one in loaded if one.profile is not None], place, refused, options.topics)


def check_mapping(config: LineConfig, options: MappingOptions) -> list[str]:
    """What keeps the line from being built. Faulty profiles do not: they are refused alone (`inspect_mapping`)."""
    problems = check_options(config, msgspec.structs.replace(options, topics=()))
    if not options.mappings:
        problems.append(f"options.mappings: is missing; write a list of profiles, for instance {list(shipped_names())[:2]}")
    if len(options.mappings) > MAX_PROFILES:
        problems.append(f"options.mappings: has {len(options.mappings)} profiles; at most {MAX_PROFILES}")
    try:
        if options.zone:
            read_zone(options.zone)
    except ValueError as error:
        problems.append(f"options.{error}")
    stems = {Path(name).stem for name in options.mappings}
    problems += [f"options.parameters: {name} is not among mappings; correct the name" for name in options.parameters if name not in stems]
    return problems


def inspect_mapping(_config: LineConfig, options: MappingOptions) -> list[str]:
    """Faults of the profiles themselves, each with its file and line: what `gateway check` tells beyond `check_mapping`."""
    return [problem for one in load_profiles(options) for problem in one.told()]


def shipped_names() -> Iterator[str]:
    """The profiles that come with the gateway."""
    return (path.stem for path in sorted(SHIPPED.glob("*.toml")))
