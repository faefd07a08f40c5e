-- Whether the sources are well: how much each usually says, when one fell silent, and the one alert about it.

-- How many facts each source has of each kind, by the local day of the workspace on which they happened.
create table volumes (
    source text not null,
    kind text not null,
    day bigint not null,
    n bigint not null,
    primary key (source, kind, day)
) {clustered};

-- A source that is late, or whose volume is far out of its own pattern; at most one of a source that has not ended.
create table outages (
    id text primary key,
    source text not null,
    -- the kinds of fact that cannot be trusted meanwhile, as a JSON list
    kinds text not null,
    -- late, low, high
    why text not null,
    -- what was seen, in words
    seen text not null,
    began_at bigint not null,
    opened_at bigint not null,
    -- null while it is a suspicion: things stand still already, and nobody is told
    noticed_at bigint,
    ended_at bigint,
    -- tells apart the facts that were taken in before it was opened: ids sort by when they were made
    heard text not null
);
create unique index outages_open on outages (source) where ended_at is null;

-- Where each pull stood when a day was first looked at: a source that answered and said nothing is asked again from there.
create table bookmarks (
    source text not null,
    stream text not null,
    day bigint not null,
    value text not null,
    primary key (source, stream, day)
);

-- What the operator is told, each once: effects are about customers, these are not.
create table notices (
    key text primary key,
    title text not null,
    text text not null,
    created_at bigint not null,
    -- waiting, sending, done, unknown, failed, past
    state text not null,
    sending_since bigint,
    sent_at bigint,
    reason text
);
