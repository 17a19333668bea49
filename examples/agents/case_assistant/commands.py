"""The commands, who may give which, and how a line becomes one. Not here: what they do (`groupagents`)."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

from .memory import check_client


class CommandError(Exception):
    """A command that cannot be carried out as it was given."""


class RefusedError(CommandError):
    """A command that this person may not give."""


class Role(StrEnum):
    """What somebody is in the office."""

    CLIENT = "client"
    PARALEGAL = "paralegal"
    LAWYER = "lawyer"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who gives a command. Whoever makes one has made sure that it is true: here nobody is asked for a password."""

    user_id: str
    role: Role


@dataclass(frozen=True, slots=True)
class Command:
    """A command and its arguments, not checked yet."""

    name: str
    arguments: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Spec:
    """What a command needs: the roles that may give it, and its arguments. ``of_client``: it is about one client."""

    about: str
    roles: frozenset[Role]
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    of_client: bool = True


_EVERYBODY = frozenset(Role)
_TEAM = frozenset({Role.PARALEGAL, Role.LAWYER})
_STAFF = _TEAM | {Role.ADMIN}

COMMANDS: dict[str, Spec] = {
    "help": Spec("lists the commands that you may give", _EVERYBODY, of_client=False),
    "create_case": Spec("opens a case", _STAFF, ("case", "title"), ("summary",)),
    "update_case": Spec("changes a case at a version", _TEAM, ("case", "version"), ("title", "status", "summary")),
    "get_case": Spec("shows a case", _EVERYBODY, ("case",)),
    "search_cases": Spec("finds cases of a client", _EVERYBODY, (), ("query",)),
    "add_note": Spec("keeps a note; visible=yes shows it to the client", _TEAM, ("case", "text"), ("visible",)),
    "recall": Spec("finds what is known", _TEAM | {Role.CLIENT}, ("query",), ("case",)),
    "history": Spec("shows every version of a case", _STAFF, ("case",)),
    "message": Spec("takes a message and learns from it", _TEAM | {Role.CLIENT}, ("case", "text")),
    "audit": Spec("shows the last commands", frozenset({Role.ADMIN}), (), ("limit",), of_client=False),
}


def read_command(line: str) -> Command:
    """A command from a line such as ``create_case client=anna case=o1a title="Petition O-1A"``."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise CommandError(f"command: expected name key=value …, found a fault: {error}") from error
    if not words:
        raise CommandError("command: expected name key=value …, found nothing")
    arguments: dict[str, str] = {}
    for position, word in enumerate(words[1:], 1):
        key, equals, value = word.partition("=")
        if not equals or key in arguments:
            # The word itself may be what somebody said about a client, and errors are audited.
            found = f"{key[:80]} twice" if equals else f"word {position} without ="
            raise CommandError(f"{words[0][:80]}: expected each argument once as key=value, found {found}")
        arguments[key] = value
    return Command(words[0], arguments)


def allowed(command: Command, actor: Actor) -> tuple[Spec, dict[str, str]]:
    """What a command needs, and its arguments with the client filled in, if this person may give it.

    The role decides before anything else, so that a refusal tells nothing about what the command would have found.
    """
    spec = COMMANDS.get(command.name)
    if spec is None:
        raise CommandError(f"command: expected one of {', '.join(COMMANDS)}, found {command.name[:80]!r}")
    if actor.role not in spec.roles:
        roles = ", ".join(role for role in Role if role in spec.roles)
        raise RefusedError(f"{command.name}: expected one of the roles {roles}, found {actor.role}")
    arguments = dict(command.arguments)
    if spec.of_client and actor.role is Role.CLIENT and arguments.setdefault("client", actor.user_id) != actor.user_id:
        raise RefusedError(f"{command.name}: expected your own id as client, found another one")
    _check(command.name, spec, arguments)
    return spec, arguments


def _check(name: str, spec: Spec, arguments: Mapping[str, str]) -> None:
    needs = ("client", *spec.needs) if spec.of_client else spec.needs
    missing = [key for key in needs if not arguments.get(key, "").strip()]
    if missing:
        raise CommandError(f"{name}: expected {', '.join(missing)}, found none")
    unknown = [key for key in arguments if key not in (*needs, *spec.takes)]
    if unknown:
        _wrong(name, f"only {', '.join((*needs, *spec.takes)) or 'no arguments'}", unknown[0])
    if spec.of_client:
        check_client(arguments["client"])


def number(name: str, key: str, text: str, *, most: int) -> int:
    """An argument that is a number from 0 to ``most``."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) <= most):
        _wrong(f"{name}.{key}", f"a number from 0 to {most}", text)
    return int(text)


def yes_or_no(name: str, key: str, text: str) -> bool:
    """An argument that is ``yes`` or ``no``."""
    if text not in ("yes", "no"):
        _wrong(f"{name}.{key}", "yes or no", text)
    return text == "yes"


def _wrong(place: str, expected: str, found: str) -> NoReturn:
    raise CommandError(f"{place}: expected {expected}, found {found[:80]!r}")
