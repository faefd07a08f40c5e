"""A template cannot get out of its language: known ways out of template engines, huge texts and endless loops are refused.

Each is a mistake of the file, told when it is read; reading the worst takes a fifth of a second of processor time and 64 MB
at most, which a process of its own is held to.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import pytest

from worker.dispatch.letters import Templates
from worker.lib import assets
from worker.lib.problems import Problems

ESCAPES: Final = [
    # to the classes of Python, and from there to everything
    "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ n.__class__ }}", "{{ n['__class__'] }}", "{{ ().__class__.__base__ }}",
    "{{ n|attr('__class__') }}", "{{ n|attr('__cl' ~ 'ass__') }}", "{{ n|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "{{ [n]|map(attribute='__class__')|list }}", "{{ [n]|map('attr', '__class__')|first }}", "{{ {}.__init__.__globals__ }}",
    # by the names that Jinja brings along
    "{{ self.__init__.__globals__.__builtins__ }}", "{{ self._TemplateReference__context }}", "{{ cycler.__init__.__globals__.os }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}", "{{ joiner.__init__ }}", "{{ namespace.__init__.__globals__ }}",
    "{{ namespace(a=1).a }}", "{{ lipsum(n=100000) }}", "{{ dict.mro() }}", "{{ loop }}", "{{ varargs }}", "{{ caller() }}",
    "{{ config }}", "{{ request.application.__globals__ }}", "{{ get_flashed_messages.__globals__ }}", "{{ url_for.__globals__ }}",
    "{{ range.__class__ }}", "{{ __builtins__ }}", "{{ __import__('os').system('id') }}", "{{ open('/etc/passwd').read() }}",
    # by formatting (CVE-2016-10745, CVE-2019-10906, CVE-2024-56326, CVE-2025-27516)
    "{{ '{0.__class__}'.format(n) }}", "{{ '{x.__class__}'.format_map({'x': n}) }}", "{{ '%(a)s'|format(a=n) }}",
    "{{ ['{0.__class__}']|map('format', n)|list }}", "{{ (n|attr('format'))(n) }}", "{% set f = '{}'.format %}{{ f(n) }}",
    "{{ n.format.__self__ }}", "{{ '{0.__class__}' % n }}", "{{ n|xmlattr }}", "{{ {'a\\nb': n}|xmlattr }}",
    # by statements
    "{% include '/etc/passwd' %}", "{% import 'os' as os %}", "{% from 'os' import system %}", "{% extends n %}", "{% extends 'a' %}",
    "{% block a %}{% endblock %}", "{% with a = n.__class__ %}{{ a }}{% endwith %}", "{% filter upper %}x{% endfilter %}",
    "{% call n() %}{% endcall %}", "{% autoescape false %}{{ n }}{% endautoescape %}", "{% do n.a() %}", "{% debug %}",
    # by values that are no texts, and by letters that look like others
    "{{ n|safe }}", "{{ '<script>'|safe }}", "{{ none.__class__ }}", "{{ true.__class__ }}", "{{ 1.0.__class__ }}", "{{ n() }}",
    "{{ ｎ }}", "{{ n\u200b }}", "{{ n｜safe }}", "{{ n.ｆormat }}", "{{ п }}", "{{ n if n else n.__class__ }}", "{{ n is string }}",
    "{{ n[0] }}", "{{ n, n }}", "{{ [n] }}", "{{ {'a': n} }}", "{{ -n }}", "{{ n == n }}", "{{ 'x' }}",
    "{% if n.__class__ %}x{% endif %}", "{% if n|attr('x') %}x{% endif %}", "{% if n is defined %}x{% endif %}",
    "{% if n in n.__class__ %}x{% endif %}", "{% if n < n() %}x{% endif %}", "{% if [n] %}x{% endif %}", "{% if n == none %}x{% endif %}",
    "{% if n in [n.x] %}x{% endif %}", "{% if n %}{{ n.x }}{% endif %}", "{% if n %}x{% elif n.x %}y{% else %}{{ n|e }}{% endif %}",
]  # fmt: skip

HUGE: Final = [
    "{{ 'a' * 10**9 }}", "{{ n * 1000000000 }}", "{{ 10**10**10 }}", "{{ 'a' * 10**5 * 10**5 }}", "{{ '%1000000000s'|format(n) }}",
    "{{ '%1000000000s' % n }}", "{{ '{:>1000000000}'.format(n) }}", "{{ n|center(1000000000) }}", "{{ n|indent(1000000000) }}",
    "{{ range(10**9)|list }}", "{{ range(10**9)|join }}", "{{ [0] * 10**9 }}", "{{ (n ~ n) ~ (n ~ n) }}", "{{ n ~ n ~ n }}",
    "{{ n|replace('', n) }}", "{{ n.join(n) }}", "{{ n.zfill(1000000000) }}", "{{ n.ljust(10**9) }}", "{{ lipsum(100000) }}",
    "{{ n|wordwrap(1) }}", "{{ n|batch(10**9, n)|list }}", "{{ 1 << 10**10 }}", "{{ 9999999999 ** 9999999999 }}",
    "{% set a = n %}" + "{% set a = a ~ a %}" * 40 + "{{ a }}", "{% set a = 'a' * 10**9 %}", "{% if 'a' * 10**9 %}x{% endif %}",
    "{% if n in 'a' * 10**9 %}x{% endif %}", "{% if n == 10**10**10 %}x{% endif %}",
    "{{ " + "9" * 9_000 + " }}", "{% if n < " + "9" * 5_000 + " %}x{% endif %}", "{% if n < 1e999 %}x{% endif %}",
    "{{ " + "(" * 4_000 + "n" + ")" * 4_000 + " }}", "{% if " + "not " * 2_400 + "n %}x{% endif %}", "{% if n %}" * 900,
    "{% if n %}" * 450 + "{% endif %}" * 450, "{% if n %}{% elif n %}" * 300 + "{% endif %}", "{{ n" + "+n" * 4_900 + " }}",
    "{{ n" + ".n" * 4_900 + " }}", "{{ n" + "|e" * 4_900 + " }}", "{{ n" + "[n]" * 3_000 + " }}", "{% if n" + " and n" * 1_600 + " %}{% endif %}",
    "{% if n" + " < n" * 2_000 + " %}{% endif %}", "{% if n in " + "[" * 4_000 + "]" * 4_000 + " %}{% endif %}",
    "{{" * 4_900, "{%" * 4_900, "{#" * 4_900, "{% raw %}" * 1_000, "x" * 10_000_000, "{{ n }}" * 1_000_000,
    "{% if n %}x{% endif %}" * 400, "{{ '" + "a" * 9_000 + "' }}",
]  # fmt: skip

ENDLESS: Final = [
    "{% for a in range(10**9) %}{% endfor %}", "{% for a in range(10**5) %}{% for b in range(10**5) %}{% endfor %}{% endfor %}",
    "{% for a in n recursive %}{{ loop(n) }}{% endfor %}", "{% for a in n %}{{ a }}{% endfor %}", "{% for a in cycler(n) %}{% endfor %}",
    "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "{% macro a(x) %}{{ a(x ~ x) }}{% endmacro %}{{ a(n) }}",
    "{{ self.body() }}{% block body %}{{ self.body() }}{% endblock %}", "{% include 'a.md' %}", "{% extends 'a.md' %}",
    "{% set ns = namespace(x=n) %}{% for a in range(9**9) %}{% set ns.x = ns.x ~ n %}{% endfor %}",
    "{% for a in [n] %}{% for b in [n, n] %}{% endfor %}{% endfor %}", "{% call(x) n() %}{{ caller(x) }}{% endcall %}",
    "{{ range(10**9)|sum }}", "{{ range(10**9)|map('string')|list }}", "{{ range(10**9)|random }}", "{{ n|groupby(n) }}",
    "{% while true %}{% endwhile %}", "{% for a in loop %}{% endfor %}", "{{ range(10**9)[-1] }}", "{{ 10**9 in range(10**9) }}",
    "{% if range(10**9)|list %}x{% endif %}", "{{ n|urlize }}", "{{ n|striptags }}", "{{ n|truncate }}",
]  # fmt: skip

OURS: Final = assets.folder("templates") / "email"
HEAD: Final = '+++\nsubject = "Hello"\npurpose = "service"\nneeds = ["n"]\n+++\n'


def test_there_are_enough_of_them() -> None:
    assert len(set(ESCAPES)) >= 40
    assert len(set(HUGE + ENDLESS)) >= 40


@pytest.mark.parametrize("text", [*ESCAPES, *HUGE, *ENDLESS], ids=range(len(ESCAPES + HUGE + ENDLESS)))
def test_no_template_gets_out_of_its_language(tmp_path: Path, text: str) -> None:
    with pytest.raises(Problems) as caught:
        read(tmp_path, text)

    for problem in caught.value.problems:
        assert problem.file == "a.md"
        assert problem.line > 0
        assert problem.message
        assert problem.cure
        assert len(str(problem)) < 400


@pytest.mark.parametrize("text", ESCAPES, ids=range(len(ESCAPES)))
def test_neither_does_a_subject_or_a_layout(tmp_path: Path, text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    (tmp_path / "a.md").write_text(HEAD.replace("Hello", quoted) + "x", "utf-8")
    layout = (OURS / "layout.mjml").read_text("utf-8").replace("{{ body }}", "{{ body }} " + text)
    (tmp_path / "layout.mjml").write_text(layout, "utf-8")

    with pytest.raises(Problems) as caught:
        Templates([OURS, tmp_path])

    assert {problem.file for problem in caught.value.problems} == {"a.md", "layout.mjml"}


def read(folder: Path, text: str) -> None:
    """Read a folder with one template. Raises Problems."""
    (folder / "a.md").write_text(HEAD + text, "utf-8")
    Templates([OURS, folder])


@pytest.mark.skipif(sys.platform == "win32", reason="only POSIX can hold a process to so much time and memory")
def test_the_worst_ends_within_a_fifth_of_a_second_and_64_megabytes() -> None:
    code = "from tests.dispatch.test_letter_escapes import held_to; held_to()"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr[-2_000:]
    assert done.stdout == f"{len(ESCAPES + HUGE + ENDLESS)} refused\n"


def held_to() -> None:
    """Read each in this process, which ends where one takes more than 200 ms of the processor, or 64 MB."""
    import resource
    import signal

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        read(folder, "{{ n }}")  # what is loaded once is no template's fault
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0]) if sys.platform == "linux" else 0
        if pages:
            most = pages * resource.getpagesize() + 64 * 1024 * 1024
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        refused = 0
        for text in [*ESCAPES, *HUGE, *ENDLESS]:
            (folder / "a.md").write_text(HEAD + text, "utf-8")
            signal.setitimer(signal.ITIMER_PROF, 0.2)  # SIGPROF ends the process
            try:
                Templates([OURS, folder])
            except Problems:
                refused += 1
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
    sys.stdout.write(f"{refused} refused\n")
