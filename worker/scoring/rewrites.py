"""What people write first, and our one spelling of it: for the cures of sentences that are not understood.

A rewriting changes no meaning. It is only ever suggested where the sentence is understood after it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Final

from worker.facts import KINDS, Shape
from worker.scoring.wording import kind_words

Rewrite = Callable[[str], str]

Pair = tuple[str, str | Callable[[re.Match[str]], str]]
"""A pattern, and what its match becomes."""

_NUMBERS: Final = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]

_UNIT: Final = r"(?:days?|weeks?|months?|quarters?|years?)"

_LABEL: Final = r"""(?:"[^"]*"|[^\W\d]\w*(?:-\w+)*)"""

_LABELLED: Final = rf"(?: (?:not )?labelled {_LABEL}(?: or {_LABEL})*)?"


def _first(found: re.Match[str]) -> str:
    return f"age < {found[1] or '1 '}{found[2]}"


def _sunk(found: re.Match[str]) -> str:
    return f"{found[1]} {'<' if 'more than' in found[0] else '<='} {100 - int(found[2])}%"


_ANYWHERE: Final = (
    (r"[“”]", '"'),
    (r"[‘’]", "'"),
    (r"≥", ">="),
    (r"≤", "<="),
    (r"≠", "!="),
    (r"→|=>(?= ?\d)", "->"),
    (r"(\d) ?(?:percent|per cent)\b", r"\1%"),
    (r"\.$", ""),
)

_WINDOWS: Final = (
    (r"\bfortnight\b", "2 weeks"),
    (r"\byesterday\b", "from 2 to 1 days ago"),
    (r"\bin the last 24 hours\b", "in the last day"),
    (r"\b(?:in|within|over|during|for) (\d+ (?:days?|weeks?|months?|years?))\b", r"in the last \1"),
    (
        r"\b(?:in |over |during |within |for |on )?(?:the )?(?:last|past|previous|trailing) (\d+) ?(\w+)",
        r"in the last \1 \2",
    ),
    (r"\b(?:in|over|during|within|for) (?:the )?(?:last|past) (day|week|month|year)\b", r"in the last \1"),
    (r"\b(?:in |during )?(?:the )?(?:last|past|previous) calendar (\w+)", r"in the previous calendar \1"),
    (r"(?<!in )(?:the )?(?<!same )(?:last|past) (day|week|month)\b", r"in the last \1"),
    (r"\b(?:in |during )?(?:this|the current) (week|month|quarter|year)\b", r"this calendar \1"),
    (rf"\b(?:from|between) (\d+) {_UNIT}(?: ago)? (?:to|and|until) (\d+) (\w+) ago", r"from \1 to \2 \3 ago"),
    (r"\b(?:from|between) (\d+) (?:and|until|-) (\d+) (\w+) ago", r"from \1 to \2 \3 ago"),
    (r"\b(?:of all time|since ever|so far|all time|since the beginning|at any time)\b", "ever"),
    (r"\b(?:at the moment|right now|currently|at present|today)\b", "now"),
    (r"\b(?:each|every|a|by|/) (day|week|month)\b", r"per \1"),
    (r" ?/ ?(day|week|month)\b", r" per \1"),
    (r"\b(?:skipping|ignoring|excluding|leaving out) (?:the )?empty\b", "without empty"),
    (r",? (?:with )?(?:a )?half-life (?:of )?(\d+ \w+)", r", halving every \1"),
    (r"(?<!,) (halving every|losing)\b", r", \1"),
    (
        r"\b(?:in )?(?:the )?same (month|quarter) (?:of |in )?(?:the )?(?:last|previous) year\b",
        r"in the same \1 last year",
    ),
    (r"\b(?:in )?last year'?s same (month|quarter)\b", r"in the same \1 last year"),
    (r"\b(?:in )?(?:the )?same (month|quarter) (?:a|one|1) year (?:ago|earlier|before)\b", r"in the same \1 last year"),
)

_LABELS: Final = (
    (r"\blabeled\b", "labelled"),
    (r"\bwithout (?:the )?(?:label|type|priority)\b", "not labelled"),
    (r"\blabelled (?:as|with|by)\b", "labelled"),
    (r"\b(?:with|having|of) (?:the )?(?:label|type|priority)\b", "labelled"),
    (r"\b(?:where|whose) (?:the )?(?:label|type|priority) (?:is|=) (not )?", r"\1labelled "),
    (r"\b(?:tagged|marked)(?: as| with)?\b", "labelled"),
    (
        r",? ?\b(?:except|excluding|ignoring|but not|other than|without|apart from)(?: those)? (?:labelled )?",
        " not labelled ",
    ),
    (r"\bnot labelled (?:as|with)\b", "not labelled"),
    (r"\blabelled not (?!labelled)", "not labelled "),
    (r", (?=not labelled|labelled)", " "),
    (rf"\bnow,? ((?:not )?labelled {_LABEL}(?: or {_LABEL})*)", r"\1 now"),
    (rf"({_LABEL}), (now|in the last|ever)\b", r"\1 \2"),
    (rf"(labelled {_LABEL}), (?={_LABEL}(?:,| or| and) )", r"\1 or "),
    (rf"(labelled {_LABEL}(?: or {_LABEL})*),? and ({_LABEL})(?= now| in| ever)", r"\1 or \2"),
    (r"\bopen non-(\w+) tickets\b", r"open tickets not labelled \1"),
)

_READS: Final = (
    (r"^(?:the|a|an) ", ""),
    (r"\be-?mails\b", "mails"),
    (r"\b(?:revenue|spend|spending|turnover)\b", "payments"),
    (r"\baverage order value\b", "average payment"),
    (r"\baverage (?:first )?(?:response|reply) time\b", "average first reply"),
    (r"\b(?:overdue|open|late) invoices\b|\binvoices overdue\b", "unpaid invoices"),
    (r"\bdowngrades\b", 'plan changes labelled "down"'),
    (r"\bupgrades\b", 'plan changes labelled "up"'),
    (r"^number of features(?: used)?\b|\bdifferent features(?: used)?\b", "number of different labels of usage"),
    (r"^(?:the )?(?:last |latest )?nps(?: score| answer| rating)?$", "latest nps answer"),
    (r"^days (?:to|till|until|before) (?:the )?(?!attribute)(\w+)$", r"days until attribute \1"),
    (r"^(\w+) date$", r"days until attribute \1"),
    (r"^(?:tenure|customer age) in (\w+)$", r"age in \1"),
    (r"\b(?:the )?(?:total number|count|amount) of\b|\bhow many\b|\bhow often\b|\bcount\b|# ?of\b", "number of"),
    (r"\b(?:the )?sum(?: of)?\b|\btotal (?:amount |sum )?of\b", "total"),
    (r"\b(?:the )?(?:mean|avg)(?: of)?\b|\baverage of\b", "average"),
    (r"\b(?:min|minimum|smallest|worst)(?: of)?\b(?! ?\()", "lowest"),
    (r"\b(?:max|maximum|largest|biggest|best)(?: of)?\b(?! ?\()", "highest"),
    (r"\b(?:most recent|newest|current)\b", "latest"),
    (r"^last (?!\d|day|week|month|year)", "latest "),
    (r"\b(?:earliest|oldest|very first)\b", "first"),
    (r"\b(?:number of )?(?:distinct |unique |different |active )?(day|week|month)s (?:of|with any|with a|with|on which there (?:was|were))\b", r"\1s with"),
    (r"\b(?:days|time) since (?:the )?(?:last |latest |most recent )?(?!the |attribute )", "days since the last "),
    (r"\b(?:different|distinct|unique) features(?: used)?\b", "different labels of usage"),
    (r"\b(?:distinct|unique)\b", "different"),
    (r"\b(?:trend|growth|change) of\b|\bslope in\b", "slope of"),
    (r"^(?:customer )?(?:age|tenure)(?: of (?:the )?customer)?$", "age in days"),
    (r"\b(?:the )?(?:property|field|custom field|customer's)\b", "attribute"),
    (r"\bz ?score\b", "z-score"),
    (r"\bpercentile rank of\b", "percentile of"),
)  # fmt: skip

_CONDITIONS: Final = (
    (r"^(?:if|when|where|only if|whenever) ", ""),
    (rf"^(?:(?:the )?(?:customer|account|they) )?(?:is |are )?(?:in|within|during) (?:the |their |its )?first (\d+ )?({_UNIT})$", _first),
    (rf"^(?:(?:the )?(?:customer|account|they) )?(?:is |are )?(?:younger|newer|less) than (\d+ {_UNIT})(?: old)?$", r"age < \1"),
    (rf"^(?:(?:the )?(?:customer|account|they) )?(?:is |are )?(?:older|more) than (\d+ {_UNIT})(?: old)?$", r"age > \1"),
    (rf"^(?:during |in )?(?:the |their |its )?first (\d+ )?({_UNIT})$", _first),
    (rf"^(?:a |the )?customer for (?:less|fewer) than (\d+ {_UNIT})$", r"age < \1"),
    (r"([<>]=?) (?:a|the|one|1)? ?(day|week|month|year)$", r"\1 1 \2"),
    (r"\b(?:in|for|of) less than (?:a|one) (day|week|month|year)$", r"age < 1 \1"),
    (r"^(?:everyone|everybody|all|all customers|anyone|customers)(?: those)?,? (?:except|but|without|unless|excluding|other than)(?: those| customers)?(?: with| where| whose| when| if)? (.+)$", r"not (\1)"),
    (r"\b(?:the |their |whose |customer |customer's )+(?!score\b|band\b|age\b|attribute\b|first\b|last\b|latest\b)(\w+) (is (?:not )?)(?=[\"\w])", r"attribute \1 \2"),
    (r"\b(attribute \w+) (?!is\b|in\b|not\b|and\b|or\b)(\"[^\"]*\"|[a-z]\w*)$", r"\1 is \2"),
    (r"\bnot (attribute \w+)$", r"\1 is not yes"),
    (r"^(attribute \w+)$", r"\1 is yes"),
    (r"^(\w+) is missing or (\w+)$", r"\1 is missing or \1 is \2"),
    (r"\b(attribute \w+) (is(?: not)?) (.+) or missing$", r"\1 \2 \3 or \1 is missing"),
    (r"^no (?:value for )?(\w+)$", r"\1 is missing"),
    (r"\b(attribute \S+|label of the latest [a-z ]+?) = (?=[\"a-z])", r"\1 is "),
    (r"(\w+) ([<>]=?) (\S+) and (?:is )?([<>]=?) ?(\S+)", r"\1 \2 \3 and \1 \4 \5"),
    (r"^unless (.+)$", r"not (\1)"),
    (r"\bif (.+?),? then (.+?),? else (.+)$", r"if(\1, \2, \3)"),
    (r"\.and\b|&&?", " and "),
    (r"\|\|?", " or "),
    (r"\b(?:but|as well as)\b", "and"),
    (r"==+", "="),
    (r"<>|=/=", "!="),
    (r"=<", "<="),
    (r"=>", ">="),
    (r"!(?!=)", "not "),
    (r"×", "*"),
    (r"÷", "/"),
    (r"(?<![\d,])(\d{1,3}),(\d{3}),(\d{3})(?![\d,])", r"\1\2\3"),
    (r"(?<![\d,])(\d{1,3}),(\d{3})(?![\d,])", r"\1\2"),
    (r"(\d),(\d{1,2})(?!\d)", r"\1.\2"),
    (r"(?<=[\s=<>])[$€£] ?(?=\d)", ""),
    (r"(\d)k\b", r"\g<1>000"),
    (r"\bis (not )?in \(", r"\1in ("),
    (r"\bis ((?:not )?[a-z]\w*), (?:or )?([a-z]\w*)$", r"is \1 or \2"),
    (r"\battribute (\w+) is (?:within|in) (?:the next )?(\d+) days$", r"days until attribute \1 <= \2"),
    (r"^(\w+) (?:is )?(?:in|within) (?:less than )?(?:the next )?(\d+) days$", r"days until attribute \1 <= \2"),
    (r"^(\w+) (?:has |is )?(?:dropped|fell|fallen|decreased|declined|down) (?:by )?(?:more than )?(\d+)%$", _sunk),
    (r"^(\w+) (?:drops?|falls?|sinks?|goes|went) (?:to )?(?=below|under|less|above|over|more)", r"\1 "),
    (r"\bdivided by\b", "/"),
    (r"\bplus\b", "+"),
    (r"\bminus\b", "-"),
    (r"\btimes\b|(?<=\w) x (?=\w)", "*"),
    (r"\b(?:coalesce|ifnull|default) ?\((\w+), ([^,()]+)\)", r"if(\1 is missing, \2, \1)"),
    (r"\b(?:average|avg|mean) ?\(([^,()]+), ([^,()]+), ([^,()]+)\)", r"(\1 + \2 + \3) / 3"),
    (r"\b(?:avg|mean) ?\(([^,()]+), ([^,()]+)\)", r"(\1 + \2) / 2"),
    (r"\bsum ?\(([^,()]+), ([^,()]+)\)", r"(\1 + \2)"),
    (r"^(.+) if (.+) else (.+)$", r"if(\2, \1, \3)"),
    (r"\bisn't\b|\bis no\b|\bare not\b|\bis not equal to\b", "is not"),
    (r"\b(?:colour|color|band|status) (?:is|=|are) (?:at least|>=)? ?(\w+) or (?:above|up|higher|better)\b", r"band is \1 or better"),
    (r"\b(?:colour|color|band|status) (?:is|=|are) (\w+) or (?:below|lower|worse)\b", r"band is \1 or worse"),
    (r"\b(?:colour|color|band|status) (?:is )?(?:at least|>=) (\w+)\b", r"band is \1 or better"),
    (r"\b(?:colour|color|band|status) (?:is )?(?:at most|<=) (\w+)\b", r"band is \1 or worse"),
    (r"\b(?:colour|color|band|status) !=", "band is not"),
    (r"\b(?:colour|color|band|status) =", "band is"),
    (r"\b(?:colour|color|status) is\b", "band is"),
    (r"\b(?:is |are |was )?(?:null|none|unknown|not known|empty|blank|not set|not given|not there|never given|never seen|never|n/a)$", "is missing"),
    (r"\b(?:is|are|has) (?:null|none|unknown|not known|empty|blank|not set|not given|no value)\b", "is missing"),
    (r"\b(?:has no value|does not exist|doesn't exist|missing)\b(?<!is missing)(?<!not missing)", "is missing"),
    (r"\b(?:is known|is set|is given|is present|is there|has a value|exists)\b", "is not missing"),
    (r"(\w+) (?:is )?between (\S+) and (\S+)", r"\1 >= \2 and \1 <= \3"),
    (r"\b(?:is )?(?:=|>=)? ?(\d[\d.]*%?) (?:or|and) (?:more|up|higher|above|over|greater)\b", r">= \1"),
    (r"\b(?:is )?(?:=|<=)? ?(\d[\d.]*%?) (?:or|and) (?:less|fewer|lower|below|under|smaller)\b", r"<= \1"),
    (r"\b(?:is |are )?(?:at least|no less than|not less than|not below|not under|a minimum of)\b", ">="),
    (r"\b(?:is |are )?(?:at most|no more than|not more than|not above|not over|up to|a maximum of)\b", "<="),
    (r"\b(?:is |are )?(?:more|greater|higher|larger|bigger|older|longer) than or equal(?: to)?\b", ">="),
    (r"\b(?:is |are )?(?:less|lower|fewer|smaller|younger) than or equal(?: to)?\b", "<="),
    (r"\b(?:is |are )?(?:(?:more|greater|higher|larger|bigger|older|longer) than|above|over)\b|\bexceeds\b", ">"),
    (r"\b(?:is |are )?(?:(?:less|lower|fewer|smaller|younger|newer|shorter) than|below|under)\b", "<"),
    (r"\b(?:is |are )?equal to\b|\bequals\b", "="),
    (r"\bdoes not equal\b|\bdiffers from\b|\bis different from\b", "!="),
    (r"\b(?:is )?(?:one of|any of|either) ?\(?(.+?)\)?(?= and |$)", lambda found: "is " + re.sub(r", ?(?:or )?", " or ", found[1])),
    (r"(\w+) is not missing and (?:is )?([<>]=?) ?(\S+)", r"\1 is not missing and \1 \2 \3"),
    (r"\bare\b", "is"),
    (r"\b(?:the )?(?:health score|overall score|total score)\b|\bthe score\b", "score"),
    (r"\b(?:customer|account) age\b|\btenure\b|\bage of (?:the )?(?:customer|account)\b", "age"),
    (r"(\d+ (?:days?|weeks?|months?|years?)) old\b", r"\1"),
    (r"\baverage ?\(([^,()]+), ([^,()]+)\)", r"(\1 + \2) / 2"),
)  # fmt: skip

_STEPS: Final = (
    (r"^(?:if )?(?:the )?(?:value )?(?:is )?", ""),
    (r"- >", "->"),
    (r"^otherwise (?=[-\d\w])", "otherwise -> "),
    (r"^above (\S+) and up to", r"above \1 up to"),
    (r"^(-?[\d.]+%?) up ->", r"\1 and up ->"),
    (r"^(.+?) ?(?:=>|:|→|—>|-->|=(?=[^=]*$)|(?<!-)>(?=[^>]*$)(?<!^>)) ?(-?\w[\w ]*)$", r"\1 -> \2"),
    (r"^(?:<=|=<|no more than|at most|not more than|maximum|max) ?", "up to "),
    (r"^(?:<|less than|lower than|fewer than|under|smaller than) ?", "below "),
    (r"^(?:>=|=>|at least|minimum|min|from) ?(-?[\d.]+%?) ?->", r"\1 and up ->"),
    (r"^(?:>|more than|greater than|higher than|over) ?", "above "),
    (r"^(?:==?|exactly|equals|equal to|just|only) ?", ""),
    (r"^(-?[\d.]+%?) ?(?:\+|or more|or above|or higher|and more|and above|and higher|or up|upwards?) ?->", r"\1 and up ->"),
    (r"^(-?[\d.]+%?) ?(?:or less|or fewer|or below|or lower|and less|and fewer|and below|and lower|and under) ?->", r"up to \1 ->"),
    (r"^(?:between |from )?(-?[\d.]+%?) ?(?:-|–|\.\.|to|and|until|up to) ?(-?[\d.]+%?) ?->", r"from \1 to \2 ->"),
    (r"^(?:else|other|others|default|the rest|rest|anything else|everything else|all else|any other|all others|the others|any) ?->", "otherwise ->"),
    (r"-> ?(-?[\d.]+) ?(?:points?|pts|%)$", r"-> \1"),
    (r"-> ?(?:skip|ignore|ignored|none|nothing|null|n/a|no points|no opinion|left out|leave it out|not counted|missing|out)$", "-> leave out"),
    (r"^(?:zero|none|nothing|no) ->", "0 ->"),
    (r"(\d%?) (?!and\b|or\b|up\b|to\b|below\b)[a-z]+(?= ->| and | or )", r"\1"),
    (r"(\d) days?\b", r"\1"),
    (r"(\d), ?(?=-?\d)", r"\1 or "),
    (r", ?(?=[a-z\"])", " or "),
)  # fmt: skip

_SLIDES: Final = (
    (r" ?(?:=>|→|=|:|(?<!-)>) ?", " -> "),
    (r" ?(?:;| and | to |\|) ?(?=-?[\d.]+%? ?->)", ", "),
    (r"^from ", ""),
    (r"(-> -?[\d.]+) ?(?:points?|pts|%)", r"\1"),
    (r"(?<=\d)(?: days?)(?= ->)", ""),
    (r",? (?:outside|otherwise|else) ?(?:->)? ?(?:leave (?:it )?out|left out|nothing|none)$", ", outside leave out"),
)

_EDGES: Final = (
    (r"^(?:>=|at least|from|starts at|begins at|minimum) ?(\d[\d.]*)$", r"\1 and up"),
    (r"^(\d[\d.]*) ?(?:\+|or more|or above|or higher|or up|and above|and more|and higher|upwards?)$", r"\1 and up"),
    (r"^(?:from |between )?(\d[\d.]*) ?(?:-|–|to below|to|up to|and) ?\d[\d.]*$", r"\1 and up"),
    (r"^(?:>|more than|over|higher than|greater than) ?(\d[\d.]*)$", r"above \1"),
    (r"^(?:<|less than|under|lower than) ?(\d[\d.]*)$", r"below \1"),
    (r"^(\d[\d.]*)$", r"\1 and up"),
    (
        r"^(?:up to|to) (\d[\d.]*)$|^(\d[\d.]*) (?:and|or) (?:below|under|less|lower)$",
        lambda found: f"below {found[1] or found[2]}",
    ),
    (r" ?(?:points?|pts|%)$", ""),
)

_HOLDS: Final = (
    (r"^(?:immediately|instantly|now|right away|always|never wait|0 days)$", "at once"),
    (r"\b(?:a|one) (day|week|month)\b", r"1 \1"),
    (r"(\d+) weeks?", lambda found: f"{7 * int(found[1])} days"),
    (r"(\d+) months?", lambda found: f"{30 * int(found[1])} days"),
    (r"^(?:only |not )?(?:after |wait |waits? for |once )?(\d+) days?(?: later)?$", r"for \1 days"),
    (r"^(\d[\d.]*) points?$", r"\1 points past the line"),
    (r"^(\d[\d.]*) points? (?:for|and) (\d+) days?$", r"\1 points past the line for \2 days"),
    (r"^(\d[\d.]*) points? (?:over|beyond|above|below|across) (?:the )?(?:line|edge)", r"\1 points past the line"),
    (r"(\d+) weeks?", lambda found: f"{7 * int(found[1])} days"),
)

_SPANS: Final = (
    (r"^(?:a |one |1 )?fortnight$", "2 weeks"),
    (r"^(?:a|one|1) quarter$", "3 months"),
    (r"^(\d+) quarters$", lambda found: f"{3 * int(found[1])} months"),
    (r"^half a year$", "6 months"),
    (r"^(\d+)$", r"\1 days"),
    (r"^(?:a|the|their|its|the first|their first|first)? ?(day|week|month|year)$", r"1 \1"),
    (r"^(?:(?:the |their )?first|in the first|within) (\d+ \w+)$", r"\1"),
    (r"^(\d+) ?d$", r"\1 days"),
)

_SHARES: Final = (
    (r"^0?\.(\d\d?)$", lambda found: f"{int(found[1].ljust(2, '0'))}%"),
    (r"^(\d+)$", r"\1%"),
    (r"^(?:a |one )?half$", "50%"),
    (r"^(?:at least|less than|below|>=?|<=?) ?", ""),
)

_EXTENTS: Final = ((r"^(?:from )?(-?\d[\d.]*) ?(?:-|–|\.\.|until|and|to|up to) ?(-?\d[\d.]*)$", r"\1 to \2"),)

_CHOICES: Final = (
    (r"\.toml:? (?:if|for|where|only if)(?: customers)?(?: with)? ", ".toml when "),
    (r"^(?:otherwise|else|default):? (\S+\.toml)$", r"\1 otherwise"),
    (r"^(?:when|if) (.+?),?(?: then)?(?: use)?:? (\S+\.toml)$", r"\2 when \1"),
    (r"\.toml (?:else|default|for (?:all|everybody|everyone)(?: else)?|for the rest)$", ".toml otherwise"),
    (r"^(\S+\.toml)$", r"\1 otherwise"),
)

_AGAINST: Final = (
    (r"^(?:last|previous) year,? (?:the )?same (month|quarter)$", r"the same \1 last year"),
    (r"^(?:the )?same \d+ \w+ (?:last year|a year (?:ago|before|earlier))$", "the same time last year"),
    (r"^(?:the )?(?:in )?(?:the )?same (month|quarter) last year$", r"the same \1 last year"),
    (r"^(?:in )?the same (month|quarter) last year$", r"the same \1 last year"),
    (r"^(?:the )?(?:same )?(?:time|period|stretch|days|weeks)? ?(?:of |from |in )?(?:the )?(?:last year|a year ago|one year ago|previous year|year over year|yoy)$", "the same time last year"),
    (r"^(?:the )?(average|median)(?= among|$)", r"the portfolio's \1"),
    (r"\bwith same\b|\b(?:of|in) (?:the )?same\b", "with the same"),
    (r"^(?:the )?(average|median) (?:of|over|across) (?:the portfolio|all customers|everyone|everybody|all)$", r"the portfolio's \1"),
    (r"^(?:the )?(?:portfolio|overall|company) (average|median)$", r"the portfolio's \1"),
    (r"^all customers'? (average|median)$", r"the portfolio's \1"),
)  # fmt: skip


def _numbers_as_digits() -> list[tuple[str, str]]:
    return [(rf"\b{word}\b", str(number)) for number, word in enumerate(_NUMBERS)]


@cache
def _about_kinds() -> list[Pair]:
    """Rewritings that need the vocabulary: `admin logins`, `open critical tickets`, an open thing without “now”."""
    kinds = "|".join(sorted(map(re.escape, kind_words()), key=len, reverse=True))
    opened = [word for kind in KINDS.values() if kind.shape is Shape.OPEN for word in (kind.singular, kind.plural)]
    opens = "|".join(sorted(map(re.escape, opened), key=len, reverse=True))
    plural = {kind.singular: kind.plural for kind in KINDS.values()}
    inside = [
        (rf"\b{first} (?!{last}\b)([a-z]+) {last}\b", rf'{first} {last} labelled "\1"')
        for first, last in (word.split() for word in kind_words() if word.count(" ") == 1)
    ]

    def now(found: re.Match[str]) -> str:
        return f"number of {plural.get(found[1], found[1])}{found[2]} now"

    def some_now(found: re.Match[str]) -> str:
        return f"{now(found)} >= 1"

    one_of = {word: kind for kind in KINDS.values() for word in (kind.singular, kind.plural)}
    events = "|".join(
        sorted((word for word, kind in one_of.items() if kind.shape is Shape.EVENT), key=len, reverse=True)
    )
    since = rf"(?:in|for|over|since|within) (?:the )?(?:last |past )?(\d+ {_UNIT})"

    def none_lately(found: re.Match[str]) -> str:
        return f"number of {one_of[found[1]].plural} in the last {found[2]} = 0"

    def last_since(found: re.Match[str]) -> str:
        return f"days since the last {one_of[found[1]].singular} {found[2]}"

    def at_least(found: re.Match[str]) -> str:
        signs = {"more than": ">", "at least": ">=", "less than": "<", "fewer than": "<", "at most": "<=", "over": ">"}
        return f"number of {one_of[found[3]].plural} now {signs.get(found[1] or '', '>=')} {found[2]}"

    before = "of|with|total|latest|first|last|average|median|lowest|highest|open"
    return [
        (r"\btickets open\b", "open tickets"),
        (
            r"\btickets? (?:opened|created|submitted|filed|reported|received|logged)\b(?! in the last [a-z ]*now)",
            "tickets raised",
        ),
        (r"\b(?:support )?cases\b|\bsupport tickets\b", "tickets"),
        (r"\bnumber of tickets (?=in the last|ever|this calendar)", "number of tickets raised "),
        (
            r"\bnumber of (?!open |solved |different |support )([a-z]+) tickets (?=in the last|ever)",
            r'number of tickets raised labelled "\1" ',
        ),
        (r"\b(?:support )?requests (?=raised|open)", "tickets "),
        (r"\bopen_tickets(?= (?:not )?labelled)", "number of open tickets"),
        (r"\bunpaid_invoices(?= (?:not )?labelled)", "number of unpaid invoices"),
        (r"^(?:an? |any )?([a-z]+) tickets? (?:is |are )?open$", r'number of open tickets labelled "\1" now >= 1'),
        (r"\bnumber of (?!open |solved |different )([a-z]+) tickets(?= now)", r'number of open tickets labelled "\1"'),
        (rf"^(?:has |have )?(?:no|without|not any) ({events}) {since}$", none_lately),
        (
            rf"\b(?:days |time )?(?:since )?(?:the )?(?:last|latest) ({events}) (?:is |was |more than |older than |> ?)*(\d+) days(?: ago)?$",
            lambda found: f"days since the last {one_of[found[1]].singular} > {found[2]}",
        ),
        (rf"\bdays since (?:the )?(?:last |latest )?({events}) ?([<>]=? ?\d+)", last_since),
        (rf"\bdays without (?:an? |any )?({events}) ?([<>]=? ?\d+)", last_since),
        (rf"\b(?:has |have )?not logged in {since}$", r"number of logins in the last \1 = 0"),
        (
            rf"^(?:has |have |with |there are )?(?:(more than|at least|less than|fewer than|at most|over) )?(\d+) ({opens})(?: now)?$",
            at_least,
        ),
        (r"\b(of|latest|first|last|average|median|lowest|highest|with|total) ([a-z]+)\b", _by_its_only_word),
        *inside,
        (rf"\b({before}) (?!different |the |labels )([a-z]+) ({kinds})\b", r'\1 \3 labelled "\2"'),
        (rf"\b({kinds}) (?:by|from|of) (?:an? |the )?([a-z]+?)s?\b", r'\1 labelled "\2"'),
        (rf"\b({kinds}) not (?!labelled)({_LABEL})", r"\1 not labelled \2"),
        (rf"^(?:an? |any )?([a-z]+) ({opens})\b(?= [<>=!])", r'\2 labelled "\1"'),
        (rf"^last ({'|'.join(sorted(plural, key=len, reverse=True))})$", r"days since the last \1"),
        (rf"\bnumber of tickets({_LABELLED})(?= now| ?[<>=])", r"number of open tickets\1"),
        (
            rf"\b(?:there (?:is|are)|(?:customer )?has|have|with) (?:an? |any )?({opens})\b({_LABELLED})",
            some_now,
        ),
        (rf"(?<!number of )(?<!\w)({opens})\b({_LABELLED})(?: now)?(?= ?[<>=!])", now),
        (rf"\bnumber of ({opens})\b({_LABELLED})(?! now| labelled| not labelled| or)", now),
        (rf"^(?:an? |any )?({opens})\b({_LABELLED})(?: now)?$", some_now),
    ]


@cache
def _only_words() -> dict[str, str]:
    """Words that are in the name of one kind only, with that name: `nps` in “nps answer”."""
    held: dict[str, set[str]] = {}
    for kind in KINDS.values():
        for name in (kind.singular, kind.plural):
            for word in name.split():
                held.setdefault(word.removesuffix("s"), set()).add(kind.singular)
    lone = {word: names.pop() for word, names in held.items() if len(names) == 1 and len(word) > 1}
    return {word: name for word, name in lone.items() if " " in name}


def _by_its_only_word(found: re.Match[str]) -> str:
    name = _only_words().get(found[2].removesuffix("s"), "")
    if not name or name in found.string:
        return found[0]
    plural = next(kind.plural for kind in KINDS.values() if kind.singular == name)
    return f"{found[1]} {plural if found[1] in ('of', 'with', 'total') else name}"


_BY_START: Final = {
    "read": (_LABELS, _WINDOWS, _READS),
    "against": (_LABELS, _WINDOWS, _READS, _AGAINST),
    "expression": (_LABELS, _CONDITIONS, _WINDOWS),
    "step": (_STEPS,),
    "sliding": (_SLIDES,),
    "edge": (_EDGES,),
    "hold": (_HOLDS,),
    "span": (_SPANS,),
    "share": (_SHARES,),
    "extent": (_EXTENTS,),
    "choice": (_CONDITIONS, _CHOICES),
}


@cache
def rewrites(start: str) -> tuple[Rewrite, ...]:
    """The rewritings for sentences of this start of the grammar, in the order in which they may build on each other."""
    pairs: list[Pair] = [*_ANYWHERE, *_numbers_as_digits(), *(pair for group in _BY_START[start] for pair in group)]
    if start in ("read", "against", "expression", "choice"):
        pairs += _about_kinds()
    return tuple(_rewrite(re.compile(pattern), becomes) for pattern, becomes in pairs)


def _rewrite(pattern: re.Pattern[str], becomes: str | Callable[[re.Match[str]], str]) -> Rewrite:
    return lambda text: re.sub(r"\s+", " ", pattern.sub(becomes, text)).strip()
