"""`gateway link absence PERSON CONTACT`: the signed link by which a family contact announces absences and sees how it is."""

import argparse

from gateway import register_files
from gateway.config import Config
from gateway.core.register import Person, Register
from gateway.errors import GatewayError
from gateway.responder_page.service import family_link as links
from gateway.responder_page.service import links_of


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `link` to the commands."""
    parser = subparsers.add_parser("link", help="make the signed link of a family contact; give it to that person alone")
    parser.add_argument("what", choices=["absence"])
    parser.add_argument("person", help="id as in persons.csv")
    parser.add_argument("contact", type=int, help="place in the person's list of contacts: 1 for the first")
    parser.add_argument("--config", default="config/gateway.toml", help="default: config/gateway.toml")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the link. It works while the contact stays as it is and consent stands."""
    config, register = register_files.read_all(args.config)
    print(family_link(config, register, args.person, args.contact))
    return 0


def family_link(config: Config, register: Register, person_id: str, contact: int) -> str:
    """The link; contact counts from 1. Raises GatewayError with the remedy."""
    page = config.responder_page
    if not page.is_on:
        raise GatewayError(f"{config.path}: there is no responder page; write responder_page.listen (docs/guide/responder-page.md)")
    person = register.persons.get(person_id)
    if person is None:
        raise GatewayError(f"persons.csv: there is no person {person_id!r}")
    made = links(links_of(page, config.folder), page.family_valid_s, person, _place(config, person, contact))
    if made is None:
        raise GatewayError(f"persons.csv: the id {person.id[:20]!r}… is too long for a link")
    return made[0]


def _place(config: Config, person: Person, contact: int) -> int:
    file = config.district_folder / "contacts.csv"
    if not 1 <= contact <= len(person.contacts):
        raise GatewayError(f"{file}: {person.id} has {len(person.contacts)} contacts; name one of them by its place, 1 for the first")
    if not person.contacts[contact - 1].consent_on:
        raise GatewayError(f"{file}: contact {contact} of {person.id} has no consent_on; write the day on which it was agreed what they are told")
    return contact - 1
