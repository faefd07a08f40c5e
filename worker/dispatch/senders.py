"""Whether mailbox providers will believe that our mails are ours: the sender rules of Gmail, Yahoo and Microsoft.

- Gmail, support.google.com/mail/answer/81126 (since February 2024): SPF and DKIM, DMARC with the From domain aligned, keys
  of 1,024 bits and more, one-click unsubscribe, and fewer than 0.3 % complaints. Yahoo, senders.yahooinc.com: the same.
- Microsoft, for Outlook.com (since May 2025): SPF, DKIM and DMARC; else 550 5.7.515.

Pure but for the resolver that is handed in. What could not be asked is never a pass.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Final

from worker.lib.dns import NotAsked, Resolver

MOST_LOOKUPS: Final = 10
"""RFC 7208 §4.6.4: a record that needs more is a permanent error, the same as none."""
LEAST_BITS, ADVISED_BITS = 1024, 2048
"""Of an RSA key: Gmail takes no shorter one, and advises the longer."""

INCLUDES: Final[Mapping[str, str]] = {"postmark": "spf.mtasv.net", "ses": "amazonses.com"}
"""What the services that we know want to be included (their documentation of custom return paths)."""
WITH_OWN_RETURN_PATH: Final = frozenset({"smtp", "console"})
"""The mailers by which a mail goes back to the From address where it cannot be delivered."""

_ALL: Final = "Gmail, Yahoo and Microsoft want it"
_NOT_OURS: Final = frozenset({
    "gmail.com", "googlemail.com", "yahoo.com", "ymail.com", "aol.com", "outlook.com", "hotmail.com", "live.com",
    "msn.com", "icloud.com", "me.com", "gmx.de", "gmx.net", "web.de", "proton.me",
})  # fmt: skip
"""Domains at which everybody has a mailbox: nobody but their keeper can sign for them."""


@dataclass(frozen=True, slots=True)
class Sender:
    """What the workspace's settings say of who writes, and by which way."""

    address: str
    """The From address."""
    reply_to: str
    postal_address: str
    public_url: str
    mailer: str
    """The integration that sends."""
    spf_include: Sequence[str] = ()
    dkim_selectors: Sequence[str] = ()
    dkim_domain: str = ""
    """The d= of the signatures; "" for the From domain."""
    return_path: str = ""
    """The domain to which undeliverable mails go back (the one whose SPF record counts); "" for the mailer's own way."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not in order."""

    about: str
    """SPF, DKIM, DMARC …"""
    what: str
    why: str = ""
    """Which mailbox provider or rule wants it."""
    add: str = ""
    """The very record to add, or what to write."""
    needed: bool = True
    """False for advice: mails arrive without it too."""
    asked: bool = True
    """False where the name system gave no answer, so that nobody knows."""

    def __str__(self) -> str:
        """One line for people."""
        why, add = f" ({self.why})" if self.why else "", f" → {self.add}" if self.add else ""
        return f"{self.about}: {self.what}{why}{add}"


@dataclass
class Looked:
    """What was found about one sender."""

    fine: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    vouching: set[str] = field(default_factory=set)
    """Which of SPF and DKIM hold."""

    @property
    def missing(self) -> list[Finding]:
        """What mails need and do not have."""
        return [one for one in self.findings if one.needed and one.asked]

    @property
    def advice(self) -> list[Finding]:
        """What would be better."""
        return [one for one in self.findings if not one.needed and one.asked]

    @property
    def not_asked(self) -> list[Finding]:
        """What nobody knows, since the name system did not answer."""
        return [one for one in self.findings if not one.asked]


def look(sender: Sender, resolver: Resolver) -> Looked:
    """Hold a sender against the rules. Asks each name once."""
    looked, asked = Looked(), _Remembering(resolver)
    domain = _domain_of(sender.address)
    _of_the_mail(sender, looked)
    if not domain:
        looked.findings.append(Finding("From", "no sender_address is set", _ALL, 'write sender_address = "…"'))
        return looked
    if domain in _NOT_OURS:
        what = f"{domain} belongs to a mailbox provider, and mails in its name that it did not send are held for forged"
        looked.findings.append(Finding("From", what, _ALL, "write from an address at a domain of your own"))
        return looked
    parts: tuple[tuple[str, Callable[[Sender, str, Resolver, Looked], None]], ...] = (
        ("SPF", _spf), ("DKIM", _dkim), ("DMARC", _dmarc), ("Reply-To", _replies),
    )  # fmt: skip
    for about, part in parts:
        try:
            part(sender, domain, asked, looked)
        except NotAsked as unknown:
            looked.findings.append(Finding(about, f"could not be asked: {unknown}", asked=False))
    return looked


def _domain_of(address: str) -> str:
    return address.rpartition("@")[2].strip().rstrip(".").lower() if "@" in address else ""


class _Remembering:
    """A resolver that asks each question once."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._answers: dict[tuple[str, str], list[str] | NotAsked] = {}

    def txt(self, name: str) -> list[str]:
        return self._once("txt", name, self._resolver.txt)

    def mx(self, name: str) -> list[str]:
        return self._once("mx", name, self._resolver.mx)

    def addresses(self, name: str) -> list[str]:
        return self._once("addresses", name, self._resolver.addresses)

    def _once(self, kind: str, name: str, ask: Callable[[str], list[str]]) -> list[str]:
        key = (kind, name.lower())
        if key not in self._answers:
            try:
                self._answers[key] = ask(name)
            except NotAsked as unknown:
                self._answers[key] = unknown
        answer = self._answers[key]
        if isinstance(answer, NotAsked):
            raise answer
        return answer


# -- what the mail itself needs ---------------------------------------------------------------------------------------


def _of_the_mail(sender: Sender, looked: Looked) -> None:
    if sender.public_url.startswith("https://"):
        looked.fine.append(f"one-click unsubscribe leads to {sender.public_url}")
    else:
        what = f"public_url is {sender.public_url}, and one-click unsubscribe goes to https alone"
        looked.findings.append(
            Finding("unsubscribe", what, "RFC 8058; Gmail and Yahoo want it", 'write public_url = "https://…"')
        )
    if not sender.postal_address.strip():
        why = "CAN-SPAM and its like want it in every mail"
        looked.findings.append(Finding("postal address", "is not set", why, 'write postal_address = "…"'))


def _replies(sender: Sender, domain: str, resolver: Resolver, looked: Looked) -> None:
    """Whether an answer can arrive: an MX, or an address where there is none (RFC 5321 §5.1)."""
    address = sender.reply_to or sender.address
    where = _domain_of(address)
    hosts = resolver.mx(where) if where else []
    if "" in hosts or not (hosts or (where and resolver.addresses(where))):
        what = f"{address or 'nothing'} takes no mail, so nobody can answer"
        why = "Microsoft wants an address that takes replies"
        looked.findings.append(Finding("Reply-To", what, why, f"{where or domain} MX 10 <your mail server>"))
    else:
        looked.fine.append(f"answers to {address} can arrive")


# -- SPF (RFC 7208) ---------------------------------------------------------------------------------------------------

_DIRECTIVE: Final = re.compile(
    r"([+?~-]?)(all|include|a|mx|ptr|ip4|ip6|exists)((?::[^\s/]+)?)((?:/[\d/]+)?)", re.IGNORECASE
)
_IP: Final = re.compile(r"([+?~-]?)ip([46]):(\S+)", re.IGNORECASE)
_MODIFIER: Final = re.compile(r"([a-z][a-z0-9_.-]*)=(\S*)", re.IGNORECASE)


@dataclass
class Spf:
    """What an SPF record comes to, its includes followed."""

    lookups: int = 0
    """How often a receiver may have to ask; counted no further than one too many."""
    includes: list[str] = field(default_factory=list)
    """The domains whose records it takes in, directly or not."""
    faults: list[str] = field(default_factory=list)
    anyone: str = ""
    """The domain whose record lets the whole world send, "" for none."""
    last: str = ""
    """How the record itself ends: `-all`, `~all`, `?all`, `+all`, "" where nothing is said."""


def spf_records(domain: str, resolver: Resolver) -> list[str]:
    """The SPF records of a domain; there must be no second one (RFC 7208 §4.5)."""
    return [one for one in resolver.txt(domain) if one.lower() == "v=spf1" or one.lower().startswith("v=spf1 ")]


def read_spf(domain: str, record: str, resolver: Resolver) -> Spf:
    """Follow a record through what it includes. Raises NotAsked."""
    found = Spf()
    found.last = _walk(domain, record, resolver, found)
    return found


def _walk(domain: str, record: str, resolver: Resolver, found: Spf) -> str:
    """One record; gives how it ends. What stands behind `all` is never read (RFC 7208 §5.1)."""
    redirect = ""
    for term in record.split()[1:]:
        if ip := _IP.fullmatch(term):
            _network(domain, ip, found)
            continue
        if modifier := _MODIFIER.fullmatch(term):
            if modifier[1].lower() == "redirect":
                redirect = modifier[2]
            continue
        directive = _DIRECTIVE.fullmatch(term)
        if directive is None or bool(directive[3]) < (directive[2].lower() in {"include", "exists", "ip4", "ip6"}):
            found.faults.append(f"{term!r} in the record of {domain} is no term of SPF")
            continue
        sign, name, value = directive[1] or "+", directive[2].lower(), directive[3][1:]
        if name == "all":
            if sign == "+":
                found.anyone = domain
            return f"{sign}all"
        found.lookups += 1  # include, a, mx, ptr, exists
        if name == "include":
            before = found.anyone
            _follow(value, f"{domain} includes {value}", resolver, found)
            if sign != "+":
                found.anyone = before
        if found.lookups > MOST_LOOKUPS:
            return ""
    if not redirect:
        return ""
    found.lookups += 1
    return _follow(redirect, f"{domain} redirects to {redirect}", resolver, found)


def _network(domain: str, term: re.Match[str], found: Spf) -> None:
    try:
        network = ip_network(term[3], strict=False)
        if str(network.version) != term[2]:
            raise ValueError(term[0])
        if network.prefixlen == 0 and term[1] in ("", "+"):
            found.anyone = domain
    except ValueError:
        found.faults.append(f"{term[0]!r} in the record of {domain} names no network")


def _follow(target: str, saying: str, resolver: Resolver, found: Spf) -> str:
    """The record of another domain. One that depends on the single mail (a macro) cannot be followed."""
    if found.lookups > MOST_LOOKUPS or "%" in target:
        return ""
    target = target.rstrip(".").lower()
    found.includes.append(target)
    records = spf_records(target, resolver)
    if len(records) != 1:
        found.faults.append(f"{saying}, which has {'no' if not records else len(records)} SPF records")
        return ""
    return _walk(target, records[0], resolver, found)


def _spf(sender: Sender, domain: str, resolver: Resolver, looked: Looked) -> None:
    where = (sender.return_path or domain).lower()
    wanted = [one.lower() for one in sender.spf_include]
    known = INCLUDES.get(sender.mailer, "")
    add = " ".join(f"include:{one}" for one in wanted or [known or "<what your mail service names>"])
    records = spf_records(where, resolver)
    if not records:
        looked.findings.append(
            Finding("SPF", f"{where} has no SPF record", _ALL, f'{where} TXT "v=spf1 {add} ~all"')
        )  # fmt: skip
        return
    if len(records) > 1:
        what = f"{where} has {len(records)} SPF records, which counts as none"
        looked.findings.append(Finding("SPF", what, "RFC 7208 §4.5", "make one record of them"))
        return
    record, found, faults = records[0], read_spf(where, records[0], resolver), len(looked.missing)
    for fault in found.faults:
        looked.findings.append(
            Finding("SPF", f"{fault}, which makes all of it void", "RFC 7208 §4.6", "mend that term")
        )
    if found.lookups > MOST_LOOKUPS:
        what = f"the record of {where} takes more than {MOST_LOOKUPS} lookups, which makes it void"
        looked.findings.append(Finding("SPF", what, "RFC 7208 §4.6.4", "take out includes that send nothing for you"))
    if found.anyone:
        what = f"the record of {found.anyone} lets anybody send in your name"
        cure = _ending(record, "~all") if found.anyone == where else f"take out include:{found.anyone}"
        looked.findings.append(Finding("SPF", what, "a record that permits all proves nothing", cure))
    for one in wanted:
        if one not in found.includes and found.lookups <= MOST_LOOKUPS:
            what = f"the record of {where} does not include {one}, by which your mails leave"
            looked.findings.append(Finding("SPF", what, _ALL, f'{where} TXT "{_including(record, one)}"'))
    if known and known not in (*wanted, *found.includes):
        what = f"the record of {where} does not include {known}"
        why = f"{sender.mailer} asks for it where the domain is no alias of its own"
        looked.findings.append(Finding("SPF", what, why, f'{where} TXT "{_including(record, known)}"', needed=False))
    if not found.last or found.last == "?all":
        what = f"the record of {where} says nothing of all other servers"
        looked.findings.append(Finding("SPF", what, "", _ending(record, "~all"), needed=False))
    if len(looked.missing) == faults:
        looked.vouching.add("SPF")
        looked.fine.append(f"SPF of {where}: one record, {found.lookups} of {MOST_LOOKUPS} lookups")


def _including(record: str, domain: str) -> str:
    """The record with one more include, before what says of all others."""
    terms = record.split()
    place = next(
        (at for at, one in enumerate(terms) if re.fullmatch(r"[+?~-]?all|redirect=.*", one, re.IGNORECASE)), len(terms)
    )
    return " ".join([*terms[:place], f"include:{domain}", *terms[place:]])


def _ending(record: str, last: str) -> str:
    kept = [one for one in record.split() if not re.fullmatch(r"[+?~-]?all", one, re.IGNORECASE)]
    return f'TXT "{" ".join([*kept, last])}"'


# -- DKIM (RFC 6376) --------------------------------------------------------------------------------------------------


def tags_of(record: str) -> dict[str, str]:
    """A tag list (RFC 6376 §3.2): {name: value}, white space around both gone; the first of a name counts."""
    found: dict[str, str] = {}
    for part in record.split(";"):
        name, sign, value = part.partition("=")
        if sign:
            found.setdefault(name.strip().lower(), value.strip())
    return found


def rsa_bits(key: bytes) -> int:
    """How long an RSA public key is, from its DER (SubjectPublicKeyInfo, or PKCS #1's RSAPublicKey). Raises ValueError."""
    inside, _ = _der(key, 0x30)
    if inside[:1] == b"\x30":  # the algorithm, and the key in a bit string
        _, rest = _der(inside, 0x30)
        bits, _ = _der(rest, 0x03)
        inside, _ = _der(bits[1:], 0x30)
    modulus, _ = _der(inside, 0x02)
    return int.from_bytes(modulus, "big").bit_length()


def _der(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the first element, which must have this tag, and what follows it."""
    if len(data) < 2 or data[0] != tag:
        raise ValueError("is no RSA key")
    size, at = data[1], 2
    if size & 0x80:
        at = 2 + (size & 0x7F)
        size = int.from_bytes(data[2:at], "big")
    if len(data) < at + size:
        raise ValueError("is cut off")
    return data[at : at + size], data[at + size :]


def _dkim(sender: Sender, domain: str, resolver: Resolver, looked: Looked) -> None:
    where = (sender.dkim_domain or domain).lower()
    if not sender.dkim_selectors:
        what = "nobody has said which key signs the mails, so it cannot be looked for"
        cure = 'write dkim_selectors = ["…"]: the s= of DKIM-Signature in a mail that you sent'
        looked.findings.append(Finding("DKIM", what, _ALL, cure))
    for selector in sender.dkim_selectors:
        name = f"{selector}._domainkey.{where}"
        records = resolver.txt(name)
        if not records:
            add = f'{name} TXT "v=DKIM1; k=rsa; p=<the key that your mail service shows>"'
            looked.findings.append(Finding("DKIM", f"there is no key at {name}", _ALL, add))
            continue
        _key(name, tags_of(records[0]), looked)


def _key(name: str, tags: Mapping[str, str], looked: Looked) -> None:
    """One key record (RFC 6376 §3.6.1)."""

    def wrong(what: str, cure: str, *, needed: bool = True) -> None:
        looked.findings.append(Finding("DKIM", f"the key at {name} {what}", _ALL, cure, needed=needed))

    kind = tags.get("k", "rsa").lower()
    if tags.get("v", "DKIM1") != "DKIM1" or "p" not in tags:
        wrong("is no key record", f'{name} TXT "v=DKIM1; k=rsa; p=…"')
    elif not tags["p"]:
        wrong("has been revoked (p is empty)", "name the selector that signs now in dkim_selectors")
    elif kind == "ed25519":
        wrong("is an Ed25519 key, which not everybody can check", "sign with an RSA key as well", needed=False)
        looked.vouching.add("DKIM")
        looked.fine.append(f"DKIM: {name} holds an Ed25519 key")
    elif kind != "rsa":
        wrong(f"is of the unknown kind {kind!r}", f'{name} TXT "v=DKIM1; k=rsa; p=…"')
    else:
        try:
            bits = rsa_bits(base64.b64decode("".join(tags["p"].split()), validate=True))
        except (ValueError, binascii.Error) as error:
            wrong(f"cannot be read: {error}", f'{name} TXT "v=DKIM1; k=rsa; p=…"')
            return
        if bits < LEAST_BITS:
            wrong(f"has {bits} bits, too few to be believed", f"make a new key of {ADVISED_BITS} bits")
            return
        if bits < ADVISED_BITS:
            wrong(f"has {bits} bits", f"Gmail advises {ADVISED_BITS}", needed=False)
        if "y" in tags.get("t", "").split(":"):
            wrong("says that it is only being tried (t=y)", "take t=y out", needed=False)
        looked.vouching.add("DKIM")
        looked.fine.append(f"DKIM: {name} holds an RSA key of {bits} bits")


# -- DMARC (RFC 9989, which replaces RFC 7489 and RFC 9091) -----------------------------------------------------------


def _steps(domain: str) -> Iterator[str]:
    """The names of the tree walk, from a domain upwards: at most eight (RFC 9989 §4.10)."""
    labels = domain.split(".")
    yield domain
    for size in range(min(len(labels) - 1, 7), 0, -1):
        yield ".".join(labels[-size:])


def dmarc_record(domain: str, resolver: Resolver) -> dict[str, str] | None:
    """The tags of a domain's own record; None where there is none, or several, which counts the same."""
    found = [tags for one in resolver.txt(f"_dmarc.{domain}") if (tags := tags_of(one)).get("v") == "DMARC1"
             and one.lstrip().lower().startswith("v")]  # fmt: skip
    return found[0] if len(found) == 1 else None


def organisational(domain: str, resolver: Resolver) -> str:
    """The domain that stands for the whole organisation, by the tree walk: no list of public suffixes is needed.

    Where nobody up the tree has a record, it is the domain itself. Raises NotAsked.
    """
    highest = domain
    for name in _steps(domain):
        tags = dmarc_record(name, resolver)
        if tags is None:
            continue
        kind = tags.get("psd", "u").lower()
        if kind == "y" and name != domain:  # a registry's: the organisation begins one label below
            return ".".join(domain.split(".")[-len(name.split(".")) - 1 :])
        highest = name
        if kind in ("n", "y"):
            break
    return highest


def aligned(one: str, other: str, mode: str, resolver: Resolver) -> bool:
    """Whether two domains count as one: equal where strict (`s`), of one organisation where relaxed (RFC 9989 §4.4)."""
    if one == other:
        return True
    return mode != "s" and organisational(one, resolver) == organisational(other, resolver)


def _dmarc(sender: Sender, domain: str, resolver: Resolver, looked: Looked) -> None:
    where, tags = domain, dmarc_record(domain, resolver)
    if tags is None:
        where = organisational(domain, resolver)
        tags = dmarc_record(where, resolver)
    add = f'_dmarc.{where} TXT "v=DMARC1; p=none; rua=mailto:dmarc@{where}"'
    if tags is None:
        several = len([one for one in resolver.txt(f"_dmarc.{domain}") if tags_of(one).get("v") == "DMARC1"])
        what = f"neither {domain} nor a domain above it has a DMARC record"
        if several > 1:
            what, add = f"{domain} has {several} DMARC records, which counts as none", "make one record of them"
        looked.findings.append(Finding("DMARC", what, _ALL, add))
        tags = {}
    else:
        policy = tags.get("p", "").lower()
        if policy not in ("none", "quarantine", "reject"):
            what = f"the record of {where} has no policy that is known (p={tags.get('p', '')})"
            looked.findings.append(Finding("DMARC", what, "Gmail and Yahoo want at least p=none", add))
        else:
            looked.fine.append(f"DMARC of {where}: p={policy}")
        if "rua" not in tags:
            what = f"the record of {where} asks for no reports, so nobody hears of forged mails"
            looked.findings.append(Finding("DMARC", what, "", f"add rua=mailto:dmarc@{where}", needed=False))
    _alignment(sender, domain, tags, resolver, looked)


def _alignment(sender: Sender, domain: str, tags: Mapping[str, str], resolver: Resolver, looked: Looked) -> None:
    """SPF or DKIM must hold, and for the domain that people see."""
    signs = (sender.dkim_domain or domain).lower() if "DKIM" in looked.vouching else ""
    back = sender.return_path.lower() or (domain if sender.mailer in WITH_OWN_RETURN_PATH else "")
    back = back if "SPF" in looked.vouching else ""
    if signs and aligned(signs, domain, tags.get("adkim", "r").lower(), resolver):
        looked.fine.append(f"alignment: signatures of {signs} speak for {domain}")
    elif back and aligned(back, domain, tags.get("aspf", "r").lower(), resolver):
        looked.fine.append(f"alignment: SPF of {back} speaks for {domain}")
    elif unknown := sorted({one.about for one in looked.not_asked} & {"SPF", "DKIM"}):
        what = f"nobody knows whether {' or '.join(unknown)} speaks for {domain}"
        looked.findings.append(Finding("alignment", what, asked=False))
    else:
        other = [f"{what} of {whose}" for what, whose in (("signatures", signs), ("SPF", back)) if whose]
        instead = f"; {' and '.join(other)} speak for another domain" if other else ""
        what = f"neither SPF nor DKIM speaks for {domain}, which people see as the sender{instead}"
        cure = f"let your mail service sign with d={domain}, and name its selector in dkim_selectors"
        looked.findings.append(Finding("alignment", what, _ALL, cure))
